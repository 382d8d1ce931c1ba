// What of a run goes into the docs: small, whole, and readable without the code that made it.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ContenderId } from './contender.ts';
import type { Outcome } from './outcome.ts';
import type { Metric, Row } from './row.ts';
import type { SoakMinute, SoakSummary } from './soak-summary.ts';

export interface Machine {
  cpus: number;
  cpu?: string | undefined;
  memoryMiB: number;
}

/** Of a run or of a soak. */
export interface RunFacts {
  /** ISO 8601. */
  at: string;
  /** As `git describe` says it. */
  commit?: string | undefined;
  machine: Machine;
  /** Node's version. */
  node: string;
}

export interface PublishedRow {
  id: string;
  title: string;
  metrics: Record<string, Metric>;
  baseline: ContenderId;
  contenders: readonly ContenderId[];
  /** Null: it can't be told (no file arrived). */
  figures: Partial<
    Record<ContenderId, Record<string, { value: number | null; ratio?: number | null; rounds: (number | null)[] }>>
  >;
  goals: { contender: ContenderId; text: string; met?: boolean; why: string }[];
  failures: Outcome['failures'];
  /** Of a row that was measured by itself, after the run. */
  measured?: RunFacts;
}

export interface PublishedRun extends RunFacts {
  /** Smaller and fewer: not to be quoted. */
  quick: boolean;
  /** As `partOf` tells; absent: all of it. */
  part?: 'rows' | 'trial';
  /** Contender id → name. */
  names: Record<ContenderId, string>;
  missing: Record<string, string>;
  rows: PublishedRow[];
}

export interface PublishedSoak extends RunFacts, Omit<SoakSummary, 'text'> {
  rate: number;
  keep: number;
  minutes: Pick<SoakMinute, 'minute' | 'rss' | 'anon' | 'descriptors' | 'cpuPerFile' | 'p50' | 'p99'>[];
}

const results = join(import.meta.dirname, '../results');
const docs = join(import.meta.dirname, '../../docs/benchmarks');
export const LATEST_RUN = join(results, 'latest.json');
export const SOAK_LINES = join(results, 'soak.jsonl');
export const SOAK_SUMMARY = join(results, 'soak-summary.json');

export function publishedRow(row: Row, outcome: Outcome): PublishedRow {
  const { id, metrics, baseline, contenders } = row;
  const goals = outcome.verdicts.map(({ goal: { contender, text }, met, why }) => ({
    ...{ contender, text, why },
    ...(met === undefined ? {} : { met }),
  }));
  const figures = JSON.parse(JSON.stringify(outcome.figures)) as PublishedRow['figures'];
  return { id, title: outcome.title, metrics, baseline, contenders, figures, goals, failures: outcome.failures };
}

/**
 * Takes what the last run and the last soak left in bench/results into docs/benchmarks. Returns what it took: not a
 * trial, whose rows would have holes.
 */
export function publish(): string[] {
  mkdirSync(docs, { recursive: true });
  const taken: string[] = [];
  const latest = existsSync(LATEST_RUN) ? readRun(LATEST_RUN) : undefined;
  if (latest && latest.part !== 'trial') {
    const results = join(docs, 'results.json');
    const run = latest.part === 'rows' && existsSync(results) ? withRows(readRun(results), latest) : latest;
    writeFileSync(results, `${JSON.stringify(run, null, 2)}\n`);
    taken.push(LATEST_RUN);
  }
  if (existsSync(SOAK_SUMMARY) && existsSync(SOAK_LINES)) {
    writeFileSync(join(docs, 'soak.json'), `${JSON.stringify(readSoak(), null, 1)}\n`);
    taken.push(SOAK_SUMMARY);
  }
  return taken;
}

/** A run with the rows of another one in the place of its own, each with what it was measured by. */
export function withRows(whole: PublishedRun, part: PublishedRun): PublishedRun {
  const { at, commit, machine, node } = part;
  const fresh = part.rows.map((row) => ({ ...row, measured: { at, commit, machine, node } }));
  const rows = whole.rows.map((row) => fresh.find(({ id }) => id === row.id) ?? row);
  return { ...whole, rows: [...rows, ...fresh.filter(({ id }) => whole.rows.every((row) => row.id !== id))] };
}

function readRun(path: string): PublishedRun {
  return JSON.parse(readFileSync(path, 'utf8')) as PublishedRun;
}

function readSoak(): PublishedSoak {
  const { text: _, ...summary } = JSON.parse(readFileSync(SOAK_SUMMARY, 'utf8')) as PublishedSoak & { text: string };
  const lines = readFileSync(SOAK_LINES, 'utf8').trim().split('\n').slice(1);
  const round = (value: number | null) => Math.round((value ?? 0) * 100) / 100;
  const minutes = lines.map((line) => {
    const { minute, rss, anon, descriptors, cpuPerFile, p50, p99 } = JSON.parse(line) as SoakMinute;
    const [r, a, c, m, l] = [rss, anon, cpuPerFile, p50, p99].map(round) as [number, number, number, number, number];
    return { minute, rss: r, anon: a, descriptors, cpuPerFile: c, p50: m, p99: l };
  });
  return { ...summary, minutes };
}
