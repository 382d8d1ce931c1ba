// A directory of those that files come back to, held open while something is done in it: whoever swaps it for a symlink
// meanwhile leads nobody out of the root. All calls on that volume go through the gate, so that one that hangs is seen.
import { type BigIntStats, constants, existsSync, readlinkSync } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { systemClock } from '../clock.ts';
import { errorCode } from '../errors.ts';
import { directoryOf, fsPath, nameOf, printable, type RelPath } from '../paths.ts';
import { wasReachedBySymlink } from '../settle/open-file.ts';
import { VolumeGate } from '../volume/gate.ts';

/** The file can't be put where it belongs. `stop`: nor can any other. */
export class TargetError extends Error {
  readonly stop: boolean;

  constructor(message: string, options: ErrorOptions & { stop?: boolean } = {}) {
    super(message, options);
    this.name = 'TargetError';
    this.stop = options.stop ?? false;
  }
}

/** Where Linux shows what is open. Elsewhere (macOS) a directory is its name, looked at name by name and then believed. */
const OPEN_FILES = existsSync('/proc/self/fd') ? '/proc/self/fd' : undefined;
/** What opening a directory says that isn't there, or isn't one. */
const NO_DIRECTORY: ReadonlySet<string> = new Set(['ENOENT', 'ENOTDIR', 'ELOOP']);
/** A large file on a slow disk may take that long to be safe there. */
const SYNC_MS = 600_000;

const gate = new VolumeGate(systemClock);
export const targetFs = gate.fs;
let syncing = 0;

/** Milliseconds for which the volume hasn't answered and should have. */
export function targetSilentMs(): number {
  return Math.max(0, gate.silentMs() - (syncing > 0 ? SYNC_MS : 0));
}

export async function syncFile(handle: FileHandle): Promise<void> {
  syncing += 1;
  await handle.sync().finally(() => {
    syncing -= 1;
  });
}

/** Where a name in a directory is to be reached. */
type At = (name: string) => string | Buffer;

interface Held {
  at: At;
  close: () => Promise<void>;
}

/**
 * Does something in a directory; undefined where it isn't there. `make` makes it. Throws TargetError where something else is
 * in the way.
 * @param root absolute, real path
 */
export async function inDirectory<T>(
  root: string,
  directory: RelPath,
  make: boolean,
  work: (at: At) => Promise<T>,
): Promise<T | undefined> {
  const held = await hold(root, directory, make);
  return held && (await work(held.at).finally(held.close));
}

async function hold(root: string, directory: RelPath, make: boolean): Promise<Held | undefined> {
  const held = await holdAtOnce(root, directory);
  if (held) return held;
  if (directory === '' && make) throw new TargetError(`the directory ${printable(root)} is gone, or another one`);
  // Name by name, each looked at in the one before: says what is in the way, and makes what isn't there.
  const parent = directory === '' ? undefined : await hold(root, directoryOf(directory), make);
  if (!parent) return undefined;
  try {
    const path = parent.at(nameOf(directory));
    let stats = await statOf(path);
    if (!stats && !make) return undefined;
    if (!stats) {
      await targetFs.mkdir(path).catch((error: unknown) => {
        if (errorCode(error) !== 'EEXIST') throw error;
      });
      stats = await statOf(path);
    }
    if (!stats?.isDirectory())
      throw new TargetError(`its directory ${printable(directory)} is ${stats ? kindOf(stats) : 'gone'} there`);
    return OPEN_FILES ? holdOpen(await openDirectory(path)) : holdByName(absolute(root, directory));
  } finally {
    await parent.close();
  }
}

/** Undefined where it isn't there, or may be reached by more than directories. */
async function holdAtOnce(root: string, directory: RelPath): Promise<Held | undefined> {
  const path = directory === '' ? root : absolute(root, directory);
  if (!OPEN_FILES) return directory === '' ? holdByName(path) : undefined;
  try {
    const handle = await openDirectory(fsPath(path));
    const real = readlinkSync(`${OPEN_FILES}/${handle.fd}`, { encoding: 'buffer' });
    if (!wasReachedBySymlink(real, path)) return holdOpen(handle);
    await handle.close();
  } catch (error) {
    if (!NO_DIRECTORY.has(errorCode(error) ?? '')) throw error;
  }
  return undefined;
}

function openDirectory(path: string | Buffer): Promise<FileHandle> {
  return targetFs.open(path, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW);
}

function holdOpen(handle: FileHandle): Held {
  return { at: (name) => fsPath(`${OPEN_FILES}/${handle.fd}/${name}`), close: () => handle.close() };
}

function holdByName(path: string): Held {
  return { at: (name) => fsPath(absolute(path, name)), close: async () => {} };
}

/** What is there; undefined where nothing is. */
export async function statOf(path: string | Buffer): Promise<BigIntStats | undefined> {
  try {
    return await targetFs.lstat(path, { bigint: true });
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return undefined;
    throw error;
  }
}

/** For people. */
export function kindOf(stats: BigIntStats): string {
  if (stats.isSymbolicLink()) return 'a symlink';
  if (stats.isDirectory()) return 'a directory';
  return stats.isFile() ? 'a file' : 'something that is no file';
}

function absolute(root: string, path: RelPath): string {
  return `${root === '/' ? '' : root}/${path}`;
}
