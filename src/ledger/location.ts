// Where the state of an output directory lies: its root, its target, the names of its folders' directories.
import { createHash } from 'node:crypto';
import { dirname, join, resolve } from 'node:path';
import PQueue from 'p-queue';
import { decodeName, encodeName, fsPath, type RelPath } from '../paths.ts';
import type { VolumeFs } from '../volume/gate.ts';

/** The state directory's name in the root. */
export const STATE_DIRECTORY = '.r2-sync';

const FOLDER_NAME_BYTES = 100;
const HASH_LENGTH = 16;
const LOOKS_AT_ONCE = 4;

interface StateLocation {
  /** What paths, folders and keys are relative to; absolute, symlinks resolved. */
  root: string;
  /** The output directory, relative to the root; '' where they are the same. */
  prefix: RelPath;
  /** The directory of the ledger and leases of this target. */
  targetDir: string;
  /** Short hash of the endpoint's host and the bucket: another bucket starts anew. */
  target: string;
}

/**
 * Says where the state lies; creates nothing. `endpointHost` with its port, `stateDir` is R2_STATE_DIR if that is set.
 * Rejects with the system's error (`ENOENT` …) where the output directory can't be looked at.
 */
export async function locateState(
  fs: VolumeFs,
  options: { outputDir: string; stateDir?: string; endpointHost: string; bucket: string },
): Promise<StateLocation> {
  const outputDir = await resolveDirectory(fs, options.outputDir);
  const root = await nearestRoot(fs, outputDir);
  const target = shortHash(`${options.endpointHost.toLowerCase()}/${options.bucket}`);
  const inRoot = join(root, STATE_DIRECTORY);
  const elsewhere = options.stateDir === undefined ? inRoot : resolve(options.stateDir);
  // The inode and not the device: st_dev differs between mounts of one volume.
  const base =
    elsewhere === inRoot ? inRoot : join(elsewhere, String((await fs.stat(fsPath(root), { bigint: true })).ino));
  const prefix = outputDir.slice(root.length).replace(/^\//, '');
  return { root, prefix, targetDir: join(base, target), target };
}

/**
 * The root of an output directory: the directory itself, or the nearest ancestor that holds a `.r2-sync` already, so
 * that a pod on `output/alice` and a sync pod on `output` agree. `below` names state directories in the root's
 * folders: agents that started there before the root had one, and that don't agree with us.
 * Rejects with the system's error where the output directory can't be looked at.
 */
export async function findRoot(fs: VolumeFs, outputDir: string): Promise<{ root: string; below: string[] }> {
  const root = await nearestRoot(fs, await resolveDirectory(fs, outputDir));
  const queue = new PQueue({ concurrency: LOOKS_AT_ONCE });
  const below: string[] = [];
  for (const entry of await fs.readdir(fsPath(root), { withFileTypes: true, encoding: 'buffer' })) {
    const folder = join(root, decodeName(entry.name));
    if (!entry.isDirectory() || folder === join(root, STATE_DIRECTORY)) continue;
    void queue.add(async () => {
      if (await holdsState(fs, folder)) below.push(join(folder, STATE_DIRECTORY));
    });
  }
  await queue.onIdle();
  return { root, below: below.sort() };
}

/**
 * The name of a folder's directory in the state: percent-encoded, at most 100 bytes (longer: cut, plus a hash).
 * Lines carry the path, so nothing is ever read back from this name.
 */
export function folderDirName(folder: string): string {
  if (folder === '.') return '%2E';
  let name = '';
  for (const byte of encodeName(folder)) {
    const char = String.fromCharCode(byte);
    name += /[\w.-]/.test(char) ? char : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
  }
  if (name.length <= FOLDER_NAME_BYTES) return name;
  // '~' is in no other name, so a name that was cut can't be a whole one.
  return `${name.slice(0, FOLDER_NAME_BYTES - HASH_LENGTH - 1)}~${shortHash(encodeName(folder))}`;
}

async function nearestRoot(fs: VolumeFs, outputDir: string): Promise<string> {
  for (let dir = outputDir; ; dir = dirname(dir)) {
    if (await holdsState(fs, dir)) return dir;
    if (dir === dirname(dir)) return outputDir;
  }
}

async function holdsState(fs: VolumeFs, dir: string): Promise<boolean> {
  try {
    return (await fs.stat(fsPath(join(dir, STATE_DIRECTORY)))).isDirectory();
  } catch {
    return false;
  }
}

async function resolveDirectory(fs: VolumeFs, dir: string): Promise<string> {
  return decodeName(await fs.realpath(fsPath(resolve(dir)), 'buffer'));
}

function shortHash(data: string | Buffer): string {
  return createHash('sha256').update(data).digest('hex').slice(0, HASH_LENGTH);
}
