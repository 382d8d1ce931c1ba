// Invariant 10, no silence: whatever isn't uploaded is in the snapshot, with its reason and what to do.
import { beforeEach, describe, expect, test } from 'vitest';
import { type DescribeOptions, describeAgent } from '../../src/agent/describe.ts';
import { type PendingFile, type PendingState, PendingTable } from '../../src/agent/pending.ts';
import type { Session } from '../../src/agent/session.ts';
import { Totals } from '../../src/agent/totals.ts';
import type { Config } from '../../src/config/types.ts';
import { type LeaseView, noLease, uncontested } from '../../src/lease/leases.ts';
import { LedgerIndex } from '../../src/ledger/index.ts';
import { StoreError } from '../../src/upload/store.ts';
import { sampleStored } from '../status/sample.ts';
import { createFakeClock, type FakeClock } from '../support/fake-clock.ts';

const refusal = new StoreError(
  'refused',
  'AccessDenied',
  'the store answered AccessDenied',
  'check R2_ACCESS_KEY',
  403,
);

let clock: FakeClock;
let table: PendingTable;
let index: LedgerIndex;
let totals: Totals;
/** What differs from a session in which all is well. */
let change: Partial<
  Record<
    | 'leases'
    | 'ready'
    | 'reasons'
    | 'trouble'
    | 'lastError'
    | 'reachable'
    | 'skipped'
    | 'refused'
    | 'silent'
    | 'scan'
    | 'space',
    unknown
  >
>;

beforeEach(() => {
  clock = createFakeClock();
  table = new PendingTable(clock);
  index = new LedgerIndex();
  totals = new Totals(clock, () => {});
  change = {};
});

function describeNow(options: Partial<DescribeOptions> = {}) {
  const session = {
    table,
    ledger: { index },
    leases: change.leases ?? uncontested,
    seesAll: change.ready ?? true,
    scans: { ready: change.ready ?? true, last: change.scan },
    silentMs: () => change.silent ?? 0,
    space: change.space,
    isRefused: (folder: string) => folder === change.refused,
    gate: { trouble: change.trouble, lastError: change.lastError, reachable: change.reachable ?? true },
    reasons: change.reasons ?? [],
    skipped: () => change.skipped ?? {},
  } as unknown as Session;
  return describeAgent({
    version: '1.2.3',
    pod: 'pod',
    clock,
    startedAt: 0,
    startedAtWall: Date.parse('2026-11-20T12:00:00.000Z'),
    config: undefined,
    session,
    totals,
    problems: [],
    reasons: [],
    ...options,
  });
}

function add(path: string, state: PendingState, more: Partial<PendingFile> = {}): PendingFile {
  const file = table.add(path);
  Object.assign(file, { state, why: `it is ${state}`, size: 100, ...more });
  return file;
}

function remember(path: string): void {
  const storedAt = clock.wall();
  index.set({ path, size: 10, mtimeNs: 1n, sha256: 'a'.repeat(64), storedAt, incomplete: false });
}

describe('safe to stop', () => {
  test('only when everything was looked at and nothing is left', () => {
    expect(describeNow()).toMatchObject({ state: 'ok', safeToStop: true, etaSeconds: 0 });
    change = { ready: false };
    expect(describeNow().safeToStop).toBe(false);
    expect(describeNow({ session: undefined }).safeToStop).toBe(false);
    expect(describeNow({ problems: ["R2_BUCKET isn't set."] }).safeToStop).toBe(false);
  });

  test.for<PendingState>(['settling', 'due', 'working', 'waiting', 'recording', 'parked', 'unreadable'])(
    'not while a file is %s',
    (state) => {
      add('a.png', state);
      expect(describeNow().safeToStop).toBe(false);
    },
  );

  test('files that other pods made keep nobody: their own pod and the volume answer for them', () => {
    const theirs = add('bob/1.png', 'leasing', { foreign: true });
    expect(describeNow()).toMatchObject({ safeToStop: true, totals: { pendingFiles: 1 } });
    theirs.foreign = false;
    expect(describeNow().safeToStop).toBe(false);
  });

  test('an empty file is shown and keeps nobody', () => {
    add('a.png', 'empty');
    expect(describeNow()).toMatchObject({ safeToStop: true, skipped: { empty: 1 }, totals: { pendingFiles: 0 } });
  });
});

describe('state and reasons', () => {
  test('wrong settings and refusals are failing, an outage and everything else degraded; the fix is always said', () => {
    expect(describeNow({ session: undefined, problems: ["R2_BUCKET isn't set. Set it."] })).toMatchObject({
      state: 'failing',
      reasons: ["R2_BUCKET isn't set. Set it."],
    });
    change = { trouble: { cause: 'refused', error: refusal }, lastError: refusal };
    const refused = describeNow();
    expect(refused.state).toBe('failing');
    expect(refused.reasons.join()).toMatch(/AccessDenied.*R2_ACCESS_KEY/);
    expect(refused.store.lastError).toMatch(/AccessDenied/);
    change = { trouble: { cause: 'unreachable', error: refusal } };
    expect(describeNow().state).toBe('degraded');
    change = { reasons: ['The ledger can not be written.'] };
    expect(describeNow({ reasons: ['The page is not up.'] })).toMatchObject({
      state: 'degraded',
      reasons: ['The page is not up.', 'The ledger can not be written.'],
    });
  });

  test('no session yet is no crash', () => {
    expect(describeNow({ session: undefined })).toMatchObject({ state: 'ok', folders: [], store: { reachable: null } });
  });
});

describe('leases', () => {
  test('who has each folder, and how folders came to this pod and went', () => {
    const view = (folder: string): LeaseView =>
      folder === 'bob'
        ? { state: 'theirs', holder: 'ffee', host: 'gpu-2', epoch: 3, since: '2026-11-20', silentSeconds: 4 }
        : noLease('free');
    change = { leases: { view, counts: { free: 1, released: 2, silent: 3, dead: 4, lost: 5 } } };
    remember('alice/1.png');
    add('bob/2.png', 'leasing');
    const { folders, totals: sums } = describeNow();
    expect(folders.map(({ folder, lease }) => [folder, lease])).toEqual([
      ['alice', noLease('free')],
      ['bob', view('bob')],
    ]);
    expect(sums.leases).toEqual({ free: 1, released: 2, silent: 3, dead: 4, lost: 5 });
  });

  test('the lease time is said, unless leases are off; without a session nothing has been counted', () => {
    const config = { lease: true, leaseSeconds: 45 } as Config;
    expect(describeNow({ config }).leaseSeconds).toBe(45);
    expect(describeNow({ config: { ...config, lease: false } }).leaseSeconds).toBeNull();
    expect(describeNow({ session: undefined })).toMatchObject({
      leaseSeconds: null,
      totals: { leases: { free: 0, released: 0, silent: 0, dead: 0, lost: 0 } },
    });
  });
});

describe('files', () => {
  test('each is counted in its folder, stored ones too, and names are fit to be shown', async () => {
    remember('alice/1.png');
    remember('alice/2.png');
    remember('root.png');
    add('alice/3.png', 'due');
    await clock.advance(7000);
    add('bob\n/4.png', 'parked', { why: 'it is too long', fix: 'make it shorter', stuckSince: clock.wall() });
    add('alice/5.png', 'empty');
    const { folders, totals: sums, parked, pending } = describeNow();
    const byName = Object.fromEntries(folders.map((folder) => [folder.folder, folder]));
    expect(byName).toMatchObject({
      alice: { files: 3, stored: 2, pending: 1, parked: 0, oldestPendingSeconds: 7 },
      '.': { files: 1, stored: 1, pending: 0 },
      'bob\\n': { files: 1, stored: 0, parked: 1, lastStoredAt: null },
    });
    expect(sums).toMatchObject({ storedFiles: 3, storedBytes: 30, pendingFiles: 1, pendingBytes: 100, parkedFiles: 1 });
    expect(parked).toEqual([
      {
        path: 'bob\\n/4.png',
        reason: 'it is too long',
        fix: 'make it shorter',
        since: new Date(clock.wall()).toISOString(),
      },
    ]);
    expect(pending).toMatchObject([{ path: 'alice/3.png', bytes: 100, state: 'it is due', seconds: 7 }]);
  });

  test.for(['refused', 'unreachable'] as const)(
    'while the store is %s, files wait for it, and not for a lease or a turn',
    (cause) => {
      const view = (folder: string) => ({ ...noLease('free'), state: folder === 'bob' ? 'theirs' : 'free' });
      change = { trouble: { cause, error: refusal }, leases: { view, counts: {} } };
      add('alice/1.png', 'leasing');
      add('alice/2.png', 'due');
      add('bob/3.png', 'leasing', { why: 'pod ffee uploads this folder' });
      add('alice/4.png', 'settling');
      const said = () => describeNow().pending.map(({ state }) => state);
      const trouble = cause === 'refused' ? 'which refuses uploads' : "which doesn't answer";
      const waits = `waits for the store, ${trouble}: one file tries it again, at least once a minute`;
      expect(said()).toEqual([waits, waits, 'pod ffee uploads this folder', 'it is settling']);
      change = { ...change, trouble: undefined };
      expect(said().slice(0, 2)).toEqual(['it is leasing', 'it is due']);
    },
  );

  test('a large file on its way shows how far it is, and what is sent is no longer pending', () => {
    add('video.mp4', 'working', { size: 1000, sent: 250, why: 'is being uploaded' });
    expect(describeNow()).toMatchObject({
      totals: { pendingFiles: 1, pendingBytes: 750 },
      pending: [{ state: 'is being uploaded, 25 %' }],
    });
  });

  test('a backlog of thousands is counted whole, and the first of it listed', () => {
    for (let nth = 0; nth < 2500; nth += 1) add(`p/${nth}.png`, nth % 2 === 0 ? 'due' : 'parked');
    const seen = describeNow();
    expect(seen.totals).toMatchObject({ pendingFiles: 1250, parkedFiles: 1250 });
    expect(seen.pending.length).toBe(100);
    expect(seen.parked.length).toBe(100);
  });

  test('what is pending says what it waits for, what is parked why, and which files are of other pods', () => {
    change = { refused: 'bob' };
    add('alice/1.png', 'due');
    add('alice/2.png', 'leasing', { foreign: true });
    add('alice/3.png', 'leasing', { foreign: true });
    add('alice/4.png', 'unreadable');
    add('alice/5.png', 'parked');
    add('bob/6.png', 'parked');
    add('bob/7.png', 'empty');
    expect(describeNow().totals).toMatchObject({
      foreignFiles: 2,
      pendingBy: { settling: 0, leasing: 2, due: 1, working: 0, waiting: 0, recording: 0 },
      parkedBy: { refused: 1, unstorable: 1, unreadable: 1 },
    });
  });

  test('how long the volume has been silent, the last scan, and what is left', () => {
    expect(describeNow().volume).toEqual({ silentSeconds: 0, lastScan: null, space: null });
    const endedAt = Date.parse('2026-11-20T12:00:00.000Z');
    change = { silent: 31_500, scan: { endedAt, ms: 250 }, space: { free: 1, total: 2, low: true } };
    expect(describeNow().volume).toEqual({
      silentSeconds: 31.5,
      lastScan: { at: '2026-11-20T12:00:00.000Z', seconds: 0.25 },
      space: { free: 1, total: 2, low: true },
    });
    expect(describeNow({ session: undefined }).volume).toEqual({ silentSeconds: 0, lastScan: null, space: null });
  });

  const store = (path: string, bytes: number, sent = 0) => {
    const fact = sampleStored({ path, bytes, seconds: 1 });
    totals.countStored(fact, { ...fact, folder: '.', size: bytes, mtimeNs: 0n, storedAt: 0 }, false, sent);
  };

  test('the time that is left follows the pace, and nobody guesses without one', async () => {
    add('a.png', 'due', { size: 10_000 });
    expect(describeNow().etaSeconds).toBeNull();
    store('b.png', 5000);
    await clock.advance(5000);
    expect(describeNow().etaSeconds).toBe(10);
    table.get('a.png')!.state = 'settling';
    expect(describeNow().etaSeconds).toBeNull();
  });

  test('the pace counts a large file while it is sent, and not twice', async () => {
    add('large.mp4', 'working', { size: 1_000_000, sent: 200_000 });
    store('tiny.png', 1000);
    await clock.advance(10_000);
    totals.countSent(199_000);
    expect(describeNow().etaSeconds).toBe(40);
    store('other.mp4', 199_000, 199_000);
    expect(describeNow().etaSeconds).toBe(40);
  });
});
