// A directory for trying things beside the state: hidden, so that nothing in it is ever taken for an output, and gone at
// the end. What a doctor that was killed has left is removed by the next one.
import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { dirname, join } from 'node:path';
import { errorCode } from '../errors.ts';
import { decodeName, fsPath } from '../paths.ts';
import { identifyProcess, isProvablyDead } from '../process-identity.ts';
import type { VolumeFs } from '../volume/gate.ts';

export interface Scratch {
  /** Absolute. */
  dir: string;
  /** Never rejects. */
  remove(): Promise<void>;
}

/** The name of this tool's directories; then where and by which process they were made. */
const NAME = /^\.r2-sync-doctor\.([0-9a-f]{8})\.(\d+)\.(\d*)$/;
/** What is ever made in one: by the checks of the state directory and of events. */
const CONTENTS = /^(first|second|third|[a-z-]{1,40}\.txt)$/;
/** One of another machine is left alone for so long: that doctor may still be at work. */
const ABANDONED_MS = 3_600_000;

/**
 * Makes the directory: in `base` or, where that doesn't exist, in the nearest directory above it, because a `.r2-sync`
 * that is made for a try would say that the state lies there. Rejects with the system's error.
 * @param base absolute, as is `root`, where it may have been made before there was a state
 */
export async function makeScratch(fs: VolumeFs, base: string, root: string, pod: string): Promise<Scratch> {
  const parent = await nearestDirectory(fs, base);
  const self = identifyProcess(pod);
  const dir = join(parent, `.r2-sync-doctor.${placeOf(self)}.${self.pid}.${self.startTime}`);
  await fs.mkdir(fsPath(dir), { mode: 0o700 });
  for (const place of new Set([parent, root])) await removeLeftovers(fs, place, dir, pod).catch(() => {});
  return { dir, remove: () => removeDirectory(fs, dir).catch(() => {}) };
}

async function removeLeftovers(fs: VolumeFs, parent: string, ours: string, pod: string): Promise<void> {
  const self = identifyProcess(pod);
  const { mtimeMs: now } = await fs.stat(fsPath(ours));
  for (const bytes of await fs.readdir(fsPath(parent), { encoding: 'buffer' })) {
    const name = decodeName(bytes);
    const [, place, pid, startTime] = NAME.exec(name) ?? [];
    const dir = join(parent, name);
    if (startTime === undefined || dir === ours) continue;
    const seen = await fs.lstat(fsPath(dir));
    const dead = place === placeOf(self) && isProvablyDead({ ...self, pid: Number(pid), startTime });
    if (seen.isDirectory() && (dead || now - seen.mtimeMs > ABANDONED_MS))
      await removeDirectory(fs, dir).catch(() => {});
  }
}

async function removeDirectory(fs: VolumeFs, dir: string): Promise<void> {
  await emptyDirectory(fs, dir).catch(() => {});
  await fs.rmdir(fsPath(dir));
}

/**
 * Only what is made there, and only in the directory itself: whoever may write to the state directory could put a link to
 * somebody's outputs in its place at any moment.
 */
async function emptyDirectory(fs: VolumeFs, dir: string): Promise<void> {
  const handle = await fs.open(fsPath(dir), constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW);
  try {
    const itself = process.platform === 'linux' ? `/proc/self/fd/${handle.fd}` : dir;
    for (const name of await fs.readdir(fsPath(itself)))
      if (CONTENTS.test(name)) await fs.unlink(fsPath(join(itself, name))).catch(() => {});
  } finally {
    await handle.close();
  }
}

async function nearestDirectory(fs: VolumeFs, path: string): Promise<string> {
  try {
    await fs.stat(fsPath(path));
    return path;
  } catch (error) {
    if (errorCode(error) !== 'ENOENT' || path === dirname(path)) throw error;
    return nearestDirectory(fs, dirname(path));
  }
}

/** Whose process numbers these are: this boot of this machine, and this namespace. */
function placeOf({ bootId, pidNamespace }: { bootId: string; pidNamespace: string }): string {
  return createHash('sha256').update(`${bootId}/${pidNamespace}`).digest('hex').slice(0, 8);
}
