// What somebody can do who writes on the volume: another pod, a custom node, or anybody who reaches a ComfyUI without a
// password, whose /upload/image takes any file name in any subfolder of the output directory.
import { appendFile, mkdir, readdir, readFile, rmdir, stat, symlink, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { encodeBeat } from '../../src/lease/format.ts';
import { encodeLine } from '../../src/ledger/line.ts';
import { makeScene, messages, picture, type Scene, sha256Of } from '../agent/scene.ts';
import { until } from '../support/agent.ts';

const WRITTEN = 1_700_000_000;

/** A directory in the state of the bucket's ledger and leases, which an agent has made. */
async function stateOf(scene: Scene, folder: string): Promise<string> {
  const state = join(scene.place.output, '.r2-sync');
  const [target] = await readdir(state);
  const dir = join(state, target!, folder);
  await mkdir(dir, { recursive: true });
  return dir;
}

/** A file of a known time, and a line of the ledger that says it is in the bucket. */
async function forge(scene: Scene, path: string, lie: { sha256?: string; key?: string } = {}): Promise<void> {
  const bytes = picture(path);
  await scene.write(path, bytes);
  await utimes(join(scene.place.output, path), WRITTEN, WRITTEN);
  await record(scene, path, { size: bytes.length, sha256: sha256Of(bytes), key: `outputs/${path}`, ...lie });
}

async function record(
  scene: Scene,
  path: string,
  { size, sha256, key }: { size: number; sha256: string; key: string },
): Promise<void> {
  const mtimeNs = BigInt(WRITTEN) * 10n ** 9n;
  const line = encodeLine({ path, size, mtimeNs, sha256, key, storedAt: WRITTEN * 1000, incomplete: false });
  await appendFile(join(await stateOf(scene, 'alice'), 'ledger.900.jsonl'), line);
}

/** The paths of objects in the bucket. */
function stored({ double }: Scene): string[] {
  return [...double.objects.values()].map(({ metadata }) => decodeURIComponent(metadata.path ?? '')).sort();
}

async function verify(scene: Scene, ...args: string[]) {
  const { code, stdout } = await scene.command(['verify', '--json', ...args]);
  const { groups } = JSON.parse(stdout) as { groups: { id: string; rows: { path?: string }[] }[] };
  return { code, found: Object.fromEntries(groups.map(({ id, rows }) => [id, rows.map(({ path }) => path)])) };
}

describe('a forged ledger', () => {
  test('a line that says a file is stored hides it from upload, and `verify` names it and sends it', async (context) => {
    const scene = await makeScene(context);
    await scene.draw('alice/a.png');
    await scene.command(['sync']);
    await forge(scene, 'alice/hidden.png');
    expect((await scene.command(['sync'])).code).toBe(0);
    // The limit: whoever writes on the volume is believed about it.
    expect(stored(scene)).toEqual(['alice/a.png']);
    expect(await verify(scene)).toEqual({ code: 3, found: { missing: ['alice/hidden.png'] } });
    expect(await verify(scene, '--repair')).toMatchObject({ code: 0, found: { repaired: ['alice/hidden.png'] } });
    expect(stored(scene)).toEqual(['alice/a.png', 'alice/hidden.png']);
  });

  test('a line that points to the object of another file is found by `verify --deep`, which reads the bytes', async (context) => {
    const scene = await makeScene(context);
    const decoy = picture('alice/hidden.png');
    decoy[decoy.length - 20]! ^= 1;
    await scene.write('alice/decoy.png', decoy);
    await scene.command(['sync']);
    const [key = ''] = [...scene.double.objects.keys()];
    await forge(scene, 'alice/hidden.png', { sha256: sha256Of(decoy), key });
    expect((await verify(scene)).code).toBe(0);
    const { code, found } = await verify(scene, '--deep');
    expect(code).toBe(3);
    expect(Object.values(found).flat()).toContain('alice/hidden.png');
    // What people are told to do: a file with a new time is looked at anew.
    await utimes(join(scene.place.output, 'alice/hidden.png'), WRITTEN + 60, WRITTEN + 60);
    await scene.command(['sync']);
    expect(stored(scene)).toContain('alice/hidden.png');
  });

  test('a path that leads out of the output directory is neither looked at nor sent, whatever asks for it', async (context) => {
    const scene = await makeScene(context);
    await scene.draw('alice/a.png');
    await scene.command(['sync']);
    const secret = picture('secret');
    await writeFile(join(scene.place.base, 'secret.png'), secret);
    await utimes(join(scene.place.base, 'secret.png'), WRITTEN, WRITTEN);
    for (const path of ['../secret.png', 'alice/../../secret.png', `${scene.place.base}/secret.png`])
      await record(scene, path, { size: secret.length, sha256: sha256Of(secret), key: 'outputs/secret.png' });
    const agent = await scene.start();
    await agent.until(({ safeToStop, totals }) => safeToStop && totals.storedFiles === 1, 'all is known');
    expect(messages(agent)).toMatch(/3 lines of the ledger file .* can't be read/);
    await agent.stop();
    expect(await verify(scene, '--deep', '--repair')).toEqual({ code: 0, found: {} });
    expect((await scene.command(['link', '../secret.png'])).code).toBe(3);
    expect(stored(scene)).toEqual(['alice/a.png']);
  });
});

describe('a forged lease', () => {
  test('a claim whose beat goes on keeps a folder waiting: it is shown as held by another pod, and R2_LEASE=off ends that', async (context) => {
    const scene = await makeScene(context);
    await scene.draw('bob/a.png');
    await scene.command(['sync']);
    const dir = await stateOf(scene, 'alice');
    const claim = {
      v: 1,
      epoch: 7,
      folder: 'alice',
      host: '\u001b[31m<b>evil</b>',
      agent: '0',
      nonce: 'n',
      since: 's',
    };
    const process = { pod: 'forged', pid: 1, startTime: '1', pidNamespace: 'x', bootId: 'y' };
    await writeFile(join(dir, 'lease.7.json'), JSON.stringify({ ...claim, process }));
    let counter = 0;
    const beat = () =>
      writeFile(join(dir, 'beat.7.json'), encodeBeat({ epoch: 7, counter: ++counter, released: false, at: 'x' }));
    await beat();
    const beating = setInterval(() => void beat(), 200);
    context.onTestFinished(() => clearInterval(beating));
    const agent = await scene.start({ R2_LEASE_SECONDS: '8' });
    await scene.draw('alice/a.png', 'bob/b.png');
    await agent.until(({ totals }) => totals.storedFiles === 2, 'other folders go on');
    const begun = counter;
    // For longer than it takes to find somebody silent.
    await until(() => counter > begun + 60, 'the forger to have lived on');
    const seen = await agent.snapshot();
    expect(seen.folders.find(({ folder }) => folder === 'alice')).toMatchObject({
      pending: 1,
      lease: { state: 'theirs', holder: 'forged' },
    });
    expect(seen.safeToStop).toBe(false);
    const status = await scene.command(['status'], { R2_STATUS_PORT: new URL(agent.url).port });
    expect(status.stdout).toContain('forged on');
    expect(status.stdout).not.toContain('\u001b[31m');
    expect(await (await fetch(agent.url)).text()).not.toContain('<b>evil');
    await scene.command(['config', 'set', 'R2_LEASE=off']);
    await agent.until(({ safeToStop, totals }) => safeToStop && totals.storedFiles === 3, 'all stored');
    await scene.expectStored(['alice/a.png', 'bob/a.png', 'bob/b.png']);
  });
});

test('a directory of the state that is a symlink is followed, and nothing but files with our names is touched there', async (context) => {
  const scene = await makeScene(context);
  await scene.draw('bob/a.png');
  await scene.command(['sync']);
  const outside = join(scene.place.base, 'outside');
  await mkdir(outside);
  await writeFile(join(outside, 'keep.json'), 'mine', { mode: 0o600 });
  const dir = await stateOf(scene, 'alice');
  await rmdir(dir);
  await symlink(outside, dir);
  const before = await stat(join(outside, 'keep.json'));
  await scene.draw('alice/a.png');
  expect((await scene.command(['sync'])).code).toBe(0);
  await scene.expectStored(['alice/a.png', 'bob/a.png']);
  const names = await readdir(outside);
  expect(names.filter((name) => !/^(lease|beat|ledger)\.\d+\.jsonl?$/.test(name))).toEqual(['keep.json']);
  expect(names.length).toBeGreaterThan(1);
  expect(await readFile(join(outside, 'keep.json'), 'utf8')).toBe('mine');
  const { mode, mtimeMs } = await stat(join(outside, 'keep.json'));
  expect({ mode, mtimeMs }).toEqual({ mode: before.mode, mtimeMs: before.mtimeMs });
});

test('R2_STATE_DIR outside of the output directory: nothing of it is below, and what is forged there counts for nothing', async (context) => {
  const scene = await makeScene(context);
  const settings = { R2_STATE_DIR: join(scene.place.base, 'state') };
  await scene.draw('alice/a.png');
  await scene.command(['sync'], settings);
  expect(await readdir(scene.place.output)).toEqual(['alice']);
  // As /upload/image would: the same names below the output directory.
  const [inode] = await readdir(settings.R2_STATE_DIR);
  const [target] = await readdir(join(settings.R2_STATE_DIR, inode!));
  await mkdir(join(scene.place.output, '.r2-sync', target!), { recursive: true });
  await forge(scene, 'alice/hidden.png');
  await scene.command(['sync'], settings);
  await scene.expectStored(['alice/a.png', 'alice/hidden.png']);
  const beside = await readFile(join(await stateOf(scene, 'alice'), 'ledger.900.jsonl'), 'utf8');
  expect(beside.split('\n')).toHaveLength(2);
});
