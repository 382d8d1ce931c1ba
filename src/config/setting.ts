// What is known about one setting, and the parts that the documentation groups settings into.
import type { Kind } from './schemas.ts';
import type { Settings } from './types.ts';

/** The parts of the documentation, in order. */
export const groups = {
  first: 'Set these first',
  files: 'Which files, and where they are',
  names: 'Names in the bucket',
  pace: 'How fast, how careful',
  team: 'Several pods on one volume',
  status: 'Status page and log',
  notify: 'Notifications and hooks',
  machine: 'Rarely needed',
} as const;

export interface Setting<T = unknown> extends Kind<T> {
  name: string;
  /** Other names that mean the same. */
  aliases?: readonly string[];
  group: keyof typeof groups;
  /** As the user would write it. Absent: unset. */
  default?: string;
  /** Shown instead of the default where that is computed, or nothing. */
  defaultText?: string;
  /** Computes the default where it depends on the machine. */
  fallback?: (env: Settings) => string;
  unit?: string;
  example: string;
  /** Never shown, never logged. */
  secret?: true;
  /** A store can't be used without it: where to get it. */
  required?: string;
  /** Read once, when the container or the command starts: `config set` can't change it. */
  boot?: true;
  /** Nothing that files need: where its value is wrong, that is shown, and it counts as unset. */
  aside?: true;
  /** For people who rent pods. Its first sentence stands alone in `--help`. */
  doc: string;
}
