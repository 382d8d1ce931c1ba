// A planted bug is worth something only while the sources still have the place that it is planted in.
import { readFileSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { execa } from 'execa';
import { afterEach, expect, test } from 'vitest';
import { version } from '../../../src/version.ts';
import { buildPlanted, buildWith, PLANTED } from './index.ts';

const directories: string[] = [];
afterEach(() => {
  for (const directory of directories.splice(0)) rmSync(directory, { recursive: true });
});

test.each(PLANTED.map(({ name }) => name))('%s is planted, and the agent still runs', async (name) => {
  const file = await built(buildPlanted(name));
  expect((await execa(process.execPath, [file, '--version'])).stdout).toBe(version);
});

test('a change of the worker is in the worker that the bundle carries', async () => {
  const changes = [
    { file: 'src/volume/worker.ts', replace: 'parentPort?.on(', by: "console.log('planted here'); parentPort?.on(" },
  ];
  const file = await built(buildWith(changes, 'nothing'));
  expect(readFileSync(file, 'utf8').includes('planted here')).toBe(true);
});

test('a bug whose place is gone, or is there twice, is named', async () => {
  const change = { file: 'src/version.ts', replace: 'no such text', by: '' };
  await expect(buildWith([change], 'lost')).rejects.toThrow('"lost" needs this text exactly once in src/version.ts');
  await expect(buildWith([{ ...change, replace: ' ' }], 'twice')).rejects.toThrow('exactly once');
  await expect(buildPlanted('nobody')).rejects.toThrow('There are: ledger-first,');
});

async function built(building: Promise<string>): Promise<string> {
  const file = await building;
  directories.push(join(dirname(file)));
  return file;
}
