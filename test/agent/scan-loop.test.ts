// Invariant 2: the scan is the truth, so it must come again and again, whatever happens.
import { beforeEach, describe, expect, test } from 'vitest';
import { ScanLoop } from '../../src/agent/scan-loop.ts';
import { createLog } from '../../src/log.ts';
import type { PassResult, Scanner } from '../../src/watch/scanner.ts';
import { createFakeClock, type FakeClock } from '../support/fake-clock.ts';

const log = createLog({ level: 'silent', secrets: [], stream: { write: () => {} } });
const there: PassResult = { root: 'there', problems: [], files: 0 };

let clock: FakeClock;
/** [kind, begun at], in order. */
let scans: [string, number][];
/** How long a pass takes. */
let passMs: number;
let results: (PassResult | Error)[];
let hints: boolean;
let lost: string[];
let doubts: boolean;
/** How often it was told that it is ready. */
let ready: number;

beforeEach(() => {
  clock = createFakeClock();
  scans = [];
  passMs = 0;
  results = [];
  hints = true;
  lost = [];
  doubts = false;
  ready = 0;
});

function createLoop(): ScanLoop {
  let running = 0;
  const scanner: Pick<Scanner, 'pass' | 'scanDirectory' | 'hasDoubts'> = {
    get hasDoubts() {
      return doubts;
    },
    pass: async (full) => {
      scans.push([full ? 'full' : 'pass', clock.monotonic()]);
      running += 1;
      expect(running, 'passes at a time').toBe(1);
      if (passMs > 0) await clock.sleep(passMs);
      running -= 1;
      const result = results.shift() ?? there;
      if (result instanceof Error) throw result;
      return result;
    },
    scanDirectory: async (dir) => void scans.push([dir, clock.monotonic()]),
  };
  return new ScanLoop({
    scanner: scanner as Scanner,
    clock,
    log,
    scanMs: 10_000,
    hintsArrive: () => hints,
    onReady: () => {
      ready += 1;
    },
    onRootLost: (state) => lost.push(state),
  });
}

async function run(loop: ScanLoop, ms: number): Promise<void> {
  void loop.run();
  await clock.advance(ms);
}

test('when the last pass ended, and how long it took; one that failed is none', async () => {
  passMs = 300;
  results = [new Error('the volume is gone')];
  const loop = createLoop();
  await run(loop, 1000);
  expect(loop.last).toBeUndefined();
  await clock.advance(10_000);
  expect(loop.last?.ms).toBe(300);
  const first = loop.last!.endedAt;
  passMs = 400;
  await clock.advance(10_000);
  expect(loop.last).toEqual({ endedAt: first + 10_100, ms: 400 });
});

describe('when to scan', () => {
  test('fully at start, then every R2_SCAN_SECONDS; four times as often while no hints arrive', async () => {
    const loop = createLoop();
    await run(loop, 25_000);
    expect(scans).toEqual([
      ['full', 0],
      ['pass', 10_000],
      ['pass', 20_000],
    ]);
    hints = false;
    await clock.advance(15_000);
    expect(scans.slice(3)).toEqual([
      ['pass', 30_000],
      ['pass', 32_500],
      ['pass', 35_000],
      ['pass', 37_500],
      ['pass', 40_000],
    ]);
    await loop.stop();
  });

  test('fully again every quarter of an hour', async () => {
    const loop = createLoop();
    await run(loop, 31 * 60_000);
    expect(scans.filter(([kind]) => kind === 'full').map(([, at]) => at)).toEqual([0, 900_000, 1_800_000]);
    await loop.stop();
  });

  test('soon, and again, while something is not where it was', async () => {
    const loop = createLoop();
    await run(loop, 1500);
    doubts = true;
    expect(loop.seesAll).toBe(false);
    loop.passSoon();
    loop.passSoon();
    await clock.advance(2000);
    doubts = false;
    expect(loop.seesAll).toBe(true);
    await clock.advance(20_000);
    expect(scans.map(([, at]) => at)).toEqual([0, 2500, 3500, 4500, 14_500]);
    await loop.stop();
  });

  test('but no more often than a slow volume allows', async () => {
    passMs = 500;
    const loop = createLoop();
    doubts = true;
    await run(loop, 12_000);
    expect(scans.map(([, at]) => at)).toEqual([0, 5000, 10_000]);
    await loop.stop();
  });

  test('a slow volume is scanned at most a tenth of the time', async () => {
    passMs = 5000;
    const loop = createLoop();
    await run(loop, 120_000);
    expect(scans.map(([, at]) => at)).toEqual([0, 10_000, 60_000, 110_000]);
    await loop.stop();
  });

  test('a pass over everything that takes minutes is rarer, and keeps no new file waiting for it twice', async () => {
    passMs = 200_000;
    const loop = createLoop();
    await run(loop, 1000);
    passMs = 100;
    await clock.advance(2_500_000);
    const full = scans.filter(([kind]) => kind === 'full').map(([, at]) => at);
    expect(full).toEqual([0, 2_000_000]);
    const gaps = scans.slice(1).map(([, at], index) => at - scans[index]![1]);
    expect(gaps.filter((gap) => gap > 10_000)).toEqual([200_000]);
    await loop.stop();
  });

  test('lost hints mean a full pass now, also when they are lost while one is running', async () => {
    const loop = createLoop();
    await run(loop, 3000);
    loop.scanFully();
    await clock.advance(0);
    expect(scans).toEqual([
      ['full', 0],
      ['full', 3000],
    ]);
    passMs = 500;
    loop.scanFully();
    await clock.advance(100);
    loop.scanFully();
    await clock.advance(1000);
    expect(scans.slice(2)).toEqual([
      ['full', 3000],
      ['full', 3500],
    ]);
    await loop.stop();
  });

  test('asked for now, it begins after what is running, and is done when it says so', async () => {
    passMs = 400;
    const loop = createLoop();
    await run(loop, 100);
    let done = false;
    void loop.scanNow().then(() => (done = true));
    await clock.advance(600);
    expect(done).toBe(false);
    expect(scans).toEqual([
      ['full', 0],
      ['pass', 400],
    ]);
    await clock.advance(200);
    expect(done).toBe(true);
    await loop.stop();
  });

  test('a directory that a hint names is looked into at once and again a moment later, once for many hints', async () => {
    const loop = createLoop();
    for (let hint = 0; hint < 5; hint += 1) loop.directorySoon('alice');
    await clock.advance(10_000);
    expect(scans).toEqual([
      ['alice', 0],
      ['alice', 100],
      ['alice', 800],
      ['alice', 2800],
    ]);
    loop.directorySoon('alice');
    await clock.advance(0);
    expect(scans.at(-1)).toEqual(['alice', 10_000]);
  });
});

describe('what a scan says', () => {
  test('ready means that one full pass was made of everything, and is told once', async () => {
    results = [new Error('the volume worker has ended')];
    const loop = createLoop();
    await run(loop, 0);
    expect([loop.ready, ready]).toEqual([false, 0]);
    expect(loop.problems.join()).toMatch(/can't be read/);
    await clock.advance(20_000);
    expect([loop.ready, ready]).toEqual([true, 1]);
    expect(loop.problems).toEqual([]);
    loop.scanFully();
    await clock.advance(20_000);
    expect(ready).toBe(1);
    await loop.stop();
  });

  test('directories that cannot be read are named until they can', async () => {
    results = [{ ...there, problems: [{ path: 'bob\n', code: 'EACCES' }] }];
    const loop = createLoop();
    await run(loop, 0);
    expect(loop.problems).toEqual([expect.stringMatching(/"bob\\n" can't be read \(EACCES\).*permissions/)]);
    await clock.advance(10_000);
    expect(loop.problems).toEqual([]);
    await loop.stop();
  });

  test('an output directory that is gone or replaced is reported, and is not ready', async () => {
    results = [
      { ...there, root: 'gone' },
      { ...there, root: 'replaced' },
    ];
    const loop = createLoop();
    await run(loop, 10_000);
    expect(lost).toEqual(['gone', 'replaced']);
    await loop.stop();
  });

  test('stopped, it scans no more', async () => {
    const loop = createLoop();
    await run(loop, 1000);
    await loop.stop();
    loop.directorySoon('alice');
    await clock.advance(60_000);
    await loop.scanNow();
    expect(scans.filter(([kind]) => kind !== 'alice')).toHaveLength(1);
    expect(scans.filter(([kind]) => kind === 'alice').length).toBeLessThanOrEqual(1);
    expect(clock.sleeping()).toBe(0);
  });
});
