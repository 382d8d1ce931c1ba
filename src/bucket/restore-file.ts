// Brings one object back: fetched beside its place, checked as it comes, and given its name only when every byte is right.
// What a run that was killed left behind is hashed and gone on with.
import { createHash, type Hash } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import type { ReadObject, Store } from '../upload/store.ts';
import { type Patience, patiently } from './patience.ts';
import type { RestoreEntry } from './restore-plan.ts';
import { dropPartial, explained, openPartial, placePartial, TargetError } from './restore-target.ts';

export interface FileRestorer {
  store: Store;
  /** Absolute. */
  root: string;
  /** Whether another file at its place may be replaced. */
  overwrite: boolean;
  patience: Patience;
  signal: AbortSignal;
  /** Bytes that came, or, below zero, that turned out to be worth nothing. */
  onBytes: (bytes: number) => void;
}

/** Bytes in one write. */
const WRITE_BYTES = 1024 * 1024;
const READ_BYTES = 1024 * 1024;

/** The bytes that came aren't those that were stored. */
class WrongBytes extends Error {}

/** Throws StoreError or TargetError. What was fetched stays for the next run, but not if it is wrong. */
export async function restoreFile(restorer: FileRestorer, entry: RestoreEntry): Promise<void> {
  for (let fresh = false; ; fresh = true) {
    try {
      return await patiently(
        () => explained(entry.path, () => fetchOnce(restorer, entry, fresh)),
        restorer.patience,
        restorer.signal,
      );
    } catch (error) {
      if (!(error instanceof WrongBytes)) throw error;
      await dropPartial(restorer.root, entry);
      if (fresh) throw new TargetError(error.message);
    }
  }
}

async function fetchOnce(restorer: FileRestorer, entry: RestoreEntry, fresh: boolean): Promise<void> {
  const { root, store, signal, onBytes } = restorer;
  // Without a hash nobody knows whether the two halves belong together.
  const { handle, size } = await openPartial(root, entry, fresh || entry.sha256 === undefined);
  let counted = 0;
  const count = (bytes: number) => {
    counted += bytes;
    onBytes(bytes);
  };
  try {
    const digest = createHash('sha256');
    await hashBeginning(handle, size, digest, count);
    if (size < entry.size || entry.size === 0) {
      const found = await store.get(entry.key, { ...(size > 0 ? { from: size } : {}), signal });
      if (!found) throw new WrongBytes('the object is gone from the bucket');
      await receive(found, entry, handle, size, digest, count);
    }
    const hash = digest.digest('hex');
    if (entry.sha256 !== undefined && hash !== entry.sha256)
      throw new WrongBytes(`the bucket holds other bytes than were stored: their SHA-256 is ${hash}`);
    await placePartial(root, entry, handle, restorer.overwrite);
  } catch (error) {
    onBytes(-counted);
    throw error;
  } finally {
    await handle.close();
  }
}

async function receive(
  found: ReadObject,
  entry: RestoreEntry,
  handle: FileHandle,
  from: number,
  digest: Hash,
  count: (bytes: number) => void,
): Promise<void> {
  let position = from;
  let batch: Buffer[] = [];
  let waiting = 0;
  let writing = Promise.resolve();
  const flush = async () => {
    // One write at a time: the next megabyte comes in while this one goes out.
    await writing;
    writing = writeAll(handle, batch, position);
    writing.catch(() => {});
    position += waiting;
    [batch, waiting] = [[], 0];
  };
  try {
    for await (const chunk of found.body) {
      if (found.size !== entry.size) break;
      digest.update(chunk);
      count(chunk.length);
      batch.push(chunk);
      waiting += chunk.length;
      if (waiting >= WRITE_BYTES) await flush();
    }
  } finally {
    // Also what came before an error: the next attempt goes on behind it.
    await flush();
    await writing;
  }
  if (found.size !== entry.size)
    throw new WrongBytes(`the object has ${found.size} bytes and had ${entry.size} a moment ago: it was replaced`);
}

async function writeAll(handle: FileHandle, buffers: Buffer[], position: number): Promise<void> {
  if (buffers.length === 0) return;
  const total = buffers.reduce((sum, buffer) => sum + buffer.length, 0);
  const { bytesWritten } = await handle.writev(buffers, position);
  if (bytesWritten < total)
    await writeAll(handle, [Buffer.concat(buffers).subarray(bytesWritten)], position + bytesWritten);
}

async function hashBeginning(handle: FileHandle, size: number, digest: Hash, count: (bytes: number) => void) {
  const buffer = Buffer.allocUnsafe(Math.min(size, READ_BYTES));
  for (let at = 0; at < size; ) {
    const { bytesRead } = await handle.read(buffer, 0, Math.min(buffer.length, size - at), at);
    if (bytesRead === 0) throw new WrongBytes('the part that was there shrank');
    digest.update(buffer.subarray(0, bytesRead));
    count(bytesRead);
    at += bytesRead;
  }
}
