// The gate in time: who is asked while the store refuses, and what is concluded from whose answer.
import { beforeEach, describe, expect, test } from 'vitest';
import { type FolderRank, StoreGate } from '../../src/agent/store-gate.ts';
import { createLog } from '../../src/log.ts';
import { type FailureClass, StoreError } from '../../src/upload/store.ts';
import { createFakeClock, type FakeClock } from '../support/fake-clock.ts';

const refusal = errorOf('refused', 'AccessDenied', 403);
const hiccup = errorOf('transient', 'InternalError', 500);

let clock: FakeClock;
/** Folders with something due, in the order of the list. */
let due: string[];
/** Whether any file is pending, due or not. */
let awaited: boolean;
/** What the store says to a folder's file; `stored` if nothing is given. */
let says: Record<string, StoreError | 'gone'>;
let probed: string[];
let changes: boolean[];
let refused: string[];
let messages: string[];
let gate: StoreGate;

beforeEach(() => {
  clock = createFakeClock();
  due = ['alice', 'bob'];
  awaited = true;
  says = {};
  probed = [];
  changes = [];
  refused = [];
  messages = [];
  gate = new StoreGate({
    clock,
    log: createLog({
      level: 'info',
      secrets: [],
      stream: { write: (line) => void messages.push(JSON.parse(line).msg) },
    }),
    onChange: (open) => changes.push(open),
    probe: async (rank: FolderRank) => {
      const ranked = due.filter((folder) => rank(folder) !== undefined);
      const folder = ranked.sort((a, b) => rank(a)! - rank(b)!)[0];
      if (folder === undefined) return undefined;
      probed.push(folder);
      const answer = says[folder];
      if (answer === 'gone') return { folder, event: undefined };
      return { folder, event: answer ? { kind: 'failed', error: answer, folder } : { kind: 'stored', folder } };
    },
    isAwaited: () => awaited,
    onFolderRefused: (folder) => refused.push(folder),
  });
});

function errorOf(failure: FailureClass, code: string, status?: number): StoreError {
  return new StoreError(failure, code, `the store answered ${code}`, 'check R2_ACCESS_KEY', status);
}

const fail = (folder: string, error = refusal) => gate.report({ kind: 'failed', error, folder });

describe('a refusal is probed before it is believed', () => {
  test('another folder goes through: only the refused one is refused, and nothing was ever failing', async () => {
    fail('alice');
    expect(gate.open).toBe(false);
    expect(gate.trouble).toBeUndefined();
    await clock.advance(0);
    expect(probed).toEqual(['bob']);
    expect(refused).toEqual(['alice']);
    expect(gate.open).toBe(true);
    expect(changes).toEqual([false, true]);
  });

  test('what can be about no folder alone is concluded about none: a bucket that is missing for a moment, a token renewed', async () => {
    for (const code of ['NoSuchBucket', 'ExpiredToken', 'RequestTimeTooSkewed']) {
      fail('alice', errorOf('refused', code, 403));
      await clock.advance(0);
      expect(gate.open).toBe(true);
    }
    expect(refused).toEqual([]);
  });

  test('everybody is refused: failing, one message, probes with growing pauses, the folders in turn', async () => {
    says = { alice: refusal, bob: refusal };
    fail('alice');
    await clock.advance(0);
    expect(gate.trouble).toMatchObject({ cause: 'refused', error: refusal });
    await clock.advance(10 * 60_000);
    // 1, 2, 4 … 60 s, at least half of each.
    expect(probed.length).toBeLessThan(30);
    expect(probed.length).toBeGreaterThan(10);
    expect(probed.slice(0, 4)).toEqual(['bob', 'alice', 'bob', 'alice']);
    expect(messages).toEqual([expect.stringMatching(/the store refuses us: .*AccessDenied.*R2_ACCESS_KEY/)]);
    expect(refused).toEqual([]);
  });

  test('… and when it relents nobody is refused alone: the first one is asked once more', async () => {
    says = { alice: refusal, bob: refusal };
    fail('alice');
    await clock.advance(20_000);
    says = {};
    await clock.advance(60_000);
    expect(gate.open).toBe(true);
    expect(refused).toEqual([]);
    expect(gate.lastError).toBeUndefined();
    expect(gate.reachable).toBe(true);
  });

  test('a third folder goes through in the end: those that are still refused are, and only they', async () => {
    due = ['alice', 'bob', 'carol'];
    says = { alice: refusal, bob: refusal };
    fail('alice');
    await clock.advance(5000);
    expect(probed).toEqual(['bob', 'carol', 'alice', 'bob']);
    expect(refused).toEqual(['alice', 'bob']);
    expect(gate.open).toBe(true);
  });

  test('the third had only what was under way: that is as good as a probe, and nobody is called failing any longer', async () => {
    says = { alice: refusal, bob: refusal };
    fail('alice');
    await clock.advance(0);
    expect(gate.trouble?.cause).toBe('refused');
    gate.report({ kind: 'stored', folder: 'carol' });
    await clock.advance(0);
    expect(probed).toEqual(['bob', 'alice', 'bob']);
    expect(refused).toEqual(['alice', 'bob']);
    expect(gate.open).toBe(true);
    expect(gate.trouble).toBeUndefined();
  });

  test('what was under way when it closed is no probe: it neither confirms the refusal nor asks again', async () => {
    says = { alice: refusal, bob: refusal };
    fail('alice');
    fail('alice');
    fail('bob');
    expect(gate.trouble).toBeUndefined();
    await clock.advance(0);
    expect(probed).toEqual(['bob']);
  });

  test('a success that was under way opens it', async () => {
    due = [];
    fail('alice');
    gate.report({ kind: 'stored', folder: 'bob' });
    expect(gate.open).toBe(true);
    expect(refused).toEqual(['alice']);
    // The loop that was probing has ended: a new refusal starts one, not two.
    due = ['alice', 'bob'];
    says = { alice: refusal, bob: refusal };
    fail('bob');
    await clock.advance(1000);
    const before = probed.length;
    await clock.advance(400);
    expect(probed.length - before).toBeLessThanOrEqual(1);
  });

  test('a folder that was not tried yet is asked as soon as it has something', async () => {
    due = ['alice'];
    says = { alice: refusal };
    fail('alice');
    await clock.advance(5 * 60_000);
    expect(gate.trouble?.cause).toBe('refused');
    const before = probed.length;
    due = ['alice', 'bob'];
    gate.noticeDue('alice');
    await clock.advance(0);
    expect(probed.length).toBe(before);
    gate.noticeDue('bob');
    await clock.advance(0);
    expect(probed.slice(before)).toEqual(['bob', 'alice']);
    expect(gate.open).toBe(true);
    expect(refused).toEqual(['alice']);
  });

  test('a file that turns out to be none is no answer, and nothing due is waited for', async () => {
    due = [];
    fail('alice');
    await clock.advance(10_000);
    expect(gate.open).toBe(false);
    expect(gate.trouble).toBeUndefined();
    due = ['bob'];
    says = { bob: 'gone' };
    await clock.advance(1000);
    expect(gate.open).toBe(false);
    says = {};
    await clock.advance(60_000);
    expect(gate.open).toBe(true);
  });
});

describe('all that waited for the store is gone: nobody is refused any more', () => {
  test('the gate opens, says so, and the next refusal is probed anew', async () => {
    says = { alice: refusal, bob: refusal };
    fail('alice');
    await clock.advance(0);
    expect(gate.trouble?.cause).toBe('refused');
    due = [];
    // Still being written, or waiting for its lease.
    await clock.advance(5 * 60_000);
    expect(gate.trouble?.cause).toBe('refused');
    awaited = false;
    await clock.advance(2 * 60_000);
    expect(gate.open).toBe(true);
    expect(gate.trouble).toBeUndefined();
    expect(changes).toEqual([false, true]);
    expect(messages.at(-1)).toMatch(/no file waits for the store any more/);
    expect(refused).toEqual([]);

    due = ['alice', 'bob'];
    awaited = true;
    probed = [];
    fail('alice');
    await clock.advance(0);
    expect(probed).toEqual(['bob']);
    expect(gate.trouble?.cause).toBe('refused');
  });
});

describe('a store that does not answer', () => {
  test('is degraded, not failing; said once; goes on by itself', async () => {
    says = { alice: hiccup, bob: hiccup };
    for (let file = 0; file < 6; file += 1) fail('alice', hiccup);
    expect(gate.trouble?.cause).toBe('unreachable');
    await clock.advance(3 * 60_000);
    expect(messages).toEqual([expect.stringMatching(/the store does not answer/)]);
    expect(probed.length).toBeLessThan(15);
    says = {};
    await clock.advance(60_000);
    expect(gate.open).toBe(true);
    expect(refused).toEqual([]);
  });

  test('reachable tells whether a reply came', () => {
    expect(gate.reachable).toBeNull();
    fail('alice', errorOf('transient', 'ECONNREFUSED'));
    expect(gate.reachable).toBe(false);
    fail('alice', hiccup);
    expect(gate.reachable).toBe(true);
    expect(gate.lastError).toBe(hiccup);
    gate.report({ kind: 'stored', folder: 'alice' });
    expect(gate.lastError).toBeUndefined();
  });

  test('stopped, it asks nobody any more', async () => {
    says = { alice: refusal, bob: refusal };
    fail('alice');
    await clock.advance(5000);
    gate.stop();
    const before = probed.length;
    await clock.advance(10 * 60_000);
    expect(probed.length).toBe(before);
    expect(clock.sleeping()).toBe(0);
  });
});
