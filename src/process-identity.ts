// Who a process is, in a way that another process can check later: numbers of processes are used again, and every
// host's first pid namespace has the same number.
import { readFileSync, readlinkSync } from 'node:fs';
import { errorCode } from './errors.ts';

export interface ProcessIdentity {
  pid: number;
  /** Clock ticks after boot at which it started, as /proc/<pid>/stat has it. */
  startTime: string;
  pidNamespace: string;
  bootId: string;
  /** Short hash of the pod's id. */
  pod: string;
}

/** No system gives higher numbers. */
const HIGHEST_PID = 2 ** 31 - 1;

/** Whether something that somebody else wrote down names a process. Its number becomes part of a path in /proc. */
export function isProcessIdentity(value: unknown): value is ProcessIdentity {
  if (typeof value !== 'object' || value === null) return false;
  const { pid, startTime, pidNamespace, bootId, pod } = value as Partial<Record<keyof ProcessIdentity, unknown>>;
  if ([startTime, pidNamespace, bootId, pod].some((field) => typeof field !== 'string')) return false;
  return typeof pid === 'number' && Number.isInteger(pid) && pid > 0 && pid <= HIGHEST_PID;
}

/** This process. Where /proc doesn't tell, a field is '' and nothing can be proved about it later. */
export function identifyProcess(pod: string): ProcessIdentity {
  return { pid: process.pid, startTime: startTimeOf(process.pid) ?? '', ...place(), pod };
}

/** True only if the process surely runs no more: it lived in our pid namespace and boot, and is gone or was replaced. */
export function isProvablyDead(identity: ProcessIdentity): boolean {
  const here = place();
  if (identity.bootId === '' || identity.bootId !== here.bootId || identity.pidNamespace !== here.pidNamespace)
    return false;
  const startTime = startTimeOf(identity.pid);
  // A file that can't be read proves nothing: /proc may hide others' processes, or we may be out of descriptors.
  if (startTime === undefined) return isUnknown(identity.pid);
  return identity.startTime !== '' && startTime !== identity.startTime;
}

/** Whether the system knows no process of this number. */
function isUnknown(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return false;
  } catch (error) {
    return errorCode(error) === 'ESRCH';
  }
}

function place(): { bootId: string; pidNamespace: string } {
  try {
    return {
      bootId: readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim(),
      pidNamespace: readlinkSync('/proc/self/ns/pid'),
    };
  } catch {
    return { bootId: '', pidNamespace: '' };
  }
}

function startTimeOf(pid: number): string | undefined {
  try {
    // The name in parentheses may hold anything; field 22 is the twentieth after it.
    return readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)!.split(' ')[19];
  } catch {
    return undefined;
  }
}
