// Is it there? Files that look finished wait here for their turn; what comes of a turn decides what becomes of the file
// and whether the store is still worth asking.
import type { Clock } from '../clock.ts';
import { explain } from '../errors.ts';
import type { Leases } from '../lease/leases.ts';
import type { Ledger } from '../ledger/ledger.ts';
import type { Log } from '../log.ts';
import { printable } from '../paths.ts';
import type { Examiner } from '../settle/examiner.ts';
import { backOffMs, type GateEvent } from '../upload/gate.ts';
import type { Lanes } from '../upload/lanes.ts';
import type { StoreError } from '../upload/store.ts';
import type { PendingFile, PendingState, PendingTable } from './pending.ts';
import { type Permit, permitOf, unconditional } from './permit.ts';
import type { Outcome, Pipeline } from './pipeline.ts';
import { Recorder } from './recorder.ts';
import { type FolderRank, mayConcernFolder, StoreGate } from './store-gate.ts';
import type { Totals } from './totals.ts';

export interface UploadsOptions {
  clock: Clock;
  log: Log;
  table: PendingTable;
  ledger: Ledger;
  leases: Leases;
  /** Whether its folder is asked for at once, or left to the pod that made it for a while. */
  isUrgent: (file: PendingFile) => boolean;
  /** How long a large upload waits for its folder to be ours again: ms. */
  leasePatienceMs: number;
  examiner: Examiner;
  lanes: Lanes;
  pipeline: Pipeline;
  totals: Totals;
  /** Look at the file afresh, now or after `ms`. */
  examineNow: (file: PendingFile) => void;
  settleLater: (file: PendingFile, ms: number, why: string, until?: PendingFile['until']) => void;
  cannotRead: (file: PendingFile, error: unknown) => void;
  /** It isn't there any more. */
  vanished: (file: PendingFile) => void;
}

/** What the store can be tried with. A folder that isn't ours will do: an object that is there is never replaced. */
const PROBES: ReadonlySet<PendingState> = new Set(['due', 'waiting', 'leasing']);
/** The failure of one file that is worth a warning: the first ones are nobody's business. */
const ANNOUNCED_ATTEMPT = 3;
/** Parked files are tried again, in case somebody has put things right. */
const PARKED_RETRY_MS = 3600_000;
/** A folder that was refused alone is tried again soon, for it may have been a hiccup, then more and more rarely. */
const REFUSED_FOLDER_RETRY_MS = { first: 5000, last: 5 * 60_000 };
/** How long an end waits for what is under way to notice that it was cut off. */
const CUT_OFF_MS = 2000;

export class Uploads {
  readonly gate: StoreGate;
  /** Folders that the store refuses while it takes others: a token for one prefix. */
  readonly refusedFolders = new Map<string, StoreError>();
  readonly #options: UploadsOptions;
  readonly #recorder: Recorder;
  readonly #abort = new AbortController();
  readonly #underWay = new Set<Promise<unknown>>();
  /** Folders whose uploads fail, and since when none has succeeded: monotonic ms. */
  readonly failing = new Map<string, number>();
  /** Monotonic ms: since when the store isn't asked, because it refuses or doesn't answer. */
  closedSince: number | undefined;
  /** Files that the ledger had when their turn came: what is left of them isn't what it has. */
  readonly #compared = new WeakSet<PendingFile>();
  /** Folders that were refused alone and have stored nothing since, and how often. */
  readonly #suspects = new Map<string, number>();

  constructor(options: UploadsOptions) {
    this.#options = options;
    this.#recorder = new Recorder(options);
    const { clock, log } = options;
    this.gate = new StoreGate({
      clock,
      log,
      onChange: (open) => this.#onGate(open),
      probe: (rank) => this.#probe(rank),
      isAwaited: () => options.table.hasPending(),
      onFolderRefused: (folder, error) => this.#refuseFolder(folder, error),
    });
  }

  /** Takes a file that looks finished; it goes when its turn comes. */
  enqueue(file: PendingFile): void {
    const { clock, leases, leasePatienceMs } = this.#options;
    const refusal = this.refusedFolders.get(file.folder);
    if (refusal) return this.#park(file, refusal, 'debug');
    const known = this.#isKnown(file);
    if (!known) this.#compared.delete(file);
    if (!leases.holds(file.folder) && !known) return this.#waitForLease(file);
    Object.assign(file, { state: 'due', why: 'waits for its turn' });
    this.gate.noticeDue(file.folder);
    this.#options.lanes.add(file.size, file.mtimeNs, async () => {
      if (file.state !== 'due' || !this.#options.table.has(file)) return;
      const { folder, since } = file;
      const isStored = () => this.#isKnown(file) && !this.#compared.has(file);
      const permit = permitOf({ folder, since, leases, clock, patienceMs: leasePatienceMs, isStored });
      const event = await this.#turn(file, 'is being uploaded', permit);
      if (event) this.#report(event);
    });
  }

  /** The folder has become ours or somebody else's, or others have stored some of it. */
  onLeaseChange(folder: string): void {
    const { leases, table, examineNow } = this.#options;
    const holds = leases.holds(folder);
    if (holds) this.failing.delete(folder);
    for (const file of [...table.pending()]) {
      if (file.folder !== folder) continue;
      const known = this.#isKnown(file) && !this.#compared.has(file);
      if (file.state === 'leasing' && known && !file.rehash) table.drop(file);
      // It stays in demand until it has been looked at.
      else if (file.state === 'leasing' && (holds || known)) examineNow(file);
      else if (!holds && (file.state === 'due' || file.state === 'waiting')) this.#waitForLease(file);
      else if (file.state === 'leasing') file.why = describeLease(leases, folder);
    }
  }

  /** Cuts off what is under way; the next start finds it again. */
  async close(): Promise<void> {
    const { lanes, clock } = this.#options;
    this.#abort.abort();
    this.gate.stop();
    lanes.pause();
    lanes.clear();
    await Promise.race([Promise.allSettled(this.#underWay), clock.sleep(CUT_OFF_MS)]);
  }

  /** Whether the ledger has the file as it was seen: only its hash could still tell a difference. */
  #isKnown({ path, size, mtimeNs }: PendingFile): boolean {
    return this.#options.ledger.index.matches(path, size, mtimeNs);
  }

  /** The store has taken something of the folder: as long as it does, it isn't failing. */
  noteProgress(folder: string): void {
    if (this.failing.has(folder)) this.failing.set(folder, this.#options.clock.monotonic());
  }

  #noteFailure(folder: string): void {
    if (!this.failing.has(folder)) this.failing.set(folder, this.#options.clock.monotonic());
  }

  #waitForLease(file: PendingFile): void {
    const { leases, isUrgent } = this.#options;
    file.timer?.abort();
    Object.assign(file, { state: 'leasing', why: describeLease(leases, file.folder), timer: undefined });
    if (isUrgent(file)) leases.ask(file.folder);
    // If the store refused others, it may take this one.
    this.gate.noticeDue(file.folder);
  }

  /** One turn of a file; returns what it says about the store. Never rejects. */
  async #turn(file: PendingFile, why: string, permit: Permit): Promise<GateEvent | undefined> {
    const { clock, table, pipeline, totals } = this.#options;
    const { stamp, seen } = file;
    if (!seen) throw new Error(`${file.path} is due but was never looked at`);
    if (this.#isKnown(file)) this.#compared.add(file);
    file.timer?.abort();
    Object.assign(file, { state: 'working', why, lookedAt: clock.monotonic(), timer: undefined, sent: 0 });
    totals.turns += 1;
    const outcome = await this.#track(pipeline.process(file, seen, permit, this.#abort.signal));
    if (this.#abort.signal.aborted || !table.has(file)) return undefined;
    this.#apply(file, stamp, outcome);
    if (outcome.kind === 'stored') return { kind: 'stored', folder: file.folder };
    return outcome.kind === 'failed' ? { kind: 'failed', error: outcome.error, folder: file.folder } : undefined;
  }

  /** An end waits for it. */
  async #track<T>(work: Promise<T>): Promise<T> {
    this.#underWay.add(work);
    const result = await work;
    this.#underWay.delete(work);
    return result;
  }

  #report(event: GateEvent): void {
    const { kind, folder } = event;
    if (kind === 'stored') {
      this.#suspects.delete(folder);
      this.failing.delete(folder);
    }
    // It was under way when its folder was refused, and says nothing new.
    else if (this.refusedFolders.has(folder)) return;
    else if (mayConcernFolder(event.error) && this.#suspects.has(folder))
      return this.#refuseFolder(folder, event.error);
    this.gate.report(event);
  }

  #apply(file: PendingFile, stamp: number, outcome: Outcome): void {
    const { settleLater, cannotRead } = this.#options;
    if (outcome.kind !== 'unreadable') file.readFailures = 0;
    switch (outcome.kind) {
      case 'stored':
        return this.#record(file, stamp, () => this.#recorder.record(file, stamp, outcome));
      case 'unchanged': {
        const { fact } = outcome;
        if (!fact) return this.#recorder.done(file, stamp);
        return this.#record(file, stamp, () => this.#recorder.recordMoved(file, stamp, fact));
      }
      case 'gone':
        return this.#options.vanished(file);
      case 'changed':
        return this.#startAgain(file, 'it changed while it was read');
      case 'unsettled': {
        const { waitMs, why, until } = outcome.decision;
        // A hint came while it was read: what was seen is old already.
        return settleLater(file, file.stamp === stamp ? waitMs : 0, why, until);
      }
      case 'unreadable':
        return cannotRead(file, outcome.error);
      case 'failed':
        return this.#applyFailure(file, outcome.error);
    }
  }

  /** Its place is free for others meanwhile. */
  #record(file: PendingFile, stamp: number, write: () => Promise<void>): void {
    Object.assign(file, {
      state: 'recording',
      storedStamp: stamp,
      why: 'is in the bucket; the ledger is being written',
    });
    void this.#track(write());
  }

  #applyFailure(file: PendingFile, error: StoreError): void {
    const { table, totals, log, examineNow } = this.#options;
    switch (error.failure) {
      case 'aborted':
        if (this.#options.leases.holds(file.folder)) return this.enqueue(file);
        return this.#waitForLease(file);
      case 'changed':
        return this.#startAgain(file, `it changed while it was sent, or on its way: ${error.message}`);
      case 'refused':
        // The gate decides what this means; until then it waits like all the others.
        file.attempts += 1;
        this.#noteFailure(file.folder);
        return this.enqueue(file);
      case 'park':
        return this.#park(file, error);
      default: {
        const wait = backOffMs(file.attempts);
        file.attempts += 1;
        this.#noteFailure(file.folder);
        totals.countRetry();
        Object.assign(file, { state: 'waiting', why: `is tried again: ${error.message}` });
        const about = { path: printable(file.path), code: error.code, wait };
        if (file.attempts !== ANNOUNCED_ATTEMPT) log.debug(about, 'an upload failed and is tried again');
        else log.warn(about, `can't upload ${about.path} yet, it is tried again: ${explain(error)}`);
        table.setTimer(file, wait, () => examineNow(file));
      }
    }
  }

  /** At once the first time; then more and more rarely, for what calls it changed may be wrong. */
  #startAgain(file: PendingFile, why: string): void {
    const { log, settleLater } = this.#options;
    const wait = file.attempts === 0 ? 0 : backOffMs(file.attempts - 1);
    file.attempts += 1;
    if (file.attempts === ANNOUNCED_ATTEMPT) {
      log.warn({ path: printable(file.path) }, `can't upload ${printable(file.path)} yet, it is tried again: ${why}`);
    }
    settleLater(file, wait, why);
  }

  #onGate(open: boolean): void {
    const { lanes, table, examineNow } = this.#options;
    this.closedSince = open ? undefined : this.#options.clock.monotonic();
    if (!open) return lanes.pause();
    lanes.resume();
    for (const file of [...table.pending()]) if (file.state === 'waiting') examineNow(file);
  }

  /** Uploads one real file to see whether the store takes it: of the best folder, seldom failed, small. */
  async #probe(rank: FolderRank): Promise<{ folder: string; event: GateEvent | undefined } | undefined> {
    let best: PendingFile | undefined;
    for (const file of this.#options.table.pending()) {
      if (!PROBES.has(file.state) || rank(file.folder) === undefined) continue;
      const byFolder = best ? rank(file.folder)! - rank(best.folder)! : 0;
      // A bad file must not be all that is ever tried.
      if (!best || (byFolder || file.attempts - best.attempts || file.size - best.size) < 0) best = file;
    }
    if (!best) return undefined;
    this.#options.pipeline.doubtStore();
    return {
      folder: best.folder,
      event: await this.#turn(best, 'is tried, to see whether the store takes it', unconditional),
    };
  }

  #refuseFolder(folder: string, error: StoreError): void {
    const { clock, log, table } = this.#options;
    this.refusedFolders.set(folder, error);
    const times = this.#suspects.get(folder) ?? 0;
    this.#suspects.set(folder, times + 1);
    log.error(
      { folder: printable(folder), code: error.code },
      `the store refuses the folder "${printable(folder)}" alone: ${explain(error)}`,
    );
    for (const file of [...table.pending()]) {
      if (file.folder === folder && (file.state === 'due' || file.state === 'waiting'))
        this.#park(file, error, 'debug');
    }
    const wait = Math.min(REFUSED_FOLDER_RETRY_MS.first * 2 ** times, REFUSED_FOLDER_RETRY_MS.last);
    void clock.sleep(wait, this.#abort.signal).then(() => this.#readmitFolder(folder));
  }

  /** Tries the folder again: the first of its files tells whether it is still refused. */
  #readmitFolder(folder: string): void {
    const { table, examineNow } = this.#options;
    if (this.#abort.signal.aborted) return;
    this.refusedFolders.delete(folder);
    for (const file of [...table.stuck()]) {
      if (file.folder !== folder || file.state !== 'parked') continue;
      file.state = 'settling';
      examineNow(file);
    }
  }

  /** @param level `debug` where its folder was announced already */
  #park(file: PendingFile, error: StoreError, level: 'warn' | 'debug' = 'warn'): void {
    const { clock, log, table, examineNow } = this.#options;
    if (file.state !== 'parked') {
      file.stuckSince ||= clock.wall();
      log[level]({ path: printable(file.path), code: error.code }, `parked ${printable(file.path)}: ${explain(error)}`);
    }
    Object.assign(file, { state: 'parked', why: error.message, fix: error.fix });
    table.setTimer(file, PARKED_RETRY_MS, () => {
      file.state = 'settling';
      examineNow(file);
    });
  }
}

/** For people: what a file waits for whose folder isn't ours. */
function describeLease(leases: Leases, folder: string): string {
  const { state, holder } = leases.view(folder);
  if (state === 'theirs') return `pod ${holder ?? 'unknown'} uploads this folder`;
  return 'waits until this pod may upload its folder';
}
