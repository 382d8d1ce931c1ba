// The small object that says whether this pod may write to its bucket. It stands for no file, so nobody wants it back.
import { nameOf } from '../paths.ts';

/** What it is called below its folder; its key holds a hash like any other. */
export const PROBE_NAME = 'r2-sync-probe.txt';

/** Whether an object is such a probe. A user's file of that name has a path in its metadata. */
export function isProbe(key: string, metadata: Readonly<Record<string, string>>): boolean {
  return metadata.path === undefined && nameOf(key).startsWith('r2-sync-probe');
}
