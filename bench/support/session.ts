// One contender at work in a place of its own: an empty directory, a fresh store, and everything gone afterwards.
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Child } from './children.ts';
import { now, pause } from './clock.ts';
import type { Contender, Running, Stage } from './contender.ts';
import { readCpuMs, watchPeak } from './process-tree.ts';
import { startRealStore } from './real-store.ts';
import type { Place } from './row.ts';
import { makeSample, type Written, writeSample } from './samples.ts';
import { type BenchStore, type StoredFile, startStore } from './store.ts';

export interface Session {
  dir: string;
  stage: Stage;
  store: BenchStore;
  /** Starts a contender and waits until it is ready. `pauseSeconds`: between two passes of one that works in passes. */
  start(contender: Contender, pauseSeconds?: number): Promise<Running>;
}

/** When each file that arrived was stored (epoch ms), by stem. */
export type Arrivals = ReadonlyMap<string, number>;

const QUESTION_EVERY_MS = 250;
const LIST_EVERY_MS = 2_000;
/** Longer than anybody's scan or pass: what hasn't come by then doesn't come. */
const PATIENCE_MS = 22_000;
const STORED_LIMIT_MS = 120_000;
const WARM_UP_FILES = 5;
/** What people set rclone's loop to, at best. */
const PASS_PAUSE_SECONDS = 10;
const roots = new Set<string>();

/** The session makes and removes a directory in `place.directory`. */
export async function withSession<T>(place: Place, use: (session: Session) => Promise<T>): Promise<T> {
  const root = mkdtempSync(join(place.directory, 'r2-sync-bench-'));
  roots.add(root);
  const children: Child[] = [];
  try {
    const [dir, scratch] = [join(root, 'output'), join(root, 'scratch')];
    for (const path of [dir, scratch]) mkdirSync(path);
    const store = place.store === 'real' ? await startRealStore(root) : await startStore(place);
    children.push(store.child);
    const { endpoint, bucket, accessKey, secretKey } = store;
    const stage = { dir, scratch, endpoint, bucket, accessKey, secretKey };
    const start = async (contender: Contender, pauseSeconds = PASS_PAUSE_SECONDS): Promise<Running> => {
      const running = await contender.start(stage, pauseSeconds);
      children.unshift(running.child);
      await running.ready();
      return running;
    };
    const result = await use({ dir, stage, store, start });
    // Whoever died on the way has cheap figures.
    for (const { pid, ended, complaints } of children)
      if (ended() !== undefined)
        throw new Error(`process ${pid} ${ended()} during the row. Its stderr: ${complaints()}`);
    return result;
  } finally {
    for (const child of children) await child.stop();
    rmSync(root, { recursive: true, force: true });
    roots.delete(root);
  }
}

/** For the way out, where nothing can be awaited. */
export function removeAllSessions(): void {
  for (const root of roots) rmSync(root, { recursive: true, force: true });
}

/** A few files first, so that nobody's first connection or cold code is measured. */
export async function warmUp(session: Session): Promise<Written[]> {
  const written: Written[] = [];
  for (let index = 0; index < WARM_UP_FILES; index += 1) {
    written.push(writeSample(join(session.dir, `warm-${index}.png`), makeSample(index)));
    await pause(200);
  }
  const arrived = await awaitStored(session.store, written);
  if (arrived.size < written.length)
    throw new Error(`only ${arrived.size} of the ${written.length} warm-up files were stored`);
  return written;
}

/** Waits until every file is stored as it was written, until nothing more comes, or until the time is up. */
export async function awaitStored(
  store: BenchStore,
  written: readonly Written[],
  limitMs = STORED_LIMIT_MS,
): Promise<Arrivals> {
  const end = now() + limitMs;
  let arrived = matchArrivals(written, await store.objects());
  let [progressAt, askedAt, activity] = [now(), now(), Number.NaN];
  while (arrived.size < written.length && now() < end && now() < progressAt + PATIENCE_MS) {
    await pause(QUESTION_EVERY_MS);
    // The list of objects is long. A store that is busy isn't bothered with it more often than it must be.
    const [before, isOld] = [activity, now() > askedAt + LIST_EVERY_MS];
    activity = await store.activity();
    // A large file comes in parts: nothing arrives for long, and yet something goes on.
    if (activity !== before) progressAt = now();
    if (activity !== before && !isOld) continue;
    askedAt = now();
    const next = matchArrivals(written, await store.objects());
    if (next.size > arrived.size) progressAt = now();
    arrived = next;
  }
  return arrived;
}

/** Milliseconds from close to stored of the files that arrived. */
export function latencies(written: readonly Written[], arrived: Arrivals): number[] {
  return written.flatMap(({ stem, closedAt }) => {
    const at = arrived.get(stem);
    return at === undefined ? [] : [at - closedAt];
  });
}

/** Measures what a contender costs from now until `stop`: CPU milliseconds, and MiB at the peak since its start. */
export function measureCost(pid: number): { stop(): { cpuMs: number; peakMib: number } } {
  const before = readCpuMs(pid);
  const peak = watchPeak(pid);
  return { stop: () => ({ peakMib: peak.stop(), cpuMs: readCpuMs(pid) - before }) };
}

/** Every contender keeps the stem in the key; size and hash tell a whole file from a half one. */
function matchArrivals(written: readonly Written[], objects: readonly StoredFile[]): Map<string, number> {
  const byStem = new Map<string, StoredFile>();
  for (const object of objects) {
    const stem = /([a-z]+-\d+)[^/]*$/.exec(object.key)?.[1];
    if (stem !== undefined) byStem.set(stem, object);
  }
  const arrived = new Map<string, number>();
  for (const { stem, size, sha256 } of written) {
    const object = byStem.get(stem);
    if (object === undefined || object.size !== size) continue;
    if (sha256 !== undefined && object.sha256 !== undefined && object.sha256 !== sha256) continue;
    arrived.set(stem, object.storedAt);
  }
  return arrived;
}
