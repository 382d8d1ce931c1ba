// Metrics of what the files depend on: the store, the volume, and the agent itself.
import { type Metric, timestamp } from './metric.ts';

export const surroundingMetrics: Metric[] = [
  {
    name: 'r2_sync_store_reachable',
    type: 'gauge',
    help: '1 when the store answered last time, 0 when it did not. Not there before anybody asked.',
    unit: '0 or 1',
    group: 'store',
    samples: (s) => [[s.store.reachable === null ? null : Number(s.store.reachable)]],
  },
  {
    name: 'r2_sync_retries_total',
    type: 'counter',
    help: 'Uploads that had to be tried again.',
    unit: 'attempts',
    group: 'store',
    samples: (s) => [[s.totals.retries]],
  },
  {
    name: 'r2_sync_volume_silent_seconds',
    type: 'gauge',
    help: 'For how long calls on the volume have been waiting and none has come back; 0 while it answers.',
    unit: 'seconds',
    group: 'volume',
    samples: (s) => [[s.volume.silentSeconds]],
  },
  {
    name: 'r2_sync_volume_free_bytes',
    type: 'gauge',
    help: 'What may still be written to the volume of the output directory. A network volume may tell the space of all of its cluster, and not your quota.',
    unit: 'bytes',
    group: 'volume',
    samples: (s) => [[s.volume.space?.free ?? null]],
  },
  {
    name: 'r2_sync_volume_size_bytes',
    type: 'gauge',
    help: 'The size of that volume.',
    unit: 'bytes',
    group: 'volume',
    samples: (s) => [[s.volume.space?.total ?? null]],
  },
  {
    name: 'r2_sync_volume_low_space',
    type: 'gauge',
    help: '1 when less is left than `R2_LOW_SPACE_MB` says.',
    unit: '0 or 1',
    group: 'volume',
    samples: (s) => [[s.volume.space === null ? null : Number(s.volume.space.low)]],
  },
  {
    name: 'r2_sync_last_scan_timestamp_seconds',
    type: 'gauge',
    help: 'When the last look over the whole output directory ended.',
    unit: 'Unix time, seconds',
    group: 'volume',
    samples: (s) => [[timestamp(s.volume.lastScan?.at ?? null)]],
  },
  {
    name: 'r2_sync_last_scan_duration_seconds',
    type: 'gauge',
    help: 'How long it took.',
    unit: 'seconds',
    group: 'volume',
    unstable: true,
    samples: (s) => [[s.volume.lastScan?.seconds ?? null]],
  },
  {
    name: 'r2_sync_build_info',
    type: 'gauge',
    help: 'Always 1. The version of the agent, and of the Node that runs it.',
    unit: '1',
    labels: { version: 'for instance `0.1.0`', node: 'for instance `v24.1.0`' },
    group: 'agent',
    samples: (s) => [[1, { version: s.version, node: process.version }]],
  },
  {
    name: 'r2_sync_target_info',
    type: 'gauge',
    help: 'Always 1. Where the files go, and which pod sends them: its short hash, as leases and objects have it.',
    unit: '1',
    labels: { bucket: "the bucket's name", pod: 'for instance `a1b2c3d4`' },
    group: 'agent',
    samples: (s) => [[1, { bucket: s.store.bucket, pod: s.pod }]],
  },
  {
    name: 'process_start_time_seconds',
    type: 'gauge',
    help: "When the agent's process started.",
    unit: 'Unix time, seconds',
    group: 'agent',
    samples: () => [[performance.timeOrigin / 1000]],
  },
  {
    name: 'process_cpu_seconds_total',
    type: 'counter',
    help: 'CPU time that the agent has used.',
    unit: 'seconds',
    group: 'agent',
    samples: () => [[cpuSeconds()]],
  },
  {
    name: 'process_resident_memory_bytes',
    type: 'gauge',
    help: "The agent's memory (resident set).",
    unit: 'bytes',
    group: 'agent',
    samples: () => [[process.memoryUsage.rss()]],
  },
];

function cpuSeconds(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}
