// What a metric is: name, type, labels, unit, meaning, whether it stays as it is, and where its figures come from.
import type { Snapshot } from '../snapshot.ts';

type Labels = Record<string, string>;

/** One series and its value; null: not known at the moment, left out. */
export type Sample = [value: number | null, labels?: Labels];

export interface Metric {
  name: string;
  type: 'gauge' | 'counter' | 'histogram';
  /** For people: what it says. Also its HELP text. */
  help: string;
  unit: string;
  /** Label names, with their values in words for the docs. */
  labels?: Labels;
  group: keyof typeof metricGroups;
  /** Mirrors how the agent works inside, and may change with that. All others stay as they are. */
  unstable?: true;
  /** Of what is counted: the series that are there from the start, so that their first step shows. */
  starts?: readonly Labels[];
  /** What the snapshot says; undefined for what is counted as it happens. */
  samples?: (snapshot: Snapshot) => Sample[];
}

export const metricGroups = {
  safety: 'Is everything safe?',
  files: 'Files',
  folders: 'Folders',
  speed: 'Speed',
  store: 'The store',
  volume: 'The volume',
  agent: 'The agent',
} as const;

/** Unix time in seconds of an ISO 8601 date. */
export function timestamp(date: string | null): number | null {
  return date === null ? null : Date.parse(date) / 1000;
}

/** Values of a label, for the docs. */
export function codeList(values: readonly string[]): string {
  return values.map((value) => `\`${value}\``).join(', ');
}
