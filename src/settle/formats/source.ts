// What a format check reads from, and what it may answer.

/** Random access to the bytes that are judged. */
export interface ByteSource {
  /** Bytes in all. */
  readonly size: number;
  /** Up to `length` bytes at `position`; fewer only at the end. */
  read(position: number, length: number): Promise<Buffer>;
}

/**
 * - `whole`: by its own format the file is finished;
 * - `torn`: not finished, or cut off;
 * - `unknown`: the format can't tell.
 */
export type Verdict = 'whole' | 'torn' | 'unknown';

/** Judges a file whose first bytes are this format's. Rejects only when the source does. */
export type FormatCheck = (source: ByteSource) => Promise<Verdict>;

/** Bytes that are in memory already; reads are views, nothing is copied. */
export function bufferSource(buffer: Buffer): ByteSource {
  return {
    size: buffer.length,
    read: async (position, length) => buffer.subarray(position, position + length),
  };
}

const DEFAULT_WINDOW = 64 * 1024;

/**
 * One window of the file in memory, so that walking many small blocks takes few reads. It never asks for bytes beyond
 * the end, whatever position or length a damaged file made up, and holds one window's bytes at most.
 */
export class ByteWindow {
  readonly #source: ByteSource;
  readonly #bytes: number;
  #start = 0;
  #held: Buffer = Buffer.alloc(0);

  constructor(source: ByteSource, bytes: number = DEFAULT_WINDOW) {
    this.#source = source;
    this.#bytes = bytes;
  }

  /** The `length` (at most the window's) bytes at `position`, or undefined where the file ends before them. */
  async at(position: number, length: number): Promise<Buffer | undefined> {
    if (!this.#holds(position, length)) {
      if (position + length > this.#source.size) return undefined;
      this.#held = await this.#source.read(position, Math.min(this.#bytes, this.#source.size - position));
      this.#start = position;
      // A file that shrank meanwhile gives fewer bytes than it had.
      if (!this.#holds(position, length)) return undefined;
    }
    const from = position - this.#start;
    return this.#held.subarray(from, from + length);
  }

  /** The byte at `position` if it is in memory, else undefined: for loops of many steps, which can't await each. */
  heldByte(position: number): number | undefined {
    return this.#held[position - this.#start];
  }

  #holds(position: number, length: number): boolean {
    return position >= this.#start && position + length <= this.#start + this.#held.length;
  }
}
