// What was there before the agent's first start is a backlog: a start that nobody can tell must not make new files old.
import * as fs from 'node:fs/promises';
import { mkdir, mkdtemp, readdir, readFile, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { notedFirstStart, readFirstStart } from '../../src/agent/first-start.ts';

const FIRST = Date.UTC(2026, 0, 1);
const NOTED = Date.UTC(2025, 5, 1);
const NOTE = '~first-start.json';

let base: string;
let dir: string;
beforeEach(async () => {
  base = await mkdtemp(join(tmpdir(), 'r2-sync-first-'));
  dir = join(base, '.r2-sync', 'target');
});
afterEach(() => rm(base, { recursive: true }));

test('the first start is noted once; every later one reads it', async () => {
  await mkdir(join(base, '.r2-sync'));
  expect(await notedFirstStart(fs, dir)).toBeUndefined();
  expect(await readFirstStart(fs, dir, FIRST)).toBe(FIRST);
  expect(await readFirstStart(fs, dir, FIRST + 1e6)).toBe(FIRST);
  expect(await notedFirstStart(fs, dir)).toBe(FIRST);
  // Nothing half-written lies beside it.
  expect(await readdir(dir)).toEqual([NOTE]);
});

test.each([
  ['empty', ''],
  ['torn', '{"v":1,"at":"2026-01'],
  ['of something else', '{"v":1,"at":"yesterday"}'],
])('a note that is %s still tells by its time: what came after it isn’t old', async (_, text) => {
  await mkdir(dir, { recursive: true });
  await writeFile(join(dir, NOTE), text);
  await utimes(join(dir, NOTE), NOTED / 1000, NOTED / 1000);
  expect(await readFirstStart(fs, dir, FIRST)).toBe(NOTED);
  expect(await notedFirstStart(fs, dir)).toBe(NOTED);
  expect(await readFile(join(dir, NOTE), 'utf8')).toBe(text);
});

test('where it can’t be noted nobody knows: no file is taken for old, now or by the next start', async () => {
  // A file is in the way, which stops root, too.
  await writeFile(join(base, '.r2-sync'), '');
  for (const at of [FIRST, FIRST + 1e6]) expect(await readFirstStart(fs, dir, at)).toBeUndefined();
});
