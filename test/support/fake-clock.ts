// A clock that stands still until a test moves it: sleeps end in the order they are due, however far it is moved.
import { setImmediate as turn } from 'node:timers/promises';
import type { Clock } from '../../src/clock.ts';

export interface FakeClock extends Clock {
  /**
   * Moves time on by `ms`. Stops at every sleep that falls due on the way, sets the time to that moment and lets what
   * it wakes run (so a sleep started there may fall due within the same call). Await it.
   */
  advance(ms: number): Promise<void>;
  /** Steps the wall clock alone, as NTP does; negative is back. */
  stepWall(ms: number): void;
  /** How many sleeps haven't ended. */
  sleeping(): number;
}

interface Sleeper {
  due: number;
  wake: () => void;
}

/** `wall` is the start of the wall clock in milliseconds since 1970; the monotonic clock starts at 0. */
export function createFakeClock(wall: number = Date.UTC(2026, 10, 20, 12)): FakeClock {
  let now = 0;
  let wallOffset = wall;
  const sleepers = new Set<Sleeper>();

  return {
    monotonic: () => now,
    wall: () => now + wallOffset,
    sleep: (ms, signal) =>
      new Promise((resolve) => {
        if (signal?.aborted) return resolve();
        const sleeper: Sleeper = {
          due: now + Math.max(0, ms),
          wake: () => {
            sleepers.delete(sleeper);
            signal?.removeEventListener('abort', sleeper.wake);
            resolve();
          },
        };
        sleepers.add(sleeper);
        signal?.addEventListener('abort', sleeper.wake, { once: true });
      }),
    async advance(ms) {
      const end = now + ms;
      await turn();
      for (let next = firstDue(sleepers, end); next; next = firstDue(sleepers, end)) {
        now = Math.max(now, next.due);
        next.wake();
        await turn();
      }
      now = Math.max(now, end);
    },
    stepWall(ms) {
      wallOffset += ms;
    },
    sleeping: () => sleepers.size,
  };
}

/** The sleeper due first, no later than `end`; of those due together the one that began first. */
function firstDue(sleepers: Set<Sleeper>, end: number): Sleeper | undefined {
  let first: Sleeper | undefined;
  for (const sleeper of sleepers) {
    if (sleeper.due <= end && (first === undefined || sleeper.due < first.due)) first = sleeper;
  }
  return first;
}
