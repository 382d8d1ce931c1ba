import { beforeEach, expect, test } from 'vitest';
import { permitOf, unconditional } from '../../src/agent/permit.ts';
import type { Leases } from '../../src/lease/leases.ts';
import { uncontested } from '../../src/lease/leases.ts';
import { createFakeClock, type FakeClock } from '../support/fake-clock.ts';

let clock: FakeClock;
let held: boolean;
let ending: AbortController;
let leases: Leases;

beforeEach(() => {
  clock = createFakeClock();
  held = true;
  stored = false;
  ending = new AbortController();
  leases = { ...uncontested, holds: () => held, protects: () => held, ending: () => ending.signal };
});

let stored = false;
const permit = () => permitOf({ folder: 'alice', since: 0, leases, clock, patienceMs: 60_000, isStored: () => stored });
const lost = { failure: 'aborted', code: 'LeaseLost', message: expect.stringContaining('alice') };
const never = new AbortController().signal;

test('a turn may go on only as long as its folder is ours, asked anew each time', () => {
  const turn = permit();
  turn.check();
  held = false;
  expect(() => turn.check()).toThrow(expect.objectContaining(lost));
  held = true;
  turn.check();
});

test('what ends with the lease ends what it was begun under, not what came after', () => {
  const turn = permit();
  ending.abort();
  ending = new AbortController();
  expect([turn.ending.aborted, permit().ending.aborted]).toEqual([true, false]);
});

test('without a lease the bucket is asked first', () => {
  expect(permit().contested).toBe(false);
  held = false;
  expect(permit().contested).toBe(true);
});

test('a large upload goes on when its folder is ours again', async () => {
  held = false;
  let goesOn = false;
  const regaining = permit()
    .regain(never)
    .then(() => {
      goesOn = true;
    });
  await clock.advance(30_000);
  expect(goesOn).toBe(false);
  held = true;
  await clock.advance(200);
  await regaining;
  expect(goesOn).toBe(true);
});

test('a large upload waits for its folder for a minute, and no longer', async () => {
  held = false;
  let refusal: unknown;
  void permit()
    .regain(never)
    .catch((error) => {
      refusal = error;
    });
  await clock.advance(59_000);
  expect(refusal).toBeUndefined();
  await clock.advance(2000);
  expect(refusal).toMatchObject(lost);
});

test('a large upload that is stopped waits for nothing', async () => {
  held = false;
  const stop = new AbortController();
  const regaining = permit().regain(stop.signal);
  stop.abort();
  await expect(regaining).rejects.toMatchObject(lost);
  expect(clock.sleeping()).toBe(0);
});

test('a probe of the store asks nobody, and looks into the bucket first', async () => {
  unconditional.check();
  await unconditional.regain(never);
  expect([unconditional.contested, unconditional.ending.aborted]).toEqual([true, false]);
});

test('a large upload that waits for its folder ends as soon as others have stored the file', async () => {
  held = false;
  const end = expect(permit().regain(never)).rejects.toMatchObject(lost);
  stored = true;
  await clock.advance(100);
  await end;
});
