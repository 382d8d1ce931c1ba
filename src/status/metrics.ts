// What Prometheus reads: every figure of the snapshot, and a histogram of how long files took.
import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import { printable } from '../paths.ts';
import type { FolderStatus, Snapshot } from './snapshot.ts';

export interface Metrics {
  /** Seconds from the writer's last touch to the store's confirmation; once for every file stored. */
  observeStored(seconds: number): void;
  /** The text that Prometheus scrapes, of this moment. */
  text(): Promise<string>;
  /** Its Content-Type. */
  readonly contentType: string;
}

type Row<T> = [name: string, help: string, value: (from: T) => number | null];

/** Figures that may go up and down. null: unknown at the moment, left out. */
const gauges: Row<Snapshot>[] = [
  ['stored_files', 'Files known to be in the bucket.', (s) => s.totals.storedFiles],
  ['stored_bytes', 'Bytes of the files known to be in the bucket.', (s) => s.totals.storedBytes],
  ['pending_files', 'Files that are not in the bucket yet.', (s) => s.totals.pendingFiles],
  ['pending_bytes', 'Bytes of the files that are not in the bucket yet.', (s) => s.totals.pendingBytes],
  ['parked_files', "Files that can't be uploaded until something outside changes.", (s) => s.totals.parkedFiles],
  ['safe_to_stop', '1 when the pod may be stopped without losing a file.', (s) => Number(s.safeToStop)],
  ['eta_seconds', 'Estimated seconds until nothing is pending.', (s) => s.etaSeconds],
  [
    'store_reachable',
    '1 when the store answered last time, 0 when it did not.',
    (s) => (s.store.reachable === null ? null : Number(s.store.reachable)),
  ],
  ['uptime_seconds', 'Seconds since the agent started.', (s) => s.uptimeSeconds],
  ['process_resident_memory_bytes', 'Memory of the agent (resident set).', () => process.memoryUsage.rss()],
];

/** Figures that only go up while the agent runs. */
const counters: Row<Snapshot>[] = [
  ['retries_total', 'Requests that had to be repeated.', (s) => s.totals.retries],
  ['already_stored_total', 'Files whose bytes the bucket already had.', (s) => s.totals.alreadyStored],
  [
    'leases_lost_total',
    'Folders that another pod took, or that this pod was too slow to keep.',
    (s) => s.totals.leases.lost,
  ],
  ['process_cpu_seconds_total', 'CPU time that the agent used.', () => cpuSeconds()],
];

/** Figures of each folder, label `folder`. */
const folderGauges: Row<FolderStatus>[] = [
  ['folder_files', 'Files in the folder that are to be in the bucket.', (f) => f.files],
  ['folder_stored_files', 'Files of the folder that are in the bucket.', (f) => f.stored],
  ['folder_pending_files', 'Files of the folder that are not in the bucket yet.', (f) => f.pending],
  ['folder_parked_files', "Files of the folder that can't be uploaded for now.", (f) => f.parked],
  ['folder_incomplete_files', 'Files of the folder stored as incomplete.', (f) => f.incomplete],
  ['folder_oldest_pending_seconds', 'Age of the oldest pending file of the folder.', (f) => f.oldestPendingSeconds],
];

const states: Snapshot['state'][] = ['ok', 'degraded', 'failing'];
const leaseStates: FolderStatus['lease']['state'][] = ['mine', 'theirs', 'free', 'off'];
const handovers = ['free', 'released', 'silent', 'dead'] as const;
const storedBuckets = [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800];

/** Metrics with a registry of their own. `snapshot` is called once a scrape. */
export function createMetrics(snapshot: () => Snapshot): Metrics {
  const registry = new Registry();
  const gauge = (name: string, help: string, labelNames: string[] = []) =>
    new Gauge({ name: `r2_sync_${name}`, help, labelNames, registers: [registry] });

  const info = gauge('info', 'The version of the agent.', ['version']);
  const state = gauge('state', '1 for the state that the agent is in.', ['state']);
  const leases = gauge('folder_leases', 'Folders by who may upload them, as far as this agent knows.', ['state']);
  const plain = gauges.map(([name, help, value]) => ({ gauge: gauge(name, help), value }));
  const byFolder = folderGauges.map(([name, help, value]) => ({ gauge: gauge(name, help, ['folder']), value }));
  const counter = (name: string, help: string, labelNames: string[] = []) =>
    new Counter({ name: `r2_sync_${name}`, help, labelNames, registers: [registry] });
  const gained = counter('leases_gained_total', 'Folders that this pod took, by what their last holder did.', ['how']);
  const rising = [
    ...counters.map(([name, help, value]) => ({ child: counter(name, help).labels(), value, reached: 0 })),
    ...handovers.map((how) => ({
      child: gained.labels(how),
      value: (s: Snapshot) => s.totals.leases[how],
      reached: 0,
    })),
  ];
  // A series that is there from the start shows its first step.
  for (const { child } of rising) child.inc(0);
  const stored = new Histogram({
    name: 'r2_sync_stored_seconds',
    help: "Seconds from the writer's last touch to the store's confirmation.",
    buckets: storedBuckets,
    registers: [registry],
  });

  const fill = (now: Snapshot) => {
    info.set({ version: now.version }, 1);
    for (const name of states) state.set({ state: name }, Number(name === now.state));
    for (const name of leaseStates) {
      leases.set({ state: name }, now.folders.filter(({ lease }) => lease.state === name).length);
    }
    for (const { gauge, value } of plain) setOrRemove(gauge, value(now));
    for (const { gauge, value } of byFolder) {
      // Folders that are gone must go.
      gauge.reset();
      for (const folder of now.folders) {
        const figure = value(folder);
        if (figure !== null) gauge.set({ folder: printable(folder.folder) }, figure);
      }
    }
    for (const row of rising) {
      const value = row.value(now) ?? 0;
      if (value <= row.reached) continue;
      row.child.inc(value - row.reached);
      row.reached = value;
    }
  };

  return {
    observeStored: (seconds) => stored.observe(Math.max(0, seconds)),
    text: () => {
      fill(snapshot());
      return registry.metrics();
    },
    contentType: registry.contentType,
  };
}

function setOrRemove(gauge: Gauge, value: number | null): void {
  if (value === null) gauge.remove();
  else gauge.set(value);
}

function cpuSeconds(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}
