// The output directory and the file system that it lies on: is it there, what is it, how much room is left?
import { constants } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { ExitCode, errorCode } from '../../errors.ts';
import { decodeName, fsPath, printable } from '../../paths.ts';
import { networkFileSystem } from '../../settle/file-system.ts';
import { number, size } from '../../status/words.ts';
import { findMount, parseMounts } from '../../volume/mounts.ts';
import { bad, type Check, type Finding, good, note, warning } from '../check.ts';
import type { Subject } from '../subject.ts';

/** Below both of these a volume is nearly full. */
const FREE_SHARE = 0.05;
const FREE_BYTES = 5e9;
const FREE_INODES = 10_000;
/** File systems that go with the container, or with the machine's memory. */
const FLEETING: ReadonlySet<string> = new Set(['overlay', 'aufs', 'tmpfs', 'ramfs']);

export const volumeChecks: readonly Check[] = [
  { id: 'output', title: 'Output directory', needs: ['places'], exitCode: ExitCode.left, look: lookAtOutput },
  { id: 'file-system', title: 'File system', needs: ['output'], exitCode: ExitCode.left, look: lookAtFileSystem },
  { id: 'space', title: 'Free space', needs: ['output'], exitCode: ExitCode.left, look: lookAtSpace },
];

async function lookAtOutput({ config: { outputDir }, fs }: Subject): Promise<Finding> {
  const shown = printable(outputDir);
  const fix = 'Set COMFYUI_OUTPUT_DIR to where ComfyUI writes.';
  try {
    if (!(await fs.stat(outputDir)).isDirectory()) return bad(`${shown} is not a directory`, fix);
    await fs.access(outputDir, constants.R_OK | constants.X_OK);
    const real = decodeName(await fs.realpath(fsPath(outputDir), 'buffer'));
    const { length } = await fs.readdir(outputDir);
    const where = real === outputDir ? shown : `${shown} (it is ${printable(real)})`;
    return good(`${where} can be read, ${number(length)} ${length === 1 ? 'entry' : 'entries'} directly in it`);
  } catch (error) {
    const code = errorCode(error);
    if (code === 'ENOENT')
      return bad(`${shown} doesn't exist`, `${fix} If ComfyUI makes it at its start, wait for that.`);
    if (code === 'EACCES' || code === 'EPERM') {
      return bad(`${shown} can't be read by the user ${process.getuid?.()} (${code})`, 'Let this user read it.');
    }
    return bad(`${shown} can't be looked at (${code})`, `Look whether the volume is there. ${fix}`);
  }
}

async function lookAtFileSystem(subject: Subject): Promise<Finding> {
  const { outputDir, writers } = subject.config;
  const { type } = await subject.fs.statfs(outputDir);
  const real = decodeName(await subject.fs.realpath(fsPath(outputDir), 'buffer'));
  const mount = findMount(parseMounts(await readFile('/proc/self/mountinfo')), real);
  const network = networkFileSystem(type);
  const name = printable(mount?.type ?? network ?? `type 0x${type.toString(16)}`);
  if (network !== undefined) {
    const others = writers === 'remote' ? 'R2_WRITERS=remote' : 'what other pods write is found by scanning';
    return good(`${name}, a network volume (${network}): ${others}`);
  }
  if (!FLEETING.has(name)) return good(`${name}, a local disk`);
  return warning(
    `${name}: what is on it goes with the container`,
    'Before you stop the pod, run `r2-sync wait`. On a volume nothing would be lost.',
  );
}

async function lookAtSpace({ config: { outputDir }, fs }: Subject): Promise<Finding> {
  const stats = await fs.statfs(outputDir);
  return describeSpace(stats, networkFileSystem(stats.type) !== undefined);
}

/** @param stats as statfs gives them */
export function describeSpace(
  stats: { bsize: number; blocks: number; bavail: number; files: number; ffree: number },
  network: boolean,
): Finding {
  const free = stats.bsize * stats.bavail;
  const whole = stats.bsize * stats.blocks;
  // Some count no inodes: zero of zero is no want.
  const inodes = stats.files === 0 ? Number.POSITIVE_INFINITY : stats.ffree;
  const counted = stats.files === 0 ? '' : `, ${number(inodes)} more files`;
  const words = `${size(free)} of ${size(whole)} are free${counted}`;
  const fix = 'Free some space: what is in the bucket already may go from the volume (`r2-sync status`).';
  if (free === 0 || inodes === 0) return bad(`the volume is full: ${words}`, fix);
  if ((free < FREE_BYTES && free < FREE_SHARE * whole) || inodes < FREE_INODES)
    return warning(`nearly full: ${words}`, fix);
  if (network) return note(`${words}, by the whole volume server's count: your own limit may be lower`);
  return good(words);
}
