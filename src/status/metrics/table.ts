// Every figure that Prometheus gets. The registry (../metrics.ts) and docs/metrics.md are made from this table, so nothing
// is exported that isn't documented.
import { fileMetrics } from './files.ts';
import { folderMetrics } from './folders.ts';
import type { Metric } from './metric.ts';
import { surroundingMetrics } from './surroundings.ts';

/** Upper bounds of the histogram, in seconds. */
export const delayBuckets = [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800];

/** Counted as it happens, and not read from the snapshot. */
export const counted = {
  uploadedFiles: {
    name: 'r2_sync_uploaded_files_total',
    type: 'counter',
    help: 'Files that this pod has uploaded.',
    unit: 'files',
    group: 'speed',
  },
  uploadedBytes: {
    name: 'r2_sync_uploaded_bytes_total',
    type: 'counter',
    help: 'Bytes of the files that this pod has uploaded.',
    unit: 'bytes',
    group: 'speed',
  },
  uploadDelay: {
    name: 'r2_sync_upload_delay_seconds',
    type: 'histogram',
    help: "From the writer's last touch to the store's confirmation; for files of a backlog, from when they were found.",
    unit: 'seconds',
    group: 'speed',
  },
  requests: {
    name: 'r2_sync_store_requests_total',
    type: 'counter',
    help: 'Requests to the store, repeated ones included.',
    unit: 'requests',
    labels: {
      operation: "S3's name for it: `PutObject`, `HeadObject`, `UploadPart`, `ListObjectsV2` …",
      code: 'the HTTP status of the reply; `none` if none came',
    },
    group: 'store',
  },
  notifications: {
    name: 'r2_sync_notifications_total',
    type: 'counter',
    help: 'Messages to R2_WEBHOOK_URL, by what came of them.',
    unit: 'messages',
    labels: { result: '`delivered`, `failed`, `left_out` (too many in a short time: one message says how many)' },
    starts: ['delivered', 'failed', 'left_out'].map((result) => ({ result })),
    group: 'agent',
  },
  hooks: {
    name: 'r2_sync_hooks_total',
    type: 'counter',
    help: 'Runs of R2_ON_STORED, by how they ended.',
    unit: 'runs',
    labels: {
      result: '`done`, `failed`, `timeout`, `stopped` (the agent was stopped), `dropped` (too many waited: never run)',
    },
    starts: ['done', 'failed', 'timeout', 'stopped', 'dropped'].map((result) => ({ result })),
    group: 'agent',
  },
} as const satisfies Record<string, Metric>;

export const metricTable: readonly Metric[] = [
  ...fileMetrics,
  ...folderMetrics,
  ...surroundingMetrics,
  ...Object.values(counted),
];
