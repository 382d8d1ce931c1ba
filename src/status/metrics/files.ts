// Metrics of the files as a whole: what is stored, what waits and for what, what is left alone.
import { pendingStates, type Snapshot, stuckReasons } from '../snapshot.ts';
import { codeList, type Metric, timestamp } from './metric.ts';

const states: Snapshot['state'][] = ['ok', 'degraded', 'failing'];

export const fileMetrics: Metric[] = [
  {
    name: 'r2_sync_safe_to_stop',
    type: 'gauge',
    help: '1 when the pod may be stopped without losing a file.',
    unit: '0 or 1',
    group: 'safety',
    samples: (s) => [[Number(s.safeToStop)]],
  },
  {
    name: 'r2_sync_state',
    type: 'gauge',
    help: '1 for the state that the agent is in.',
    unit: '0 or 1',
    labels: { state: codeList(states) },
    group: 'safety',
    samples: (s) => states.map((state) => [Number(s.state === state), { state }]),
  },
  {
    name: 'r2_sync_oldest_pending_seconds',
    type: 'gauge',
    help: 'For how long the file that has been waiting longest has been waiting; 0 while none is.',
    unit: 'seconds',
    group: 'safety',
    samples: (s) => [[largest(s.folders.map((folder) => folder.oldestPendingSeconds)) ?? 0]],
  },
  {
    name: 'r2_sync_last_stored_timestamp_seconds',
    type: 'gauge',
    help: 'When a file was last stored, by this pod or by another on the volume.',
    unit: 'Unix time, seconds',
    group: 'safety',
    samples: (s) => [[largest(s.folders.map((folder) => timestamp(folder.lastStoredAt)))]],
  },
  {
    name: 'r2_sync_eta_seconds',
    type: 'gauge',
    help: 'Estimated time until nothing is pending. Not there while nobody can tell.',
    unit: 'seconds',
    group: 'safety',
    samples: (s) => [[s.etaSeconds]],
  },
  {
    name: 'r2_sync_stored_files',
    type: 'gauge',
    help: 'Files on the volume that are known to be in the bucket.',
    unit: 'files',
    group: 'files',
    samples: (s) => [[s.totals.storedFiles]],
  },
  {
    name: 'r2_sync_stored_bytes',
    type: 'gauge',
    help: 'Bytes of the files that are known to be in the bucket.',
    unit: 'bytes',
    group: 'files',
    samples: (s) => [[s.totals.storedBytes]],
  },
  {
    name: 'r2_sync_pending_files',
    type: 'gauge',
    help: 'Files that are not in the bucket yet and will be, without anybody doing anything.',
    unit: 'files',
    group: 'files',
    samples: (s) => [[s.totals.pendingFiles]],
  },
  {
    name: 'r2_sync_pending_bytes',
    type: 'gauge',
    help: 'Bytes of them that are not in the bucket yet.',
    unit: 'bytes',
    group: 'files',
    samples: (s) => [[s.totals.pendingBytes]],
  },
  {
    name: 'r2_sync_pending_foreign_files',
    type: 'gauge',
    help: 'Those of the pending files that another pod on the volume has made. They keep no pod but their own from stopping.',
    unit: 'files',
    group: 'files',
    samples: (s) => [[s.totals.foreignFiles]],
  },
  {
    name: 'r2_sync_pending_state_files',
    type: 'gauge',
    help: 'The pending files by what they wait for.',
    unit: 'files',
    labels: {
      state:
        "`settling` (to be finished), `leasing` (for the folder to be this pod's), `due` (for their turn), `working` (being read and sent), `waiting` (to be tried again), `recording` (in the bucket, being noted)",
    },
    group: 'files',
    unstable: true,
    samples: (s) => pendingStates.map((state) => [s.totals.pendingBy[state], { state }]),
  },
  {
    name: 'r2_sync_parked_files',
    type: 'gauge',
    help: "Files that can't be uploaded until something outside changes.",
    unit: 'files',
    labels: {
      reason:
        '`refused` (the store refuses their folder), `unstorable` (the store takes no such file), `unreadable` (the volume gives no access)',
    },
    group: 'files',
    samples: (s) => stuckReasons.map((reason) => [s.totals.parkedBy[reason], { reason }]),
  },
  {
    name: 'r2_sync_incomplete_files',
    type: 'gauge',
    help: 'Stored files that were never finished by their writer and are marked `incomplete`.',
    unit: 'files',
    group: 'files',
    samples: (s) => [[s.folders.reduce((sum, folder) => sum + folder.incomplete, 0)]],
  },
  {
    name: 'r2_sync_skipped_files',
    type: 'gauge',
    help: 'Files that are left alone: their type, a filter, their size, or nothing in them.',
    unit: 'files',
    group: 'files',
    samples: (s) => [[Object.values(s.skipped).reduce((sum, count) => sum + count, 0)]],
  },
  {
    name: 'r2_sync_already_stored_files_total',
    type: 'counter',
    help: 'Files whose bytes the bucket already had, so that nothing was sent.',
    unit: 'files',
    group: 'speed',
    samples: (s) => [[s.totals.alreadyStored]],
  },
];

function largest(values: readonly (number | null)[]): number | null {
  const known = values.filter((value) => value !== null);
  return known.length === 0 ? null : known.reduce((a, b) => Math.max(a, b));
}
