import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Bandwidth } from '../../src/upload/bandwidth.ts';
import { createFakeClock, type FakeClock } from '../support/fake-clock.ts';

const MB = 1_000_000;

/** Takes each size in turn without waiting; the list that comes back fills with [index, time] as they may go. */
function takeAll(bandwidth: Bandwidth, clock: FakeClock, sizes: readonly number[]): [number, number][] {
  const gone: [number, number][] = [];
  for (const [index, bytes] of sizes.entries()) {
    void bandwidth.take(bytes).then(() => gone.push([index, clock.monotonic()]));
  }
  return gone;
}

describe('R2_BANDWIDTH_MBPS holds uploads below a rate', () => {
  it('no limit lets everything go at once and starts no timer', async () => {
    const clock = createFakeClock();
    const gone = takeAll(new Bandwidth(undefined, clock), clock, [MB, 1000 * MB, 1]);
    await clock.advance(0);
    expect(gone).toHaveLength(3);
    expect(clock.sleeping()).toBe(0);
  });

  it('8 megabits are a million bytes a second, in the order of the calls', async () => {
    const clock = createFakeClock();
    const gone = takeAll(new Bandwidth(8, clock), clock, [MB, 2 * MB, MB / 2, MB]);
    await clock.advance(10_000);
    expect(gone).toEqual([
      [0, 0],
      [1, 900],
      [2, 2900],
      [3, 3400],
    ]);
  });

  it('time that nobody used is not made up for in a burst', async () => {
    const clock = createFakeClock();
    const bandwidth = new Bandwidth(8, clock);
    takeAll(bandwidth, clock, [MB]);
    await clock.advance(3_600_000);
    const gone = takeAll(bandwidth, clock, [MB, MB, MB]);
    await clock.advance(1000);
    expect(gone.map(([index]) => index)).toEqual([0, 1]);
  });

  it('one who gives up leaves at once, and the others go as if it had never asked', async () => {
    const clock = createFakeClock();
    const bandwidth = new Bandwidth(8, clock);
    const controller = new AbortController();
    const first = takeAll(bandwidth, clock, [MB]);
    const aborted = bandwidth.take(50 * MB, controller.signal);
    const later = takeAll(bandwidth, clock, [MB]);
    await clock.advance(100);
    controller.abort(new Error('drain'));
    await expect(aborted).rejects.toThrow('drain');
    await clock.advance(900);
    expect([first, later]).toEqual([[[0, 0]], [[0, 900]]]);
    await expect(bandwidth.take(1, controller.signal)).rejects.toThrow('drain');
  });

  it.each(['at once', 'later'])(
    'when the last one gives up no timer stays, and who asks %s waits as before',
    async (when) => {
      const clock = createFakeClock();
      const bandwidth = new Bandwidth(8, clock);
      const controller = new AbortController();
      takeAll(bandwidth, clock, [60 * MB]);
      const aborted = bandwidth.take(1, controller.signal);
      await clock.advance(0);
      expect(clock.sleeping()).toBe(1);
      controller.abort();
      aborted.catch(() => {});
      if (when === 'later') {
        await clock.advance(0);
        expect(clock.sleeping()).toBe(0);
      }
      const gone = takeAll(bandwidth, clock, [MB]);
      await expect(aborted).rejects.toThrow();
      await clock.advance(59_000);
      expect(gone).toEqual([]);
      await clock.advance(1000);
      expect(gone).toEqual([[0, 59_900]]);
      expect(clock.sleeping()).toBe(0);
    },
  );

  it('whatever is asked for when, the bytes let through stay below the rate and the rate is used', async () => {
    const steps = fc.array(fc.tuple(fc.integer({ min: 1, max: 5 * MB }), fc.integer({ min: 0, max: 4000 })), {
      minLength: 1,
      maxLength: 20,
    });
    await fc.assert(
      fc.asyncProperty(steps, fc.integer({ min: 1, max: 1000 }), async (asked, mbps) => {
        const clock = createFakeClock();
        const bandwidth = new Bandwidth(mbps, clock);
        const perMs = mbps * 125;
        const gone: { bytes: number; at: number }[] = [];
        for (const [bytes, pause] of asked) {
          void bandwidth.take(bytes).then(() => gone.push({ bytes, at: clock.monotonic() }));
          await clock.advance(pause);
        }
        const total = asked.reduce((sum, [bytes]) => sum + bytes, 0);
        await clock.advance(total / perMs + 1);
        expect(gone.map(({ bytes }) => bytes)).toEqual(asked.map(([bytes]) => bytes));
        for (const [start, first] of gone.entries()) {
          let bytes = 0;
          for (const next of gone.slice(start)) {
            // What went before `next` since `first` must have been paid for, but for 100 ms.
            expect(bytes).toBeLessThanOrEqual((next.at - first.at + 100) * perMs + 1);
            bytes += next.bytes;
          }
        }
      }),
      { numRuns: 50 },
    );
  });
});
