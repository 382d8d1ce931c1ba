import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { contentTypeOf, type MetadataInput, objectMetadata, podHash, readMetadata } from '../../src/object/metadata.ts';
import { decodeName, refusePath } from '../../src/paths.ts';

const SHA = '9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08';
const FILE: MetadataInput = {
  path: 'alice/ComfyUI_00001_.png',
  mtimeNs: 1_795_176_000_123_456_789n,
  sha256: SHA,
  pod: '0123456789ab',
  agent: '0.1.0',
  incomplete: false,
};

describe('what travels with an object', () => {
  it('is its full hash, where it came from, when, by whom', () => {
    expect(objectMetadata(FILE)).toEqual({
      sha256: SHA,
      path: 'alice/ComfyUI_00001_.png',
      mtime: '1795176000.123456789',
      pod: '0123456789ab',
      agent: '0.1.0',
    });
  });

  it('invariant 3: a file that never became whole is marked', () => {
    expect(objectMetadata({ ...FILE, incomplete: true })).toHaveProperty('incomplete', 'true');
  });

  it.each([
    ['a b%+#é.png', 'a%20b%25%2B%23%C3%A9.png'],
    ["x/(1)!*'~-_.png", 'x/%281%29%21%2A%27~-_.png'],
    ['line\nend', 'line%0Aend'],
    [decodeName(Buffer.from([0x61, 0xff, 0xe9])), 'a%FF%E9'],
  ])('the path %j is written as its bytes', (path, expected) => {
    expect(objectMetadata({ ...FILE, path }).path).toBe(expected);
  });

  it('a path of more than 1,500 encoded bytes is left out', () => {
    expect(objectMetadata({ ...FILE, path: 'a'.repeat(1500) }).path).toBe('a'.repeat(1500));
    expect(objectMetadata({ ...FILE, path: 'a'.repeat(1501) })).not.toHaveProperty('path');
    expect(objectMetadata({ ...FILE, path: 'é'.repeat(251) })).not.toHaveProperty('path');
  });

  it.each([
    [0n, '0.000000000'],
    [1n, '0.000000001'],
    [1_500_000_000n, '1.500000000'],
    [-1n, '-0.000000001'],
    [-1_500_000_000n, '-1.500000000'],
    [2n ** 63n - 1n, '9223372036.854775807'],
  ])('an mtime of %d ns is %s', (mtimeNs, mtime) => {
    expect(objectMetadata({ ...FILE, mtimeNs }).mtime).toBe(mtime);
  });

  it('the mtime and the path of any file can be read back exactly; headers take every value as it is', () => {
    const bytes = fc.uint8Array({ minLength: 1, maxLength: 4096 }).map((all) => Buffer.from(all));
    fc.assert(
      fc.property(bytes, fc.bigInt({ min: -(2n ** 90n), max: 2n ** 90n }), (name, mtimeNs) => {
        const metadata = objectMetadata({ ...FILE, path: decodeName(name), mtimeNs, incomplete: true });
        expect(BigInt(metadata.mtime!.replace('.', ''))).toBe(mtimeNs);
        if (metadata.path !== undefined) {
          const raw = metadata.path.replace(/%(..)/g, (_, hex) => String.fromCharCode(Number.parseInt(hex, 16)));
          expect(Buffer.from(raw, 'latin1').equals(name)).toBe(true);
        }
        const entries = Object.entries(metadata);
        for (const [, value] of entries) expect(value).toMatch(/^[!-~]+$/);
        expect(entries.flat().join('').length).toBeLessThan(2048);
      }),
    );
  });
});

describe('what an object says about itself is believed only as far as it can be true', () => {
  it('what the agent wrote is read back exactly, for any path and any time of a file system', () => {
    const names = fc
      .array(fc.uint8Array({ minLength: 1, maxLength: 60 }), { minLength: 1, maxLength: 6 })
      .map((all) => decodeName(Buffer.from(all.map((one) => Buffer.from(one).toString('latin1')).join('/'), 'latin1')))
      .filter((path) => refusePath(path) === undefined);
    fc.assert(
      fc.property(
        names,
        fc.bigInt({ min: -(2n ** 63n) + 1n, max: 2n ** 63n - 1n }),
        fc.boolean(),
        (path, mtimeNs, incomplete) => {
          const metadata = objectMetadata({ ...FILE, path, mtimeNs, incomplete });
          const fits = metadata.path !== undefined;
          expect(readMetadata(metadata)).toEqual({
            path: fits ? path : undefined,
            mtimeNs,
            sha256: SHA,
            incomplete,
            rejected: undefined,
          });
        },
      ),
    );
  });

  it.each([
    ['../../x', 'leads out'],
    ['..', 'leads out'],
    ['a/../../b', 'leads out'],
    ['a/%2E%2E/%2e%2e/b', 'leads out'],
    ['%2E%2E%2Fx', 'leads out'],
    ['/etc/passwd', 'absolute'],
    ['%2Fetc/passwd', 'absolute'],
    ['a%00.png', 'NUL'],
    ['', 'empty'],
    ['a//b.png', 'empty name'],
    ['a/./b.png', 'empty name'],
    ['a/', 'empty name'],
    ['a'.repeat(256), 'longer than 255'],
    ['%C3%A9'.repeat(128), 'longer than 255'],
    [`${'a/'.repeat(2100)}b`, 'longer than 4095'],
    ['.bashrc', 'hidden'],
    ['.r2-sync/0011223344556677/alice/ledger.1.jsonl', 'hidden'],
    ['alice/.ssh/authorized_keys', 'hidden'],
  ])('the path %j leads nowhere', (path, why) => {
    const read = readMetadata({ sha256: SHA, path });
    expect(read.path).toBeUndefined();
    expect(read.rejected).toContain(why);
  });

  it.each([
    ['back%5Cslash.png', 'back\\slash.png'],
    ['..%5C..%5Cx.png', undefined],
    ['a..b/c...png', 'a..b/c...png'],
    ['100%.png', '100%.png'],
    ['%zz%4.png', '%zz%4.png'],
    ['a%FFb.png', decodeName(Buffer.from([0x61, 0xff, 0x62, 0x2e, 0x70, 0x6e, 0x67]))],
  ])('the path %j is %j', (encoded, path) => {
    expect(readMetadata({ path: encoded }).path).toBe(path);
  });

  it.each([
    '',
    'x',
    '1e9',
    '1795176000,5',
    '1795176000.0000000001',
    '99999999999',
    '9223372036.854775808',
    ' 1',
    '0x10',
    '--1',
  ])('the time %j is no time', (mtime) => {
    expect(readMetadata({ mtime }).mtimeNs).toBeUndefined();
  });

  it('what rclone writes is read as well', () => {
    expect(readMetadata({ mtime: '1795176000.5' }).mtimeNs).toBe(1_795_176_000_500_000_000n);
    expect(readMetadata({ mtime: '1795176000' }).mtimeNs).toBe(1_795_176_000_000_000_000n);
  });

  it.each(['', SHA.toUpperCase(), SHA.slice(1), `${SHA}0`, `../${SHA.slice(3)}`])('%j is no hash', (sha256) => {
    expect(readMetadata({ sha256 }).sha256).toBeUndefined();
  });
});

describe('a browser is told what an object is', () => {
  it.each([
    ['a.png', 'image/png'],
    ['a.JPG', 'image/jpeg'],
    ['a.webp', 'image/webp'],
    ['a.apng', 'image/apng'],
    ['a.avif', 'image/avif'],
    ['a.exr', 'image/x-exr'],
    ['a.svg', 'image/svg+xml'],
    ['a.mp4', 'video/mp4'],
    ['a.m4v', 'video/mp4'],
    ['a.webm', 'video/webm'],
    ['a.mkv', 'video/x-matroska'],
    ['a.mov', 'video/quicktime'],
    ['a.wav', 'audio/wav'],
    ['a.mp3', 'audio/mpeg'],
    ['a.m4a', 'audio/mp4'],
    ['a.flac', 'audio/flac'],
    ['a.opus', 'audio/ogg'],
    ['a.glb', 'model/gltf-binary'],
    ['a.gltf', 'model/gltf+json'],
    ['a.obj', 'model/obj'],
    ['a.stl', 'model/stl'],
    ['a.srt', 'application/x-subrip'],
    ['a.txt', 'text/plain; charset=utf-8'],
    ['a.json', 'application/json; charset=utf-8'],
    ['a.ply', 'application/octet-stream'],
    ['a.latent', 'application/octet-stream'],
    ['alice.png/a', 'application/octet-stream'],
    ['alice/image.constructor', 'application/octet-stream'],
    ['trailing.', 'application/octet-stream'],
    ['.png', 'application/octet-stream'],
    ['', 'application/octet-stream'],
  ])('%s is %s', (path, type) => {
    expect(contentTypeOf(path)).toBe(type);
  });
});

describe("invariant 8: a pod's id, the address of its ComfyUI, never leaves it", () => {
  it('what leaves is 12 hex digits of its hash, the same each time', () => {
    const pod = podHash({ RUNPOD_POD_ID: 'abc123def456gh' }, 'host');
    expect(pod).toMatch(/^[0-9a-f]{12}$/);
    expect(podHash({ RUNPOD_POD_ID: 'abc123def456gh' }, 'another')).toBe(pod);
    expect(podHash({ RUNPOD_POD_ID: 'zzz123def456gh' }, 'host')).not.toBe(pod);
  });

  it('without an id, or with an empty one, the host name tells pods apart', () => {
    const pod = podHash({}, 'host-a');
    expect(pod).toMatch(/^[0-9a-f]{12}$/);
    expect(podHash({ RUNPOD_POD_ID: ' ' }, 'host-a')).toBe(pod);
    expect(podHash({}, 'host-b')).not.toBe(pod);
  });
});
