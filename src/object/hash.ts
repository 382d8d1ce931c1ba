// The content hash: SHA-256 over the whole file, in hex. Small files are hashed from memory, large ones as they are read.
import { createHash, hash } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';

const READ_BYTES = 1024 * 1024;

/** The file is no longer what it was when it was opened. No failure: it is started again. */
export class FileChangedError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'FileChangedError';
  }
}

export interface HashFileOptions {
  signal?: AbortSignal;
  /** Gets the bytes themselves, in order, for hashing them otherwise too; their memory is used again afterwards. */
  onBytes?: (bytes: Buffer) => void;
  /** Called after each read with its bytes; the next but one read waits for it, which is how a caller slows reading down. */
  onRead?: (bytes: number) => Promise<void> | void;
}

/** SHA-256 in hex, 64 characters. */
export function hashBuffer(buffer: Buffer): string {
  return hash('sha256', buffer, 'hex');
}

/**
 * SHA-256 in hex of the first `size` bytes. Leaves the handle open and its position alone. Throws FileChangedError if
 * the file ends before, the signal's reason when aborted, else what reading or `onRead` threw; no read is under way then.
 */
export async function hashFile(handle: FileHandle, size: number, options: HashFileOptions = {}): Promise<string> {
  const { signal, onBytes, onRead } = options;
  const digest = createHash('sha256');
  // Two buffers, so that one is filled while the other is hashed: a quarter faster than one.
  let current = Buffer.allocUnsafeSlow(READ_BYTES);
  let ahead = Buffer.allocUnsafeSlow(READ_BYTES);
  let position = 0;
  signal?.throwIfAborted();
  let reading = readAt(handle, current, position, size);
  try {
    while (position < size) {
      const bytes = await reading;
      if (bytes === 0) {
        throw new FileChangedError(`The file ended after ${position} of ${size} bytes: it changed while it was read.`);
      }
      position += bytes;
      signal?.throwIfAborted();
      reading = readAt(handle, ahead, position, size);
      digest.update(current.subarray(0, bytes));
      onBytes?.(current.subarray(0, bytes));
      [current, ahead] = [ahead, current];
      await onRead?.(bytes);
    }
  } finally {
    await reading.catch(() => {});
  }
  return digest.digest('hex');
}

/** SHA-256 of every `partBytes` bytes of what comes in, the last part being what is left. */
export class PartHasher {
  readonly #partBytes: number;
  readonly #hashes: string[] = [];
  #digest = createHash('sha256');
  #filled = 0;

  constructor(partBytes: number) {
    this.#partBytes = partBytes;
  }

  update(bytes: Buffer): void {
    for (let at = 0; at < bytes.length; ) {
      const piece = bytes.subarray(at, at + this.#partBytes - this.#filled);
      this.#digest.update(piece);
      this.#filled += piece.length;
      at += piece.length;
      if (this.#filled === this.#partBytes) this.#endPart();
    }
  }

  /** In order, hex. Nothing may come after it. */
  end(): readonly string[] {
    if (this.#filled > 0) this.#endPart();
    return this.#hashes;
  }

  #endPart(): void {
    this.#hashes.push(this.#digest.digest('hex'));
    this.#digest = createHash('sha256');
    this.#filled = 0;
  }
}

/** Reads on from `position`, never beyond `size`. Gives the number of bytes, 0 at the end of the file. */
function readAt(handle: FileHandle, buffer: Buffer, position: number, size: number): Promise<number> {
  const length = Math.min(READ_BYTES, size - position);
  if (length <= 0) return Promise.resolve(0);
  const reading = handle.read(buffer, 0, length, position).then((result) => result.bytesRead);
  // The read ahead may fail while nobody waits for it yet: it is reported when its turn comes.
  reading.catch(() => {});
  return reading;
}
