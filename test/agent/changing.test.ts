// Invariant 3: files that grow, shrink, vanish or are replaced while they are read and sent. What is in the bucket hashes
// to its key and is a version that its writer left; the last one is there at the end.
import {
  appendFileSync,
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { until } from '../support/agent.ts';
import { makePngOfSize, noise } from '../support/media.ts';
import type { Fault } from '../support/store-double.ts';
import { type Bench, expectTrueObjects, hashOf, lastVersion, makeBench, storedVersions } from './bucket.ts';

let bench: Bench;
beforeEach(async () => {
  bench = await makeBench();
});
afterEach(() => bench.close());

const MiB = 2 ** 20;

const CHANGES: [name: string, change: (path: string) => void][] = [
  ['grows', (path) => appendFileSync(path, 'more')],
  ['shrinks', (path) => truncateSync(path, 1000)],
  ['is rewritten with as many bytes', (path) => writeFileSync(path, noise(readFileSync(path).length, 99))],
  ['has its last bytes changed', (path) => overwriteEnd(path, 'other')],
  [
    'is replaced by a rename over it',
    (path) => {
      writeFileSync(`${path}.tmp`, 'replaced');
      renameSync(`${path}.tmp`, path);
    },
  ],
  [
    'is deleted and made again',
    (path) => {
      unlinkSync(path);
      writeFileSync(path, 'made again');
    },
  ],
  ['is deleted', (path) => unlinkSync(path)],
  ['is moved away', (path) => renameSync(path, path.replace(/a.txt$/, 'b.txt'))],
];

// PutObject is answered late; parts are taken slowly, so that the rest of the file isn't read yet.
const SIZES: [kind: string, bytes: number, operation: string, fault: Fault][] = [
  ['a small file', 500_000, 'PutObject', { delayMs: 500 }],
  ['a file of several parts', 17 * MiB, 'UploadPart', { bytesPerSecond: 30 * MiB }],
];

describe.each(SIZES)('invariant 3: %s that changes while it is sent', (_, bytes, operation, fault) => {
  it('no object is torn, and what is left at the end is there', async () => {
    const { store, at } = bench;
    const sending = new Set<string>();
    store.fault = (request) => {
      if (request.operation !== operation) return undefined;
      sending.add(request.key.split('/')[1]!);
      return fault;
    };
    const agent = await bench.start({ R2_CONCURRENCY: '8', R2_DRAIN_SECONDS: '60' });
    const versions = new Map<string, Set<string>>();
    await Promise.all(
      CHANGES.map(async ([name, change], nth) => {
        const original = noise(bytes, nth + 1);
        mkdirSync(at(name));
        writeFileSync(at(`${name}/a.txt`), original);
        await until(() => sending.has(name), `the upload of the file that ${name} to begin`);
        change(at(`${name}/a.txt`));
        const left = readdirSync(at(name)).map((file) => hashOf(readFileSync(at(`${name}/${file}`))));
        versions.set(name, new Set([hashOf(original), ...left]));
      }),
    );
    // A path goes at most once a minute, but not when the agent is told to stop.
    expect({ code: await agent.stop(), log: agent.log() }).toMatchObject({ code: 0 });
    expectTrueObjects(store);
    for (const [path, bodies] of storedVersions(store)) {
      for (const body of bodies) expect(versions.get(dirname(path))).toContain(hashOf(body));
    }
    for (const [name] of CHANGES) {
      for (const file of readdirSync(at(name))) {
        const path = `${name}/${file}`;
        expect({ path, hash: hashOf(lastVersion(store, path)!) }).toEqual({
          path,
          hash: hashOf(readFileSync(at(path))),
        });
      }
    }
    expect(store.uploads.size).toBe(0);
  });
});

describe('files that are changed all the time, in every way, over a slow store', () => {
  it('every object is a version that a writer left, and every last version is there', async () => {
    const { store, at } = bench;
    store.fault = ({ operation }) => {
      if (operation === 'PutObject') return { delayMs: 60 };
      return operation === 'UploadPart' ? { bytesPerSecond: 30 * MiB } : undefined;
    };
    const agent = await bench.start({ R2_QUIET_SECONDS: '0.1', R2_SCAN_SECONDS: '0.2', R2_DRAIN_SECONDS: '60' });
    const closed = new Set<string>();
    const random = randomFrom(7);
    const names = [
      ...Array.from({ length: 20 }, (_, nth) => `${nth}.${nth % 3 === 0 ? 'png' : 'txt'}`),
      'large.txt',
      'large2.txt',
    ];
    await Promise.all(
      names.map(async (name) => {
        for (let round = 0; round < 6; round += 1) {
          const bytes = makeBytes(name, Math.floor(random() * 1e6), round);
          await changeOnce(at(name), bytes, random);
          closed.add(hashOf(bytes));
          await pause(random() * 150);
        }
      }),
    );
    const last = new Map(names.map((name) => [name, hashOf(readFileSync(at(name)))]));
    expect(await agent.stop()).toBe(0);
    expectTrueObjects(store);
    for (const [name, versions] of storedVersions(store)) {
      for (const body of versions) {
        if (!closed.has(hashOf(body)))
          throw new Error(`${name}: an object of ${body.length} bytes that nobody left so`);
      }
    }
    for (const [name, hash] of last) expect({ name, hash: hashOf(lastVersion(store, name)!) }).toEqual({ name, hash });
    expect(store.uploads.size).toBe(0);
  });
});

/** Leaves these bytes under the path: in place and in pieces, by a rename, or after a deletion. */
async function changeOnce(path: string, bytes: Buffer, random: () => number): Promise<void> {
  const way = random();
  if (way < 0.3) {
    writeFileSync(`${path}.tmp`, bytes);
    renameSync(`${path}.tmp`, path);
    return;
  }
  if (way < 0.5 && existsSync(path)) unlinkSync(path);
  const descriptor = openSync(path, 'w');
  const pieces = 1 + Math.floor(random() * 4);
  for (let piece = 0; piece < pieces; piece += 1) {
    const [from, to] = [piece, piece + 1].map((nth) => Math.floor((nth * bytes.length) / pieces));
    writeSync(descriptor, bytes.subarray(from, to));
    await pause(random() * 60);
  }
  closeSync(descriptor);
}

function makeBytes(name: string, seed: number, round: number): Buffer {
  if (name.endsWith('.png')) return makePngOfSize(100_000 + 1000 * round, seed);
  return noise((name.startsWith('large') ? 10 * MiB : 50_000) + 1000 * round, seed);
}

function overwriteEnd(path: string, text: string): void {
  const size = readFileSync(path).length;
  const descriptor = openSync(path, 'r+');
  writeSync(descriptor, text, size - text.length);
  closeSync(descriptor);
}

/** Numbers from 0 to 1 that are the same in every run. */
function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

/** A writer's own pace. */
function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
