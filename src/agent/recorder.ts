// What is in the bucket goes to the ledger, to people, and out of the pending list, unless it has changed since.
import type { Clock } from '../clock.ts';
import type { Ledger, LedgerFact } from '../ledger/ledger.ts';
import type { Log } from '../log.ts';
import type { Examiner } from '../settle/examiner.ts';
import { BLURRED_TIMES_MS, isWholeSecond, sameIdentity } from '../settle/identity.ts';
import type { PendingFile, PendingTable } from './pending.ts';
import type { Stored } from './pipeline.ts';
import { storedFileOf } from './recent-files.ts';
import type { Totals } from './totals.ts';

export interface RecorderOptions {
  clock: Clock;
  log: Log;
  table: PendingTable;
  ledger: Ledger;
  examiner: Examiner;
  totals: Totals;
  settleLater: (file: PendingFile, ms: number, why: string) => void;
}

export class Recorder {
  readonly #options: RecorderOptions;

  constructor(options: RecorderOptions) {
    this.#options = options;
  }

  /** `stamp`: the file's when its turn began. Resolves when the fact is in the ledger and the file is done with. Never rejects. */
  async record(file: PendingFile, stamp: number, stored: Stored): Promise<void> {
    const { clock, table, ledger, examiner } = this.#options;
    const { key, sha256, identity, incomplete } = stored;
    const { size, mtimeNs } = identity;
    const storedAt = clock.wall();
    const fact = { path: file.path, size, mtimeNs, sha256, key, storedAt, incomplete };
    await ledger.record(fact);
    this.#tell(file, fact, stored.already);
    // What was stored is whole; whether it is still the last version is another question.
    const now = await examiner.examine(file.path, false).catch(() => undefined);
    if (!now || !table.has(file)) return;
    if (now.look.is === 'file' && !sameIdentity(now.look.identity, identity)) file.stamp += 1;
    this.done(file, stamp);
    this.#lookAgainWhereTimesAreBlurred(file, stored.readAt, mtimeNs);
  }

  /** Only its time has moved: noted, so that nobody else, and no later start, has to hash it again. Never rejects. */
  async recordMoved(file: PendingFile, stamp: number, fact: LedgerFact): Promise<void> {
    const { table, ledger } = this.#options;
    await ledger.record(fact);
    if (table.has(file)) this.done(file, stamp);
  }

  /** One line for people, one entry for the page. */
  #tell(file: PendingFile, fact: LedgerFact & { key: string }, already: boolean): void {
    const { clock, log, totals } = this.#options;
    const shown = storedFileOf(fact, file.existing ? (clock.monotonic() - file.since) / 1000 : undefined);
    const { path, key, bytes, seconds, at, incomplete } = shown;
    const { sha256, size, mtimeNs, storedAt } = fact;
    const told = { path: file.path, folder: file.folder, key, sha256, size, mtimeNs, seconds, storedAt };
    totals.countStored(shown, told, already, file.sent);
    const what = already ? 'already in the bucket' : incomplete ? 'stored as it is, incomplete' : 'stored';
    const megabytes = (bytes / 1e6).toFixed(bytes < 1e5 ? 3 : 1);
    log.info(
      { path, key, bytes, seconds, at, already, incomplete },
      `${what}: ${path} → ${key} (${megabytes} MB, ${seconds.toFixed(2)} s)`,
    );
  }

  /** Its bytes are in the bucket and the ledger; a hint since then makes it a new candidate. */
  done(file: PendingFile, stamp: number): void {
    const { table, settleLater } = this.#options;
    file.attempts = 0;
    if (file.stamp !== stamp) return settleLater(file, 0, 'it changed after it was uploaded');
    table.drop(file);
  }

  /** @param readAt wall ms */
  #lookAgainWhereTimesAreBlurred(file: PendingFile, readAt: number, mtimeNs: bigint): void {
    const { table, settleLater, clock } = this.#options;
    const written = Number(mtimeNs / 1_000_000n);
    if (!isWholeSecond(mtimeNs) || readAt < written || readAt > written + BLURRED_TIMES_MS || table.get(file.path))
      return;
    const again = table.add(file.path);
    Object.assign(again, { local: file.local, rehash: true, size: file.size, mtimeNs });
    const wait = Math.max(0, written + BLURRED_TIMES_MS - clock.wall());
    settleLater(again, wait, 'the volume keeps whole seconds: it is compared once more');
  }
}
