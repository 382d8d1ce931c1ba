// Memory for small files, used again and again: fresh buffers for every file cost more than reading it, and pile up
// until the garbage collector comes by.
import type { Clock } from '../clock.ts';

/** Buffers are this big or twice, four times … as big. */
const SMALLEST_BYTES = 2 ** 18;
/** Unused memory is given back after this long. */
const IDLE_MS = 5000;

export class BufferPool {
  readonly #clock: Clock;
  readonly #most: number;
  #free: ArrayBuffer[] = [];
  #emptying = false;
  #takenAt = 0;

  /** @param most buffers that are kept for the next file */
  constructor(clock: Clock, most: number) {
    this.#clock = clock;
    this.#most = most;
  }

  /** A buffer of at least `size` bytes, with whatever is in it. */
  take(size: number): ArrayBuffer {
    this.#takenAt = this.#clock.monotonic();
    const fitting = this.#free.findIndex(({ byteLength }) => byteLength >= size);
    if (fitting >= 0) return this.#free.splice(fitting, 1)[0]!;
    let bytes = SMALLEST_BYTES;
    while (bytes < size) bytes *= 2;
    // Too small for this file: its memory is better spent on the new one.
    this.#free.shift();
    return new ArrayBuffer(bytes);
  }

  /** Gives a buffer back. Nobody may still read from it. */
  give(buffer: ArrayBuffer): void {
    if (this.#free.length >= this.#most) return;
    this.#free.push(buffer);
    this.#free.sort((a, b) => a.byteLength - b.byteLength);
    if (!this.#emptying) void this.#emptyWhenIdle();
  }

  async #emptyWhenIdle(): Promise<void> {
    this.#emptying = true;
    while (this.#clock.monotonic() - this.#takenAt < IDLE_MS) await this.#clock.sleep(IDLE_MS);
    this.#free = [];
    this.#emptying = false;
  }
}
