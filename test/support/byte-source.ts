// Byte sources for tests: one that counts what is asked of it, and files that are larger than memory.
import type { ByteSource } from '../../src/settle/formats/index.ts';

export interface ReadCount {
  reads: number;
  /** The longest read, in bytes. */
  longest: number;
  /** Asked for in all. */
  bytes: number;
}

/** The source, and what was read from it so far. Throws on a read that lies outside of the file. */
export function countReads(source: ByteSource): { source: ByteSource; count: ReadCount } {
  const count: ReadCount = { reads: 0, longest: 0, bytes: 0 };
  const read = async (position: number, length: number): Promise<Buffer> => {
    if (!Number.isSafeInteger(position) || position < 0 || position > source.size || !(length >= 0)) {
      throw new RangeError(`read of ${length} bytes at ${position} of ${source.size}`);
    }
    count.reads += 1;
    count.longest = Math.max(count.longest, length);
    count.bytes += length;
    return source.read(position, length);
  };
  return { source: { size: source.size, read }, count };
}

/** A file of `size` bytes that are 0 but for the given pieces. */
export function sparseSource(size: number, pieces: ReadonlyArray<{ at: number; bytes: Buffer }>): ByteSource {
  return {
    size,
    read: async (position, length) => {
      const result = Buffer.alloc(Math.max(0, Math.min(length, size - position)));
      for (const { at, bytes } of pieces) {
        const from = Math.max(at, position);
        const to = Math.min(at + bytes.length, position + result.length);
        if (from < to) bytes.copy(result, from - position, from - at, to - at);
      }
      return result;
    },
  };
}
