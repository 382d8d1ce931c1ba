// What the MooseFS of these tests does, because the lease is built on it; and that the tests can really take it away.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, watch } from 'node:fs';
import { link, mkdir, open, readdir, readFile, rename, rm, stat, unlink, writeFile } from 'node:fs/promises';
import { constants } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { fileIo } from '../../src/ledger/io.ts';
import { AlertBoard } from '../../src/notify/board.ts';
import { makeCause } from '../../src/notify/condition.ts';
import { bundleFile, makeScene } from '../agent/scene.ts';
import { until } from '../support/agent.ts';
import { mooseFsMissing, mooseFsVolume } from '../support/moosefs.ts';
import type { SharedVolume } from '../support/shared-volume.ts';

const missing = mooseFsMissing();
if (missing) {
  const why = `NOT RUN: MooseFS (${missing})`;
  if (process.env.R2_REQUIRE_SYSTEM === '1') throw new Error(why);
  console.warn(why);
}

/** 'ok', or the error's name. Node knows no EDQUOT: its code is "Unknown system error -122". */
const outcome = (action: Promise<unknown>) =>
  action.then(
    () => 'ok',
    ({ code, errno }: NodeJS.ErrnoException) => (errno === -constants.errno.EDQUOT ? 'EDQUOT' : code),
  );

/** Asks for a file's size and times in another process, until one that asks waits for the file system: caches are over. */
async function askInVain(path: string) {
  for (;;) {
    const child = spawn('stat', ['-L', path], { stdio: 'ignore' });
    const ended = once(child, 'exit');
    let waits = false;
    await until(async () => {
      waits = /fuse|request_wait_answer/.test(await readFile(`/proc/${child.pid}/stack`, 'utf8').catch(() => ''));
      return waits || child.exitCode !== null;
    }, 'stat to wait for the file system');
    if (waits) return { child, ended };
  }
}

describe.skipIf(missing)('MooseFS, two pods', () => {
  let volume: SharedVolume;
  let number = 0;
  /** A fresh directory of each test, as pod 0 and as pod 1 see it. */
  let here: string;
  let there: string;

  beforeAll(async () => {
    volume = await mooseFsVolume(2);
  });
  afterAll(() => volume?.close());
  beforeEach(async () => {
    number += 1;
    [here, there] = [join(volume.mount(0), `${number}`), join(volume.mount(1), `${number}`)];
    await mkdir(here);
  });

  test('what one pod writes, appends, overwrites in place and removes, the other reads', async () => {
    await writeFile(join(here, 'a'), 'first');
    expect(await readFile(join(there, 'a'), 'utf8')).toBe('first');
    await writeFile(join(there, 'a'), ' and more', { flag: 'a' });
    expect(await readFile(join(here, 'a'), 'utf8')).toBe('first and more');
    for (let round = 0; round < 50; round += 1) {
      const text = `${round}`.padStart(256, '.');
      await writeFile(join(here, 'beat'), text, { flag: round === 0 ? 'w' : 'r+' });
      expect(await readFile(join(there, 'beat'), 'utf8')).toBe(text);
    }
    await unlink(join(there, 'a'));
    expect(await readdir(here)).toEqual(['beat']);
  });

  test('link(2) raced from two pods has one winner, who sees it by the link count', async () => {
    for (let round = 0; round < 100; round += 1) {
      const pods = [here, there].map((directory, pod) => ({
        temp: join(directory, `temp.${round}.${pod}`),
        claim: join(directory, `lease.${round}.json`),
      }));
      for (const { temp } of pods) await writeFile(temp, temp);
      const results = await Promise.all(pods.map(({ temp, claim }) => outcome(link(temp, claim))));
      expect(results.toSorted()).toEqual(['EEXIST', 'ok']);
      const counts = await Promise.all(pods.map(async ({ temp }) => (await stat(temp)).nlink));
      expect(counts).toEqual(results.map((result) => (result === 'ok' ? 2 : 1)));
      const winner = pods[results.indexOf('ok')]!.temp;
      for (const { claim } of pods) expect(await readFile(claim, 'utf8')).toBe(winner);
    }
  });

  test('O_EXCL raced from two pods has one winner', async () => {
    for (let round = 0; round < 100; round += 1) {
      const claim = (directory: string) => outcome(writeFile(join(directory, `${round}`), '', { flag: 'wx' }));
      expect((await Promise.all([claim(here), claim(there)])).toSorted()).toEqual(['EEXIST', 'ok']);
    }
  });

  test("inotify hears nothing of another pod's writes: only a scan finds them", async () => {
    await writeFile(join(here, 'old'), '');
    const heard = new Set<string | null>();
    const watcher = watch(here, (_, name) => heard.add(name));
    onTestFinished(() => watcher.close());
    await writeFile(join(there, 'old'), 'more', { flag: 'a' });
    await writeFile(join(there, 'theirs'), 'new');
    await rename(join(there, 'theirs'), join(there, 'theirs.png'));
    expect(await readdir(here)).toContain('theirs.png');
    // Events come in order: whatever the writes above had raised would be heard before this one.
    await writeFile(join(here, 'ours'), 'new');
    await until(() => heard.has('ours'), 'the event of our own write');
    expect([...heard]).toEqual(['ours']);
  });

  test('unmounted, a pod sees an empty directory, the other pod everything; mounted again it is all there', async () => {
    await writeFile(join(here, 'a'), 'content');
    const file = await open(join(here, 'a'));
    onTestFinished(() => file.close());
    await volume.faults!.unmount(0);
    onTestFinished(() => volume.faults!.remount(0));
    expect(await readdir(volume.mount(0))).toEqual([]);
    expect(await readFile(join(there, 'a'), 'utf8')).toBe('content');
    await writeFile(join(there, 'b'), 'meanwhile');
    expect(await file.readFile('utf8')).toBe('content');
    // What is written at the place where the volume was isn't on the volume.
    await writeFile(join(volume.mount(0), 'stray'), '');
    await volume.faults!.remount(0);
    expect((await readdir(here)).toSorted()).toEqual(['a', 'b']);
    expect(existsSync(join(volume.mount(0), 'stray'))).toBe(false);
    expect(await readFile(join(here, 'b'), 'utf8')).toBe('meanwhile');
  });

  test('read-only for one pod refuses every change with EROFS, open files or not; the other pod goes on', async () => {
    await writeFile(join(here, 'a'), 'content');
    const file = await open(join(here, 'a'), 'a');
    onTestFinished(() => file.close());
    await volume.faults!.setReadOnly(0, true);
    onTestFinished(() => volume.faults!.setReadOnly(0, false));
    expect(await readFile(join(here, 'a'), 'utf8')).toBe('content');
    const changes = [
      () => file.write('x').then(() => file.sync()),
      () => writeFile(join(here, 'a'), 'x', { flag: 'r+' }),
      () => writeFile(join(here, 'new'), ''),
      () => link(join(here, 'a'), join(here, 'link')),
      () => rename(join(here, 'a'), join(here, 'b')),
      () => unlink(join(here, 'a')),
      () => mkdir(join(here, 'directory')),
    ];
    for (const change of changes) expect(await outcome(change())).toBe('EROFS');
    await writeFile(join(there, 'theirs'), 'x');
    await volume.faults!.setReadOnly(0, false);
    await writeFile(join(here, 'ours'), 'x');
    expect((await readdir(there)).toSorted()).toEqual(['a', 'ours', 'theirs']);
  });

  test.each(['with room', 'full'])(
    'one outage is one message (%s): one pod may tell, the other sees that it lives and has told',
    async (room) => {
      await mkdir(join(here, '.r2-sync'));
      const boards = [here, there].map((root, pod) =>
        AlertBoard.shared(fileIo, join(root, '.r2-sync/target'), `pod${pod}`),
      );
      const [one, other] = boards as [AlertBoard, AlertBoard];
      const cause = makeCause('trouble', 'degraded', 'full', 'The volume is full.');
      const look = async () => (await other.read(() => false)).get(cause.id);
      await one.see(cause.id);
      const empty = room === 'full' ? await volume.faults!.fill() : undefined;
      try {
        for (const n of [1, 2, 3]) {
          const claims = boards.map((board) => board.claim({ id: cause.id, purpose: 'tell', n }));
          expect((await Promise.all(claims)).toSorted()).toEqual([false, true]);
        }
        const before = (await look())!;
        await one.see(cause.id);
        await one.mark(cause).catch(() => {});
        // Attributes and names may be a second old.
        await until(
          async () => (await look())!.others[0]!.beat !== before.others[0]!.beat,
          'a sign of life of the other pod',
        );
        await until(async () => (await look())!.told !== undefined, 'the note');
        await other.clear(cause.id);
        await until(async () => (await one.read(() => false)).size === 0, 'the end of it');
      } finally {
        await empty?.();
      }
    },
  );

  test('full: no byte can be written, not even in place; names can be made, linked and removed', async () => {
    await writeFile(join(here, 'beat'), 'o'.repeat(256));
    await writeFile(join(here, 'log'), 'line\n');
    const empty = await volume.faults!.fill();
    onTestFinished(empty);
    for (const [name, flag] of [
      ['beat', 'r+'],
      ['log', 'a'],
      ['new', 'w'],
    ] as const) {
      const file = await open(join(here, name), flag);
      const outcomes = [await outcome(file.write('n'.repeat(256), 0)), await outcome(file.sync())];
      expect([name, ...outcomes, await outcome(file.close())]).toEqual([name, 'ok', 'EDQUOT', 'EDQUOT']);
    }
    expect(await readFile(join(there, 'beat'), 'utf8')).toBe('o'.repeat(256));
    expect((await stat(join(there, 'new'))).size).toBe(0);
    await writeFile(join(there, 'empty'), '', { flag: 'wx' });
    await link(join(here, 'beat'), join(here, 'link'));
    await rename(join(here, 'log'), join(here, 'renamed'));
    await rm(join(here, 'new'));
    await mkdir(join(here, 'directory'));
    await empty();
    await writeFile(join(here, 'beat'), 'n'.repeat(256), { flag: 'r+' });
    expect(await readFile(join(there, 'beat'), 'utf8')).toBe('n'.repeat(256));
  });

  test('hanging: a call on any mount waits, and returns when the volume is back', async () => {
    await writeFile(join(here, 'a'), 'content');
    const comeBack = await volume.faults!.hang();
    onTestFinished(comeBack);
    const calls = await Promise.all([here, there].map((directory) => askInVain(join(directory, 'a'))));
    expect(calls.map(({ child }) => child.exitCode)).toEqual([null, null]);
    await comeBack();
    expect(await Promise.all(calls.map(({ ended }) => ended))).toEqual([
      [0, null],
      [0, null],
    ]);
  });

  test('hanging: an agent whose output lies elsewhere goes on, though another program has a file open here', async (context) => {
    const scene = await makeScene(context);
    const agent = await scene.start();
    const log = await open(join(here, 'log'), 'a');
    context.onTestFinished(() => log.close());
    const comeBack = await volume.faults!.hang();
    context.onTestFinished(comeBack);
    await askInVain(`/proc/${process.pid}/fd/${log.fd}`);
    await scene.draw('alice/a.png');
    await agent.until(({ totals }) => totals.storedFiles === 1, 'the picture in the bucket');
    await comeBack();
  });

  test('r2-sync doctor knows it for a network volume, and is not held up when it hangs', async () => {
    const command = (): Promise<{ code: number | string; checks: Record<string, { mark: string; result: string }> }> =>
      new Promise((resolve) => {
        const env = {
          PATH: process.env.PATH,
          COMFYUI_OUTPUT_DIR: here,
          R2_RUN_DIR: '/nonexistent',
          R2_STATUS_PORT: '0',
        };
        const child = spawn(process.execPath, [bundleFile, 'doctor', '--json'], { env });
        let output = '';
        child.stdout.on('data', (chunk: Buffer) => (output += chunk));
        child.on('close', (code, signal) => {
          const { checks } = JSON.parse(output) as { checks: { check: string; mark: string; result: string }[] };
          resolve({ code: code ?? signal ?? -1, checks: Object.fromEntries(checks.map((one) => [one.check, one])) });
        });
      });
    const well = await command();
    // There is no bucket here.
    expect(well.code).toBe(2);
    expect(well.checks['file-system']).toMatchObject({
      mark: 'good',
      result: expect.stringContaining('network volume'),
    });
    expect(well.checks.state).toMatchObject({ mark: 'good', result: expect.stringContaining('linked') });
    expect(await readdir(there)).toEqual([]);
    const comeBack = await volume.faults!.hang();
    onTestFinished(comeBack);
    const hung = await command();
    expect(hung.code).toBe(2);
    expect(hung.checks.output).toMatchObject({ mark: 'bad', result: 'no answer within 10 s' });
    expect(hung.checks.state!.mark).toBe('skipped');
    expect(hung.checks['watch-limits']!.mark).toBe('good');
  });

  test.for([['leases'], ['verify'], ['manifest', '--from', 'volume']])(
    'r2-sync %s gives the prompt back when it hangs',
    async (args) => {
      const command = async () => {
        const env = {
          PATH: process.env.PATH,
          COMFYUI_OUTPUT_DIR: here,
          R2_RUN_DIR: '/nonexistent',
          R2_STATUS_PORT: '0',
          R2_ENDPOINT: 'http://127.0.0.1:9',
          R2_BUCKET: 'runpod',
          R2_ACCESS_KEY: 'a',
          R2_SECRET_KEY: 'b',
        };
        const child = spawn(process.execPath, [bundleFile, ...args], { env });
        let said = '';
        for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (said += chunk));
        const [code] = await once(child, 'close');
        return { code, said };
      };
      expect((await command()).said).not.toContain('answer');
      const comeBack = await volume.faults!.hang();
      onTestFinished(comeBack);
      const { code, said } = await command();
      expect(said).toMatch(/the volume of .* (doesn't answer|hasn't answered)/);
      expect(code).toBe(args[0] === 'leases' ? 1 : 3);
    },
  );

  test('a test that is killed leaves nothing mounted, running or on the disk, even if it hung', async () => {
    const program = `
      const { mooseFsVolume } = await import(process.argv[1]);
      const volume = await mooseFsVolume(1);
      await volume.faults.hang();
      console.log(volume.mount(0));`;
    const module = new URL('../support/moosefs.ts', import.meta.url).href;
    const child = spawn(process.execPath, ['--input-type=module', '-e', program, module]);
    let output = '';
    child.stdout.on('data', (chunk: Buffer) => (output += chunk));
    await until(() => output.endsWith('\n') || child.exitCode !== null, 'its volume');
    const base = dirname(dirname(output.trim()));
    expect(await readFile('/proc/self/mounts', 'utf8')).toContain(base);
    child.kill('SIGKILL');
    await until(async () => !(await readFile('/proc/self/mounts', 'utf8')).includes(base), 'its mounts to go');
    await until(() => !existsSync(base), 'its directory to go');
    const running = async () => {
      const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
      const lines = await Promise.all(pids.map((pid) => readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')));
      return lines.filter((line) => line.includes(base));
    };
    await until(async () => (await running()).length === 0, 'its processes to end');
  });
});
