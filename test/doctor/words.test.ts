// What `r2-sync doctor` makes of what it finds: each limit on both sides, and checks that hang, throw or can't be made.
import * as fs from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import { systemClock } from '../../src/clock.ts';
import { loadConfig } from '../../src/config/parse.ts';
import { type Check, good } from '../../src/doctor/check.ts';
import { judgeRace } from '../../src/doctor/checks/bucket.ts';
import { describeClock } from '../../src/doctor/checks/endpoint.ts';
import { checks } from '../../src/doctor/checks/index.ts';
import {
  describeDescriptors,
  describeMemory,
  describeOrigins,
  describeProgram,
} from '../../src/doctor/checks/machine.ts';
import { describeLeases, stateChecks } from '../../src/doctor/checks/state.ts';
import { describeSpace, volumeChecks } from '../../src/doctor/checks/volume.ts';
import { describeTrials, describeWatchLimits } from '../../src/doctor/checks/watching.ts';
import { exitCodeOf, type Report, renderEnd, renderReport, titleWidth } from '../../src/doctor/report.ts';
import { runChecks } from '../../src/doctor/run.ts';
import { Subject } from '../../src/doctor/subject.ts';
import type { FolderLease } from '../../src/lease/survey.ts';
import { StoreError } from '../../src/upload/store.ts';
import { VolumeGate } from '../../src/volume/gate.ts';
import { findMount, parseMounts } from '../../src/volume/mounts.ts';
import { makePlace, removePlace } from '../support/agent.ts';
import { createFakeClock } from '../support/fake-clock.ts';

describe('each limit, on both sides', () => {
  const minutes = (aheadMs: number) => describeClock({ aheadMs: aheadMs * 60_000, uncertainMs: 500 }).mark;
  test.each([
    ['a clock within a second', minutes(0.01), 'good'],
    ['a clock that is off by minutes', minutes(14), 'warning'],
    ['a clock at which signatures end', minutes(16), 'bad'],
    ['… in the other direction', minutes(-16), 'bad'],
    ['a reply that took a minute proves nothing', describeClock({ aheadMs: 20_000, uncertainMs: 30_000 }).mark, 'good'],
    ['Node 20', describeProgram('20.19.0').mark, 'bad'],
    ['Node 22', describeProgram('22.1.0').mark, 'warning'],
    ['Node 24', describeProgram('24.0.0').mark, 'good'],
    ['little memory', describeMemory(160e6, 4).mark, 'warning'],
    ['memory for much at once', describeMemory(300e6, 32).mark, 'warning'],
    ['enough memory', describeMemory(300e6, 4).mark, 'good'],
    ['few descriptors', describeDescriptors('Max open files            256         4096     files').mark, 'warning'],
    ['many descriptors', describeDescriptors('Max open files            1048576     1048576  files').mark, 'good'],
    ['no limit on them', describeDescriptors('Max open files            unlimited   unlimited').mark, 'good'],
  ])('%s', (_, mark, expected) => {
    expect(mark).toBe(expected);
  });

  const space = { bsize: 4096, blocks: 25_000_000, bavail: 20_000_000, files: 1e6, ffree: 5e5 };
  test.each([
    ['room', {}, false, 'good'],
    ['a network volume counts the whole cluster', {}, true, 'note'],
    ['4 % and 4 GB', { bavail: 1_000_000 }, false, 'warning'],
    ['4 % of a very large one', { blocks: 25e9, bavail: 1e9 }, false, 'good'],
    ['full', { bavail: 0 }, false, 'bad'],
    ['no inodes', { ffree: 0 }, false, 'bad'],
    ['few inodes', { ffree: 100 }, false, 'warning'],
    ['a file system without inodes', { files: 0, ffree: 0 }, false, 'good'],
  ] as const)('space: %s', (_, change, network, mark) => {
    expect(describeSpace({ ...space, ...change }, network).mark).toBe(mark);
  });

  const limits = { instances: 3, watches: 100, maxInstances: 128, maxWatches: 8192 };
  test.each([
    [{}, 'good', ''],
    [{ watches: 8000 }, 'warning', 'max_user_watches'],
    [{ instances: 127 }, 'warning', 'max_user_instances'],
  ] as const)('watch limits %j: %s', (change, mark, names) => {
    const finding = describeWatchLimits({ ...limits, ...change });
    expect(finding.mark).toBe(mark);
    expect(finding.fix ?? '').toContain(names);
  });

  const heard = (source: string) => ({ source, ms: 1.2 });
  const deaf = (source: string, missing = false) => ({ source, reason: 'gone\u001b[2J', missing });
  test.each([
    [[heard('a'), heard('b')], 'good', ''],
    [[deaf('a', true), heard('b')], 'note', 'inotify-tools'],
    [[heard('a'), deaf('b')], 'note', ''],
    [[deaf('a'), deaf('b')], 'warning', 'scanning'],
  ] as const)('events %j: %s', (trials, mark, fix) => {
    const finding = describeTrials(trials, 10);
    expect(finding.mark).toBe(mark);
    expect(finding.fix ?? '').toContain(fix);
    expect(finding.result).not.toContain('\u001b');
  });

  const put = (failure?: StoreError['failure']): PromiseSettledResult<unknown> =>
    failure
      ? { status: 'rejected', reason: new StoreError(failure, 'X', 'busy', 'wait') }
      : { status: 'fulfilled', value: {} };
  test.each([
    [[put(), put('exists'), put('transient')], 'good'],
    [[put(), put(), put('exists')], 'bad'],
    [[put(), put('transient'), put('transient')], 'note'],
    [[put('exists'), put('exists')], 'note'],
  ] as const)('a race %#: %s', (outcomes, mark) => {
    expect(judgeRace(outcomes).mark).toBe(mark);
  });

  const lease = { folder: 'a', pod: null, host: null, epoch: 1, since: null, silentSeconds: 1, problem: null };
  test('leases in one line', () => {
    const leases = [
      { ...lease, state: 'held', thisPod: true },
      { ...lease, state: 'held', thisPod: false },
      { ...lease, state: 'silent', thisPod: false },
    ] as FolderLease[];
    expect(describeLeases(leases).result).toBe('3 folders: 1 held by this pod, 1 held by other pods, 1 silent');
    expect(describeLeases([{ ...lease, state: 'unreadable', thisPod: false }]).mark).toBe('warning');
  });
});

test('where settings come from: names, never values', () => {
  expect(describeOrigins({})).toMatch(/defaults/);
  expect(describeOrigins({ R2_BUCKET: 'the environment', R2_SECRET_KEY: '/run/set' })).toBe(
    'R2_BUCKET from the environment; R2_SECRET_KEY from /run/set; all others are defaults',
  );
});

test('the mount that holds a path: the deepest, the last on top, names with blanks and without UTF-8', () => {
  const line = (point: string, type: string) => `22 27 0:21 / ${point} rw,relatime shared:1 - ${type} source rw`;
  const mounts = ['overlay', '/workspace', '/work', '/a\\040b', '/workspace']
    .map((point, at) => (at === 0 ? line('/', 'overlay') : line(point, `fs${at}`)))
    .join('\n');
  const find = (path: string) => findMount(parseMounts(Buffer.from(mounts)), path);
  expect(find('/workspace/out')).toEqual({ id: '22', fileSystem: '0:21', point: '/workspace', type: 'fs4' });
  expect(find('/workspaces')?.type).toBe('overlay');
  expect(find('/a b/c')?.type).toBe('fs3');
  expect(find('/é')?.type).toBe('overlay');
  expect(findMount(parseMounts(Buffer.from('')), '/x')).toBeUndefined();
});

describe('checks', () => {
  function makeSubject(clock = systemClock, change: Partial<ConstructorParameters<typeof Subject>[0]> = {}): Subject {
    const settings = { ...loadConfig({}, { needStore: true }), origins: {} };
    const places = loadConfig({}, { needStore: false }).config;
    return new Subject({ settings, places, folder: '', clock, gate: new VolumeGate(clock), ...change });
  }
  async function collect(list: readonly Check[], subject: Subject): Promise<Report[]> {
    const reports: Report[] = [];
    for await (const report of runChecks(list, subject)) reports.push(report);
    await subject.close();
    return reports;
  }
  const check = (id: string, look: Check['look'], change: Partial<Check> = {}): Check => {
    return { id, title: `The ${id}`, exitCode: 3, look, ...change };
  };

  test('one that hangs is given up, told to stop, and holds up nobody', async () => {
    const clock = createFakeClock();
    let stopped = false;
    const hangs = check('volume', (_, signal) => {
      signal.addEventListener('abort', () => (stopped = true));
      return new Promise(() => {});
    });
    const reports = collect([hangs, check('next', async () => good('fine'))], makeSubject(clock));
    await clock.advance(11_000);
    expect((await reports).map(({ mark, result }) => `${mark}: ${result}`)).toEqual([
      'bad: no answer within 10 s',
      'good: fine',
    ]);
    expect(stopped).toBe(true);
  });

  test('one that throws is bad; what needs it is not looked at, and neither is what needs that', async () => {
    const seen: string[] = [];
    const reports = await collect(
      [
        check('a', () => Promise.reject(Object.assign(new Error('EIO: i/o error'), { code: 'EIO' }))),
        check('b', async () => good('b'), { needs: ['a'] }),
        check('c', async () => good('c'), { needs: ['b'] }),
        check('d', async () => good(String(seen.push('d'))), { needs: ['keys'] }),
      ],
      makeSubject(),
    );
    expect(reports.map(({ mark }) => mark)).toEqual(['bad', 'skipped', 'skipped', 'skipped']);
    expect(reports.map(({ result }) => result).slice(1)).toEqual([
      'not looked at, because of "The a"',
      'not looked at, because of "The a"',
      'not looked at, because of the settings',
    ]);
    expect(seen).toEqual([]);
    expect(exitCodeOf(reports)).toBe(3);
  });

  test('the exit code is that of the cause: settings before the store, the store before the machine', async () => {
    const wrong = (exitCode: 1 | 2 | 3 | 4) => check('x', async () => ({ mark: 'bad', result: 'no', exitCode }));
    const codeOf = async (...codes: (1 | 2 | 3 | 4)[]) => exitCodeOf(await collect(codes.map(wrong), makeSubject()));
    expect([
      await codeOf(1, 3, 4, 2),
      await codeOf(1, 3, 4),
      await codeOf(1, 3),
      await codeOf(1),
      await codeOf(),
    ]).toEqual([2, 4, 3, 1, 0]);
  });

  test('what is needed is an id of a check before, or settings', () => {
    const known = new Set(['places', 'keys']);
    expect(Math.max(...checks.map(({ title }) => title.length))).toBe(titleWidth);
    for (const { id, needs = [] } of checks) {
      for (const need of needs) expect(known, `${id} needs ${need}`).toContain(need);
      expect(known).not.toContain(id);
      known.add(id);
    }
  });

  /** The checks of the volume, with calls of the file system replaced. */
  async function diagnoseVolume(broken: Partial<typeof fs>): Promise<Record<string, Report>> {
    const place = await makePlace();
    const settings = { ...loadConfig({ COMFYUI_OUTPUT_DIR: place.output }, { needStore: false }), origins: {} };
    const subject = makeSubject(systemClock, { settings, fs: { ...fs, ...broken } });
    const reports = await collect([...volumeChecks, ...stateChecks], subject);
    expect(await fs.readdir(place.output)).toEqual([]);
    await removePlace(place);
    return Object.fromEntries(reports.map((report) => [report.check, report]));
  }
  const refuse = (code: string) => async () => {
    throw Object.assign(new Error(`${code}: refused`), { code });
  };

  test('a file system without hard links is told: leases do without', async () => {
    const { state } = await diagnoseVolume({ link: refuse('EPERM') });
    expect(state).toMatchObject({ mark: 'note', result: expect.stringMatching(/hard links are refused/) });
  });

  test.each([
    ['read-only', { mkdir: refuse('EROFS') }, /EROFS/],
    ['over its quota', { open: refuse('EDQUOT') }, /EDQUOT/],
    [
      'without O_EXCL',
      { open: ((path, flags, mode) => fs.open(path, Number(flags) & ~fs.constants.O_EXCL, mode)) as typeof fs.open },
      /O_EXCL/,
    ],
    [
      'that loses what is written',
      { readFile: (async () => Buffer.alloc(0)) as unknown as typeof fs.readFile },
      /not what is read/,
    ],
    ['that can not rename', { rename: refuse('EIO') }, /EIO/],
  ] as const)('a file system %s is bad for the state, and nothing stays there', async (_, broken, words) => {
    const { state } = await diagnoseVolume(broken);
    expect(state).toMatchObject({ mark: 'bad', result: expect.stringMatching(words) });
    expect(state!.fix).toMatch(/R2_STATE_DIR/);
  });

  test('on a terminal lines are broken at its width, and nothing that a name holds is obeyed', async () => {
    const long = { mark: 'bad' as const, result: `${'words '.repeat(30)}\u001b[2J`, fix: 'Do this.' };
    const [report] = await collect([check('x', async () => long)], makeSubject());
    const text = renderReport(report!, { color: false, width: 60 });
    expect(text).not.toContain('\u001b');
    expect(text.split('\n').length).toBeGreaterThan(4);
    for (const line of text.split('\n')) expect(line.length).toBeLessThanOrEqual(60);
    expect(renderReport(report!, { color: true, width: 60 })).toContain('\u001b[31m✘');
    expect(renderEnd([report!], ['a/b\u001b.txt'], 'bucket', { color: false, width: 200 })).toBe(
      '\n1 thing is wrong.\nIn the bucket "bucket" stay, for this and every later run: a/b\\u001b.txt. r2-sync never deletes an object; you may.',
    );
  });
});
