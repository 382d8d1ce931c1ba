// The agent's state as one snapshot: derived from the pending list, the ledger's index and the gate, nothing kept twice.
import type { Clock } from '../clock.ts';
import type { Config } from '../config/types.ts';
import { explain } from '../errors.ts';
import { uncontested } from '../lease/leases.ts';
import { printable } from '../paths.ts';
import { type FolderStatus, pendingStates, type Snapshot, stuckReasons } from '../status/snapshot.ts';
import type { PendingFile, PendingState } from './pending.ts';
import type { Session } from './session.ts';
import type { Totals } from './totals.ts';

export interface DescribeOptions {
  version: string;
  pod: string;
  clock: Clock;
  /** Monotonic ms. */
  startedAt: number;
  /** The same moment, wall ms. */
  startedAtWall: number;
  config: Config | undefined;
  session: Session | undefined;
  totals: Totals;
  /** What is wrong with the settings: nothing can be uploaded. */
  problems: readonly string[];
  /** What isn't as it should be outside of the session. */
  reasons: readonly string[];
}

const SHOWN = 100;

export function describeAgent(options: DescribeOptions): Snapshot {
  const { config, session, totals, clock, problems } = options;
  const now = clock.monotonic();
  const folders = session ? describeFolders(session, now) : [];
  const pending = session ? [...session.table.pending()] : [];
  const stuck = session ? [...session.table.stuck()] : [];
  const wallOf = (monotonic: number) => new Date(options.startedAtWall + monotonic - options.startedAt).toISOString();
  const trouble = session?.gate.trouble;
  const reasons = [...problems];
  if (trouble) reasons.push(explain(trouble.error));
  reasons.push(...options.reasons, ...(session?.reasons ?? []));
  const pendingBytes = pending.reduce((sum, file) => sum + file.size - file.sent, 0);
  const pace = totals.pace();
  // While files only wait to be quiet, or for a writer, nobody knows how long that takes.
  const sending = pending.some(({ state }) => state === 'due' || state === 'working');
  const failing = problems.length > 0 || trouble?.cause === 'refused';
  return {
    version: options.version,
    pod: options.pod,
    uptimeSeconds: Math.round((now - options.startedAt) / 1000),
    startedAt: wallOf(options.startedAt),
    state: failing ? 'failing' : reasons.length > 0 ? 'degraded' : 'ok',
    reasons,
    safeToStop:
      session?.seesAll === true &&
      pending.every(({ foreign }) => foreign) &&
      stuck.length === 0 &&
      problems.length === 0,
    etaSeconds: pending.length === 0 ? 0 : sending && pace ? Math.ceil(pendingBytes / pace) : null,
    leaseSeconds: config?.lease ? config.leaseSeconds : null,
    store: {
      endpoint: config?.endpoint ?? '',
      bucket: config?.bucket ?? '',
      reachable: session?.gate.reachable ?? null,
      lastError: session?.gate.lastError?.message ?? null,
    },
    totals: {
      storedFiles: folders.reduce((sum, folder) => sum + folder.stored, 0),
      storedBytes: session ? [...session.ledger.index.folders()].reduce((sum, { bytes }) => sum + bytes, 0) : 0,
      pendingFiles: pending.length,
      pendingBytes,
      parkedFiles: stuck.length,
      foreignFiles: pending.filter(({ foreign }) => foreign).length,
      pendingBy: countBy(pendingStates, pending, ({ state }) => state),
      parkedBy: countBy(stuckReasons, stuck, (file) => describeStuck(file, session)),
      retries: totals.retries,
      alreadyStored: totals.alreadyStored,
      leases: { ...(session?.leases ?? uncontested).counts },
    },
    volume: {
      silentSeconds: (session?.silentMs() ?? 0) / 1000,
      lastScan: describeScan(session),
      space: session?.space ?? null,
    },
    folders,
    recent: totals.recent.slice(),
    parked: stuck.slice(0, SHOWN).map((file) => ({
      path: printable(file.path),
      reason: file.why,
      fix: file.fix,
      since: new Date(file.stuckSince).toISOString(),
    })),
    skipped: { ...session?.skipped(), ...emptyFiles(session) },
    pending: workingFirst(pending, SHOWN).map((file) => ({
      path: printable(file.path),
      bytes: file.size,
      state: describeWait(file, session, trouble?.cause),
      seconds: Math.round((now - file.since) / 1000),
      since: wallOf(file.since),
      uploading: file.state === 'working',
      sent: file.sent,
    })),
  };
}

function describeFolders(session: Session, now: number): FolderStatus[] {
  const folders = new Map<string, FolderStatus>();
  const folder = (name: string): FolderStatus => {
    let status = folders.get(name);
    if (!status) {
      status = {
        folder: name,
        lease: session.leases.view(name),
        files: 0,
        stored: 0,
        pending: 0,
        parked: 0,
        incomplete: 0,
        lastStoredAt: null,
        oldestPendingSeconds: null,
      };
      folders.set(name, status);
    }
    return status;
  };
  for (const facts of session.ledger.index.folders()) {
    const status = folder(facts.folder);
    status.stored = facts.files;
    status.files = facts.files;
    status.incomplete = facts.incomplete;
    status.lastStoredAt = new Date(facts.lastStoredAt).toISOString();
  }
  for (const file of session.table.pending()) {
    const status = folder(file.folder);
    status.pending += 1;
    status.files += 1;
    status.oldestPendingSeconds = Math.max(status.oldestPendingSeconds ?? 0, Math.round((now - file.since) / 1000));
  }
  for (const file of session.table.stuck()) {
    const status = folder(file.folder);
    status.parked += 1;
    status.files += 1;
  }
  return [...folders.values()].map((status) => ({ ...status, folder: printable(status.folder) }));
}

function countBy<Name extends string>(
  names: readonly Name[],
  files: readonly PendingFile[],
  nameOf: (file: PendingFile) => string,
): Record<Name, number> {
  const counts = new Map<string, number>(names.map((name) => [name, 0]));
  for (const file of files) counts.set(nameOf(file), (counts.get(nameOf(file)) ?? 0) + 1);
  return Object.fromEntries(counts) as Record<Name, number>;
}

function describeStuck({ state, folder }: PendingFile, session: Session | undefined): (typeof stuckReasons)[number] {
  if (state === 'unreadable') return 'unreadable';
  return session?.isRefused(folder) ? 'refused' : 'unstorable';
}

function describeScan(session: Session | undefined): Snapshot['volume']['lastScan'] {
  const last = session?.scans.last;
  return last ? { at: new Date(last.endedAt).toISOString(), seconds: last.ms / 1000 } : null;
}

function workingFirst(pending: readonly PendingFile[], count: number): PendingFile[] {
  const working = pending.filter(({ state }) => state === 'working');
  const first = pending.slice(0, count + working.length).filter(({ state }) => state !== 'working');
  return [...working, ...first].slice(0, count);
}

/** Files in these states would go on at once if the store took them. */
const STORE_IS_NEXT: ReadonlySet<PendingState> = new Set(['due', 'leasing']);
/** The gate's back-off ends at a minute. */
const WAITS_FOR_STORE = {
  refused: 'waits for the store, which refuses uploads: one file tries it again, at least once a minute',
  unreachable: "waits for the store, which doesn't answer: one file tries it again, at least once a minute",
};

function describeWait(
  { why, state, sent, size, folder }: PendingFile,
  session: Session | undefined,
  closed: keyof typeof WAITS_FOR_STORE | undefined,
): string {
  if (state === 'working' && sent > 0 && size > 0) return `${why}, ${Math.floor((100 * sent) / size)} %`;
  // Another pod may have keys that the store takes: then the file waits for that pod.
  const isOurs = session?.leases.view(folder).state !== 'theirs';
  return closed && isOurs && STORE_IS_NEXT.has(state) ? WAITS_FOR_STORE[closed] : why;
}

function emptyFiles(session: Session | undefined): Record<string, number> {
  let empty = 0;
  for (const file of session?.table.all() ?? []) if (file.state === 'empty') empty += 1;
  return empty > 0 ? { empty } : {};
}
