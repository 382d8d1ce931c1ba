import { beforeEach, expect, test } from 'vitest';
import { demandsOf } from '../../src/agent/demand.ts';
import { type PendingFile, type PendingState, PendingTable } from '../../src/agent/pending.ts';
import { createFakeClock, type FakeClock } from '../support/fake-clock.ts';

const AT_ONCE = Number.NEGATIVE_INFINITY;
let clock: FakeClock;
let table: PendingTable;
let failing: Map<string, number>;

beforeEach(() => {
  clock = createFakeClock();
  table = new PendingTable(clock);
  failing = new Map();
});

function add(path: string, changes: Partial<PendingFile> = {}): PendingFile {
  return Object.assign(table.add(path), { state: 'leasing', ...changes });
}

const demands = (foreignMs = 10_000) =>
  Object.fromEntries(demandsOf({ table, isUrgent: ({ local }) => local, foreignMs, failing }));

test('a folder in which nothing is due asks for nothing', () => {
  for (const state of ['settling', 'parked', 'unreadable', 'empty'] as PendingState[]) {
    add(`alice/${state}.png`, { state, local: true });
  }
  expect(demands()).toEqual({});
});

test('what is due, on its way, tried again or being recorded keeps its folder', () => {
  for (const state of ['leasing', 'due', 'working', 'waiting', 'recording'] as PendingState[]) {
    add(`${state}/a.png`, { state, local: true });
  }
  expect(Object.keys(demands())).toEqual(['leasing', 'due', 'working', 'waiting', 'recording']);
});

test('files that were made here ask at once, others after they have been due for a while', async () => {
  await clock.advance(5000);
  add('alice/a.png', { local: true });
  add('bob/a.png');
  add('c.png');
  expect(demands()).toEqual({
    alice: { from: AT_ONCE, local: true, fresh: true, failingSince: undefined },
    bob: { from: 15_000, local: false, fresh: true, failingSince: undefined },
    '.': { from: 15_000, local: false, fresh: true, failingSince: undefined },
  });
});

test('the file that has waited longest speaks for its folder, and one that was made here for all', async () => {
  add('alice/old.png');
  await clock.advance(3000);
  add('alice/new.png');
  expect(demands().alice).toMatchObject({ from: 10_000, local: false });
  add('alice/own.png', { local: true });
  expect(demands().alice).toMatchObject({ from: AT_ONCE, local: true });
});

test('one that drains asks for nothing that others made', () => {
  add('bob/a.png');
  expect(demands(Number.POSITIVE_INFINITY).bob!.from).toBe(Number.POSITIVE_INFINITY);
});

test('while the store is not asked at all, no folder gets anywhere', () => {
  add('alice/a.png', { local: true });
  const options = { table, isUrgent: () => true, foreignMs: 0, failing, closedSince: 77 };
  expect(demandsOf(options).get('alice')!.failingSince).toBe(77);
});

test('a folder whose uploads fail says since when', () => {
  add('alice/a.png', { state: 'waiting', local: true });
  failing.set('alice', 1234);
  failing.set('bob', 5);
  expect(demands()).toEqual({ alice: { from: AT_ONCE, local: true, fresh: true, failingSince: 1234 } });
});

test('a file that was never tried makes its folder worth another try', () => {
  add('alice/a.png', { local: true, attempts: 3 });
  const fresh = () => demandsOf({ table, isUrgent: () => true, foreignMs: 0, failing }).get('alice')!.fresh;
  expect(fresh()).toBe(false);
  add('alice/b.png', { local: true });
  expect(fresh()).toBe(true);
});
