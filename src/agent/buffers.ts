// Memory for small files, used again and again: fresh buffers for every file cost more than reading it, and pile up
// until the garbage collector comes by.
import type { Clock } from '../clock.ts';

/** Buffers are this big or twice, four times … as big. */
const SMALLEST_BYTES = 2 ** 18;
/** Memory that nobody has needed for so long is given back. */
const IDLE_MS = 5000;

export class BufferPool {
  readonly #clock: Clock;
  readonly #most: number;
  /** By size; among equals the one that came back last stands first. `since`: monotonic ms. */
  #free: { buffer: ArrayBuffer; since: number }[] = [];
  #tidying = false;

  /** @param most buffers that are kept for the next file */
  constructor(clock: Clock, most: number) {
    this.#clock = clock;
    this.#most = most;
  }

  /** A buffer of at least `size` bytes, with whatever is in it. */
  take(size: number): ArrayBuffer {
    // Of equals the one that was used last, so that those beyond what is needed at a time grow old.
    const fitting = this.#free.findIndex(({ buffer }) => buffer.byteLength >= size);
    if (fitting >= 0) return this.#free.splice(fitting, 1)[0]!.buffer;
    let bytes = SMALLEST_BYTES;
    while (bytes < size) bytes *= 2;
    // Too small for this file: its memory is better spent on the new one.
    const small = this.#free.shift();
    if (small) discard(small.buffer);
    return new ArrayBuffer(bytes);
  }

  /** Gives a buffer back. Nobody may still read from it. */
  give(buffer: ArrayBuffer): void {
    if (this.#free.length >= this.#most) return discard(buffer);
    this.#free.unshift({ buffer, since: this.#clock.monotonic() });
    this.#free.sort((a, b) => a.buffer.byteLength - b.buffer.byteLength);
    if (!this.#tidying) void this.#tidy();
  }

  /** A rush of files needs several buffers; the steady flow after it mustn't keep all of them for ever. */
  async #tidy(): Promise<void> {
    this.#tidying = true;
    while (this.#free.length > 0) {
      await this.#clock.sleep(IDLE_MS);
      const now = this.#clock.monotonic();
      const isOld = ({ since }: { since: number }) => now - since >= IDLE_MS;
      for (const { buffer } of this.#free.filter(isOld)) discard(buffer);
      this.#free = this.#free.filter((one) => !isOld(one));
    }
    this.#tidying = false;
  }
}

/** Frees the memory now: the garbage collector comes by rarely where nothing but buffers is large. */
function discard(buffer: ArrayBuffer): void {
  buffer.transfer(0);
}
