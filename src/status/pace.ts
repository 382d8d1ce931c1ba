// How fast uploads go, worked out from one snapshot of the agent to the next: the agent itself tells only how far they are.
import type { Snapshot } from './snapshot.ts';

/** Parts are confirmed whole, seconds apart on a slow uplink: over less time a speed would jump. */
const WINDOW_MS = 15_000;

interface Moment {
  /** Monotonic ms. */
  at: number;
  /** Bytes that are in the bucket, with those of unfinished uploads. */
  total: number;
  /** Bytes that have been sent of each upload, by path. */
  sent: ReadonlyMap<string, number>;
}

/** Bytes a second; undefined where nothing has been seen to move yet. */
export interface Pace {
  total: number | undefined;
  byPath: ReadonlyMap<string, number>;
}

export class PaceMeter {
  #moments: Moment[] = [];

  /** @param at when the snapshot was taken: monotonic ms */
  observe({ totals, pending }: Snapshot, at: number): Pace {
    const sent = new Map(pending.filter((file) => file.uploading).map((file) => [file.path, file.sent]));
    const total = totals.storedBytes + [...sent.values()].reduce((sum, bytes) => sum + bytes, 0);
    // One before the window stays: it is where the window begins.
    this.#moments = this.#moments.filter((_, i, all) => (all[i + 1]?.at ?? at) > at - WINDOW_MS);
    this.#moments.push({ at, total, sent });
    const byPath = new Map<string, number>();
    for (const [path, bytes] of sent) {
      const first = this.#moments.find((moment) => moment.sent.has(path))!;
      const speed = speedOf(bytes - first.sent.get(path)!, at - first.at);
      if (speed !== undefined) byPath.set(path, speed);
    }
    const [oldest] = this.#moments;
    return { total: speedOf(total - oldest!.total, at - oldest!.at), byPath };
  }
}

function speedOf(bytes: number, ms: number): number | undefined {
  return bytes > 0 && ms > 0 ? (bytes / ms) * 1000 : undefined;
}
