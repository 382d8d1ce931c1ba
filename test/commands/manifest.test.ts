// `r2-sync manifest`: the same list from ledger, volume and bucket, after a real agent stored real files.
import { mkdir, rm, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { bigPicture, makeScene, picture, type Scene, sha256Of } from '../agent/scene.ts';

const SOURCES = ['ledger', 'volume', 'bucket'] as const;

async function manifest(scene: Scene, source: string, args: string[] = []) {
  const { code, stdout, stderr } = await scene.command(['manifest', '--from', source, ...args]);
  return {
    code,
    stdout,
    stderr,
    entries: stdout
      .split('\n')
      .filter(Boolean)
      .map((line) => JSON.parse(line)),
  };
}

/** Pictures under names that are hard to write down, one of them not text at all. Gives the encoded paths in order. */
async function drawOddNames(scene: Scene): Promise<string[]> {
  const odd = [
    'alice/with space.png',
    'alice/100%.png',
    'alice/100%25.png',
    'alice/new\nline.png',
    'alice/"quoted"\\.png',
  ];
  await scene.draw(...odd, 'alice/é 🦊.png', 'alice-b/a.png', 'bob/deep/er/a.png', 'in-the-root.png');
  await scene.write('bob/large.png', bigPicture(9));
  await mkdir(join(scene.place.output, 'raw'));
  const raw = Buffer.concat([
    Buffer.from(`${scene.place.output}/raw/`),
    Buffer.from([0xff, 0x20, 0x80]),
    Buffer.from('.png'),
  ]);
  await writeFile(raw, picture('raw'));
  return [
    'alice-b/a.png',
    'alice/%22quoted%22%5C.png',
    'alice/%C3%A9%20%F0%9F%A6%8A.png',
    'alice/100%25.png',
    'alice/100%2525.png',
    'alice/new%0Aline.png',
    'alice/with%20space.png',
    'bob/deep/er/a.png',
    'bob/large.png',
    'in-the-root.png',
    'raw/%FF%20%80.png',
  ];
}

describe('manifest', () => {
  test('is the same, byte for byte, from ledger, volume and bucket, whatever the names are', async (context) => {
    const scene = await makeScene(context);
    const paths = await drawOddNames(scene);
    const agent = await scene.start();
    await agent.until(({ totals }) => totals.storedFiles === paths.length, 'all to be stored');
    // Not whole, or nothing: never stored, or later.
    await scene.write('alice/empty.png', Buffer.alloc(0));
    const [ledger, volume, bucket] = await Promise.all(SOURCES.map((source) => manifest(scene, source)));
    expect([ledger!.code, volume!.code, bucket!.code]).toEqual([0, 0, 0]);
    expect(volume!.stdout).toBe(ledger!.stdout);
    expect(bucket!.stdout).toBe(ledger!.stdout);
    expect(ledger!.entries.map(({ path }) => path)).toEqual(paths);
    for (const { key, sha256, size, mtime, path } of ledger!.entries) {
      const object = scene.double.objects.get(key)!;
      expect({ key, sha256, size, mtime, path }).toEqual({
        key,
        sha256: sha256Of(object.body!),
        size: object.body!.length,
        mtime: object.metadata.mtime,
        path: object.metadata.path,
      });
    }
    const folders = await Promise.all(SOURCES.map((source) => manifest(scene, source, ['--folder', 'alice'])));
    expect(new Set(folders.map(({ stdout }) => stdout)).size).toBe(1);
    expect(folders[0]!.entries.map(({ path }) => path)).toEqual(paths.filter((path) => path.startsWith('alice/')));
  });

  test('of several contents of one path, the newest; asked by a token that may only read', async (context) => {
    const scene = await makeScene(context);
    const agent = await scene.start();
    await scene.draw('a.png');
    await agent.until(({ totals }) => totals.storedFiles === 1, 'the first to be stored');
    await rm(join(scene.place.output, 'a.png'));
    await agent.until(({ totals }) => totals.storedFiles === 0, 'the name to be free again');
    await scene.write('a.png', picture('the name is used again'));
    await agent.until(({ totals }) => totals.storedFiles === 1, 'the second to be stored');
    await agent.stop();
    scene.double.fault = ({ method }) => (/GET|HEAD/.test(method) ? undefined : { status: 403, code: 'AccessDenied' });
    expect(scene.double.objects.size).toBe(2);
    const lists = await Promise.all(SOURCES.map((source) => manifest(scene, source)));
    expect(new Set(lists.map(({ stdout }) => stdout)).size).toBe(1);
    expect(lists[0]!.entries).toMatchObject([{ path: 'a.png', sha256: sha256Of(picture('the name is used again')) }]);
  });

  test('what cannot be listed is told: no ledger, no directory, foreign objects', async (context) => {
    const scene = await makeScene(context);
    const none = await manifest(scene, 'ledger');
    expect({ code: none.code, stdout: none.stdout }).toEqual({ code: 2, stdout: '' });
    expect(none.stderr).toMatch(/there is no ledger here .*runpod.*\nAsk others/);
    await scene.draw('a.png');
    await utimes(join(scene.place.output, 'a.png'), 1.5, 1.5);
    expect((await scene.command(['sync'])).code).toBe(0);
    const [object] = scene.double.objects.values();
    scene.double.objects.set('outputs/b-0123456789abcdef.png', { ...object!, metadata: {} });
    scene.double.objects.set('outputs/c-0123456789abcdef.png', {
      ...object!,
      metadata: { ...object!.metadata, path: '../../etc/passwd' },
    });
    const bucket = await manifest(scene, 'bucket');
    expect({ code: bucket.code, paths: bucket.entries.map(({ path, mtime }) => [path, mtime]) }).toEqual({
      code: 3,
      paths: [['a.png', '1.500000000']],
    });
    expect(bucket.stderr).toMatch(/not listed: outputs\/b-.*metadata doesn't say/);
    expect(bucket.stderr).toMatch(/not listed: outputs\/c-.*leads out of the directory/);
    const gone = await scene.command(['manifest'], { COMFYUI_OUTPUT_DIR: join(scene.place.base, 'not-there') });
    expect(gone.code).toBe(2);
    expect(gone.stderr).toMatch(/COMFYUI_OUTPUT_DIR/);
  });
});
