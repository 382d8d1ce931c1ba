// The commands that give files back, as real processes.
import { spawn } from 'node:child_process';
import * as fs from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { mallocSettings } from '../../src/memory.ts';
import {
  agentEnv,
  makePlace,
  type Place,
  type RunningAgent,
  removePlace,
  runCommand,
  startAgent,
  until,
} from '../support/agent.ts';
import { type StoreDouble, startStoreDouble } from '../support/store-double.ts';
import { putForeign, putStored, type StoredFile } from '../support/stored.ts';

const BUNDLE = new URL('../../dist/r2-sync.js', import.meta.url).pathname;
const mtimeNs = 1_795_176_000_123_456_000n;
let double: StoreDouble;
let place: Place;
let target: string;
const agents: RunningAgent[] = [];

beforeEach(async () => {
  double = await startStoreDouble();
  place = await makePlace();
  target = join(place.base, 'restored');
});

afterEach(async () => {
  for (const agent of agents.splice(0)) await agent.stop('SIGKILL');
  await double.close();
  await removePlace(place);
});

const env = (settings: Record<string, string> = {}) => {
  const { accessKeyId, secretAccessKey } = double.settings;
  return agentEnv(place, { endpoint: double.endpoint, bucket: 'runpod', accessKeyId, secretAccessKey }, settings);
};
const run = (...args: string[]) => runCommand(args, env());
const sent = (operation: string) => double.requests.filter((request) => request.operation === operation);

function put(path: string, content: string | Buffer, more: Partial<StoredFile> = {}): string {
  return putStored(double, { path, body: Buffer.from(content), mtimeNs, ...more });
}

/** What a token with "Object Read only" may. */
function readOnly(): void {
  double.fault = ({ method }) =>
    method === 'GET' || method === 'HEAD' ? undefined : { status: 403, code: 'AccessDenied' };
}

async function filesBelow(dir: string): Promise<string[]> {
  const entries = await fs.readdir(dir, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => !entry.isDirectory())
    .map(({ parentPath, name }) => join(parentPath, name).slice(dir.length + 1));
}

describe('r2-sync restore', () => {
  test('2,000 files, killed with kill -9 half-way and run again: every byte and every time is right, little is fetched twice', async () => {
    const files = new Map<string, StoredFile>();
    for (let n = 0; n < 2000; n += 1) {
      const size = n === 0 ? 8_000_000 : 200 + ((n * 7919) % 9000);
      const body = Buffer.alloc(size, `content of ${n} `);
      const file = { path: `user${n % 7}/ComfyUI_${n}_.png`, body, mtimeNs: mtimeNs + BigInt(n) * 1_000_003_000n };
      files.set(file.path, file);
      putStored(double, file);
    }
    // The largest comes first, and stays half until the process is killed.
    let held = false;
    let ranges = 0;
    double.fault = ({ operation, headers, key }) => {
      if (operation === 'GetObject' && headers.range !== undefined) ranges += 1;
      if (held || operation !== 'GetObject' || !key.includes('ComfyUI_0_')) return undefined;
      held = true;
      return 'hang-mid-reply';
    };
    const child = spawn(process.execPath, [BUNDLE, 'restore', target], { env: env(), stdio: 'ignore' });
    const ended = new Promise((resolve) => child.on('exit', (_, signal) => resolve(signal)));
    await until(() => sent('GetObject').length > 900, 'half of the files');
    child.kill('SIGKILL');
    expect(await ended).toBe('SIGKILL');
    const before = (await filesBelow(target)).filter((path) => !path.endsWith('.partial')).length;
    expect(before).toBeGreaterThan(500);
    expect(before).toBeLessThan(1500);

    const again = await run('restore', target, '--json');
    expect(again).toMatchObject({ code: 0 });
    const facts = JSON.parse(again.stdout);
    expect(facts).toMatchObject({ alreadyThere: before, restored: { files: 2000 - before }, failed: [], notTried: 0 });
    expect(ranges).toBeGreaterThan(0);
    // What was under way, and nothing else.
    expect(sent('GetObject').length).toBeLessThanOrEqual(2000 + 40);

    expect((await filesBelow(target)).sort()).toEqual([...files.keys()].sort());
    for (const [path, { body, mtimeNs: written }] of files) {
      expect((await fs.readFile(join(target, path))).equals(body)).toBe(true);
      const off = written - (await fs.stat(join(target, path), { bigint: true })).mtimeNs;
      expect(off >= 0n && off < 1000n).toBe(true);
    }
  }, 90_000);

  test('a read-only token is enough; folders, times and globs say what comes', async () => {
    readOnly();
    put('alice/a.png', 'a');
    put('alice/b.mp4', 'b', { mtimeNs: BigInt(Date.now()) * 1_000_000n });
    put('bob/c.png', 'c');
    put('d.png', 'd');
    expect(await run('restore', target, '--folder', 'alice', '--folder', '.', '--match', '*.png')).toMatchObject({
      code: 0,
    });
    expect((await filesBelow(target)).sort()).toEqual(['alice/a.png', 'd.png']);
    expect(await run('restore', target, '--since', '24h')).toMatchObject({ code: 0 });
    expect((await filesBelow(target)).sort()).toEqual(['alice/a.png', 'alice/b.mp4', 'd.png']);
    expect(double.requests.every(({ method, operation }) => method === 'GET' || operation === 'HeadObject')).toBe(true);
  });

  test('started with what keeps the agent small it starts again without, with the same arguments and settings', async () => {
    put('alice/a.png', 'a');
    const { code, stdout } = await runCommand(['restore', target, '--json'], env(mallocSettings));
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ restored: { files: 1 }, directory: target });
  });

  test('--dry-run says what would be done, and makes nothing', async () => {
    put('alice/a.png', 'a');
    put('bob/c.png', 'ccc');
    const { code, stdout } = await run('restore', target, '--dry-run');
    expect(code).toBe(0);
    expect(stdout).toContain('2 files (4 bytes) would be restored');
    expect(stdout).toContain('alice/a.png');
    await expect(fs.stat(target)).rejects.toThrow('ENOENT');
    expect(sent('GetObject')).toEqual([]);
  });

  test('what can’t be restored is listed with its reason, and the exit code is 3', async () => {
    put('good.png', 'good');
    put('torn.png', 'torn', { incomplete: true });
    put('taken.png', 'stored');
    double.objects.get(put('broken.png', 'stored'))!.body = Buffer.from('broken');
    putForeign(double, 'outputs/hostile\u202e', Buffer.from('x'), { path: '../../%1B[31mx' });
    await fs.mkdir(target);
    await fs.writeFile(join(target, 'taken.png'), 'another');
    const { code, stdout } = await run('restore', target);
    expect(code).toBe(3);
    expect(stdout).toMatch(/2 files .* restored/);
    expect(stdout).toMatch(/never became whole[^:]*:\n {2}torn.png/);
    expect(stdout).toContain('3 files couldn’t be restored'.replace('’', "'"));
    expect(stdout).toMatch(/taken.png: .*--overwrite/);
    expect(stdout).toMatch(/broken.png: .*other bytes/);
    expect(stdout).toContain('outputs/hostile\\u202e: its path leads out of the directory');
    expect(stdout).not.toMatch(/[\u001b\u202e]/);

    const facts = JSON.parse((await run('restore', target, '--json')).stdout);
    expect(facts).toMatchObject({ restored: { files: 0 }, alreadyThere: 2, stopped: null });
    expect(facts.failed).toHaveLength(3);
    expect(await run('restore', target, '--overwrite')).toMatchObject({ code: 3 });
    expect(await fs.readFile(join(target, 'taken.png'), 'utf8')).toBe('stored');
  });

  test.each(['HeadObject', 'ListObjectsV2'])('stopped while the store is asked (%s) it says so', async (operation) => {
    put('alice/a.png', 'a');
    for (const args of [[], ['--json']]) {
      let asked = false;
      double.fault = (request) => {
        if (request.operation !== operation) return undefined;
        asked = true;
        return 'hang';
      };
      const child = spawn(process.execPath, [BUNDLE, 'restore', target, ...args], { env: env() });
      let stdout = '';
      child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
      const ended = new Promise((resolve) => child.on('close', resolve));
      await until(() => asked, 'a question to the store');
      child.kill('SIGINT');
      expect(await ended).toBe(3);
      if (args.length === 0) expect(stdout).toContain('Stopped before all was looked at');
      else expect(JSON.parse(stdout)).toMatchObject({ interrupted: true, restored: { files: 0 } });
    }
  });

  test('a volume that hangs ends it with words', async () => {
    put('alice/a.png', 'a');
    // The process's clock runs a hundred times as fast, and one call never returns.
    const hang = `
      import fs from 'node:fs/promises';
      import { syncBuiltinESMExports } from 'node:module';
      const { now } = performance;
      performance.now = () => 100 * now.call(performance);
      fs.link = () => new Promise(() => {});
      syncBuiltinESMExports();`;
    const settings = env();
    settings.NODE_OPTIONS = `--import data:text/javascript,${encodeURIComponent(hang)}`;
    const { code, stderr } = await runCommand(['restore', target], settings);
    expect(code).toBe('SIGKILL');
    expect(stderr).toContain(`the volume of ${target} hasn't answered for 30 s`);
  });

  test('a store that refuses is exit code 4, wrong usage is 2, and no secret is told', async () => {
    double.fault = () => ({ status: 403, code: 'AccessDenied' });
    const refused = await run('restore', target);
    expect(refused).toMatchObject({ code: 4 });
    expect(refused.stderr).toContain('R2_ACCESS_KEY');
    expect(refused.stdout + refused.stderr).not.toContain(double.settings.secretAccessKey);
    await fs.writeFile(join(place.base, 'file'), '');
    for (const args of [['--since', 'yesterday'], [join(place.base, 'file')], ['--no-such-option']])
      expect(await run('restore', ...args)).toMatchObject({ code: 2 });
    expect(await runCommand(['restore'], env({ COMFYUI_OUTPUT_DIR: '/not/there' }))).toMatchObject({ code: 2 });
  });

  test('invariant 4: what comes back to the output directory of a running agent is not stored a second time', async () => {
    const { accessKeyId, secretAccessKey } = double.settings;
    const store = { endpoint: double.endpoint, bucket: 'runpod', accessKeyId, secretAccessKey };
    const agent = await startAgent(place, store, { R2_SCAN_SECONDS: '1', R2_QUIET_SECONDS: '1' });
    agents.push(agent);
    await fs.mkdir(join(place.output, 'alice'));
    for (const n of [1, 2, 3]) await fs.writeFile(join(place.output, `alice/known-${n}.txt`), `content ${n}`);
    await agent.until(({ totals }) => totals.storedFiles === 3, 'three files stored');
    // Files of a pod before: no ledger here knows them. A nanosecond later they would have another day, and another key.
    const midnight = BigInt(Date.parse('2026-11-21T00:00:00Z')) * 1_000_000n - 1n;
    for (const n of [1, 2, 3]) put(`bob/foreign-${n}.txt`, `foreign ${n}`, { mtimeNs: midnight });
    const objects = [...double.objects.keys()].sort();
    expect(objects).toHaveLength(6);
    for (const n of [1, 2, 3]) await fs.rm(join(place.output, `alice/known-${n}.txt`));
    await agent.until(({ totals }) => totals.storedFiles === 0, 'the files are gone');

    expect(await run('restore')).toMatchObject({ code: 0 });
    await agent.until(
      ({ totals, safeToStop }) => totals.storedFiles === 6 && totals.pendingFiles === 0 && safeToStop,
      'all six are known again',
    );
    expect([...double.objects.keys()].sort()).toEqual(objects);
    expect(await agent.stop()).toBe(0);
  }, 60_000);
});

describe('r2-sync ls', () => {
  test('folders, then files, by LIST alone; a read-only token and no output directory are enough', async () => {
    readOnly();
    put('alice/a.png', 'a');
    put('alice/sub/b.png', 'bb');
    put('z.png', 'ccc');
    const settings = env({ COMFYUI_OUTPUT_DIR: '/not/there' });
    const { code, stdout } = await runCommand(['ls'], settings);
    expect(code).toBe(0);
    expect(
      stdout
        .trim()
        .split('\n')
        .map((line) => line.split(/\s+/)[0]),
    ).toEqual(['name', 'alice/', 'z.png', '3']);
    const facts = JSON.parse((await runCommand(['ls', '--json', 'alice'], settings)).stdout);
    expect(facts).toMatchObject({
      folders: [{ name: 'sub/', files: 1, bytes: 2 }],
      files: [{ name: 'a.png', bytes: 1, key: [...double.objects.keys()][0] }],
    });
    for (const args of [['alice/'], ['--folder', 'alice']])
      expect(JSON.parse((await runCommand(['ls', '--json', ...args], settings)).stdout).files).toEqual(facts.files);
    for (const path of ['alice/a.png', 'z.png'])
      expect(JSON.parse((await runCommand(['ls', '--json', path], settings)).stdout).files).toHaveLength(1);
    const keys = JSON.parse((await runCommand(['ls', '--json', 'outputs/alice/'], settings)).stdout);
    expect(keys.folders.map(({ name }: { name: string }) => name)).toEqual(['2026-11-20/', 'sub/']);
    expect((await runCommand(['ls', '--long'], settings)).stdout).toMatch(/outputs\/2026-11-20\/z-[0-9a-f]{16}.png/);
    expect((await runCommand(['ls', 'nobody'], settings)).stdout).toContain('Nothing is in');
    expect(double.requests.every(({ operation }) => operation === 'ListObjectsV2')).toBe(true);
  });

  test('names from a bucket can’t act on a terminal', async () => {
    putForeign(double, 'outputs/\u202e\u009b31m.png', Buffer.from('x'));
    const { stdout } = await run('ls');
    expect(stdout).not.toMatch(/[\u009b\u202e]/);
    expect(stdout).toContain('\\u202e\\u009b31m.png');
  });
});

describe('r2-sync link', () => {
  test('prints a URL that fetches the bytes with nothing else, for a key, a path, and a path of another machine', async () => {
    readOnly();
    const old = put('alice/a b.png', 'old', { mtimeNs: 0n });
    double.objects.get(old)!.storedAt -= 60_000;
    const key = put('alice/a b.png', 'the picture');
    for (const name of [key, 'alice/a b.png', './alice/a b.png', join(place.output, 'alice/a b.png')]) {
      const { code, stdout, stderr } = await run('link', name);
      expect(code).toBe(0);
      expect(stdout.trim().split('\n')).toHaveLength(1);
      const reply = await fetch(stdout.trim());
      expect(reply.status).toBe(200);
      expect(await reply.text()).toBe('the picture');
      expect(new URL(stdout.trim()).searchParams.get('X-Amz-Expires')).toBe('86400');
      expect(stderr).toContain('UTC (24 h)');
      expect(stdout + stderr).not.toContain(double.settings.secretAccessKey);
    }
    const elsewhere = await runCommand(['link', 'alice/a b.png', '--json'], env({ COMFYUI_OUTPUT_DIR: '/not/there' }));
    expect(JSON.parse(elsewhere.stdout)).toMatchObject({ key, bytes: 11, url: expect.stringMatching(/^http/) });
  });

  test('the ledger knows the object of a file whose key doesn’t tell its name', async () => {
    await fs.writeFile(join(place.output, 'a.txt'), 'content');
    await fs.utimes(join(place.output, 'a.txt'), 1000, 1000);
    const settings = env({ R2_KEY_TEMPLATE: 'all/{hash}{ext}', R2_QUIET_SECONDS: '1' });
    expect(await runCommand(['sync'], settings)).toMatchObject({ code: 0 });
    const { stdout } = await runCommand(['link', 'a.txt'], settings);
    expect(stdout).toContain('/all/');
    expect(await (await fetch(stdout.trim())).text()).toBe('content');
    double.objects.clear();
    const gone = await runCommand(['link', 'a.txt'], settings);
    expect(gone).toMatchObject({ code: 3, stdout: '' });
    expect(gone.stderr).toContain("doesn't have it any more");
  }, 60_000);

  test('what isn’t there is told, and bad times are wrong usage', async () => {
    put('alice/a.png', 'x');
    const { code, stdout, stderr } = await run('link', 'alice/b.png');
    expect({ code, stdout }).toEqual({ code: 3, stdout: '' });
    expect(stderr).toContain('alice/b.png');
    for (const expires of ['8d', '0h', 'tomorrow', '-1h', ''])
      expect(await run('link', 'alice/a.png', '--expires', expires)).toMatchObject({ code: 2, stdout: '' });
    expect(await run('link', '/etc/passwd')).toMatchObject({ code: 2 });
    for (const [expires, seconds] of [
      ['7d', '604800'],
      ['30min', '1800'],
    ] as const)
      expect((await run('link', 'alice/a.png', '--expires', expires)).stdout).toContain(`X-Amz-Expires=${seconds}&`);
  });
});
