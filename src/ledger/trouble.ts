// What is said when the ledger can't be read or written: what happened, to what, and what to do.
import { errorCode, errorText } from '../errors.ts';
import { printable } from '../paths.ts';

const CAUSES: Readonly<Record<string, [happened: string, fix: string]>> = {
  ENOSPC: ['the volume is full', 'Free some space on it.'],
  EDQUOT: ['the quota of the volume is used up', 'Free some space on it.'],
  EROFS: ['the volume is read-only', 'Mount it so that it can be written.'],
  EACCES: ['access is denied', 'Make it readable and writable for the user that r2-sync runs as.'],
  EPERM: ['access is denied', 'Make it readable and writable for the user that r2-sync runs as.'],
  ENOTDIR: ['a file is where the directory should be', 'Move that file away, or set R2_STATE_DIR.'],
  ENOENT: ['its parent directory is gone', 'Check that the volume is mounted.'],
  EIO: ['the volume reports an error', 'Check the volume.'],
  EMFILE: ['too many files are open', 'Raise the limit of open files (ulimit -n).'],
};

/** `what` is `read` or `written`; `where` the directory. */
export function describeTrouble(what: 'read' | 'written', where: string, error: unknown): string {
  const { happened, fix } = causeOf(error);
  return `The ledger in ${printable(where)} can't be ${what}: ${happened}. Uploads go on. ${fix}`;
}

/** What a system's error on the state directory means, and what to do about it. */
export function causeOf(error: unknown): { happened: string; fix: string } {
  const code = errorCode(error) ?? '';
  const [happened, fix] = CAUSES[code] ?? [errorText(error), 'Check the volume.'];
  return { happened: code in CAUSES ? `${happened} (${code})` : happened, fix };
}

/** A call that has been under way for `seconds` and hasn't come back. */
export function describeHang(where: string, seconds: number): string {
  return `The ledger in ${printable(where)} can't be written: the volume hasn't answered for ${seconds} seconds. Uploads go on. Check the volume.`;
}
