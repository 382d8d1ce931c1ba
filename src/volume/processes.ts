// Who has files open for writing? Read from /proc, in the volume worker: a descriptor's file may lie on our volume, and that
// may hang.
import { lstatSync, readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs';
import { errorCode } from '../errors.ts';
import { lookAtMounts, type Mounts } from './mounts.ts';

export interface OpenFiles {
  /** Those of the targets that a process has open for writing. */
  open: Set<string>;
  /** False if a process that might be a writer wouldn't let us look: then an empty answer proves nothing. */
  complete: boolean;
}

/** The link of a descriptor that is no file, as most are: to read one is the cheapest look there is. */
const NO_FILE = /^(?!\/)|^\/dev\/(null|nvidia[\w-]*|pts\/\d+)$/;

/**
 * One pass over /proc/<pid>/fd, but for our own: the agent opens no output for writing. The mode of the link
 * /proc/<pid>/fd/<n> tells how it was opened, so only descriptors that are open for writing are followed; and of those
 * none to another file system, for that would hold us up if it hangs.
 * @param root all targets lie below it; absolute and real
 * @param targets `dev:ino` in decimal
 */
export function findOpenFiles(root: string, targets: ReadonlySet<string>): OpenFiles {
  const us = ourNumber();
  const mounts = lookAtMounts(root);
  // A /proc that doesn't show us doesn't show those beside us either.
  const found: OpenFiles = { open: new Set(), complete: us !== undefined };
  for (const pid of readdirSync('/proc')) {
    if (!/^[1-9]/.test(pid) || pid === us) continue;
    try {
      for (const descriptor of readdirSync(`/proc/${pid}/fd`)) {
        const id = openForWriting(pid, descriptor, mounts);
        if (id !== undefined && targets.has(id)) found.open.add(id);
      }
    } catch (error) {
      const code = errorCode(error);
      if (code !== 'ENOENT' && code !== 'ESRCH' && !standsAboveUs(pid)) found.complete = false;
    }
  }
  return found;
}

/** Our own number in this /proc, which may be that of another namespace: there process.pid is somebody else. */
function ourNumber(): string | undefined {
  try {
    return readlinkSync('/proc/self');
  } catch {
    return undefined;
  }
}

/**
 * `dev:ino` of the regular file behind a descriptor that is open for writing, unless it lies elsewhere. Throws where we may
 * not look.
 */
function openForWriting(pid: string, number: string, mounts: Mounts): string | undefined {
  const link = `/proc/${pid}/fd/${number}`;
  try {
    if (NO_FILE.test(readlinkSync(link))) return undefined;
    const descriptor = lstatSync(link, { throwIfNoEntry: false });
    if (descriptor === undefined || (descriptor.mode & 0o200) === 0) return undefined;
    if (mounts.isElsewhere(pid, number)) return undefined;
    const stat = statSync(link, { bigint: true, throwIfNoEntry: false });
    return stat?.isFile() ? `${stat.dev}:${stat.ino}` : undefined;
  } catch (error) {
    const code = errorCode(error);
    if (code === 'EACCES' || code === 'EPERM') throw error;
    return undefined;
  }
}

/** Our own permitted capabilities, read once. */
let ours: bigint | undefined;

/**
 * Whether a process that hides its descriptors from us has more rights than a root agent has: a supervisor from outside
 * of the container. Nothing that was started beside us, ComfyUI above all, can be one.
 */
function standsAboveUs(pid: string): boolean {
  if (process.getuid?.() !== 0) return false;
  try {
    ours ??= permittedCapabilities('self');
    return (permittedCapabilities(pid) & ~ours) !== 0n;
  } catch {
    return false;
  }
}

function permittedCapabilities(pid: string): bigint {
  return BigInt(`0x${/^CapPrm:\s*([0-9a-f]+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))![1]}`);
}
