// What this process has done so far: counts, the files stored last, the pace.
import type { Clock } from '../clock.ts';
import type { StoredFact } from '../notify/fact.ts';
import type { StoredFile } from '../status/snapshot.ts';
import { RECENT_FILES } from './recent-files.ts';

/** The pace is that of the last so many seconds. */
const PACE_MS = 30_000;

export class Totals {
  /** Turns of files so far, whatever came of them. */
  turns = 0;
  retries = 0;
  alreadyStored = 0;
  /** Files that the store has confirmed. */
  confirmations = 0;
  /** Newest first. */
  readonly recent: StoredFile[] = [];
  readonly #clock: Clock;
  readonly #onUpload: (fact: Omit<StoredFact, 'root'>) => void;
  #sent: { at: number; bytes: number }[] = [];

  /** @param onUpload gets each file that was sent, not those that the bucket had already */
  constructor(clock: Clock, onUpload: (fact: Omit<StoredFact, 'root'>) => void) {
    this.#clock = clock;
    this.#onUpload = onUpload;
  }

  /** What was stored before this process began: newest first. Counts nowhere. */
  remember(files: readonly StoredFile[]): void {
    if (this.recent.length === 0) this.recent.push(...files);
  }

  countRetry(): void {
    this.retries += 1;
  }

  /** @param sent how many of its bytes `countSent` has counted */
  countStored(file: StoredFile, fact: Omit<StoredFact, 'root'>, already: boolean, sent = 0): void {
    this.confirmations += 1;
    this.recent.unshift(file);
    if (this.recent.length > RECENT_FILES) this.recent.pop();
    if (already) {
      this.alreadyStored += 1;
      return;
    }
    this.#onUpload(fact);
    this.countSent(file.bytes - sent);
  }

  /** Bytes that have arrived, of a file that needn't be whole yet: a large one takes minutes. */
  countSent(bytes: number): void {
    const now = this.#clock.monotonic();
    this.#sent.push({ at: now, bytes });
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
