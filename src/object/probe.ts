// The small object that says whether this pod may write to its bucket. It stands for no file, so nobody wants it back.
import { nameOf } from '../paths.ts';

/** What it is called below its folder; its key holds a hash like any other. */
export const PROBE_NAME = 'r2-sync-probe.txt';

/** Set in the metadata of probes: a template may leave the name out of the key. */
export const PROBE_MARK = { probe: 'true' } as const;

/** Whether an object is such a probe. A user's file of that name has a path in its metadata. */
export function isProbe(key: string, metadata: Readonly<Record<string, string>>): boolean {
  if (metadata.path !== undefined) return false;
  return metadata.probe === PROBE_MARK.probe || nameOf(key).startsWith('r2-sync-probe');
}
