// Memory for files: used again, and given back.
import { expect, test } from 'vitest';
import { BufferPool } from '../../src/agent/buffers.ts';
import { createFakeClock } from '../support/fake-clock.ts';

const MIB = 2 ** 20;

test('one file after the other takes the same memory', () => {
  const pool = new BufferPool(createFakeClock(), 4);
  const first = pool.take(3 * MIB);
  pool.give(first);
  expect(pool.take(2 * MIB)).toBe(first);
});

test('what is too small is not kept beside what is needed now', () => {
  const pool = new BufferPool(createFakeClock(), 4);
  const small = pool.take(MIB);
  pool.give(small);
  const large = pool.take(8 * MIB);
  expect(large.byteLength).toBe(8 * MIB);
  pool.give(large);
  expect(pool.take(MIB)).toBe(large);
});

test('what a rush of files needed is given back, though the flow after it never rests', async () => {
  const clock = createFakeClock();
  const pool = new BufferPool(clock, 4);
  const rush = [1, 2, 3, 4].map(() => pool.take(3 * MIB));
  for (const buffer of rush) pool.give(buffer);
  for (let second = 0; second < 12; second += 1) {
    const buffer = pool.take(3 * MIB);
    expect(rush).toContain(buffer);
    pool.give(buffer);
    await clock.advance(1000);
  }
  const next = [1, 2, 3, 4].map(() => pool.take(3 * MIB));
  expect(next.filter((buffer) => rush.includes(buffer))).toHaveLength(1);
  expect(rush.filter(({ byteLength }) => byteLength > 0)).toHaveLength(1);
});

test('at rest it keeps nothing, and no timer', async () => {
  const clock = createFakeClock();
  const pool = new BufferPool(clock, 4);
  const buffer = pool.take(3 * MIB);
  pool.give(buffer);
  for (let second = 0; second < 12; second += 1) await clock.advance(1000);
  expect(clock.sleeping()).toBe(0);
  expect(buffer.byteLength).toBe(0);
});
