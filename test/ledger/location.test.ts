import * as fs from 'node:fs/promises';
import { mkdir, stat, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { findRoot, folderDirName, locateState } from '../../src/ledger/location.ts';
import { fsPath } from '../../src/paths.ts';
import { makeTarget } from './support.ts';

const where = { endpointHost: 'account.r2.cloudflarestorage.com', bucket: 'runpod' };

async function makeDirs(...names: string[]): Promise<string> {
  const { root } = await makeTarget();
  for (const name of names) await mkdir(fsPath(join(root, name)), { recursive: true });
  return root;
}

describe('where the state lies', () => {
  it('the root is the output directory, where nothing else is there', async () => {
    const root = await makeDirs('output');
    const output = join(root, 'output');
    const state = await locateState(fs, { outputDir: output, ...where });
    expect(state).toMatchObject({ root: output, prefix: '' });
    expect(state.target).toMatch(/^[0-9a-f]{16}$/);
    expect(state.targetDir).toBe(join(output, '.r2-sync', state.target));
    await expect(stat(join(output, '.r2-sync'))).rejects.toThrow('ENOENT');
  });

  it('a pod on output/alice and a sync pod on output agree', async () => {
    const root = await makeDirs('output/.r2-sync', 'output/alice/deep', '.r2-sync');
    const sync = await locateState(fs, { outputDir: join(root, 'output'), ...where });
    const pod = await locateState(fs, { outputDir: join(root, 'output/alice/deep/'), ...where });
    expect(pod).toEqual({ ...sync, prefix: 'alice/deep' });
  });

  it('through a symlink too', async () => {
    const root = await makeDirs('volume/output/.r2-sync', 'volume/output/alice');
    await symlink(join(root, 'volume/output/alice'), join(root, 'link'));
    const state = await locateState(fs, { outputDir: join(root, 'link'), ...where });
    expect(state).toMatchObject({ root: join(root, 'volume/output'), prefix: 'alice' });
  });

  it("a file named like the state directory makes no root, and broken bytes in the root's name do no harm", async () => {
    const root = await makeDirs('out\udcff/x');
    const state = await locateState(fs, { outputDir: join(root, 'out\udcff/x'), ...where });
    expect(state.root).toBe(join(root, 'out\udcff/x'));
  });

  it('state directories below the root are found', async () => {
    const root = await makeDirs('output/.r2-sync', 'output/alice/.r2-sync', 'output/bob');
    const found = await findRoot(fs, join(root, 'output'));
    expect(found).toEqual({ root: join(root, 'output'), below: [join(root, 'output/alice/.r2-sync')] });
  });

  it('R2_STATE_DIR elsewhere is keyed by the inode of the root', async () => {
    const root = await makeDirs('output', 'state');
    const output = join(root, 'output');
    const { ino } = await stat(output);
    const state = await locateState(fs, { outputDir: output, stateDir: join(root, 'state'), ...where });
    expect(state.targetDir).toBe(join(root, 'state', String(ino), state.target));
    const inRoot = await locateState(fs, { outputDir: output, stateDir: join(output, '.r2-sync'), ...where });
    expect(inRoot).toEqual(await locateState(fs, { outputDir: output, ...where }));
  });

  it('another bucket, account or port is another target; the case of the host is not', async () => {
    const outputDir = await makeDirs();
    const target = async (endpointHost: string, bucket: string) =>
      (await locateState(fs, { outputDir, endpointHost, bucket })).target;
    const targets = [
      await target('a.example', 'one'),
      await target('a.example', 'two'),
      await target('b.example', 'one'),
      await target('a.example:8443', 'one'),
    ];
    expect(new Set(targets).size).toBe(4);
    expect(await target('A.Example', 'one')).toBe(targets[0]);
  });

  it("an output directory that isn't there is the system's error", async () => {
    const root = await makeDirs();
    await expect(locateState(fs, { outputDir: join(root, 'none'), ...where })).rejects.toMatchObject({
      code: 'ENOENT',
    });
  });
});

describe("a folder's directory", () => {
  it.each([
    ['.', '%2E'],
    ['alice', 'alice'],
    ['2026-11-20', '2026-11-20'],
    ['a b%~', 'a%20b%25%7E'],
    ['ü', '%C3%BC'],
    ['\udcff', '%FF'],
    ['line\nend', 'line%0Aend'],
  ])('of %j is %s', (folder, name) => {
    expect(folderDirName(folder)).toBe(name);
  });

  it('has at most 100 bytes and belongs to one folder only', () => {
    const folder = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 250 });
    const longer = fc.tuple(fc.string({ minLength: 90, maxLength: 120 }), fc.string({ maxLength: 2 }));
    fc.assert(
      fc.property(folder, longer, ([...a], [stem, tail]) => {
        for (const name of [a.join(''), stem, stem + tail]) expect(folderDirName(name)).toMatch(/^[\w%.~-]{1,100}$/);
        if (tail !== '') expect(folderDirName(stem)).not.toBe(folderDirName(stem + tail));
      }),
    );
  });
});
