// How things are, as far as somebody may want to be told: each cause of trouble with a name that stays the same while
// its words change, and that every pod gives to the same thing.
import { createHash } from 'node:crypto';

/** `settings`: this pod's alone. `store`: it refuses or doesn't answer. `trouble`: any other reason on the page. */
export type CauseKind = 'settings' | 'store' | 'trouble' | 'parked';

export interface Cause {
  /** `<kind>-<hash>`, fit for a file name. */
  id: string;
  kind: CauseKind;
  severity: 'failing' | 'degraded' | 'parked';
  /** What happened and what to do, for people. */
  text: string;
  /** Files that are parked for it; 0 for any other kind. */
  files: number;
}

export interface Condition {
  state: 'ok' | 'degraded' | 'failing';
  /** What is on the status page. */
  reasons: readonly string[];
  causes: readonly Cause[];
  folders: readonly string[];
  counts: { pending: number; parked: number };
  /** Whether everything on the volume is in sight: only then nothing seen means that nothing is there. */
  seesAll: boolean;
  /** Whether uploads may go on, as far as is known. */
  storeOpen: boolean;
  /** Grows with every file that the store confirmed: since then it surely works. */
  confirmations: number;
}

/** @param same what makes two causes one; figures in it must not change while it lasts */
export function makeCause(kind: CauseKind, severity: Cause['severity'], same: string, text: string, files = 0): Cause {
  const hash = createHash('sha256').update(`${kind}\n${same}`).digest('hex').slice(0, 16);
  return { id: `${kind}-${hash}`, kind, severity, text, files };
}

/** The kind of a cause by its id; undefined where it is no id. */
export function kindOf(id: string): CauseKind | undefined {
  return /^(settings|store|trouble|parked)-[0-9a-f]{16}$/.exec(id)?.[1] as CauseKind | undefined;
}

const QUOTED_OR_FIGURE =
  /"[^"]*"|(?<=^|[\s(])\d[\d.,:]*(?: ?(?:bytes?|kB|[KMGT]i?B|s|seconds?|min|h|days?|%|files?))?(?=$|[\s).,;:])/g;

/** A text without its figures (times, sizes, counts), so that the same reason a minute later is the same. Names in quotes stay. */
export function withoutFigures(text: string): string {
  return text.replace(QUOTED_OR_FIGURE, (found) => (found.startsWith('"') ? found : '#'));
}
