// A hung volume must not hang the agent: whatever it asks of the volume in its main thread passes a gate.
import { execFileSync, spawn } from 'node:child_process';
import { closeSync, constants, openSync } from 'node:fs';
import * as fs from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest';
import { systemClock } from '../../src/clock.ts';
import { makeDirectory } from '../../src/ledger/io.ts';
import { Ledger } from '../../src/ledger/ledger.ts';
import { createLog } from '../../src/log.ts';
import { hashBuffer, hashFile } from '../../src/object/hash.ts';
import { openOutput } from '../../src/settle/open-file.ts';
import { VolumeGate } from '../../src/volume/gate.ts';
import { until } from '../support/agent.ts';
import { createFakeClock } from '../support/fake-clock.ts';

let dir: string;
let file: string;
beforeEach(async () => {
  dir = await fs.realpath(await fs.mkdtemp(join(tmpdir(), 'r2-sync-gate-')));
  file = join(dir, 'file');
  await fs.writeFile(file, 'content');
});
afterEach(() => fs.rm(dir, { recursive: true }));

/** From now on no `sync` of a handle returns before the test says so: each that has begun is here, to be ended. */
function hangSync(handle: fs.FileHandle): (() => void)[] {
  const hung: (() => void)[] = [];
  const spy = vi
    .spyOn(Object.getPrototypeOf(handle) as fs.FileHandle, 'sync')
    .mockImplementation(() => new Promise((resolve) => void hung.push(resolve)));
  onTestFinished(() => spy.mockRestore());
  return hung;
}

async function openGated() {
  const clock = createFakeClock();
  const gate = new VolumeGate(clock);
  const handle = await gate.fs.open(file, 'r+');
  onTestFinished(() => void handle.close());
  return { gate, clock, handle, hung: hangSync(handle) };
}

describe('at most 8 calls are under way', () => {
  test('who shares the gate, such as pictures on the status page, leaves most of it to the others', async () => {
    const { gate, hung } = await openGated();
    const handle = await gate.share(2).open(file, 'r+');
    const calls = Array.from({ length: 10 }, () => handle.sync());
    await until(() => hung.length === 2, 'two of them to begin');
    expect((await gate.fs.lstat(file)).size).toBe(7);
    expect(hung).toHaveLength(2);
    for (let nth = 0; nth < calls.length; nth += 1) {
      await until(() => hung[nth] !== undefined, 'the next to begin');
      hung[nth]!();
    }
    await Promise.all(calls);
    await handle.close();
  });

  test('a ninth waits, however long, and goes when one of them returns', async () => {
    const { gate, handle, hung } = await openGated();
    const calls = Array.from({ length: 8 }, () => handle.sync());
    let returned = false;
    const ninth = gate.fs.lstat(file).then((stats) => {
      returned = true;
      return stats;
    });
    // Time enough for it, if it could go.
    for (let nth = 0; nth < 20; nth += 1) await fs.lstat(file);
    expect({ hung: hung.length, returned }).toEqual({ hung: 8, returned: false });
    hung[3]!();
    expect((await ninth).size).toBe(7);
    for (const resolve of hung) resolve();
    await Promise.all(calls);
  });

  test('of 100, and each has its turn', async () => {
    const { handle, hung } = await openGated();
    const calls = Array.from({ length: 100 }, () => handle.sync());
    for (let returned = 0; returned < 100; returned += 1) {
      while (hung.length < Math.min(8, 100 - returned)) await turn();
      await turn();
      expect(hung.length).toBe(Math.min(8, 100 - returned));
      hung.splice(returned % hung.length, 1)[0]!();
    }
    await Promise.all(calls);
  });
});

test('how long the oldest call has been waiting for the volume is known; one that waits for its turn doesn’t count', async () => {
  const { gate, clock, handle, hung } = await openGated();
  expect(gate.overdueMs()).toBe(0);
  const calls = [handle.sync()];
  await clock.advance(1000);
  for (let nth = 0; nth < 8; nth += 1) calls.push(handle.sync());
  await clock.advance(500);
  expect({ overdue: gate.overdueMs(), underWay: hung.length }).toEqual({ overdue: 1500, underWay: 8 });
  hung[0]!();
  await until(() => hung.length === 9, 'the ninth call');
  expect(gate.overdueMs()).toBe(500);
  for (const resolve of hung.slice(0, 8)) resolve();
  await Promise.all(calls.slice(0, 8));
  expect(gate.overdueMs()).toBe(0);
  await clock.advance(20);
  expect(gate.overdueMs()).toBe(20);
  hung[8]!();
  await Promise.all(calls);
  expect(gate.overdueMs()).toBe(0);
});

test('one file that does not answer is no volume that hangs: for that nothing may come back', async () => {
  const { gate, clock, handle, hung } = await openGated();
  const stuck = handle.sync();
  await clock.advance(5000);
  expect({ overdue: gate.overdueMs(), silent: gate.silentMs() }).toEqual({ overdue: 5000, silent: 5000 });
  await gate.fs.lstat(file);
  expect({ overdue: gate.overdueMs(), silent: gate.silentMs() }).toEqual({ overdue: 5000, silent: 0 });
  await clock.advance(700);
  expect(gate.silentMs()).toBe(700);
  hung[0]!();
  await stuck;
  await clock.advance(700);
  expect(gate.silentMs()).toBe(0);
});

test('errors are those of node:fs/promises, and block nobody', async () => {
  const { fs: gated } = new VolumeGate(systemClock);
  const none = join(dir, 'none');
  const refused = { code: 'ENOENT', syscall: 'open', path: none };
  await Promise.all(Array.from({ length: 20 }, () => expect(gated.open(none)).rejects.toMatchObject(refused)));
  const handle = await gated.open(file);
  await expect(handle.write('x')).rejects.toMatchObject({ code: 'EBADF', syscall: 'write' });
  await handle.close();
  await expect(handle.stat()).rejects.toMatchObject({ code: 'EBADF' });
  // A mistake of ours is told, too, and not thrown at once.
  await expect(gated.stat(7 as never)).rejects.toMatchObject({ code: 'ERR_INVALID_ARG_TYPE' });
  expect(await gated.readFile(file, 'utf8')).toBe('content');
});

test('what is made of several calls passes it too, twenty at a time: none waits for itself', async () => {
  const { fs: gated } = new VolumeGate(systemClock);
  const log = createLog({ level: 'silent', secrets: [] });
  const work = async (nth: number) => {
    const path = `picture${nth}`;
    const content = Buffer.from(`content ${nth}`);
    const size = content.length;
    await gated.writeFile(join(dir, path), content);
    const handle = await openOutput(gated, dir, path);
    if (typeof handle === 'string') throw new Error(handle);
    const sha256 = await hashFile(handle, size).finally(() => handle.close());
    expect(sha256).toBe(hashBuffer(content));
    const targetDir = join(dir, '.r2-sync', `target${nth}`);
    await makeDirectory(gated, targetDir);
    const ledger = await Ledger.open({ targetDir, log, clock: systemClock, io: gated });
    await ledger.record({ path, size, mtimeNs: 1n, sha256, key: path, storedAt: 1, incomplete: false });
    await ledger.close();
    const again = await Ledger.open({ targetDir, log, clock: systemClock, io: gated, readOnly: true });
    expect([ledger.trouble, again.trouble, again.index.size]).toEqual([undefined, undefined, 1]);
  };
  await Promise.all(Array.from({ length: 20 }, (_, nth) => work(nth)));
});

// Opening a FIFO that nobody writes to blocks a thread as a call on a hung volume does.
describe.each([9, 16])('a volume that hangs, for a process with %i threads', (threads) => {
  async function startChild(way: 'gate' | 'plain') {
    const fifos = Array.from({ length: 20 }, (_, nth) => join(dir, `fifo${nth}`));
    execFileSync('mkfifo', fifos);
    const child = spawn(process.execPath, [new URL('./hung-child.ts', import.meta.url).pathname, way, dir], {
      env: { ...process.env, UV_THREADPOOL_SIZE: String(threads) },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    onTestFinished(() => void child.kill('SIGKILL'));
    const ended = new Promise((resolve) => child.once('close', resolve));
    let output = '';
    child.stdout.setEncoding('utf8').on('data', (text) => {
      output += text;
    });
    const answers = () => output.split('\n').filter(Boolean);
    return {
      answers,
      has: (answer: string) => until(() => answers().includes(answer), `"${answer}" of the child`),
      /** The volume is back: opened for writing too, a FIFO blocks nobody. Resolves with the child's exit code. */
      recover: async () => {
        const open = fifos.map((fifo) => openSync(fifo, constants.O_RDWR | constants.O_NONBLOCK));
        const code = await ended;
        for (const descriptor of open) closeSync(descriptor);
        return code;
      },
    };
  }

  test('stops neither look-ups nor files elsewhere, and what waits goes on afterwards', async () => {
    const child = await startChild('gate');
    await child.has('look-up');
    await child.has('file');
    expect(child.answers()).not.toContain('open');
    expect(await child.recover()).toBe(0);
    expect(child.answers().filter((answer) => answer === 'open')).toHaveLength(20);
  });

  test('would stop both without the gate: they have to wait until threads come back', async () => {
    const child = await startChild('plain');
    await child.has('begun');
    expect(await child.recover()).toBe(0);
    // Threads take calls in turn, so 20 opens must have begun, and all but a thread's number of them ended, before.
    const before = Array.from({ length: 20 - threads + 1 }, () => 'open');
    expect(child.answers().slice(0, before.length + 1)).toEqual(['begun', ...before]);
    expect(child.answers()).toEqual(expect.arrayContaining(['look-up', 'file']));
  });
});
