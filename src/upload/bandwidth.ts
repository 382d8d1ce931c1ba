// Decides when bytes may go out, so that uploads stay below a set rate (R2_BANDWIDTH_MBPS) together.
import type { Clock } from '../clock.ts';

/** Time not used is kept for this long: enough to make up for timers that ring late, too little for a burst. */
const CREDIT_MS = 100;

interface Waiter {
  bytes: number;
  go: () => void;
}

export class Bandwidth {
  readonly #clock: Clock;
  /** Undefined: no limit. */
  readonly #bytesPerMs: number | undefined;
  readonly #waiters: Waiter[] = [];
  /** When what has been let through so far is paid for, on the monotonic clock. */
  #paidAt = Number.NEGATIVE_INFINITY;
  #serving = false;
  #sleep = new AbortController();

  /** `mbps`: megabits (1,000,000 bits) a second; undefined sets no limit and costs nothing. */
  constructor(mbps: number | undefined, clock: Clock) {
    this.#clock = clock;
    this.#bytesPerMs = mbps === undefined ? undefined : (mbps * 1_000_000) / 8 / 1000;
  }

  /**
   * Resolves when `bytes` may go out, in the order of the calls. A take larger than the rate isn't refused: those after
   * it wait longer. Rejects with the signal's reason, at once and without using any of the rate, when aborted.
   */
  take(bytes: number, signal?: AbortSignal): Promise<void> {
    if (this.#bytesPerMs === undefined && !signal?.aborted) return Promise.resolve();
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason);
      const leave = () => {
        this.#waiters.splice(this.#waiters.indexOf(waiter), 1);
        if (this.#waiters.length === 0) this.#sleep.abort();
        reject(signal?.reason);
      };
      const waiter: Waiter = {
        bytes,
        go: () => {
          signal?.removeEventListener('abort', leave);
          resolve();
        },
      };
      signal?.addEventListener('abort', leave, { once: true });
      this.#waiters.push(waiter);
      if (!this.#serving) void this.#serve(this.#bytesPerMs!);
    });
  }

  /** Lets those who wait go one after the other, until nobody waits. */
  async #serve(bytesPerMs: number): Promise<void> {
    this.#serving = true;
    while (this.#waiters.length > 0) {
      const wait = this.#paidAt - this.#clock.monotonic();
      if (wait > 0) {
        this.#sleep = new AbortController();
        await this.#clock.sleep(wait, this.#sleep.signal);
        continue;
      }
      const first = this.#waiters.shift()!;
      this.#paidAt = Math.max(this.#paidAt, this.#clock.monotonic() - CREDIT_MS) + first.bytes / bytesPerMs;
      first.go();
    }
    this.#serving = false;
  }
}
