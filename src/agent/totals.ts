// What this process has done so far: counts, the files stored last, the pace.
import type { Clock } from '../clock.ts';
import type { StoredFile } from '../status/snapshot.ts';

const RECENT_FILES = 50;
/** The pace is that of the last so many seconds. */
const PACE_MS = 30_000;

export class Totals {
  /** Turns of files so far, whatever came of them. */
  turns = 0;
  retries = 0;
  alreadyStored = 0;
  /** Newest first. */
  readonly recent: StoredFile[] = [];
  readonly #clock: Clock;
  readonly #onUpload: (seconds: number, bytes: number) => void;
  #sent: { at: number; bytes: number }[] = [];

  /** @param onUpload gets of each file sent the seconds from its writer's last touch to the store's confirmation, and its bytes */
  constructor(clock: Clock, onUpload: (seconds: number, bytes: number) => void) {
    this.#clock = clock;
    this.#onUpload = onUpload;
  }

  countRetry(): void {
    this.retries += 1;
  }

  countStored(file: StoredFile, already: boolean): void {
    this.recent.unshift(file);
    if (this.recent.length > RECENT_FILES) this.recent.pop();
    if (already) {
      this.alreadyStored += 1;
      return;
    }
    this.#onUpload(file.seconds, file.bytes);
    const now = this.#clock.monotonic();
    this.#sent.push({ at: now, bytes: file.bytes });
    if (this.#sent[0]!.at < now - 2 * PACE_MS) this.#sent = this.#sent.filter(({ at }) => at >= now - PACE_MS);
  }

  /** Bytes per second lately; undefined if nothing was sent. */
  pace(): number | undefined {
    const now = this.#clock.monotonic();
    const sent = this.#sent.filter(({ at }) => at >= now - PACE_MS);
    const first = sent[0];
    if (!first) return undefined;
    const bytes = sent.reduce((sum, file) => sum + file.bytes, 0);
    return bytes / Math.max(1, (now - first.at) / 1000);
  }
}
