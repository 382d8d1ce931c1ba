// What was stored since the last digest.
import { printable } from '../paths.ts';
import type { StoredFact } from './fact.ts';

/** Whoever has more folders gets a number. */
const MOST_FOLDERS = 100;

export class Digest {
  readonly #periodMs: number;
  readonly #timezone: string;
  #since: { monotonic: number; wall: number };
  #files = 0;
  #bytes = 0;
  #folders = new Set<string>();

  /** Both times are ms. */
  constructor(periodMs: number, timezone: string, now: { monotonic: number; wall: number }) {
    this.#periodMs = periodMs;
    this.#timezone = timezone;
    this.#since = now;
  }

  note({ size, folder }: StoredFact): void {
    this.#files += 1;
    this.#bytes += size;
    if (this.#folders.size < MOST_FOLDERS) this.#folders.add(printable(folder));
  }

  /** What is to be told now, and begins anew; undefined where it isn't time, or nothing was stored. `last`: it is time. */
  take(now: { monotonic: number; wall: number }, last = false) {
    if (!last && now.monotonic - this.#since.monotonic < this.#periodMs) return undefined;
    const told =
      this.#files === 0
        ? undefined
        : {
            files: this.#files,
            bytes: this.#bytes,
            folders: [...this.#folders].sort(),
            since: timeOfDay(this.#since.wall, this.#timezone),
          };
    this.#since = now;
    this.#files = 0;
    this.#bytes = 0;
    this.#folders = new Set();
    return told;
  }
}

function timeOfDay(wall: number, timezone: string): string {
  // Intl's tables are megabytes of memory: most never need them.
  if (timezone === 'UTC') return `${new Date(wall).toISOString().slice(11, 16)} UTC`;
  return new Intl.DateTimeFormat('en-GB', { timeZone: timezone, hour: '2-digit', minute: '2-digit' }).format(wall);
}
