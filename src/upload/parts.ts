// How a large file is cut into the parts of a multipart upload. Who hashes the parts and who sends them must cut alike.

const MIB = 1024 * 1024;
const LEAST_BYTES = 8 * MIB;
/** R2 and S3 take no more. */
const MOST_PARTS = 10_000;

export interface Part {
  /** From 1. */
  number: number;
  /** Bytes. */
  position: number;
  length: number;
}

/** Bytes of each part but the last of a file of `size` bytes: equal parts of whole MiB, as few as may be. */
export function partBytes(size: number): number {
  return Math.max(LEAST_BYTES, Math.ceil(size / MOST_PARTS / MIB) * MIB);
}

/** The parts of a file of `size` bytes, in order. */
export function* cutIntoParts(size: number): Generator<Part, undefined> {
  const bytes = partBytes(size);
  for (let position = 0, number = 1; position < size; position += bytes, number += 1) {
    yield { number, position, length: Math.min(bytes, size - position) };
  }
}
