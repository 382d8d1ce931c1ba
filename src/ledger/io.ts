// The file calls that the ledger makes, so that a test or the volume's gate can stand between.
import { constants } from 'node:fs';
import * as fs from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { errorCode } from '../errors.ts';
import { fsPath } from '../paths.ts';
import type { VolumeFs } from '../volume/gate.ts';
import { STATE_DIRECTORY } from './location.ts';

const { O_NOFOLLOW, O_NONBLOCK, O_RDONLY } = constants;

export type LedgerIo = VolumeFs;

export const fileIo: LedgerIo = fs;

/** Every uid works with these: a sync pod may run as another user. */
const DIRECTORY_MODE = 0o777;
export const FILE_MODE = 0o666;

/** What file systems answer that can't sync a directory. */
const CANT_SYNC_DIRECTORIES: ReadonlySet<string | undefined> = new Set(['EINVAL', 'ENOTSUP', 'ENOSYS']);

/**
 * Makes a directory that lasts and that every uid can use, with its parents, but never the parent of `.r2-sync`: where
 * the root is gone (a volume that isn't mounted), making it again would hide that.
 */
export async function makeDirectory(io: LedgerIo, dir: string): Promise<void> {
  try {
    await io.mkdir(fsPath(dir), { mode: DIRECTORY_MODE });
  } catch (error) {
    if (errorCode(error) === 'EEXIST') return;
    if (errorCode(error) !== 'ENOENT' || basename(dir) === STATE_DIRECTORY) throw error;
    await makeDirectory(io, dirname(dir));
    return makeDirectory(io, dir);
  }
  // The umask took bits away. Where chmod is refused the directory serves at least us.
  await io.chmod(fsPath(dir), DIRECTORY_MODE).catch(() => {});
  await syncDirectory(io, dirname(dir));
}

/**
 * Rejects with `EMLINK` where an open file has a second name: writing here would change what is behind that one, perhaps
 * somebody's picture. For files that are opened to be overwritten in place; new ones are made with `O_EXCL`.
 */
export async function requireOneName(handle: fs.FileHandle): Promise<void> {
  const { nlink } = await handle.stat();
  if (nlink > 1) throw Object.assign(new Error('the file has a second name'), { code: 'EMLINK' });
}

/**
 * The beginning of a small file of the state, as text: at most so many bytes, whatever somebody has put there. Never
 * waits for a pipe and follows no symlink. Rejects with the system's error.
 */
export async function readSmall(io: LedgerIo, path: string | Buffer, mostBytes: number): Promise<string> {
  const handle = await io.open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  try {
    const { bytesRead, buffer } = await handle.read(Buffer.alloc(mostBytes), 0, mostBytes, 0);
    return buffer.toString('utf8', 0, bytesRead);
  } finally {
    await handle.close();
  }
}

/** Makes the names in a directory last. */
export async function syncDirectory(io: LedgerIo, dir: string): Promise<void> {
  const handle = await io.open(fsPath(dir), 'r');
  try {
    await handle.sync();
  } catch (error) {
    if (!CANT_SYNC_DIRECTORIES.has(errorCode(error))) throw error;
  } finally {
    await handle.close();
  }
}
