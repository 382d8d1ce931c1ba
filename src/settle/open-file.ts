// Opens an output without ever touching anything else.
import { constants } from 'node:fs';
import { type FileHandle, lstat, open, readlink } from 'node:fs/promises';
import { errorCode } from '../errors.ts';
import { fsPath, type RelPath } from '../paths.ts';
import type { ByteSource } from './formats/index.ts';
import { type Identity, identityOf } from './identity.ts';

/** Not an output (any more): gone, or something that isn't a regular file inside the root. */
export type NotOpened = 'gone' | 'not a file';

/**
 * Opens a regular file for reading: no symlink is followed, no FIFO, socket or device is opened, and a directory on the
 * way that was replaced by a symlink doesn't lead out of the root.
 * @param root absolute, real path
 * Throws the system's error where the file is there but can't be read.
 */
export async function openOutput(root: string, path: RelPath): Promise<FileHandle | NotOpened> {
  const absolute = fsPath(`${root}/${path}`);
  let handle: FileHandle | undefined;
  try {
    if (!(await lstat(absolute)).isFile()) return 'not a file';
    handle = await open(absolute, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    if (!(await handle.stat()).isFile() || (await wasReachedBySymlink(handle, absolute))) {
      await handle.close();
      return 'not a file';
    }
    return handle;
  } catch (error) {
    await handle?.close().catch(() => {});
    const code = errorCode(error);
    if (code === 'ENOENT' || code === 'ENOTDIR') return 'gone';
    if (code === 'ELOOP' || code === 'ENXIO') return 'not a file';
    throw error;
  }
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

/** Whether a directory on the way was a symlink: the kernel tells the real path of what is open. */
async function wasReachedBySymlink(handle: FileHandle, absolute: string | Buffer): Promise<boolean> {
  const real = await readlink(`/proc/self/fd/${handle.fd}`, { encoding: 'buffer' }).catch(() => undefined);
  const asked = Buffer.from(absolute as string);
  const deleted = Buffer.from(' (deleted)');
  return real !== undefined && !real.equals(asked) && !real.equals(Buffer.concat([asked, deleted]));
}
