import * as fs from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Clock } from '../../src/clock.ts';
import type { Ledger } from '../../src/ledger/ledger.ts';
import { eventually } from '../support/eventually.ts';
import { createFakeClock } from '../support/fake-clock.ts';
import {
  collectLog,
  type Effect,
  makeFact,
  makeTarget,
  openLedger,
  readBack,
  systemError,
  TestDisk,
} from './support.ts';

function failing(code: string, ...ops: Effect['op'][]) {
  return ({ op }: Effect) => {
    if (ops.includes(op)) throw systemError(code);
  };
}

const OVERDUE_MS = 10_000;

/** A fake clock that tells the retries' sleeps from the watch over overdue calls, which never fires. */
function createRetryClock() {
  const clock = createFakeClock(Date.now());
  const sleeps: number[] = [];
  let ended = 0;
  const patient: Clock = {
    ...clock,
    sleep: (ms, signal) => {
      if (ms === OVERDUE_MS) return new Promise((resolve) => signal?.addEventListener('abort', () => resolve()));
      sleeps.push(ms);
      return clock.sleep(ms, signal);
    },
  };
  return {
    clock: patient,
    sleeps,
    /** Waits until the next retry sleeps, and lets it go on. */
    async wakeRetry(): Promise<void> {
      await eventually(() => expect(sleeps.length).toBeGreaterThan(ended));
      await clock.advance(sleeps[ended++]!);
    },
    /** Lets retries go on until the ledger is well again. */
    async recover(ledger: Ledger): Promise<void> {
      await eventually(async () => {
        if (sleeps.length > ended) await clock.advance(sleeps[ended++]!);
        expect(ledger.trouble).toBeUndefined();
      });
    },
  };
}

async function openOnTestDisk() {
  const { root, targetDir } = await makeTarget();
  const disk = new TestDisk();
  const { clock, sleeps, wakeRetry, recover } = createRetryClock();
  const { log, lines } = collectLog();
  const ledger = await openLedger(targetDir, { io: disk.io, clock, log });
  return { root, targetDir, disk, sleeps, wakeRetry, recover, lines, ledger };
}

describe('invariant 10: while the volume refuses, uploads go on and everybody can see why', () => {
  it.each([
    ['ENOSPC', ['write', 'create'], 'the volume is full'],
    ['EDQUOT', ['write'], 'the quota of the volume is used up'],
    ['EROFS', ['write', 'create', 'mkdir', 'unlink'], 'the volume is read-only'],
    ['EIO', ['datasync'], 'the volume reports an error'],
    ['EIO', ['stat'], 'the volume reports an error'],
    ['EACCES', ['mkdir', 'create'], 'access is denied'],
    ['EWHATEVER', ['write'], 'EWHATEVER: injected'],
  ] as const)('%s on %s: facts wait in memory and are written later', async (code, ops, reason) => {
    const { targetDir, disk, wakeRetry, recover, lines, ledger } = await openOnTestDisk();
    await ledger.record(makeFact('alice/before.png'));
    disk.before = failing(code, ...ops);
    for (const path of ['bob/a.png', 'bob/b.png', 'alice/a.png']) await ledger.record(makeFact(path));
    expect(ledger.trouble).toContain(reason);
    expect(ledger.trouble).toContain(join(targetDir, 'bob'));
    expect(ledger.index.size).toBe(4);
    expect(lines.filter((line) => line.includes(reason)).length).toBe(1);

    for (let tries = 0; tries < 5; tries++) await wakeRetry();
    expect(ledger.trouble).toContain(reason);
    disk.before = () => {};
    await recover(ledger);
    // The tries left no files behind: on a full volume they would pile up.
    expect((await fs.readdir(join(targetDir, 'alice'))).length).toBeLessThanOrEqual(2);
    expect((await fs.readdir(join(targetDir, 'bob'))).length).toBe(1);
    expect((await readBack(targetDir)).size).toBe(4);
    expect(lines.at(-1)).toContain('again');
    await ledger.close();
  });

  it("one folder that can't be written keeps no other from it", async () => {
    const { targetDir, disk, ledger } = await openOnTestDisk();
    disk.before = ({ op, path }) => {
      if (op === 'mkdir' && path.endsWith('bob')) throw systemError('EACCES');
    };
    await Promise.all(['bob/a.png', 'alice/a.png'].map((path) => ledger.record(makeFact(path))));
    await ledger.record(makeFact('alice/b.png'));
    expect(ledger.trouble).toContain('bob');
    expect([...(await readBack(targetDir)).keys()]).toEqual(['alice/a.png', 'alice/b.png']);
    disk.before = () => {};
    await ledger.close();
    expect((await readBack(targetDir)).size).toBe(3);
  });

  it('retries back off from 1 second to 60', async () => {
    const { disk, sleeps, wakeRetry, ledger } = await openOnTestDisk();
    disk.before = failing('ENOSPC', 'create');
    await ledger.record(makeFact('alice/a.png'));
    for (let tries = 1; tries <= 8; tries++) await wakeRetry();
    expect(sleeps.slice(0, 8)).toEqual([1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000]);
    await ledger.close();
  });

  it.each([
    ['a file in its place', 'ENOTDIR', 'a file is where the directory should be'],
    ['access denied', 'EACCES', 'access is denied'],
    ['a volume in trouble', 'EIO', 'the volume reports an error'],
  ])('a state directory that is unusable at the start (%s): opens anyway, and loads later', async (_, code, reason) => {
    const { targetDir } = await makeTarget();
    const earlier = await openLedger(targetDir);
    await earlier.record(makeFact('alice/a.png', 'old'));
    await earlier.record(makeFact('alice/b.png', 'old'));
    await earlier.close();

    const disk = new TestDisk();
    const { clock, recover } = createRetryClock();
    disk.before = failing(code, 'readdir', 'mkdir', 'create');
    const ledger = await openLedger(targetDir, { io: disk.io, clock });
    expect(ledger.index.size).toBe(0);
    expect(ledger.trouble).toContain(reason);
    await ledger.record(makeFact('alice/a.png', 'new'));
    disk.before = () => {};
    await recover(ledger);
    // What was recorded meanwhile is newer than what was found.
    expect(ledger.index.get('alice/a.png')?.sha256).toBe(makeFact('', 'new').sha256);
    expect(ledger.index.get('alice/b.png')?.sha256).toBe(makeFact('', 'old').sha256);
    await ledger.close();
    expect((await readBack(targetDir)).get('alice/a.png')).toBe(makeFact('', 'new').sha256);
  });

  it('a real file where the state directory should be', async () => {
    const { root, targetDir } = await makeTarget();
    await fs.writeFile(join(root, '.r2-sync'), 'what?');
    const ledger = await openLedger(targetDir);
    expect(ledger.trouble).toContain('a file is where the directory should be');
    await ledger.record(makeFact('alice/a.png'));
    await ledger.close();
    expect(await fs.readFile(join(root, '.r2-sync'), 'utf8')).toBe('what?');
  });

  it("a state directory that can't be written is known at the start", async () => {
    const { targetDir } = await makeTarget();
    const disk = new TestDisk();
    disk.before = failing('EROFS', 'access');
    const ledger = await openLedger(targetDir, { io: disk.io });
    expect(ledger.trouble).toContain('the volume is read-only');
    await ledger.close();
  });

  it("a root that is gone isn't made again: the volume may just not be mounted", async () => {
    const { root, targetDir, ledger } = await openOnTestDisk();
    await fs.rm(root, { recursive: true });
    await ledger.record(makeFact('alice/a.png'));
    expect(ledger.trouble).toContain('mounted');
    await expect(fs.stat(root)).rejects.toThrow('ENOENT');
    await fs.mkdir(root);
    await ledger.close();
    expect((await readBack(targetDir)).size).toBe(1);
  });

  it('a volume that hangs keeps nobody waiting for ever', async () => {
    const { targetDir } = await makeTarget();
    const disk = new TestDisk();
    const clock = createFakeClock();
    const ledger = await openLedger(targetDir, { io: disk.io, clock });
    const hang = Promise.withResolvers<void>();
    disk.before = ({ op }) => (op === 'datasync' ? hang.promise : undefined);
    const recorded = ledger.record(makeFact('alice/a.png'));
    await clock.advance(OVERDUE_MS);
    await recorded;
    expect(ledger.trouble).toContain("hasn't answered");
    await ledger.record(makeFact('alice/b.png'));
    hang.resolve();
    await eventually(() => expect(ledger.trouble).toBeUndefined());
    await ledger.close();
    expect((await readBack(targetDir)).size).toBe(2);
  });

  it('what is never written is said at the end', async () => {
    const { disk, lines, ledger } = await openOnTestDisk();
    disk.before = failing('ENOSPC', 'write');
    await Promise.all([ledger.record(makeFact('alice/a.png')), ledger.record(makeFact('alice/b.png'))]);
    await ledger.close();
    expect(lines.at(-1)).toContain("2 stored files couldn't be written to the ledger");
  });
});

describe('a segment that failed is never written again', () => {
  it.each(['write', 'datasync'] as const)('after a failed %s a new one gets what was not synced', async (op) => {
    const { targetDir, disk, ledger } = await openOnTestDisk();
    await ledger.record(makeFact('alice/a.png'));
    disk.before = (effect) => {
      if (effect.op === op && effect.path.endsWith('ledger.1.jsonl')) throw systemError('EIO');
    };
    await ledger.record(makeFact('alice/b.png'));
    expect(ledger.trouble).toBeUndefined();
    disk.before = ({ path }) => expect(path).not.toContain('ledger.1.jsonl');
    await ledger.record(makeFact('alice/c.png'));
    disk.before = () => {};
    await ledger.close();
    const [first, second, ...more] = (await fs.readdir(join(targetDir, 'alice'))).sort();
    expect([first, more]).toEqual(['ledger.1.jsonl', []]);
    expect(second).toMatch(/^ledger\.1\.r000000-[0-9a-f]+\.jsonl$/);
    expect((await readBack(targetDir)).size).toBe(3);
  });

  it('a write that stops half-way leaves a torn line behind, and the fact whole in the next segment', async () => {
    const { targetDir, disk, ledger } = await openOnTestDisk();
    await ledger.record(makeFact('alice/a.png'));
    disk.maxWrite = 50;
    let writes = 0;
    disk.before = ({ op, path }) => {
      if (op === 'write' && path.endsWith('ledger.1.jsonl') && ++writes === 3) throw systemError('ENOSPC');
    };
    await ledger.record(makeFact('alice/b.png'));
    await ledger.close();
    expect(await fs.readFile(join(targetDir, 'alice/ledger.1.jsonl'), 'utf8')).not.toMatch(/\n$/);
    expect((await readBack(targetDir)).size).toBe(2);
  });

  it('half a line in the old segment and no room for a new one: nothing is ever written behind that half', async () => {
    const { targetDir, disk, recover, ledger } = await openOnTestDisk();
    await ledger.record(makeFact('alice/a.png'));
    disk.maxWrite = 50;
    let writes = 0;
    disk.before = ({ op }) => {
      if (op === 'create' || (op === 'write' && ++writes === 3)) throw systemError('ENOSPC');
    };
    await ledger.record(makeFact('alice/b.png'));
    expect(ledger.trouble).toContain('full');
    disk.before = () => {};
    await recover(ledger);
    await ledger.close();
    expect([...(await readBack(targetDir)).keys()]).toEqual(['alice/a.png', 'alice/b.png']);
  });

  it.each(['removed', 'removed while its handle was given back'])('a segment that is %s', async (how) => {
    const { targetDir, ledger } = await openOnTestDisk();
    await ledger.record(makeFact('alice/a.png'));
    if (how !== 'removed') for (let i = 0; i < 20; i++) await ledger.record(makeFact(`other${i}/a.png`));
    await fs.rm(join(targetDir, 'alice/ledger.1.jsonl'));
    await ledger.record(makeFact('alice/b.png'));
    expect(ledger.trouble).toBeUndefined();
    await ledger.close();
    const known = await readBack(targetDir);
    expect([known.has('alice/a.png'), known.has('alice/b.png')]).toEqual([false, true]);
  });

  it('the whole state directory is removed: it is made again', async () => {
    const { root, targetDir, ledger } = await openOnTestDisk();
    await ledger.record(makeFact('alice/a.png'));
    await fs.rm(join(root, '.r2-sync'), { recursive: true });
    await ledger.record(makeFact('alice/b.png'));
    expect(ledger.trouble).toBeUndefined();
    await ledger.close();
    expect([...(await readBack(targetDir)).keys()]).toEqual(['alice/b.png']);
  });
});
