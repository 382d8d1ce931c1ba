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

/** A start that takes so long has a long history to go through: ms. */
const LONG_START_MS = 1000;
/** While it does, the heap is searched for garbage whenever it has grown by so much. */
const GROWTH_PERCENT = 40;

/**
 * For a start, which may have a million files to compare: if it takes long, one optimising compiler is taken back, which
 * saves a third of the time; and the heap grows slowly, though V8 would let it grow the faster the more is made. Call what
 * is returned when the start is over.
 */
export function hastenStart(clock: Clock): () => void {
  const over = new AbortController();
  setFlagsFromString(`--heap-growing-percent=${GROWTH_PERCENT}`);
  void clock.sleep(LONG_START_MS, over.signal).then(() => {
    if (!over.signal.aborted) setFlagsFromString('--turbofan');
  });
  return () => {
    over.abort();
    setFlagsFromString('--heap-growing-percent=0');
    forgoOptimisation();
  };
}

/** A collection is due when the process has grown by so much since the last one. */
const GROWTH_BYTES = 4 * 2 ** 20;
const LOOK_MS = 50;

/**
 * For a command that goes through a lot: collects garbage whenever some has piled up. Left alone, the heap grows to several
 * times what is in use before anything is collected.
 */
export async function collectOften(clock: Clock, signal: AbortSignal): Promise<void> {
  const collect = exposeCollect();
  let kept = process.memoryUsage.rss();
  while (!signal.aborted) {
    if (process.memoryUsage.rss() > kept + GROWTH_BYTES) {
      collect();
      kept = process.memoryUsage.rss();
    }
    await clock.sleep(LOOK_MS, signal);
  }
}

function exposeCollect(): () => void {
  setFlagsFromString('--expose-gc');
  return runInNewContext('gc') as () => void;
}

/**
 * For a command that moves many bytes and then ends, small memory costs twice the time: starts this process again without
 * what keeps the agent small. Returns where that isn't so already, or can't be changed.
 */
export function preferSpeed(): void {
  const isSmall = Object.entries(mallocSettings).every(([name, value]) => process.env[name] === value);
  const script = process.argv[1];
  if (!isSmall || script === undefined || typeof process.execve !== 'function') return;
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !(name in mallocSettings)));
  process.execve(process.execPath, [process.execPath, script, ...process.argv.slice(2)], env);
}

/** How long nothing must have happened. */
const IDLE_MS = 5000;

/**
 * Collects garbage when the agent comes to rest: what a start or a burst has left behind would otherwise stay in memory
 * until the next one.
 * @param activity any number that changes with every piece of work
 */
export async function collectWhenIdle(clock: Clock, activity: () => number, signal: AbortSignal): Promise<void> {
  const collect = exposeCollect();
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
