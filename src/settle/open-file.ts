// Opens an output without ever touching anything else.
import { constants } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { errorCode } from '../errors.ts';
import { encodeName, fsPath, type RelPath } from '../paths.ts';
import type { VolumeFs } from '../volume/gate.ts';
import type { ByteSource } from './formats/index.ts';
import { type Identity, identityOf } from './identity.ts';

/** Not an output (any more): gone, or something that isn't a regular file inside the root. */
export type NotOpened = 'gone' | 'not a file';

/**
 * Opens a regular file for reading: no symlink is followed, no FIFO, socket or device is opened, and a directory on the
 * way that was replaced by a symlink doesn't lead out of the root.
 * @param root absolute, real path
 * Throws the system's error where the file is there but can't be read, or where nobody tells what was opened.
 */
export async function openOutput(fs: VolumeFs, root: string, path: RelPath): Promise<FileHandle | NotOpened> {
  const absolute = `${root}/${path}`;
  let handle: FileHandle;
  try {
    if (!(await fs.lstat(fsPath(absolute))).isFile()) return 'not a file';
    handle = await fs.open(fsPath(absolute), constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    const code = errorCode(error);
    if (code === 'ENOENT' || code === 'ENOTDIR') return 'gone';
    if (code === 'ELOOP' || code === 'ENXIO') return 'not a file';
    throw error;
  }
  try {
    const real = await fs.readlink(`/proc/self/fd/${handle.fd}`, { encoding: 'buffer' });
    if ((await handle.stat()).isFile() && !wasReachedBySymlink(real, absolute)) return handle;
  } catch (error) {
    await handle.close().catch(() => {});
    throw error;
  }
  await handle.close();
  return 'not a file';
}

/** The identity of an open file now. */
export async function currentIdentity(handle: FileHandle): Promise<Identity> {
  return identityOf(await handle.stat({ bigint: true }));
}

/** The bytes of an open file, for judging its format without reading all of it. */
export function handleSource(handle: FileHandle, size: number): ByteSource {
  return {
    size,
    read: async (position, length) => {
      const buffer = Buffer.allocUnsafe(Math.max(0, Math.min(length, size - position)));
      const { bytesRead } = await handle.read(buffer, 0, buffer.length, position);
      return buffer.subarray(0, bytesRead);
    },
  };
}

/**
 * Whether a directory on the way to an open file was a symlink.
 * @param real where its `/proc/self/fd/N` leads: the kernel tells the real path of what is open
 * @param path absolute, as it was asked for
 */
export function wasReachedBySymlink(real: Buffer, path: string): boolean {
  const asked = encodeName(path);
  return !real.equals(asked) && !real.equals(Buffer.concat([asked, Buffer.from(' (deleted)')]));
}
