import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type KeyInput, objectKey, pathOfKey } from '../../src/object/key.ts';
import { decodeName } from '../../src/paths.ts';

const DEFAULT = 'outputs/{path}/{date}/{name}-{hash16}{ext}';
const SHA = '9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08';
const OTHER_SHA = `9f86d081884c7d65${'0'.repeat(48)}`;
const NOON = 1_795_176_000_000_000_000n; // 2026-11-20T12:00:00Z

function input(path: string, changes: Partial<KeyInput> = {}): KeyInput {
  return { path, mtimeNs: NOON, sha256: SHA, ...changes };
}

/** The key under the default template. */
function keyOf(path: string, changes: Partial<KeyInput> = {}): string {
  return objectKey(DEFAULT, 'UTC', input(path, changes));
}

function bytesOf(...bytes: number[]): string {
  return decodeName(Buffer.from(bytes));
}

describe('the key of an output says where it came from and when, and holds its hash', () => {
  it.each([
    ['a file in a folder', 'alice/ComfyUI_00001_.png', 'outputs/alice/2026-11-20/ComfyUI_00001_-9f86d081884c7d65.png'],
    ['a file in the root', 'ComfyUI_1_.png', 'outputs/2026-11-20/ComfyUI_1_-9f86d081884c7d65.png'],
    ['deep directories', 'alice/video/take 2/x.mp4', 'outputs/alice/video/take 2/2026-11-20/x-9f86d081884c7d65.mp4'],
    ['only the last extension', 'a.tar.gz', 'outputs/2026-11-20/a.tar-9f86d081884c7d65.gz'],
    ['no extension', 'notes', 'outputs/2026-11-20/notes-9f86d081884c7d65'],
    ['a leading dot is no extension', '.hidden', 'outputs/2026-11-20/.hidden-9f86d081884c7d65'],
    ['the extension keeps its case', 'A.PNG', 'outputs/2026-11-20/A-9f86d081884c7d65.PNG'],
    ['a dot in a directory only', 'v1.2/picture', 'outputs/v1.2/2026-11-20/picture-9f86d081884c7d65'],
    ['emoji and accents stay', 'é/🎨.png', 'outputs/é/2026-11-20/🎨-9f86d081884c7d65.png'],
    ['decomposed letters stay', 'e\u0301.png', 'outputs/2026-11-20/e\u0301-9f86d081884c7d65.png'],
    ['signs that URLs use stay', 'a b%41+#?&.png', 'outputs/2026-11-20/a b%41+#?&-9f86d081884c7d65.png'],
    ['dollar signs mean nothing', "$&$1$$$'.png", "outputs/2026-11-20/$&$1$$$'-9f86d081884c7d65.png"],
    ['placeholders in a name mean nothing', '{hash}{date}.png', 'outputs/2026-11-20/{hash}{date}-9f86d081884c7d65.png'],
    ['line ends and controls', 'a\nb\u0085\u007f.png', 'outputs/2026-11-20/a%0Ab%C2%85%7F-9f86d081884c7d65.png'],
    ['backslashes', 'a\\..\\b.png', 'outputs/2026-11-20/a%5C..%5Cb-9f86d081884c7d65.png'],
    ['what a listing in XML cannot hold', 'a\ufffe.png', 'outputs/2026-11-20/a%EF%BF%BE-9f86d081884c7d65.png'],
    [
      'bytes that are no UTF-8',
      bytesOf(0x61, 0xff, 0x2f, 0xe9, 0x2e, 0x70, 0xc3),
      'outputs/a%FF/2026-11-20/%E9-9f86d081884c7d65.p%C3',
    ],
  ])('%s', (_, path, key) => {
    expect(keyOf(path)).toBe(key);
  });

  it.each([
    ['{hash}{ext}', 'alice/a.png', `${SHA}.png`],
    ['/{hash16}//{path}/', 'a.png', '9f86d081884c7d65'],
    ['{path}/{name}/{hash16}{ext}', 'bob/..png', 'bob/_/9f86d081884c7d65.png'],
    ['{path}/{name}/{hash16}{ext}', 'bob/...png', 'bob/__/9f86d081884c7d65.png'],
    ['{path}-{date}/{hash16}', 'bob/a.png', 'bob-2026-11-20/9f86d081884c7d65'],
    ['{name}/{name}-{hash16}-{hash}', 'a.png', `a/a-9f86d081884c7d65-${SHA}`],
  ])('the template %s for %s', (template, path, key) => {
    expect(objectKey(template, 'UTC', input(path))).toBe(key);
  });
});

describe('{date} is the day of the mtime in the time zone that was set', () => {
  const lateEvening = 1_795_217_400_000_000_000n; // 2026-11-20T23:30:00Z
  it.each([
    ['UTC', lateEvening, '2026-11-20'],
    ['Europe/Berlin', lateEvening, '2026-11-21'],
    ['America/Los_Angeles', 1_795_158_000_000_000_000n, '2026-11-19'], // 07:00Z is 23:00 the day before
    ['UTC', 1_795_219_199_999_999_999n, '2026-11-20'],
    ['UTC', 1_795_219_200_000_000_000n, '2026-11-21'],
    ['UTC', 0n, '1970-01-01'],
    ['UTC', -1n, '1969-12-31'],
    ['UTC', -86_400_000_000_000n, '1969-12-31'],
    ['UTC', -86_400_000_000_001n, '1969-12-30'],
    ['UTC', -50_000_000_000_000_000_000n, '0385-07-25'],
    ['Pacific/Kiritimati', 2n ** 63n * 1_000_000_000n, '9999-12-30'],
    ['America/Los_Angeles', -(2n ** 63n) * 1_000_000_000n, '0001-01-01'],
  ])('%s, %d ns: %s', (timezone, mtimeNs, day) => {
    expect(objectKey('{date}/{hash16}', timezone, input('a.png', { mtimeNs }))).toBe(`${day}/9f86d081884c7d65`);
  });
});

describe('a key is never longer than the store takes', () => {
  const long = (letter: string, ending: string) => `${letter.repeat(255 - ending.length)}${ending}`;

  it('a name of 255 bytes in a short directory stays whole', () => {
    expect(keyOf(`alice/${long('n', '.png')}`)).toBe(
      `outputs/alice/2026-11-20/${'n'.repeat(251)}-9f86d081884c7d65.png`,
    );
  });

  it('a long directory is cut, the name is not, and hash and extension stand at the end', () => {
    const directory = Array.from({ length: 12 }, (_, i) => long('d', String(i))).join('/');
    const key = keyOf(`${directory}/${long('n', '.png')}`);
    expect(Buffer.byteLength(key)).toBe(1024);
    expect(key).toMatch(/^outputs\/d{254}0\/d{254}1\/d+~[0-9a-f]{8}\/2026-11-20\/n{251}-9f86d081884c7d65\.png$/);
  });

  it('a name of broken bytes, three times as long in the key, is cut between its escapes', () => {
    const name = decodeName(Buffer.alloc(251, 0xff));
    const key = keyOf(`${name}/${name}/${name}.png`);
    expect(key).toMatch(
      /^outputs\/(%FF){100,}~[0-9a-f]{8}\/2026-11-20\/(%FF){100,}~[0-9a-f]{8}-9f86d081884c7d65\.png$/,
    );
    expect(Buffer.byteLength(key)).toBeLessThanOrEqual(1024);
  });

  it('characters of four bytes are cut between characters', () => {
    const key = objectKey('{path}-{hash16}', 'UTC', input(`${`${'🎨'.repeat(63)}/`.repeat(8)}a`));
    expect(key).toMatch(/^([🎨]{63}\/){3}[🎨]+~[0-9a-f]{8}-9f86d081884c7d65$/u);
    expect(Buffer.byteLength(key)).toBeGreaterThan(1020);
    expect(Buffer.byteLength(key)).toBeLessThanOrEqual(1024);
  });

  it('two long names that differ where they are cut stay apart, with the same bytes in them', () => {
    const directory = `${long('d', '')}/`.repeat(5);
    expect(keyOf(`${directory}one/a.png`)).not.toBe(keyOf(`${directory}two/a.png`));
  });

  it('a monstrous extension is cut to 32 bytes', () => {
    expect(keyOf(`a.${'x'.repeat(253)}`)).toBe(`outputs/2026-11-20/a-9f86d081884c7d65.${'x'.repeat(31)}`);
  });

  it('a template that leaves no room for names is refused with what to do', () => {
    const template = `${'t'.repeat(940)}/{path}/{name}-{hash}`;
    expect(() => objectKey(template, 'UTC', input(`${long('d', '')}/a.png`))).toThrow(
      expect.objectContaining({ fix: 'Shorten R2_KEY_TEMPLATE.' }),
    );
  });
});

describe('invariant 4: a key that other bytes have taken is given up for one with the full hash', () => {
  it('wide puts the full hash in its place', () => {
    expect(objectKey(DEFAULT, 'UTC', input('alice/a.png'), { wide: true })).toBe(
      `outputs/alice/2026-11-20/a-${SHA}.png`,
    );
  });

  it('two contents whose hashes begin alike have two wide keys', () => {
    const other = input('alice/a.png', { sha256: OTHER_SHA });
    expect(objectKey(DEFAULT, 'UTC', other)).toBe(objectKey(DEFAULT, 'UTC', input('alice/a.png')));
    expect(objectKey(DEFAULT, 'UTC', other, { wide: true })).not.toBe(
      objectKey(DEFAULT, 'UTC', input('alice/a.png'), { wide: true }),
    );
  });
});

describe('whatever bytes a path is made of', () => {
  // Kernels forbid NUL, slashes, `.`, `..` and more than 255 bytes in a name; all else happens.
  const byte = fc.oneof(
    fc.integer({ min: 1, max: 255 }),
    fc.constantFrom(0x25, 0x2e, 0x5c, 0x0a, 0x20, 0x7f, 0xc2, 0x85, 0xff),
  );
  const size = fc.constantFrom(3, 20, 255);
  const name = fc
    .oneof(
      size.chain((maxLength) => fc.array(byte, { minLength: 1, maxLength })).map((bytes) => Buffer.from(bytes)),
      fc.string({ unit: 'binary', minLength: 1, maxLength: 60 }).map((text) => Buffer.from(text).subarray(0, 255)),
    )
    .map((bytes) => Buffer.from(bytes.map((one) => (one === 0x2f || one === 0 ? 0x5f : one))))
    .filter((bytes) => bytes.toString('latin1') !== '.' && bytes.toString('latin1') !== '..');
  const path = fc
    .array(name, { minLength: 1, maxLength: 14 })
    .map((names) => names.map((one) => decodeName(one)).join('/'));
  const sha256 = fc.uint8Array({ minLength: 32, maxLength: 32 }).map((bytes) => Buffer.from(bytes).toString('hex'));
  const mtimeNs = fc.bigInt({ min: -(2n ** 80n), max: 2n ** 80n });
  const keyInput: fc.Arbitrary<KeyInput> = fc.record({ path, mtimeNs, sha256 });
  const template = fc.constantFrom(
    DEFAULT,
    '{hash}{ext}',
    '{path}/{name}/{hash16}{ext}',
    '{name}/{path}/{name}{hash}{ext}/{path}',
    'team/{date}-{path}-{hash16}',
  );

  it('the key is one that every store and every URL parser takes as it is', () => {
    fc.assert(
      fc.property(template, keyInput, fc.boolean(), (form, file, wide) => {
        const key = objectKey(form, 'Asia/Tokyo', file, { wide });
        expect(key.isWellFormed()).toBe(true);
        expect(Buffer.byteLength(key)).toBeLessThanOrEqual(1024);
        expect(key).toContain(wide ? file.sha256 : file.sha256.slice(0, 16));
        expect(key).not.toMatch(/[\p{Cc}\\\ufffe\uffff]/u);
        for (const segment of key.split('/')) expect(['', '.', '..']).not.toContain(segment);
        const url = new URL(`https://bucket.invalid/${key.split('/').map(encodeURIComponent).join('/')}`);
        expect(decodeURIComponent(url.pathname.slice(1))).toBe(key);
        expect(objectKey(form, 'Asia/Tokyo', { ...file }, { wide })).toBe(key);
      }),
      { numRuns: 400 },
    );
  });

  it('different contents never share a wide key, whatever their names', () => {
    fc.assert(
      fc.property(template, keyInput, keyInput, fc.boolean(), (form, one, two, sameFile) => {
        fc.pre(one.sha256 !== two.sha256);
        const second = sameFile ? { ...one, sha256: two.sha256 } : two;
        expect(objectKey(form, 'UTC', one, { wide: true })).not.toBe(objectKey(form, 'UTC', second, { wide: true }));
      }),
      { numRuns: 200 },
    );
  });
});

describe('a key tells the path of its file, roughly', () => {
  const templates = [
    DEFAULT,
    '{path}/{name}-{hash16}{ext}',
    'a.b+c/{date}/{path}/{name}-{hash}{ext}',
    '{hash16}/{path}/{name}{ext}',
    '{path}-{date}/{name}-{hash16}{ext}',
  ];

  it('a name without anything that must be escaped comes back as it was', () => {
    const name = fc.stringMatching(/^[A-Za-z0-9 _é🎨()+$%&-]{1,30}$/u).filter((text) => !text.includes('/'));
    const path = fc
      .tuple(fc.array(name, { maxLength: 3 }), name, fc.constantFrom('.png', '.PNG', '', '.gz'))
      .map(([dirs, file, ext]) => [...dirs, file + ext].join('/'));
    fc.assert(
      fc.property(path, fc.constantFrom(...templates), fc.boolean(), (at, template, wide) => {
        expect(pathOfKey(template, objectKey(template, 'UTC', input(at), { wide }))).toBe(at);
      }),
    );
  });

  it.each([
    ['outputs/alice/2026-11-20/2026-11-21/x-9f86d081884c7d65.png', 'alice/2026-11-20/x.png'],
    ['outputs/alice/notes.txt', 'alice/notes.txt'],
    ['outputs/alice/2026-11-20/x.png', 'alice/2026-11-20/x.png'],
    ['elsewhere/x.png', 'elsewhere/x.png'],
    ['outputs/', ''],
    ['outputs/../../x', '../../x'],
  ])('%s is %j', (key, path) => {
    expect(pathOfKey(DEFAULT, key)).toBe(path);
  });

  it('where the template holds no name, the key without its beginning is the name', () => {
    expect(pathOfKey('outputs/{hash}{ext}', `outputs/${SHA}.png`)).toBe(`${SHA}.png`);
  });
});
