import { createHash, randomBytes } from 'node:crypto';
import { type FileHandle, mkdtemp, open, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { FileChangedError, hashBuffer, hashFile, PartHasher } from '../../src/object/hash.ts';

const MIB = 1024 * 1024;
let directory: string;
let path: string;
let handle: FileHandle | undefined;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'r2-sync-hash-'));
  path = join(directory, 'video.mp4');
});

afterEach(async () => {
  await handle?.close();
  handle = undefined;
  await rm(directory, { recursive: true });
});

async function openFile(bytes: Buffer): Promise<FileHandle> {
  await writeFile(path, bytes);
  handle = await open(path);
  return handle;
}

function expectedHash(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** A handle whose reads are `read`: for what real files do only now and then. */
function handleOf(read: (buffer: Buffer, length: number, position: number) => Promise<number>): FileHandle {
  return {
    read: async (buffer: Buffer, _offset: number, length: number, position: number) => ({
      bytesRead: await read(buffer, length, position),
      buffer,
    }),
  } as unknown as FileHandle;
}

describe('the content hash is the SHA-256 of the whole file', () => {
  it('of bytes in memory', () => {
    expect(hashBuffer(Buffer.from('test'))).toBe('9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08');
    expect(hashBuffer(Buffer.alloc(0))).toBe('e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855');
  });

  it.each([0, 1, MIB - 1, MIB, MIB + 1, 2 * MIB, 5 * MIB + 7])('of a file of %d bytes', async (size) => {
    const bytes = randomBytes(size);
    const reads: number[] = [];
    const sum = await hashFile(await openFile(bytes), size, { onRead: (count) => void reads.push(count) });
    expect(sum).toBe(expectedHash(bytes));
    expect(reads.reduce((total, count) => total + count, 0)).toBe(size);
    expect(Math.max(0, ...reads)).toBeLessThanOrEqual(MIB);
  });

  it('of the first bytes only, when the file has grown since its size was taken', async () => {
    const bytes = randomBytes(3 * MIB);
    expect(await hashFile(await openFile(bytes), 2 * MIB + 5)).toBe(expectedHash(bytes.subarray(0, 2 * MIB + 5)));
  });

  it('leaves the handle where it was: the upload reads it again', async () => {
    const bytes = randomBytes(MIB + 3);
    const file = await openFile(bytes);
    await hashFile(file, bytes.length);
    expect((await file.read(Buffer.alloc(10), 0, 10, null)).buffer.equals(bytes.subarray(0, 10))).toBe(true);
  });

  it('of a file that comes in short reads, as from a network volume', async () => {
    const bytes = randomBytes(2 * MIB + 11);
    const short = handleOf(async (buffer, length, position) =>
      bytes.copy(buffer, 0, position, position + Math.min(length, 99_991)),
    );
    expect(await hashFile(short, bytes.length)).toBe(expectedHash(bytes));
  });

  it('waits for onRead, so that a caller can slow reading down', async () => {
    const bytes = randomBytes(4 * MIB);
    const file = await openFile(bytes);
    const read = vi.spyOn(file, 'read');
    const held = Promise.withResolvers<void>();
    const entered = Promise.withResolvers<void>();
    const sum = hashFile(file, bytes.length, {
      onRead: () => {
        entered.resolve();
        return held.promise;
      },
    });
    await entered.promise;
    expect(read).toHaveBeenCalledTimes(2);
    held.resolve();
    expect(await sum).toBe(expectedHash(bytes));
  });
});

describe('invariant 3: a file that changes while it is read is started again', () => {
  it('a file that is shorter than it was is "changed"', async () => {
    const file = await openFile(randomBytes(MIB));
    await expect(hashFile(file, MIB + 1)).rejects.toThrow(FileChangedError);
  });

  it('so is one that is cut in the middle of it', async () => {
    const file = await openFile(randomBytes(6 * MIB));
    const sum = hashFile(file, 6 * MIB, { onRead: () => truncate(path, 2 * MIB) });
    await expect(sum).rejects.toThrow(/ended after 2097152 of 6291456 bytes/);
  });
});

describe('hashing ends when it should', () => {
  it('at once when aborted before', async () => {
    const file = await openFile(randomBytes(10));
    const read = vi.spyOn(file, 'read');
    await expect(hashFile(file, 10, { signal: AbortSignal.abort(new Error('drain')) })).rejects.toThrow('drain');
    expect(read).not.toHaveBeenCalled();
  });

  it.each([
    ['aborted', (controller: AbortController) => controller.abort(new Error('drain'))],
    [
      'onRead throws',
      () => {
        throw new Error('drain');
      },
    ],
  ])('after the read under way when %s, with no read left behind', async (_, onRead) => {
    const controller = new AbortController();
    let underWay = 0;
    let reads = 0;
    const slow = handleOf(async (_buffer, length) => {
      reads += 1;
      underWay += 1;
      await new Promise(setImmediate);
      underWay -= 1;
      return length;
    });
    const sum = hashFile(slow, 100 * MIB, { signal: controller.signal, onRead: () => onRead(controller) });
    await expect(sum).rejects.toThrow('drain');
    expect(underWay).toBe(0);
    expect(reads).toBe(2);
  });

  it('with the error of a disk that fails, also one that comes while onRead holds it back', async () => {
    const failing = handleOf(async (_buffer, length, position) => {
      if (position > 0) throw Object.assign(new Error('EIO: i/o error, read'), { code: 'EIO' });
      return length;
    });
    const sum = hashFile(failing, 3 * MIB, { onRead: () => new Promise((resolve) => setImmediate(resolve)) });
    await expect(sum).rejects.toMatchObject({ code: 'EIO' });
  });
});

describe('the hashes of the parts', () => {
  const bytes = randomBytes(10_000);

  it.each([1, 999, 1000, 1001, 2500, 10_000])('are those of each part, whatever the pieces: %d bytes each', (piece) => {
    const hasher = new PartHasher(1000);
    for (let at = 0; at < bytes.length; at += piece) hasher.update(bytes.subarray(at, at + piece));
    const expected = Array.from({ length: 10 }, (_, n) => expectedHash(bytes.subarray(n * 1000, (n + 1) * 1000)));
    expect(hasher.end()).toEqual(expected);
  });

  it('are one more for what is left', () => {
    const hasher = new PartHasher(6000);
    hasher.update(bytes);
    expect(hasher.end()).toEqual([expectedHash(bytes.subarray(0, 6000)), expectedHash(bytes.subarray(6000))]);
  });

  it('come along with that of the whole', async () => {
    const file = randomBytes(3 * MIB + 5);
    const hasher = new PartHasher(2 * MIB);
    const whole = await hashFile(await openFile(file), file.length, { onBytes: (piece) => hasher.update(piece) });
    expect(whole).toBe(expectedHash(file));
    expect(hasher.end()).toEqual([expectedHash(file.subarray(0, 2 * MIB)), expectedHash(file.subarray(2 * MIB))]);
  });
});
