// docs/benchmarks.md and its charts, from the figures in docs/benchmarks/*.json and bench/profile.md.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { PublishedRun, PublishedSoak } from '../../../bench/support/published.ts';
import { runCharts, soakChart } from './charts.ts';
import { benchmarksPage } from './page.ts';

const root = join(import.meta.dirname, '../../..');

/** Path from the checkout's root → content. */
export function benchmarkDocuments(): Map<string, string> {
  const run = readIfThere('docs/benchmarks/results.json');
  const soak = readIfThere('docs/benchmarks/soak.json');
  const profile = readIfThere('bench/profile.md');
  const facts = {
    run: run === undefined ? undefined : (JSON.parse(run) as PublishedRun),
    soak: soak === undefined ? undefined : (JSON.parse(soak) as PublishedSoak),
    profile,
  };
  const charts = new Map([
    ...(facts.run === undefined ? [] : runCharts(facts.run)),
    ...(facts.soak === undefined ? [] : [soakChart(facts.soak)]),
  ]);
  const documents = [...charts].map(([name, { svg }]) => [`docs/benchmarks/${name}.svg`, svg] as const);
  return new Map([['docs/benchmarks.md', benchmarksPage({ ...facts, charts })], ...documents]);
}

export function writeBenchmarks(): void {
  mkdirSync(join(root, 'docs/benchmarks'), { recursive: true });
  for (const [path, text] of benchmarkDocuments()) writeFileSync(join(root, path), text);
}

function readIfThere(path: string): string | undefined {
  return existsSync(join(root, path)) ? readFileSync(join(root, path), 'utf8') : undefined;
}
