// Keeps the agent small beside ComfyUI. All of this is worth some 30 MB; none of it changes what the agent does.
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { Clock } from './clock.ts';

/**
 * Makes malloc give back what is free. It reads these before Node starts, so the bundle's first line sets them; they are
 * the agent's own, and no program that it runs for somebody else gets them.
 */
export const mallocSettings: Readonly<Record<string, string>> = {
  MALLOC_ARENA_MAX: '2',
  MALLOC_MMAP_THRESHOLD_: '65536',
  MALLOC_TRIM_THRESHOLD_: '65536',
};

/**
 * Leaves out the optimising compilers: the agent's hot paths are native (hashing, sockets, files), so that they cost more
 * memory than they save time. To be called before anything runs often.
 */
export function forgoOptimisation(): void {
  setFlagsFromString('--no-turbofan');
  setFlagsFromString('--no-maglev');
}

/** How long nothing must have happened. */
const IDLE_MS = 5000;

/**
 * Collects garbage when the agent comes to rest: what a start or a burst has left behind would otherwise stay in memory
 * until the next one.
 * @param activity any number that changes with every piece of work
 */
export async function collectWhenIdle(clock: Clock, activity: () => number, signal: AbortSignal): Promise<void> {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  let collected = Number.NaN;
  let before = Number.NaN;
  while (!signal.aborted) {
    const now = activity();
    if (now === before && now !== collected) {
      collect();
      collected = now;
    }
    before = now;
    await clock.sleep(IDLE_MS, signal);
  }
}
