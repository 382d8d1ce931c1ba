// Commands that look: plan, status, wait, help. They tell the truth with and without an agent, and change nothing.
import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { lstat, readdir, readFile, rm, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { settings as allSettings } from '../../src/config/names.ts';
import type { Snapshot } from '../../src/status/snapshot.ts';
import { crash, makeScene, names, picture } from '../agent/scene.ts';
import { freePort } from '../support/agent.ts';

/** Everything that a program could change in a tree, as text. */
async function describeTree(dir: string): Promise<string> {
  const entries = await readdir(dir, { recursive: true, withFileTypes: true });
  const lines = entries.map(async (entry) => {
    const path = join(entry.parentPath, entry.name);
    const { mode, size, mtimeNs, ctimeNs, ino } = await lstat(path, { bigint: true });
    const hash = entry.isFile()
      ? createHash('sha256')
          .update(await readFile(path))
          .digest('hex')
      : '';
    return [path, ino, mode, size, mtimeNs, ctimeNs, hash].join(' ');
  });
  return (await Promise.all(lines)).sort().join('\n');
}

describe.concurrent('plan', () => {
  test('says what would be uploaded, what is skipped and why; writes nothing and asks no store', async (context) => {
    const scene = await makeScene(context);
    await scene.draw('a.png', 'alice/b.png');
    await scene.write('torn.png', picture('torn').subarray(0, 400));
    await scene.write('empty.png', Buffer.alloc(0));
    await scene.write('model.safetensors', Buffer.alloc(10));
    await scene.write('notes.txt', Buffer.from('a text'));
    await scene.write('half.png.tmp', Buffer.alloc(10));
    await symlink('a.png', join(scene.place.output, 'link.png'));
    const before = await describeTree(scene.place.base);
    const { code, stdout } = await scene.command(['plan', '--json'], { R2_EXCLUDE: 'alice/**' });
    expect(code).toBe(0);
    const plan = JSON.parse(stdout);
    const fates = Object.fromEntries(
      plan.candidates.map(({ path, verdict }: Record<string, string>) => [path, verdict]),
    );
    expect(fates).toEqual({ 'a.png': 'whole', 'torn.png': 'torn', 'empty.png': 'empty', 'notes.txt': 'unknown' });
    expect(plan.skipped).toMatchObject({ '.safetensors': 1, temporary: 1 });
    const words = await scene.command(['plan']);
    expect(words.stdout).toMatch(/folder alice: 1 files/);
    expect(words.stdout).toMatch(/a\.png/);
    expect(await describeTree(scene.place.base)).toBe(before);
    expect(scene.double.requests).toHaveLength(0);
  });

  test('needs no store at all, and knows what is stored already', async (context) => {
    const scene = await makeScene(context);
    await scene.draw('a.png');
    expect((await scene.command(['sync'])).code).toBe(0);
    await scene.draw('b.png');
    const known = JSON.parse((await scene.command(['plan', '--json'])).stdout);
    expect(known.stored).toBe(1);
    expect(known.candidates.map(({ path }: { path: string }) => path)).toEqual(['b.png']);
    const nothing = { R2_ENDPOINT: '', R2_ACCESS_KEY: '', R2_SECRET_KEY: '' };
    const blind = await scene.command(['plan', '--json'], nothing);
    expect(blind.code).toBe(0);
    expect(JSON.parse(blind.stdout).notes.join()).toMatch(/R2_ENDPOINT is not set/);
    const unreachable = await scene.command(['plan'], { R2_ENDPOINT: `http://127.0.0.1:${await freePort()}` });
    expect(unreachable.code).toBe(0);
  });

  test('R2_EXISTING=skip: what is there before the agent ever ran is counted as left alone', async (context) => {
    const scene = await makeScene(context);
    await scene.draw(...names(3));
    const plan = JSON.parse((await scene.command(['plan', '--json'], { R2_EXISTING: 'skip' })).stdout);
    expect(plan.candidates).toEqual([]);
    expect(plan.skipped).toEqual({ 'older than the agent (R2_EXISTING=skip)': 3 });
  });

  test('an output directory that is missing is a clear mistake', async (context) => {
    const scene = await makeScene(context);
    await rm(scene.place.output, { recursive: true });
    const { code, stderr } = await scene.command(['plan']);
    expect(code).toBe(2);
    expect(stderr).toMatch(/output directory .*can't be looked at \(ENOENT\)[\s\S]*COMFYUI_OUTPUT_DIR/);
  });
});

describe.concurrent('status', () => {
  test('asks the running agent; without one it reads ledger and volume, and says so', async (context) => {
    const scene = await makeScene(context);
    await scene.draw('a.png', 'sub/b.png');
    const agent = await scene.start();
    const ofAgent = { R2_STATUS_PORT: new URL(agent.url).port };
    await agent.until(({ safeToStop }) => safeToStop, 'stored');
    const running = await scene.command(['status', '--json'], ofAgent);
    const seen = JSON.parse(running.stdout) as Snapshot;
    expect(seen).toMatchObject({ safeToStop: true, totals: { storedFiles: 2, pendingFiles: 0 } });
    expect(seen.recent.map(({ path }) => path).sort()).toEqual(['a.png', 'sub/b.png']);
    const words = await scene.command(['status'], ofAgent);
    expect(words).toMatchObject({ code: 0, stderr: '' });
    expect(words.stdout).toMatch(/All 2 files are in the bucket.*You may stop the pod/);
    await agent.stop();

    await scene.draw('c.png');
    const alone = await scene.command(['status', '--json'], ofAgent);
    expect(alone.code).toBe(0);
    expect(JSON.parse(alone.stdout)).toMatchObject({
      state: 'degraded',
      safeToStop: false,
      reasons: [expect.stringMatching(/No agent is running.*r2-sync run/)],
      totals: { storedFiles: 2, pendingFiles: 1 },
      pending: [{ path: 'c.png' }],
    });
  });

  test('works while the settings are wrong', async (context) => {
    const scene = await makeScene(context);
    const agent = await scene.start({ R2_SECRET_KEY: '' });
    const settings = { R2_SECRET_KEY: '', R2_STATUS_PORT: new URL(agent.url).port };
    const { code, stdout } = await scene.command(['status'], settings);
    expect(code).toBe(0);
    expect(stdout).toMatch(/R2_SECRET_KEY.*isn't set/);
    expect((await scene.command(['wait'], settings)).code).toBe(4);
  });
});

describe.concurrent('leases', () => {
  /** However slow the machine is, nothing is given back and nobody silent meanwhile. */
  const PATIENT = { R2_LEASE_SECONDS: '3600' };

  test('says on any pod who holds which folder; needs no keys, asks no store, writes nothing', async (context) => {
    const scene = await makeScene(context);
    const agent = await scene.start({ RUNPOD_POD_ID: 'first', ...PATIENT });
    await scene.draw('alice/a.png', 'b.png');
    await agent.until(({ totals }) => totals.storedFiles === 2, 'stored');
    const { pod } = await agent.snapshot();
    const requests = scene.double.requests.length;
    // Seen from another pod, which has no agent and no keys.
    const other = { ...PATIENT, RUNPOD_POD_ID: 'other', R2_ACCESS_KEY: '', R2_SECRET_KEY: '' };
    const { code, stdout } = await scene.command(['leases', '--json'], other);
    expect(code).toBe(0);
    const seen = JSON.parse(stdout);
    const held = { state: 'held', pod, thisPod: false, epoch: 1, problem: null };
    expect(seen).toMatchObject({ takesPart: true, leaseSeconds: 3600 });
    expect(seen.leases).toMatchObject([
      { ...held, folder: '.' },
      { ...held, folder: 'alice' },
    ]);
    // An SSH shell may not know which pod it is on: the agent that runs here does.
    const ssh = await scene.command(['leases'], { R2_STATUS_PORT: new URL(agent.url).port });
    expect(ssh.stdout).toMatch(/^\(top level\): this pod, claim 1 since .*\nalice: this pod, claim 1 since .*\n$/);
    await agent.stop();

    const before = await describeTree(scene.place.base);
    const words = await scene.command(['leases'], other);
    expect(words.stdout).toMatch(/^\(top level\): nobody, claim 1 .*given back\nalice: nobody, .*given back\n$/);
    expect(await describeTree(scene.place.base)).toBe(before);
    expect(scene.double.requests.length).toBe(requests);
  });

  test('without an agent, status says which other pod uploads what is pending', async (context) => {
    const scene = await makeScene(context);
    const agent = await scene.start({ RUNPOD_POD_ID: 'first', ...PATIENT });
    await scene.draw('alice/a.png');
    await agent.until(({ safeToStop, totals }) => safeToStop && totals.storedFiles === 1, 'stored');
    const { pod } = await agent.snapshot();
    await crash(agent);
    await scene.draw('alice/b.png', 'bob/c.png');
    const { stdout } = await scene.command(['status', '--json'], { ...PATIENT, RUNPOD_POD_ID: 'other' });
    const { folders, pending } = JSON.parse(stdout) as Snapshot;
    const states = Object.fromEntries(folders.map(({ folder, lease }) => [folder, lease.state]));
    expect(states).toEqual({ alice: 'theirs', bob: 'free' });
    expect(Object.fromEntries(pending.map(({ path, state }) => [path, state]))).toEqual({
      'alice/b.png': `pod ${pod} uploads this folder`,
      'bob/c.png': 'no agent is running',
    });
    const ours = await scene.command(['status'], { ...PATIENT, RUNPOD_POD_ID: 'first' });
    expect(ours.stdout).not.toMatch(/Served by|this pod/);
  });

  test('before the first claim, and where settings or directory are missing, it says so', async (context) => {
    const scene = await makeScene(context);
    expect((await scene.command(['leases'])).stdout).toMatch(/^No pod has claimed a folder yet: .*\.r2-sync/);
    const nowhere = await scene.command(['leases'], { R2_ENDPOINT: '' });
    expect(nowhere).toMatchObject({ code: 2, stdout: '' });
    expect(nowhere.stderr).toMatch(/R2_ENDPOINT is not set/);
    await rm(scene.place.output, { recursive: true });
    const missing = await scene.command(['leases']);
    expect(missing).toMatchObject({ code: 2, stdout: '' });
    expect(missing.stderr).toMatch(/can't be looked at \(ENOENT\)[\s\S]*COMFYUI_OUTPUT_DIR/);
  });
});

describe.concurrent('wait: may I stop the pod now?', () => {
  test('0 when all is stored, and the file written the instant before counts', async (context) => {
    const scene = await makeScene(context);
    scene.double.settings.latencyMs = 100;
    // Nothing but wait's own scan can find these in time.
    const agent = await scene.start({ R2_SCAN_SECONDS: '600' });
    await agent.until(({ safeToStop }) => safeToStop, 'ready');
    const port = { R2_STATUS_PORT: new URL(agent.url).port };
    for (const name of names(3, 'instant', 'sub/')) {
      await scene.draw(name);
      const { code, stdout } = await scene.command(['wait'], port);
      expect(code).toBe(0);
      expect(stdout).toMatch(/You may stop the pod/);
      expect([...scene.double.objects.values()].map(({ metadata }) => metadata.path)).toContain(name);
    }
  });

  test('its own scan sees what no hint has told of yet', async (context) => {
    const scene = await makeScene(context);
    scene.double.settings.latencyMs = 100;
    // Without inotifywait a hint takes 50 ms.
    const agent = await scene.start({ R2_SCAN_SECONDS: '600', PATH: '/nonexistent' });
    await agent.until(({ safeToStop }) => safeToStop, 'ready');
    for (const name of names(3)) {
      writeFileSync(join(scene.place.output, name), picture(name));
      const reply = await fetch(`${agent.url}/api/scan`, { method: 'POST', headers: { 'x-r2-sync': '1' } });
      const seen = (await reply.json()) as Snapshot;
      expect(seen.pending.map(({ path }) => path)).toContain(name);
    }
    await agent.until(({ safeToStop }) => safeToStop, 'stored');
    await scene.expectStored(names(3));
  });

  test('3 after --timeout, with what is on its way', async (context) => {
    const scene = await makeScene(context);
    scene.double.fault = () => 'hang';
    await scene.draw('a.png');
    const agent = await scene.start();
    const { code, stdout } = await scene.command(['wait', '--timeout', '0.3', '--json'], {
      R2_STATUS_PORT: new URL(agent.url).port,
    });
    expect(code).toBe(3);
    expect(JSON.parse(stdout)).toMatchObject({ safeToStop: false, totals: { pendingFiles: 1 } });
    expect((await scene.command(['wait', '--timeout', 'soon'])).code).toBe(2);
  });

  test('3 when what is left is parked, 4 when the store refuses us', async (context) => {
    const scene = await makeScene(context);
    const agent = await scene.start();
    const port = { R2_STATUS_PORT: new URL(agent.url).port };
    scene.double.fault = () => ({ status: 400, code: 'KeyTooLongError' });
    await scene.draw('a.png');
    const parked = await scene.command(['wait'], port);
    expect(parked.code).toBe(3);
    expect(parked.stdout).toMatch(/1 file can't be uploaded until something is fixed/);
    scene.double.fault = () => ({ status: 403, code: 'AccessDenied' });
    await scene.draw('b.png');
    const refused = await scene.command(['wait'], port);
    expect(refused.code).toBe(4);
    expect(refused.stdout).toMatch(/R2_ACCESS_KEY/);
  });

  test('without an agent it answers from the volume at once: 3, or 0 when there is nothing', async (context) => {
    const scene = await makeScene(context);
    await scene.write('empty.png', Buffer.alloc(0));
    expect((await scene.command(['wait'])).code).toBe(0);
    await scene.draw('a.png');
    expect((await scene.command(['wait'])).code).toBe(3);
    expect((await scene.command(['sync'])).code).toBe(0);
    expect((await scene.command(['wait'])).code).toBe(0);
  });
});

describe.concurrent('help and usage', () => {
  test('--help lists every setting and the exit codes', async (context) => {
    const scene = await makeScene(context);
    const { code, stdout } = await scene.command(['--help']);
    expect(code).toBe(0);
    for (const { name } of allSettings) expect(stdout).toContain(name);
    expect(stdout).toMatch(
      /Exit codes: 0 done, 1 unexpected, 2 settings or usage, 3 something is left, 4 the store refuses us/,
    );
    for (const command of ['run', 'sync', 'plan', 'status', 'leases', 'wait', 'exec', 'config'])
      expect(stdout).toContain(command);
    expect((await scene.command(['--version'])).stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
  });

  test.for([
    ['frobnicate'],
    ['plan', '--frobnicate'],
    ['leases', 'alice'],
    ['exec'],
    ['config'],
    ['config', 'set'],
    ['wait', '--timeout', '-1'],
  ])('%j is a mistake of usage: 2, and nothing happens', async (args, context) => {
    const scene = await makeScene(context);
    const { code, stdout, stderr } = await scene.command(args);
    expect(code).toBe(2);
    expect(stdout).toBe('');
    expect(stderr).not.toBe('');
  });

  test('every mistake in the settings is named at once: 2', async (context) => {
    const scene = await makeScene(context);
    const { code, stderr } = await scene.command(['sync'], {
      R2_ENDPOINT: 'nonsense',
      R2_SCAN_SECONDS: 'often',
      R2_SECRET_KEY: '',
    });
    expect(code).toBe(2);
    for (const name of ['R2_ENDPOINT', 'R2_SCAN_SECONDS', 'R2_SECRET_KEY']) expect(stderr).toContain(name);
    expect(stderr).not.toMatch(/\n\s+at /);
  });
});
