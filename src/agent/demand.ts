// What each folder asks of the leases: derived from the pending list, like everything.
import type { Demand } from '../lease/leases.ts';
import type { PendingFile, PendingTable } from './pending.ts';

export interface DemandOptions {
  table: PendingTable;
  /** Made here, or nobody else is likely to serve it: asked for at once. */
  isUrgent: (file: PendingFile) => boolean;
  /** How long files of other pods are left to those. */
  foreignMs: number;
  /** Folders whose uploads fail, and since when: monotonic ms. */
  failing: ReadonlyMap<string, number>;
  /** Since when nothing gets through at all: monotonic ms. */
  closedSince?: number | undefined;
}

export function demandsOf({ table, isUrgent, foreignMs, failing, closedSince }: DemandOptions): Map<string, Demand> {
  const demands = new Map<string, Demand>();
  for (const file of table.pending()) {
    if (file.state === 'settling') continue;
    const { folder } = file;
    const local = isUrgent(file);
    const from = local ? Number.NEGATIVE_INFINITY : file.changedAt + foreignMs;
    const fresh = file.attempts === 0;
    const demand = demands.get(folder);
    if (!demand) {
      demands.set(folder, { from, local, fresh, failingSince: failing.get(folder) ?? closedSince });
    } else {
      demand.from = Math.min(demand.from, from);
      demand.local ||= local;
      demand.fresh ||= fresh;
    }
  }
  return demands;
}
