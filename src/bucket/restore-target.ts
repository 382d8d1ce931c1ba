// The directory that files come back to: what is there already, and how a file gets its name. Decides what may be touched:
// nothing is reached through a symlink, and nothing that is there is replaced unless that was asked for.
import { type BigIntStats, constants } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { getSystemErrorMap } from 'node:util';
import { errorCode } from '../errors.ts';
import { hashBuffer, hashFile } from '../object/hash.ts';
import { directoryOf, nameOf, printable, type RelPath } from '../paths.ts';
import { inDirectory, kindOf, statOf, syncFile, TargetError, targetFs } from './restore-directory.ts';
import type { RestoreEntry } from './restore-plan.ts';

export { TargetError };

/**
 * What is at a file's place: nothing; the file itself (`there`); something of its size and another time, which only its
 * bytes can tell (`maybe`); or another file.
 */
export type Look = 'nothing' | 'there' | 'maybe' | 'other';

/** Node sets times in a double of seconds, exact to a quarter of a microsecond. */
const TIME_TOLERANCE_NS = 1000n;
const SECOND_NS = 1_000_000_000n;
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

/** @param root absolute, real. Throws TargetError where the place can't be used. */
export async function lookAt(root: string, entry: RestoreEntry): Promise<Look> {
  const look = await inPlace(root, entry, false, async (at): Promise<Look> => {
    const stats = await fileAt(at(nameOf(entry.path)));
    if (!stats) return 'nothing';
    if (stats.size !== BigInt(entry.size)) return 'other';
    if (hasTime(stats.mtimeNs, entry.mtimeNs)) {
      // A run that was killed between giving the name and taking back the other left both.
      if (stats.nlink > 1n) await remove(at(partialOf(entry)));
      return 'there';
    }
    if (entry.sha256 !== undefined) return 'maybe';
    return stats.mtimeNs === wholeSecond(entry.mtimeNs) ? 'there' : 'other';
  });
  return look ?? 'nothing';
}

/** Whether the file at an entry's place has its bytes. */
export async function holdsBytes(root: string, entry: RestoreEntry): Promise<boolean> {
  const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
  const hash = await inPlace(root, entry, false, async (at) => {
    const handle = await targetFs.open(at(nameOf(entry.path)), flags);
    return await hashFile(handle, entry.size).finally(() => handle.close());
  });
  return hash !== undefined && hash === entry.sha256;
}

/** A file on its way to its name: hidden, and of an extension that the agent leaves alone. */
export interface Partial {
  handle: FileHandle;
  /** Bytes that an earlier run left. */
  size: number;
}

/** Opens what an earlier run left of a file, or a new one; makes the directories on its way. `fresh`: from the start. */
export async function openPartial(root: string, entry: RestoreEntry, fresh: boolean): Promise<Partial> {
  const partial = await inPlace(root, entry, true, async (at) => {
    const path = at(partialOf(entry));
    const stats = await statOf(path);
    // Not what has a second name: its bytes would change under that one, too.
    const left =
      stats?.isFile() && stats.nlink === 1n && stats.size <= BigInt(entry.size) && !fresh ? stats : undefined;
    if (stats && !left) await targetFs.unlink(path);
    const { O_RDWR, O_CREAT, O_EXCL, O_NOFOLLOW } = constants;
    const handle = await targetFs.open(path, O_RDWR | O_NOFOLLOW | (left ? 0 : O_CREAT | O_EXCL), 0o666);
    return { handle, size: Number(left?.size ?? 0) };
  });
  return partial!;
}

/** Gives a whole partial file its time and its name. The handle is still open. Throws TargetError if the name is taken. */
export async function placePartial(
  root: string,
  entry: RestoreEntry,
  handle: FileHandle,
  overwrite: boolean,
): Promise<void> {
  await inPlace(root, entry, true, async (at) => {
    const time = toSeconds(entry.mtimeNs);
    await handle.utimes(time, time);
    await syncFile(handle);
    const [from, to] = [at(partialOf(entry)), at(nameOf(entry.path))];
    // A symlink or a directory is no file to replace.
    if (overwrite && (await fileAt(to))) return await targetFs.rename(from, to);
    try {
      await targetFs.link(from, to);
    } catch (error) {
      if (errorCode(error) === 'EEXIST') throw new TargetError('another file came there meanwhile');
      if (!NO_LINKS.has(errorCode(error) ?? '') || (await statOf(to))) throw error;
      return await targetFs.rename(from, to);
    }
    await targetFs.unlink(from);
  });
}

/** Forgets what was fetched. */
export async function dropPartial(root: string, entry: RestoreEntry): Promise<void> {
  await inPlace(root, entry, false, (at) => remove(at(partialOf(entry))));
}

/** Does something in an entry's directory. */
function inPlace<T>(root: string, { path }: RestoreEntry, make: boolean, work: Parameters<typeof inDirectory<T>>[3]) {
  return explained(path, () => inDirectory(root, directoryOf(path), make, work));
}

/** The same in every run, and another one for every name and content. */
function partialOf({ path, key, sha256 }: RestoreEntry): string {
  const name = hashBuffer(Buffer.from(JSON.stringify([path, sha256 ?? key]))).slice(0, 32);
  return `.r2-sync-${name}.partial`;
}

/** The file that is there, undefined where nothing is. Throws TargetError where something else is. */
async function fileAt(path: string | Buffer): Promise<BigIntStats | undefined> {
  const stats = await statOf(path);
  if (stats && !stats.isFile()) throw new TargetError(`${kindOf(stats)} of that name is there`);
  return stats;
}

async function remove(path: string | Buffer): Promise<void> {
  await targetFs.unlink(path).catch((error: unknown) => {
    if (errorCode(error) !== 'ENOENT') throw error;
  });
}

function hasTime(mtimeNs: bigint, wanted: bigint): boolean {
  const off = mtimeNs - wanted;
  return off <= TIME_TOLERANCE_NS && off >= -TIME_TOLERANCE_NS;
}

/** What file systems with whole seconds make of a time. */
function wholeSecond(nanoseconds: bigint): bigint {
  return nanoseconds - (((nanoseconds % SECOND_NS) + SECOND_NS) % SECOND_NS);
}

/** The seconds that come closest from below, so that no file moves into the next day, which would be another key. */
function toSeconds(nanoseconds: bigint): number {
  const second = wholeSecond(nanoseconds);
  const rest = Number(nanoseconds - second);
  const whole = Number(second / SECOND_NS);
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
    const errno = (error as NodeJS.ErrnoException | undefined)?.errno;
    if (code === undefined || errno === undefined) throw error;
    // Not the system's own sentence: it holds the path as it is.
    const words = inWords[code] ?? getSystemErrorMap().get(errno)?.[1] ?? 'the system refuses';
    const message = `${words} (${code})`;
    throw new TargetError(`${printable(path)} can't be written: ${message}`, {
      cause: error,
      stop: HOPELESS.has(code),
    });
  }
}
