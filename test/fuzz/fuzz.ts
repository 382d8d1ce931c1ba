// How fuzz tests run: with a fixed seed and few runs in `npm test`; longer, or from elsewhere, by FUZZ_RUNS and FUZZ_SEED.
// A failure prints its seed and its path: FUZZ_SEED and FUZZ_PATH bring it back at once.
import fc from 'fast-check';
import { test } from 'vitest';

const { FUZZ_RUNS, FUZZ_SEED, FUZZ_PATH } = process.env;
const FIXED_SEED = 20_261_128;
/** Somebody who asks for many runs has the time for them. */
const PATIENCE_MS = FUZZ_RUNS === undefined ? 60_000 : 3_600_000;

/** A test of a property. `runs` is for `npm test`. */
export function fuzz<T>(name: string, runs: number, property: fc.IRawProperty<T>): void {
  test(name, { timeout: PATIENCE_MS }, () =>
    fc.assert(property, {
      numRuns: Number(FUZZ_RUNS ?? runs),
      seed: Number(FUZZ_SEED ?? FIXED_SEED),
      ...(FUZZ_PATH === undefined ? {} : { path: FUZZ_PATH }),
    }),
  );
}

/** Numbers that length fields, counters and times are attacked with. */
export const oddNumber = fc.oneof(
  fc.constantFrom(
    0,
    -0,
    -1,
    1,
    0.5,
    2 ** 31,
    2 ** 32,
    2 ** 53,
    2 ** 53 - 1,
    2 ** 63,
    8.64e15,
    9e15,
    1e300,
    -1e300,
    1e-300,
  ),
  fc.double({ noNaN: true }),
);

/** Anything that JSON can say, names of an object's own workings among the keys. */
export const oddJson: fc.Arbitrary<unknown> = fc.anything({
  key: fc.oneof(fc.string(), fc.constantFrom('__proto__', 'constructor', 'toString', 'length')),
  values: [fc.string({ unit: 'binary' }), oddNumber, fc.boolean(), fc.constant(null)],
  maxDepth: 2,
  maxKeys: 4,
});

/** The bytes, damaged: bits flipped, pieces cut out, doubled, overwritten or put in. */
export function damaged(
  file: Buffer,
  extra: fc.Arbitrary<Uint8Array> = fc.uint8Array({ maxLength: 12 }),
): fc.Arbitrary<Buffer> {
  const place = fc.nat(Math.max(0, file.length - 1));
  const length = fc.oneof(fc.nat(16), place);
  const edit = fc.oneof(
    fc.record({ kind: fc.constant('flip' as const), at: place, bit: fc.nat(7) }),
    fc.record({ kind: fc.constantFrom('cut' as const, 'double' as const), at: place, length }),
    fc.record({ kind: fc.constantFrom('insert' as const, 'overwrite' as const), at: place, bytes: extra }),
    fc.record({ kind: fc.constant('end' as const), at: place }),
  );
  return fc.array(edit, { maxLength: 5 }).map((edits) => {
    let bytes = Buffer.from(file);
    for (const one of edits) {
      const [head, tail] = [bytes.subarray(0, one.at), bytes.subarray(one.at)];
      if (one.kind === 'flip' && tail.length > 0) tail[0]! ^= 1 << one.bit;
      if (one.kind === 'cut') bytes = Buffer.concat([head, tail.subarray(one.length)]);
      if (one.kind === 'double') bytes = Buffer.concat([head, tail.subarray(0, one.length), tail]);
      if (one.kind === 'insert') bytes = Buffer.concat([head, one.bytes, tail]);
      if (one.kind === 'overwrite') tail.set(one.bytes.subarray(0, tail.length));
      if (one.kind === 'end') bytes = Buffer.from(head);
    }
    return bytes;
  });
}
