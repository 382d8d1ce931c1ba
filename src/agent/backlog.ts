// Files that are older than the agent: a first start on an old volume, or a ledger that was lost.
import type { Clock } from '../clock.ts';
import type { Log } from '../log.ts';
import type { PendingTable } from './pending.ts';

/** Reading a backlog takes at most this much of the disk, in megabits per second. */
export const BACKLOG_READ_MBPS = 1600;
/** A backlog smaller than this needs no announcement. */
const ANNOUNCED_FILES = 20;
const LOOK_MS = 10_000;

export interface BacklogOptions {
  table: PendingTable;
  clock: Clock;
  log: Log;
  /** Whether the first scan is done. */
  isKnown: () => boolean;
  signal: AbortSignal;
}

/** Says once what an old volume will cost; resolves when all of it is done. Never rejects. */
export async function announceBacklog({ table, clock, log, isKnown, signal }: BacklogOptions): Promise<void> {
  while (!isKnown() && !signal.aborted) await clock.sleep(100, signal);
  const { files, bytes } = countBacklog(table);
  if (files >= ANNOUNCED_FILES) {
    const minutes = Math.ceil((bytes * 8) / (BACKLOG_READ_MBPS * 1e6) / 60);
    log.info(
      { files, bytes },
      `${files} files (${(bytes / 1e9).toFixed(1)} GB) on the volume are older than the agent and not in the ledger. They are compared with the bucket and sent where they are missing: at least ${minutes} min, at most ${files} requests and a few for listing. New files go first. R2_EXISTING=skip leaves old ones alone.`,
    );
  }
  while (!signal.aborted && countBacklog(table).files > 0) await clock.sleep(LOOK_MS, signal);
}

/** Files older than the agent that aren't done, in one folder or in all. */
export function countBacklog(table: PendingTable, folder?: string): { files: number; bytes: number } {
  let files = 0;
  let bytes = 0;
  for (const file of table.pending()) {
    if (!file.existing || (folder !== undefined && file.folder !== folder)) continue;
    files += 1;
    bytes += file.size;
  }
  return { files, bytes };
}
