// What may have changed, and is it finished? Hints and scan results come in here; files that look finished go out to
// be uploaded, the others are looked at again when it is worth it.
import type { Clock } from '../clock.ts';
import type { Config } from '../config/types.ts';
import { errorCode } from '../errors.ts';
import type { LedgerIndex } from '../ledger/index.ts';
import type { Log } from '../log.ts';
import { directoryOf, extensionOf, joinPath, printable, type RelPath } from '../paths.ts';
import type { Examiner } from '../settle/examiner.ts';
import { formatCanTell } from '../settle/formats/index.ts';
import { mayBeOneVersion } from '../settle/identity.ts';
import { decideSettled } from '../settle/settle.ts';
import type { Filter } from '../watch/filter.ts';
import type { Hint } from '../watch/hints.ts';
import type { Candidate } from '../watch/scanner.ts';
import { isBusy, type PendingFile, type PendingTable, type Seen, WHY_SPARED } from './pending.ts';

export interface IntakeOptions {
  config: Config;
  clock: Clock;
  log: Log;
  /** The output directory, relative to the root. */
  prefix: RelPath;
  filter: Filter;
  index: LedgerIndex;
  table: PendingTable;
  /** Wall ms: files whose inode hasn't changed since before are a backlog, not new outputs; undefined: nobody knows. */
  firstStart: number | undefined;
  examiner: Examiner;
  /** The output directory is on a file system that other machines may write. */
  networkVolume: boolean;
  /** What this machine writes is heard, so what was not heard comes from another one. */
  hearsWriters: () => boolean;
  /** A directory must be looked into. */
  lookInto: (dir: RelPath) => void;
  /** It is no file any more: not there, or something else. */
  vanished: (file: PendingFile) => void;
  knowsDirectory: (dir: RelPath) => boolean;
  /** The file looks finished (`seen` says how it looks): it may be read, judged and uploaded. */
  onReady: (file: PendingFile) => void;
}

/** A path that is rewritten all the time goes at most this often. */
const REWRITE_MS = 60_000;
const UNREADABLE_RETRY_MS = { first: 60_000, last: 3600_000 };
/** A hint that says only "changed" is followed up at most this often per file. */
const LOOK_GAP_MS = 200;
/** After a create, its writer gets this long before it is looked at without having heard a close. */
const CREATE_GRACE_MS = 250;

export class Intake {
  /** Files that R2_EXISTING=skip leaves alone. */
  readonly skippedExisting = new Set<RelPath>();
  readonly #options: IntakeOptions;
  #hurry = false;

  constructor(options: IntakeOptions) {
    this.#options = options;
  }

  /** The agent stops soon: what waits only to be spared a request waits no longer. */
  hurry(): void {
    this.#hurry = true;
    for (const file of [...this.#options.table.pending()]) {
      if (file.state === 'waiting' || file.state === 'settling') this.examineNow(file);
    }
  }

  takeHint(hint: Hint): void {
    const { prefix, filter, table, clock, lookInto, knowsDirectory } = this.#options;
    const path = hint.path === '' ? prefix : joinPath(prefix, hint.path);
    if (hint.kind === 'directory') return lookInto(path);
    const dir = directoryOf(path);
    if (!filter.reachesDirectory(dir)) return;
    if (!knowsDirectory(dir)) lookInto(dir);
    if (filter.skipReason(path, 0) !== undefined) {
      // It may be a directory that only this hint tells of.
      if (hint.kind === 'changed') lookInto(path);
      return;
    }
    const file = table.get(path) ?? table.add(path);
    const now = clock.monotonic();
    Object.assign(file, { local: true, foreign: false, until: 'quiet', stamp: file.stamp + 1, changedAt: now });
    if (hint.kind === 'opened') {
      file.heardOpen = true;
      this.#lookLater(file, CREATE_GRACE_MS);
    } else if (hint.kind === 'closed') {
      Object.assign(file, { heardOpen: false, rehash: true });
      this.examineNow(file);
    } else {
      this.#lookLater(file, Math.max(0, file.lookedAt + LOOK_GAP_MS - now));
    }
  }

  takeCandidate({ path, size, mtimeNs, ctimeNs }: Candidate): void {
    const { table } = this.#options;
    const known = table.get(path);
    if (known && known.size === size && known.mtimeNs === mtimeNs) return;
    // Here already: looking at a large old backlog again and again would keep new pictures waiting.
    if (!known && this.#options.config.existing === 'skip' && this.#isOlderThanUs(ctimeNs)) {
      this.skippedExisting.add(path);
      return;
    }
    const file = known ?? table.add(path);
    if (!known) file.foreign = this.#options.hearsWriters();
    if (isBusy(file)) {
      file.stamp += 1;
      return;
    }
    // At once: as soon as the scan is done, the backlog is counted.
    if (!known) table.observe(file, size, mtimeNs);
    file.existing = !file.local && this.#isOlderThanUs(ctimeNs);
    this.examineNow(file);
  }

  /** The ledger's fact about the file was wrong and is forgotten: it is looked at now, and sent again. */
  takeRepair(path: RelPath, wide: boolean): void {
    const { table } = this.#options;
    const file = table.get(path) ?? table.add(path);
    file.repair = { wide };
    file.stamp += 1;
    this.examineNow(file);
  }

  /** Hints were lost: a close may have been among them. */
  forgetOpens(): void {
    for (const file of this.#options.table.all()) file.heardOpen = false;
  }

  examineNow(file: PendingFile): void {
    if (isBusy(file)) return;
    file.timer?.abort();
    file.timer = undefined;
    void this.#examine(file);
  }

  /** Looks at the file again after `ms`. */
  settleLater(file: PendingFile, ms: number, why: string, until: PendingFile['until'] = 'quiet'): void {
    Object.assign(file, { state: 'settling', why, until });
    this.#options.table.setTimer(file, ms, () => this.examineNow(file));
  }

  /** The volume doesn't let us read it: shown, and tried again more and more rarely. */
  cannotRead(file: PendingFile, error: unknown): void {
    const { clock, log, table } = this.#options;
    const code = errorCode(error) ?? 'UNKNOWN';
    file.stuckSince ||= clock.wall();
    file.readFailures += 1;
    const forbidden = code === 'EACCES' || code === 'EPERM';
    Object.assign(file, {
      state: 'unreadable',
      why: `it can't be read (${code})`,
      fix: forbidden
        ? 'Let the user that the agent runs as read the file.'
        : 'Check the volume; the file is tried again.',
    });
    log.warn({ path: printable(file.path), code }, `can't read ${printable(file.path)} (${code}); it is tried again`);
    const wait = Math.min(UNREADABLE_RETRY_MS.last, UNREADABLE_RETRY_MS.first * 2 ** (file.readFailures - 1));
    table.setTimer(file, wait, () => this.examineNow(file));
  }

  #lookLater(file: PendingFile, ms: number): void {
    // A parked file has a timer of its own; what might help it is a new content, and so a close.
    if (isBusy(file) || file.state === 'parked') return;
    if (ms === 0) return this.examineNow(file);
    this.#options.table.setTimer(file, ms, () => this.examineNow(file));
  }

  /** Looks at the file and decides whether it is worth reading. Never rejects. */
  async #examine(file: PendingFile): Promise<void> {
    const { clock, table, lookInto, examiner } = this.#options;
    const { stamp } = file;
    file.lookedAt = clock.monotonic();
    const examined = await examiner.examine(file.path, this.#writersInSight(file), file.local).catch(() => undefined);
    // Only an end of the worker, and so of the session, gives no answer.
    if (!examined || !table.has(file) || isBusy(file)) return;
    const { look, writers } = examined;
    if (look.is === 'file') {
      // A hint came meanwhile: another look is on its way.
      if (file.stamp === stamp) this.#consider(file, { identity: look.identity, writers });
      return;
    }
    if (look.is === 'error') return this.cannotRead(file, Object.assign(new Error(look.code), { code: look.code }));
    this.#options.vanished(file);
    if (look.is === 'directory') lookInto(file.path);
  }

  /** Whether writers of this file would show in /proc, if there are any. */
  #writersInSight(file: PendingFile): boolean {
    const { config, networkVolume } = this.#options;
    return config.writers === 'local' && (file.local || !networkVolume);
  }

  #isOlderThanUs(ctimeNs: bigint): boolean {
    return Number(ctimeNs / 1_000_000n) < (this.#options.firstStart ?? Number.NEGATIVE_INFINITY);
  }

  #consider(file: PendingFile, seen: Seen): void {
    const { config, clock, table, index, filter, onReady } = this.#options;
    const { size, mtimeNs, ctimeNs } = seen.identity;
    const moved = file.size !== size || file.mtimeNs !== mtimeNs;
    table.observe(file, size, mtimeNs);
    if (filter.skipReason(file.path, size) !== undefined) return table.drop(file);
    const known = index.matches(file.path, size, mtimeNs);
    if (known && !file.rehash) return table.drop(file);
    if (file.state === 'due' || (file.state === 'parked' && !moved && !file.rehash)) return;
    file.existing = !file.local && !file.repair && this.#isOlderThanUs(ctimeNs);
    if (file.existing && config.existing === 'skip') {
      this.skippedExisting.add(file.path);
      return table.drop(file);
    }
    const storedAt = index.storedAt(file.path) ?? Number.NEGATIVE_INFINITY;
    const storedAgo = clock.wall() - storedAt;
    file.sparedUntil = 0;
    if (!known && storedAgo >= 0 && storedAgo < REWRITE_MS && !this.#hurry) {
      // Where probably nothing but its time came late, that is found out now, and only what is new waits.
      if (!mayBeOneVersion(index.get(file.path)!, seen.identity)) {
        return this.settleLater(file, REWRITE_MS - storedAgo, WHY_SPARED);
      }
      file.sparedUntil = storedAt + REWRITE_MS;
    }
    // With the best that reading could show: is there any point in reading? Bytes that weren't whole still aren't.
    const best = file.until === 'whole' && !moved ? 'torn' : 'whole';
    const decision = decideSettled({
      size,
      writers: seen.writers,
      verdict: formatCanTell(extensionOf(file.path)) ? best : 'unknown',
      heardOpen: file.heardOpen,
      quietMs: clock.monotonic() - file.changedAt,
      quietLimitMs: config.quietSeconds * 1000,
    });
    if (decision.settled) {
      // What it was waiting for has come: it may be looked at again before it is read, when its lease comes.
      Object.assign(file, { seen, until: 'quiet' });
      return onReady(file);
    }
    this.settleLater(file, decision.waitMs, decision.why, decision.until);
    if (decision.empty) file.state = 'empty';
  }
}
