import { beforeEach, describe, expect, test } from 'vitest';
import { isBusy, type PendingState, PendingTable } from '../../src/agent/pending.ts';
import { createFakeClock, type FakeClock } from '../support/fake-clock.ts';

let clock: FakeClock;
let table: PendingTable;

beforeEach(() => {
  clock = createFakeClock();
  table = new PendingTable(clock);
});

describe('the pending list', () => {
  test('every file is in exactly one place: pending, stuck, or empty', () => {
    const states: PendingState[] = [
      'settling',
      'due',
      'working',
      'waiting',
      'recording',
      'parked',
      'unreadable',
      'empty',
    ];
    for (const state of states) table.add(`alice/${state}.png`).state = state;
    const named = (files: Iterable<{ state: PendingState }>) => [...files].map(({ state }) => state);
    expect(named(table.pending())).toEqual(['settling', 'due', 'working', 'waiting', 'recording']);
    expect(named(table.stuck())).toEqual(['parked', 'unreadable']);
    expect([...table.all()]).toHaveLength(8);
    expect(named([...table.all()].filter(isBusy))).toEqual(['working', 'recording']);
    expect(table.get('alice/due.png')!.folder).toBe('alice');
  });

  test('a dropped file is gone with its timer, and an old entry never drops a new one of the same name', async () => {
    const old = table.add('a.png');
    let rang = 0;
    table.setTimer(old, 100, () => (rang += 1));
    table.drop(old);
    const fresh = table.add('a.png');
    table.drop(old);
    expect(table.get('a.png')).toBe(fresh);
    expect(table.has(old)).toBe(false);
    await clock.advance(1000);
    expect(rang).toBe(0);
    table.clear();
    expect([...table.all()]).toEqual([]);
  });

  test('a file has one timer: the last one that was set', async () => {
    const file = table.add('a.png');
    const rang: string[] = [];
    table.setTimer(file, 100, () => rang.push('first'));
    table.setTimer(file, 200, () => rang.push('second'));
    await clock.advance(500);
    expect(rang).toEqual(['second']);
    expect(file.timer).toBeUndefined();
    expect(clock.sleeping()).toBe(0);
  });

  test('its quiet time begins anew with every change, but not with the first look', async () => {
    const file = table.add('a.png');
    await clock.advance(1000);
    table.observe(file, 10, 5n);
    expect(file.changedAt).toBe(0);
    await clock.advance(1000);
    table.observe(file, 10, 5n);
    expect(file.changedAt).toBe(0);
    table.observe(file, 11, 5n);
    expect(file.changedAt).toBe(2000);
    await clock.advance(1000);
    table.observe(file, 11, 6n);
    expect(file).toMatchObject({ changedAt: 3000, size: 11, mtimeNs: 6n });
  });
});
