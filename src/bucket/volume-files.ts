// The volume, as those see it who compare it with a bucket: every output there is, files looked at by name, and the hash
// of one. Reads only.
import type { Clock } from '../clock.ts';
import { LedgerIndex } from '../ledger/index.ts';
import { FileChangedError, hashFile } from '../object/hash.ts';
import { directoryOf, joinPath, nameOf, type RelPath } from '../paths.ts';
import { sameIdentity } from '../settle/identity.ts';
import { currentIdentity, openOutput } from '../settle/open-file.ts';
import type { VolumeFs } from '../volume/gate.ts';
import type { Volume } from '../volume/volume.ts';
import type { Filter } from '../watch/filter.ts';
import { type Candidate, Scanner } from '../watch/scanner.ts';

export interface OutputDirectory {
  /** Absolute and real; paths start here. */
  root: string;
  /** The output directory, relative to the root. */
  prefix: RelPath;
  volume: Volume;
  fs: VolumeFs;
  filter: Filter;
  clock: Clock;
}

/** Directories that can't be read, with the system's code. */
export type Unreadable = { path: RelPath; code: string }[];

/** Names in one question to the worker. */
const BATCH = 128;

/**
 * Tells every file below `from` that the filter lets through. Gives what the filter leaves alone, by reason, and what
 * can't be read. A directory that isn't there has no files.
 */
export async function listOutputs(
  { root, volume, filter, clock }: OutputDirectory,
  from: RelPath,
  onFile: (file: Candidate) => void,
): Promise<{ skipped: Record<string, number>; unreadable: Unreadable }> {
  // To a scan with an empty ledger everything is new.
  const scanner = new Scanner({
    volume,
    clock,
    filter,
    index: new LedgerIndex(),
    root,
    prefix: from,
    onCandidate: onFile,
  });
  const { problems } = await scanner.pass(true);
  return { skipped: scanner.skipped(), unreadable: problems };
}

/** Looks at files by their paths, whatever the filter says; `size` is -1 where there is no file, undefined if nobody can tell. */
export async function lookAtFiles(
  { root, volume }: Pick<OutputDirectory, 'root' | 'volume'>,
  files: Iterable<{ path: RelPath }>,
  onLook: (path: RelPath, size: number | undefined, mtimeNs: bigint) => void,
): Promise<void> {
  const byDirectory = new Map<RelPath, string[]>();
  for (const { path } of files) {
    const names = byDirectory.get(directoryOf(path));
    if (names) names.push(nameOf(path));
    else byDirectory.set(directoryOf(path), [nameOf(path)]);
  }
  for (const [dir, names] of byDirectory) {
    for (let at = 0; at < names.length; at += BATCH) {
      const batch = names.slice(at, at + BATCH);
      const { sizes, mtimes, problem } = await volume.ask('statFiles', { root, dir, names: batch });
      batch.forEach((name, nth) => {
        const size = sizes[nth]!;
        onLook(joinPath(dir, name), size < 0 && problem !== null ? undefined : size, mtimes[nth]!);
      });
    }
  }
}

/**
 * The hash of a file and the size and time that it had then. Rejects with the system's error where it can't be read.
 * @param onRead gets bytes as they are read
 */
export async function hashOutput(
  { root, fs }: Pick<OutputDirectory, 'root' | 'fs'>,
  path: RelPath,
  onRead: (bytes: number) => void = () => {},
): Promise<{ size: number; mtimeNs: bigint; sha256: string } | 'gone' | 'changing'> {
  const handle = await openOutput(fs, root, path);
  if (typeof handle === 'string') return 'gone';
  try {
    const identity = await currentIdentity(handle);
    const sha256 = await hashFile(handle, identity.size, { onRead });
    const { size, mtimeNs } = identity;
    return sameIdentity(identity, await currentIdentity(handle)) ? { size, mtimeNs, sha256 } : 'changing';
  } catch (error) {
    if (error instanceof FileChangedError) return 'changing';
    throw error;
  } finally {
    await handle.close().catch(() => {});
  }
}
