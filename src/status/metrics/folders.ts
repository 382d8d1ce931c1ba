// Metrics of each folder, and of who uploads it.
import type { FolderStatus } from '../snapshot.ts';
import { codeList, type Metric, timestamp } from './metric.ts';

/** So many folders have series of their own: each of them, on each pod, costs the Prometheus server memory. */
export const FOLDERS_SHOWN = 200;

const leaseStates: FolderStatus['lease']['state'][] = ['mine', 'theirs', 'free', 'off'];
const handovers = ['free', 'released', 'silent', 'dead'] as const;

export const folderMetrics: Metric[] = [
  folderMetric('stored_files', 'files', 'Files of the folder that are in the bucket.', (f) => f.stored),
  folderMetric('pending_files', 'files', 'Files of the folder that are not in the bucket yet.', (f) => f.pending),
  folderMetric('parked_files', 'files', "Files of the folder that can't be uploaded for now.", (f) => f.parked),
  folderMetric('incomplete_files', 'files', 'Files of the folder stored as incomplete.', (f) => f.incomplete),
  folderMetric(
    'oldest_pending_seconds',
    'seconds',
    'For how long the file of the folder that has been waiting longest has been waiting; 0 while none is.',
    (f) => f.oldestPendingSeconds ?? 0,
  ),
  folderMetric(
    'last_stored_timestamp_seconds',
    'Unix time, seconds',
    'When a file of the folder was last stored. Not there while none was.',
    (f) => timestamp(f.lastStoredAt),
  ),
  folderMetric(
    'held',
    '0 or 1',
    '1 when this pod uploads the folder. Not there where leases are off.',
    ({ lease: { state } }) => (state === 'off' ? null : Number(state === 'mine')),
  ),
  {
    name: 'r2_sync_folders',
    type: 'gauge',
    help: 'Folders by who may upload them, as far as this pod knows.',
    unit: 'folders',
    labels: { lease: codeList(leaseStates) },
    group: 'folders',
    samples: (s) =>
      leaseStates.map((state) => [s.folders.filter(({ lease }) => lease.state === state).length, { lease: state }]),
  },
  {
    name: 'r2_sync_leases_gained_total',
    type: 'counter',
    help: 'Folders that this pod took, by what their last holder did.',
    unit: 'folders',
    labels: {
      how: '`free` (nobody had it), `released` (given back), `silent` (no sign of life for a while), `dead` (known to be gone)',
    },
    group: 'folders',
    samples: (s) => handovers.map((how) => [s.totals.leases[how], { how }]),
  },
  {
    name: 'r2_sync_leases_lost_total',
    type: 'counter',
    help: 'Folders that another pod took, or that this pod was too slow to keep.',
    unit: 'folders',
    group: 'folders',
    samples: (s) => [[s.totals.leases.lost]],
  },
];

function folderMetric(
  name: string,
  unit: string,
  help: string,
  value: (folder: FolderStatus) => number | null,
): Metric {
  return {
    name: `r2_sync_folder_${name}`,
    type: 'gauge',
    help,
    unit,
    labels: { folder: 'the name' },
    group: 'folders',
    samples: (s) => shownFolders(s.folders).map((folder) => [value(folder), { folder: folder.folder }]),
  };
}

/** With very many folders only some have series: those with trouble first, then those stored to last. */
function shownFolders(folders: readonly FolderStatus[]): readonly FolderStatus[] {
  if (folders.length <= FOLDERS_SHOWN) return folders;
  const rank = ({ parked, pending }: FolderStatus) => (parked > 0 ? 2 : pending > 0 ? 1 : 0);
  // Dates in ISO 8601 are in order as texts.
  const last = ({ lastStoredAt }: FolderStatus) => lastStoredAt ?? '';
  const byLast = (a: FolderStatus, b: FolderStatus) => (last(a) < last(b) ? 1 : last(a) > last(b) ? -1 : 0);
  return folders.toSorted((a, b) => rank(b) - rank(a) || byLast(a, b)).slice(0, FOLDERS_SHOWN);
}
