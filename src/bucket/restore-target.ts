// The directory that files come back to: what is there already, and how a file gets its name. Decides what may be touched:
// nothing is reached through a symlink, and nothing that is there is replaced unless that was asked for.
import { type BigIntStats, constants } from 'node:fs';
import * as fs from 'node:fs/promises';
import { errorCode, errorText } from '../errors.ts';
import { hashBuffer, hashFile } from '../object/hash.ts';
import { directoryOf, fsPath, joinPath, printable, type RelPath } from '../paths.ts';
import type { RestoreEntry } from './restore-plan.ts';

/** The file can't be put where it belongs. `stop`: nor can any other. */
export class TargetError extends Error {
  readonly stop: boolean;

  constructor(message: string, options: ErrorOptions & { stop?: boolean } = {}) {
    super(message, options);
    this.name = 'TargetError';
    this.stop = options.stop ?? false;
  }
}

/**
 * What is at a file's place: nothing; the file itself (`there`); something of its size and another time, which only its
 * bytes can tell (`maybe`); or another file.
 */
export type Look = 'nothing' | 'there' | 'maybe' | 'other';

/** Node sets times in a double of seconds, exact to a quarter of a microsecond. */
const TIME_TOLERANCE_NS = 1000n;
/** No other file can be written after these either. */
const HOPELESS: ReadonlySet<string> = new Set(['ENOSPC', 'EDQUOT', 'EROFS']);
/** File systems without hard links say one of these. */
const NO_LINKS: ReadonlySet<string> = new Set(['EPERM', 'ENOSYS', 'ENOTSUP', 'EOPNOTSUPP', 'EMLINK', 'EINVAL']);
const inWords: Readonly<Record<string, string>> = {
  ENOSPC: 'the disk is full',
  EDQUOT: 'the quota of the disk is used up',
  EROFS: 'the disk is read-only',
  EACCES: 'this user may not write there',
  EPERM: 'this user may not write there',
  ENAMETOOLONG: 'its name is too long for this file system',
};

/** @param root absolute. Throws TargetError where the place can't be used. */
export async function lookAt(root: string, entry: RestoreEntry): Promise<Look> {
  return await explained(entry.path, async () => {
    if (!(await reaches(root, directoryOf(entry.path), false))) return 'nothing';
    const stats = await statOf(absolute(root, entry.path));
    if (!stats) return 'nothing';
    if (!stats.isFile()) throw new TargetError(`${kindOf(stats)} of that name is there`);
    if (stats.size !== BigInt(entry.size)) return 'other';
    const off = stats.mtimeNs - entry.mtimeNs;
    if (off <= TIME_TOLERANCE_NS && off >= -TIME_TOLERANCE_NS) {
      // A run that was killed between giving the name and taking back the other left both.
      if (stats.nlink > 1n) await fs.rm(partialOf(root, entry), { force: true });
      return 'there';
    }
    return entry.sha256 === undefined ? 'other' : 'maybe';
  });
}

/** Whether the file at an entry's place has its bytes. */
export async function holdsBytes(root: string, { path, size, sha256 }: RestoreEntry): Promise<boolean> {
  return await explained(path, async () => {
    const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
    const handle = await fs.open(fsPath(absolute(root, path)), flags);
    return await hashFile(handle, size)
      .then((hash) => hash === sha256)
      .finally(() => handle.close());
  });
}

/** A file on its way to its name: hidden, and of an extension that the agent leaves alone. */
export interface Partial {
  handle: fs.FileHandle;
  /** Bytes that an earlier run left. */
  size: number;
}

/** Opens what an earlier run left of a file, or a new one; makes the directories on its way. `fresh`: from the start. */
export async function openPartial(root: string, entry: RestoreEntry, fresh: boolean): Promise<Partial> {
  return await explained(entry.path, async () => {
    await reaches(root, directoryOf(entry.path), true);
    const path = partialOf(root, entry);
    const stats = await statOf(path);
    // Not what has a second name: its bytes would change under that one, too.
    const left =
      stats?.isFile() && stats.nlink === 1n && stats.size <= BigInt(entry.size) && !fresh ? stats : undefined;
    if (stats && !left) await fs.rm(path);
    const { O_RDWR, O_CREAT, O_EXCL, O_NOFOLLOW } = constants;
    const handle = await fs.open(path, O_RDWR | O_NOFOLLOW | (left ? 0 : O_CREAT | O_EXCL), 0o666);
    return { handle, size: Number(left?.size ?? 0) };
  });
}

/** Gives a whole partial file its time and its name. The handle is still open. Throws TargetError if the name is taken. */
export async function placePartial(
  root: string,
  entry: RestoreEntry,
  handle: fs.FileHandle,
  overwrite: boolean,
): Promise<void> {
  await explained(entry.path, async () => {
    const time = toSeconds(entry.mtimeNs);
    await handle.utimes(time, time);
    await handle.sync();
    const [from, to] = [partialOf(root, entry), fsPath(absolute(root, entry.path))];
    // A symlink or a directory is no file to replace.
    if (overwrite && (await lookAt(root, entry)) !== 'nothing') return await fs.rename(from, to);
    try {
      await fs.link(from, to);
    } catch (error) {
      if (errorCode(error) === 'EEXIST') throw new TargetError('another file came there meanwhile');
      if (!NO_LINKS.has(errorCode(error) ?? '') || (await statOf(to))) throw error;
      return await fs.rename(from, to);
    }
    await fs.unlink(from);
  });
}

/** Forgets what was fetched. */
export async function dropPartial(root: string, entry: RestoreEntry): Promise<void> {
  await fs.rm(partialOf(root, entry), { force: true });
}

/** The same in every run, and another one for every name and content. */
function partialOf(root: string, { path, key, sha256 }: RestoreEntry): string | Buffer {
  const name = hashBuffer(Buffer.from(JSON.stringify([path, sha256 ?? key]))).slice(0, 32);
  return fsPath(absolute(root, joinPath(directoryOf(path), `.r2-sync-${name}.partial`)));
}

/**
 * Whether a directory is there, looked at name by name, so that no symlink leads out of the root; `make` makes it.
 */
async function reaches(root: string, directory: RelPath, make: boolean): Promise<boolean> {
  let path: RelPath = '';
  for (const name of directory === '' ? [] : directory.split('/')) {
    path = joinPath(path, name);
    const at = fsPath(absolute(root, path));
    let stats = await statOf(at);
    if (!stats && !make) return false;
    if (!stats) {
      await fs.mkdir(at).catch((error: unknown) => {
        if (errorCode(error) !== 'EEXIST') throw error;
      });
      stats = await statOf(at);
    }
    if (!stats?.isDirectory())
      throw new TargetError(`its directory ${printable(path)} is ${stats ? kindOf(stats) : 'gone'} there`);
  }
  return true;
}

async function statOf(path: string | Buffer): Promise<BigIntStats | undefined> {
  try {
    return await fs.lstat(path, { bigint: true });
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return undefined;
    throw error;
  }
}

function absolute(root: string, path: RelPath): string {
  return `${root === '/' ? '' : root}/${path}`;
}

function kindOf(stats: BigIntStats): string {
  if (stats.isSymbolicLink()) return 'a symlink';
  if (stats.isDirectory()) return 'a directory';
  return stats.isFile() ? 'a file' : 'something that is no file';
}

/** The seconds that come closest from below, so that no file moves into the next day, which would be another key. */
function toSeconds(nanoseconds: bigint): number {
  const second = 1_000_000_000n;
  const rest = Number(((nanoseconds % second) + second) % second);
  const whole = Number((nanoseconds - BigInt(rest)) / second);
  let seconds = whole + rest / 1e9;
  while ((seconds - whole) * 1e9 > rest) seconds -= Math.abs(seconds) * Number.EPSILON;
  return seconds;
}

/** Does something with an entry's place; what the system says against it becomes a TargetError. */
export async function explained<T>(path: RelPath, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const code = errorCode(error);
    // Only what the system said: the store has codes, too.
    if (code === undefined || typeof (error as NodeJS.ErrnoException).errno !== 'number') throw error;
    const message = `${inWords[code] ?? errorText(error)} (${code})`;
    throw new TargetError(`${printable(path)} can't be written: ${message}`, {
      cause: error,
      stop: HOPELESS.has(code),
    });
  }
}
