// Names come from people, prompts and custom nodes, and may be any bytes: keys, metadata and what comes back from the bucket
// stay what they must be.
import * as fs from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect } from 'vitest';
import type { BucketObject } from '../../src/bucket/inventory.ts';
import { planRestore } from '../../src/bucket/restore-plan.ts';
import { openPartial, placePartial, TargetError } from '../../src/bucket/restore-target.ts';
import { keyTemplate } from '../../src/config/schemas.ts';
import { UserError } from '../../src/errors.ts';
import { encodeLine, parseLine } from '../../src/ledger/line.ts';
import { folderDirName } from '../../src/ledger/location.ts';
import { isObjectKey, objectKey } from '../../src/object/key.ts';
import { contentTypeOf, objectMetadata, readMetadata } from '../../src/object/metadata.ts';
import { decodeName, encodeName, isRelPath, percentDecode, printable, refusePath } from '../../src/paths.ts';
import { fuzz } from './fuzz.ts';

/** What the kernel takes for a name: any bytes but NUL and '/', at most 255. */
const nameBytes = fc
  .oneof(
    fc.uint8Array({ minLength: 1, maxLength: 255 }),
    fc.string({ unit: 'binary', minLength: 1, maxLength: 80 }).map((text) => Buffer.from(text)),
    fc
      .constantFrom(
        '__proto__',
        'constructor',
        '\u202egnp.exe',
        '\u2066x\u2069',
        'a\u0301',
        '😀.png',
        '\u{10ffff}',
        '...',
        '..a',
        '%2E%2E',
        '%2e%2e%2f',
        '\\..\\x',
        'a b.PNG',
        '-rf',
        '~',
        'CON',
        '\r\nx: y',
        '\u0085',
        '\ufffe',
        'x.'.repeat(100),
        '.png',
      )
      .map((text) => Buffer.from(text)),
    fc.constantFrom('ff', 'eda080', 'f09f98', 'c0ae', 'c3').map((digits) => Buffer.from(digits.repeat(40), 'hex')),
  )
  .map((bytes) => decodeName(Buffer.from(bytes.filter((byte) => byte !== 0 && byte !== 0x2f)).subarray(0, 255)))
  .filter((name) => name !== '' && name !== '.' && name !== '..');
const path = fc
  .oneof(
    fc.array(nameBytes, { minLength: 1, maxLength: 5 }),
    fc.tuple(nameBytes, fc.integer({ min: 10, max: 15 })).map(([name, deep]) => Array<string>(deep).fill(name)),
  )
  .map((names) => names.join('/'))
  .filter((all) => encodeName(all).length < 4096);
const sha256 = fc.uint8Array({ minLength: 32, maxLength: 32 }).map((bytes) => Buffer.from(bytes).toString('hex'));
const input = fc.record({ path, sha256, mtimeNs: fc.bigInt({ min: -(2n ** 70n), max: 2n ** 70n }) });

const accepted = (template: string) => keyTemplate().schema.safeParse(template).success;
const piece = fc.oneof(
  fc.constantFrom('{path}', '{name}', '{ext}', '{date}', '{hash}', '{hash16}', '/', '-', '.', '_', 'a', 'ü', '%', '//'),
  fc.string({ unit: 'binary', maxLength: 3 }),
  fc.string({ maxLength: 100 }),
);
const template = fc
  .array(piece, { minLength: 1, maxLength: 10 })
  .map((pieces) => pieces.join(''))
  .filter(accepted);

/** The key; undefined where the template says in its own error that it has no room. */
function keyOf(
  form: string,
  file: { path: string; sha256: string; mtimeNs: bigint },
  wide = false,
): string | undefined {
  try {
    return objectKey(form, 'UTC', file, { wide });
  } catch (error) {
    expect(error).toBeInstanceOf(UserError);
    return undefined;
  }
}

describe('whatever a file is called, under whatever template is accepted', () => {
  fuzz(
    'its key is one that every store takes, and holds the hash',
    1500,
    fc.property(template, input, fc.boolean(), (form, file, wide) => {
      const key = keyOf(form, file, wide);
      if (key === undefined) return;
      expect(isObjectKey(key)).toBe(true);
      expect(key).toContain(form.includes('{hash}') || wide ? file.sha256 : file.sha256.slice(0, 16));
      expect(Buffer.from(key).toString()).toBe(key);
      // What the agent writes down, it can read again.
      const fact = { ...file, mtimeNs: file.mtimeNs % 10n ** 29n, size: 1, key, storedAt: 0, incomplete: false };
      expect(parseLine(encodeLine(fact).trimEnd())).toEqual(fact);
    }),
  );

  // In other templates, `{path}{hash16}{name}` for one, somebody can choose names so that two contents meet under a key;
  // then the second is refused by the store, compared, and gets a key of its own (test/upload/ensure.test.ts).
  const apart = fc
    .oneof(
      fc.constantFrom(
        'outputs/{path}/{date}/{name}-{hash16}{ext}',
        'outputs/{hash}{ext}',
        '{path}/{name}/{hash16}{ext}',
      ),
      fc
        .tuple(fc.array(piece, { maxLength: 5 }), fc.constantFrom('{hash}', '{hash16}'))
        .map(([rest, hash]) => `${rest.join('')}${hash}`),
      fc
        .tuple(fc.array(piece, { maxLength: 5 }), fc.constantFrom('{hash}', '{hash16}'))
        .map(([rest, hash]) => `${hash}${rest.join('')}`),
    )
    .filter(accepted);
  fuzz(
    'two contents never have one key, where the hash begins or ends it, or only the extension follows',
    1000,
    fc.property(apart, input, input, fc.boolean(), (form, one, other, sameName) => {
      fc.pre(one.sha256.slice(0, 16) !== other.sha256.slice(0, 16));
      const [a, b] = [keyOf(form, one), keyOf(form, sameName ? { ...one, sha256: other.sha256 } : other)];
      if (a !== undefined) expect(a).not.toBe(b);
    }),
  );

  fuzz(
    'its metadata is safe in a header and gives the name back, byte for byte, or says nothing of it',
    1500,
    fc.property(input, fc.boolean(), (file, incomplete) => {
      const metadata = objectMetadata({ ...file, pod: 'ffee', agent: '1.0.0', incomplete });
      for (const value of [...Object.values(metadata), contentTypeOf(file.path)])
        expect(value).toMatch(/^[\x20-\x7e]+$/);
      expect(Object.entries(metadata).join('').length).toBeLessThan(8192);
      if (metadata.path !== undefined) expect(percentDecode(metadata.path)).toBe(file.path);
      const read = readMetadata(metadata);
      const hidden = file.path.split('/').some((name) => name.startsWith('.'));
      if (metadata.path !== undefined && !hidden) expect(read.path).toBe(file.path);
      expect(read).toMatchObject({ sha256: file.sha256, incomplete });
    }),
  );

  fuzz(
    'its folder has a directory of its own in the state, and what is shown of it is harmless',
    1500,
    fc.property(nameBytes, nameBytes, (one, other) => {
      expect(folderDirName(one)).toMatch(/^[\w%.~-]{1,100}$/);
      expect(['.', '..']).not.toContain(folderDirName(one));
      expect(folderDirName(one) === folderDirName(other)).toBe(one === other);
      expect(printable(one)).not.toMatch(/[\p{Cc}\u202a-\u202e\u2066-\u2069]/u);
      expect(printable(one).isWellFormed()).toBe(true);
    }),
  );
});

describe('what comes back from the bucket', () => {
  const hostile = fc.oneof(
    path,
    fc
      .array(
        fc.constantFrom(
          '..',
          '.',
          '',
          '%2e%2e',
          '\0',
          'link',
          'up',
          '.ssh',
          'x',
          'alice',
          '__proto__',
          '\\',
          'a'.repeat(256),
        ),
        { minLength: 1, maxLength: 6 },
      )
      .map((names) => names.join('/')),
    fc.string({ unit: 'binary' }),
  );
  const object = fc.record({
    path: fc.option(hostile, { nil: undefined }),
    key: hostile,
    sha256: fc.option(sha256, { nil: undefined }),
    mtimeNs: fc.option(fc.bigInt({ min: -(2n ** 62n), max: 2n ** 62n }), { nil: undefined }),
    size: fc.nat(),
    modifiedAt: fc.nat(),
  });
  const toBucketObject = ({
    path: named,
    key,
    ...rest
  }: {
    path: string | undefined;
    key: string;
    sha256: string | undefined;
    mtimeNs: bigint | undefined;
    size: number;
    modifiedAt: number;
  }): BucketObject => {
    // As it came over the wire, percent-encoded or not.
    const { path: believed, rejected } = readMetadata(named === undefined ? {} : { path: named });
    return { ...rest, key: `outputs/${key}`, path: believed, rejected, incomplete: false };
  };

  fuzz(
    'no path that is planned leads out of the directory or to a hidden name, and no two meet',
    600,
    fc.property(fc.array(object, { maxLength: 12 }), (objects) => {
      const { entries } = planRestore(objects.map(toBucketObject), 'outputs/{path}/{name}-{hash16}{ext}');
      for (const entry of entries) {
        expect(refusePath(entry.path)).toBeUndefined();
        expect(isRelPath(entry.path)).toBe(true);
      }
      expect(new Set(entries.map((entry) => entry.path)).size).toBe(entries.length);
    }),
  );

  fuzz(
    'no file is written outside of it, not even through the symlinks that are in it',
    40,
    fc.asyncProperty(fc.array(object, { maxLength: 6 }), async (objects) => {
      const base = await fs.realpath(await fs.mkdtemp(join(tmpdir(), 'r2-sync-fuzz-restore-')));
      const root = join(base, 'target');
      await fs.mkdir(join(base, 'outside'));
      await fs.mkdir(root);
      await fs.symlink('../outside', join(root, 'link'));
      await fs.symlink('..', join(root, 'up'));
      const plan = planRestore(objects.map(toBucketObject), 'outputs/{path}/{name}-{hash16}{ext}');
      for (const entry of plan.entries) {
        try {
          const { handle } = await openPartial(root, entry, true);
          await placePartial(root, entry, handle, true).finally(() => handle.close());
        } catch (error) {
          expect(error).toBeInstanceOf(TargetError);
        }
      }
      expect((await fs.readdir(base)).sort()).toEqual(['outside', 'target']);
      expect(await fs.readdir(join(base, 'outside'))).toEqual([]);
      await fs.rm(base, { recursive: true });
    }),
  );
});
