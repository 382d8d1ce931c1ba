// What Prometheus reads: keeps a registry of what the table lists, and fills it from a snapshot at each scrape.
import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { Metric } from './metrics/metric.ts';
import { counted, delayBuckets, metricTable } from './metrics/table.ts';
import type { Snapshot } from './snapshot.ts';

export interface Metrics {
  /** Once for every file uploaded. `seconds`: from the writer's last touch to the store's confirmation. */
  observeUpload(seconds: number, bytes: number): void;
  /** Once for every request to the store. `code`: the reply's HTTP status, or `none`. */
  countRequest(operation: string, code: string): void;
  /** Once for every message: what came of it. */
  countNotification(result: string): void;
  /** Once for every run of R2_ON_STORED, and for every one that was left out. */
  countHook(result: string): void;
  /** The text that Prometheus scrapes: what the snapshot says, and what was counted until this moment. */
  text(snapshot: Snapshot): Promise<string>;
  /** Its Content-Type. */
  readonly contentType: string;
}

/** Metrics with a registry of their own. */
export function createMetrics(): Metrics {
  const registry = new Registry();
  const fills = metricTable.flatMap((metric) => (metric.samples ? createFill(registry, metric, metric.samples) : []));
  const files = createCounter(registry, counted.uploadedFiles);
  const bytes = createCounter(registry, counted.uploadedBytes);
  const requests = createCounter(registry, counted.requests);
  const notifications = createCounter(registry, counted.notifications);
  const hooks = createCounter(registry, counted.hooks);
  const delay = new Histogram({ ...optionsOf(registry, counted.uploadDelay), buckets: delayBuckets });
  return {
    observeUpload: (seconds, size) => {
      files.inc();
      bytes.inc(size);
      delay.observe(Math.max(0, seconds));
    },
    countRequest: (operation, code) => requests.inc({ operation, code }),
    countNotification: (result) => notifications.inc({ result }),
    countHook: (result) => hooks.inc({ result }),
    text: (snapshot) => {
      for (const fill of fills) fill(snapshot);
      return registry.metrics();
    },
    contentType: registry.contentType,
  };
}

type Fill = (now: Snapshot) => void;

function createFill(registry: Registry, metric: Metric, samples: NonNullable<Metric['samples']>): Fill {
  return metric.type === 'counter'
    ? fillCounter(createCounter(registry, metric), samples)
    : fillGauge(new Gauge(optionsOf(registry, metric)), samples);
}

function fillGauge(gauge: Gauge, samples: NonNullable<Metric['samples']>): Fill {
  return (now) => {
    // Folders that are gone must go.
    gauge.reset();
    for (const [value, labels = {}] of samples(now)) {
      if (value !== null) gauge.set(labels, value);
      else gauge.remove(labels);
    }
  };
}

function fillCounter(counter: Counter, samples: NonNullable<Metric['samples']>): Fill {
  const reached = new Map<string, number>();
  return (now) => {
    for (const [value, labels = {}] of samples(now)) {
      const series = JSON.stringify(labels);
      const before = reached.get(series) ?? 0;
      // A series that is there from the start shows its first step.
      counter.inc(labels, Math.max(0, (value ?? 0) - before));
      reached.set(series, Math.max(before, value ?? 0));
    }
  };
}

function createCounter(registry: Registry, metric: Metric): Counter {
  const counter = new Counter(optionsOf(registry, metric));
  for (const labels of metric.starts ?? []) counter.inc(labels, 0);
  return counter;
}

function optionsOf(registry: Registry, { name, help, labels = {} }: Metric) {
  return { name, help: help.replaceAll('`', ''), labelNames: Object.keys(labels), registers: [registry] };
}
