import * as fs from 'node:fs/promises';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { makeScratch } from '../../src/doctor/scratch.ts';
import { makePlace, removePlace } from '../support/agent.ts';

async function makeState() {
  const place = await makePlace();
  onTestFinished(() => removePlace(place));
  const base = join(place.output, '.r2-sync');
  // Of another boot, and long ago: abandoned.
  const leftover = join(base, '.r2-sync-doctor.deadbeef.1.1');
  await fs.mkdir(leftover, { recursive: true });
  await fs.writeFile(join(leftover, 'first'), '');
  await fs.utimes(leftover, 1, 1);
  const bob = join(place.output, 'bob');
  await fs.mkdir(bob);
  for (const name of ['first', 'ComfyUI_00001_.png']) await fs.writeFile(join(bob, name), 'a picture');
  return { base, root: place.output, leftover, bob };
}

test('what an earlier doctor left is removed, and its own directory at the end', async () => {
  const { base, root, leftover } = await makeState();
  const scratch = await makeScratch(fs, base, root, 'pod');
  await expect(fs.lstat(leftover)).rejects.toThrow('ENOENT');
  await fs.writeFile(join(scratch.dir, 'inotifywait.txt'), '');
  await scratch.remove();
  expect(await fs.readdir(base)).toEqual([]);
});

test("invariant 6: a link that takes a leftover's place while it is looked at costs nobody a picture", async () => {
  const { base, root, leftover, bob } = await makeState();
  const swapping = {
    ...fs,
    lstat: (async (path: string) => {
      const seen = await fs.lstat(path);
      if (path === leftover) {
        await fs.rename(leftover, `${leftover}.aside`);
        await fs.symlink(bob, leftover);
      }
      return seen;
    }) as typeof fs.lstat,
  };
  const scratch = await makeScratch(swapping, base, root, 'pod');
  await scratch.remove();
  expect((await fs.readdir(bob)).sort()).toEqual(['ComfyUI_00001_.png', 'first']);
});

test('invariant 6: nothing but what doctor itself makes is ever removed', async () => {
  const { base, root, leftover } = await makeState();
  await fs.writeFile(join(leftover, 'ComfyUI_00001_.png'), 'a picture');
  await fs.utimes(leftover, 1, 1);
  await (await makeScratch(fs, base, root, 'pod')).remove();
  expect(await fs.readdir(leftover)).toEqual(['ComfyUI_00001_.png']);
});
