// The ledger: what is known to be in the bucket, in memory and on the volume. It decides when facts are written
// (together, and before they count), and what happens while the volume refuses.
import { constants } from 'node:fs';
import PQueue from 'p-queue';
import type { Clock } from '../clock.ts';
import { errorText } from '../errors.ts';
import type { Log } from '../log.ts';
import { folderOf, fsPath, printable } from '../paths.ts';
import { compactFolder } from './compaction.ts';
import { LedgerIndex } from './index.ts';
import { fileIo, type LedgerIo, makeDirectory } from './io.ts';
import { encodeLine, type LedgerFact } from './line.ts';
import { folderDirName } from './location.ts';
import { type FolderLines, loadTarget, readFolder } from './reader.ts';
import { describeHang, describeTrouble } from './trouble.ts';
import { FolderWriter } from './writer.ts';

export type { LedgerFact } from './line.ts';

export interface LedgerOptions {
  /** Where this target's state lies (`locateState`). */
  targetDir: string;
  log: Log;
  clock: Clock;
  /** Default: node:fs/promises. */
  io?: LedgerIo;
  /** Gets every fact that is loaded, in no particular order. */
  onFact?: (fact: LedgerFact) => void;
  /** Loads, and never writes or makes anything. */
  readOnly?: boolean;
}

const WRITES_AT_ONCE = 4;
const OPEN_SEGMENTS = 16;
/** About a megabyte. */
const LINES_PER_WRITE = 4096;
const OVERDUE_MS = 10_000;
const FIRST_RETRY_MS = 1000;
const LAST_RETRY_MS = 60_000;

/** A folder that facts were recorded in. */
interface Folder {
  readonly name: string;
  readonly writer: FolderWriter;
  /** What isn't on disk yet, oldest first. */
  pending: { path: string; epoch: number; line: string; done: () => void }[];
  /** While the folder is read: what was recorded since that began, which is newer than anything that it finds. */
  recorded: Set<string> | undefined;
  /** Ends with the last reading: one waits for the other. */
  reading: Promise<void>;
  /** A write is due or under way. */
  busy: boolean;
  /** Why the last write failed or isn't done, for people. */
  trouble: string | undefined;
}

export class Ledger {
  readonly index = new LedgerIndex();
  readonly #options: LedgerOptions;
  readonly #io: LedgerIo;
  readonly #folders = new Map<string, Folder>();
  readonly #writes = new PQueue({ concurrency: WRITES_AT_ONCE });
  readonly #compactions = new PQueue({ concurrency: 1 });
  /** Folders in trouble, the longest first. */
  readonly #failing = new Set<Folder>();
  /** Folders whose segment is open, the one used last at the end. */
  readonly #open = new Set<Folder>();
  readonly #closing = new AbortController();
  /** What was recorded while the ledger isn't loaded: newer than anything that a later load finds. */
  #recorded: Set<string> | undefined = new Set();
  /** The folders' directories that were read, by name. */
  readonly #loaded = new Map<string, FolderLines>();
  #stateTrouble: string | undefined;
  #retry: Promise<void> | undefined;
  #said: string | undefined;

  private constructor(options: LedgerOptions) {
    this.#options = options;
    this.#io = options.io ?? fileIo;
  }

  /** Loads the ledger. Where that fails it starts with what could be read, says so in `trouble`, and tries again. Never rejects. */
  static async open(options: LedgerOptions): Promise<Ledger> {
    const ledger = new Ledger(options);
    await ledger.#prepare();
    ledger.#sayTrouble();
    if (ledger.trouble !== undefined && !options.readOnly) ledger.#retryLater();
    return ledger;
  }

  /** Why facts can't be read or written just now, and what to do; undefined when all is well. */
  get trouble(): string | undefined {
    if (this.#stateTrouble !== undefined) return this.#stateTrouble;
    const [longest] = this.#failing;
    return longest?.trouble;
  }

  /**
   * The object is confirmed in the bucket: remember it. Resolves when the fact is on disk for good, or, where the
   * volume refuses or doesn't answer, when it is queued for later: then `trouble` says why. Never rejects.
   */
  async record(fact: LedgerFact): Promise<void> {
    this.index.set(fact);
    this.#recorded?.add(fact.path);
    if (this.#options.readOnly || this.#closing.signal.aborted) return;
    const folder = this.#folder(folderOf(fact.path));
    folder.recorded?.add(fact.path);
    const entry = { path: fact.path, epoch: folder.writer.current, line: encodeLine(fact) };
    if (folder.trouble !== undefined) {
      folder.pending.push({ ...entry, done: ignore });
      return;
    }
    await new Promise<void>((resolve) => {
      folder.pending.push({ ...entry, done: resolve });
      void this.#schedule(folder);
    });
  }

  /** The folder is ours under this epoch of the lease: its facts go to a segment of that number from now on. */
  adopt(folder: string, epoch: number): void {
    this.#folder(folder).writer.adopt(epoch);
  }

  /**
   * Takes in what others have written about a folder since it was last read. Says whether that was anything new. Rejects
   * with the system's error.
   */
  follow(name: string): Promise<boolean> {
    const folder = this.#folder(name);
    const reading = folder.reading.then(() => this.#follow(folder));
    folder.reading = reading.then(ignore, ignore);
    return reading;
  }

  async #follow(folder: Folder): Promise<boolean> {
    const { targetDir, log, clock } = this.#options;
    const dir = folderDirName(folder.name);
    const recorded = new Set(folder.trouble === undefined ? folder.pending.map(({ path }) => path) : []);
    folder.recorded = recorded;
    let isNews = false;
    const take = (fact: LedgerFact, epoch: number) => {
      // What waits for the volume is newer than what that has, but not than what a later holder has written.
      const isOlder = (entry: Folder['pending'][number]) => entry.path === fact.path && entry.epoch < epoch;
      if (!folder.busy && folder.pending.some(isOlder)) {
        folder.pending = folder.pending.filter((entry) => !isOlder(entry));
        if (folder.pending.length === 0) this.#hasRecovered(folder);
      }
      const waits = folder.pending.some(({ path }) => path === fact.path);
      if (waits || recorded.has(fact.path)) return false;
      const change = this.index.set(fact);
      isNews ||= change !== 'none';
      return change === 'replaced';
    };
    try {
      const request = { io: this.#io, clock, log, take };
      this.#loaded.set(dir, await readFolder(request, `${targetDir}/${dir}`, this.#loaded.get(dir)));
      return isNews;
    } finally {
      folder.recorded = undefined;
    }
  }

  /** Writes what is left, once more also where the volume refused before, and closes all files. Never rejects. */
  async close(): Promise<void> {
    this.#closing.abort();
    await this.#retry;
    for (const folder of this.#folders.values()) void this.#schedule(folder);
    await Promise.all([this.#writes.onIdle(), this.#compactions.onIdle()]);
    await Promise.all([...this.#open].map((folder) => folder.writer.release()));
    this.#open.clear();
    const left = [...this.#folders.values()].reduce((sum, { pending }) => sum + pending.length, 0);
    if (left > 0) {
      const files = left === 1 ? '1 stored file' : `${left} stored files`;
      this.#options.log.warn(`${files} couldn't be written to the ledger: the next start asks the bucket for them`);
    }
  }

  /** Loads what isn't loaded yet, and sees whether the state directory can be written. */
  async #prepare(): Promise<void> {
    const { targetDir, log, clock, readOnly } = this.#options;
    let trouble: string | undefined;
    if (this.#recorded !== undefined) {
      const take = (fact: LedgerFact) => {
        this.#options.onFact?.(fact);
        return !this.#recorded?.has(fact.path) && this.index.set(fact) === 'replaced';
      };
      const failure = await loadTarget({ io: this.#io, clock, targetDir, log, take, loaded: this.#loaded });
      if (failure === undefined) this.#recorded = undefined;
      else trouble = describeTrouble('read', failure.at, failure.error);
    }
    // A state directory that can't be written is found now, not when the first file has been uploaded.
    if (!readOnly) {
      try {
        await makeDirectory(this.#io, targetDir);
        await this.#io.access(fsPath(targetDir), constants.W_OK | constants.X_OK);
      } catch (error) {
        trouble ??= describeTrouble('written', targetDir, error);
      }
    }
    this.#stateTrouble = trouble;
  }

  #folder(name: string): Folder {
    let folder = this.#folders.get(name);
    if (folder === undefined) {
      const writer = new FolderWriter(this.#io, `${this.#options.targetDir}/${folderDirName(name)}`);
      folder = {
        name,
        writer,
        pending: [],
        recorded: undefined,
        reading: Promise.resolve(),
        busy: false,
        trouble: undefined,
      };
      this.#folders.set(name, folder);
    }
    return folder;
  }

  /** Sees to it that what is pending gets written. Facts that arrive while a write is under way go together in the next one. */
  async #schedule(folder: Folder): Promise<void> {
    if (folder.busy || folder.pending.length === 0) return;
    folder.busy = true;
    const written = new AbortController();
    void this.#options.clock.sleep(OVERDUE_MS, written.signal).then(() => {
      if (!written.signal.aborted) this.#giveUpWaiting(folder, describeHang(folder.writer.dir, OVERDUE_MS / 1000));
    });
    await this.#writes.add(async () => {
      await this.#write(folder);
      written.abort();
      folder.busy = false;
      if (folder.trouble === undefined) void this.#schedule(folder);
      else this.#retryLater();
      await this.#closeUnused(folder);
    });
  }

  async #write(folder: Folder): Promise<void> {
    const batch = folder.pending.slice(0, LINES_PER_WRITE);
    const { epoch } = folder.writer;
    try {
      await folder.writer.append(batch.map(({ line }) => line).join(''));
    } catch (error) {
      this.#giveUpWaiting(folder, describeTrouble('written', folder.writer.dir, error));
      return;
    }
    folder.pending = folder.pending.slice(batch.length);
    this.#hasRecovered(folder);
    for (const { done } of batch) done();
    if (this.#retry === undefined) this.#sayTrouble();
    if (folder.writer.epoch !== epoch) void this.#compactions.add(() => this.#compact(folder));
  }

  #hasRecovered(folder: Folder): void {
    folder.trouble = undefined;
    this.#failing.delete(folder);
  }

  /** The facts stay queued, but nobody waits for them any longer. */
  #giveUpWaiting(folder: Folder, trouble: string): void {
    folder.trouble = trouble;
    this.#failing.add(folder);
    for (const entry of folder.pending) {
      entry.done();
      entry.done = ignore;
    }
    this.#sayTrouble();
  }

  #retryLater(): void {
    if (!this.#closing.signal.aborted) this.#retry ??= this.#keepTrying();
  }

  async #keepTrying(): Promise<void> {
    const { signal } = this.#closing;
    for (let delay = FIRST_RETRY_MS; ; delay = Math.min(2 * delay, LAST_RETRY_MS)) {
      await this.#options.clock.sleep(delay, signal);
      if (signal.aborted) return;
      if (this.#stateTrouble !== undefined) await this.#prepare();
      await Promise.all([...this.#failing].map((folder) => this.#schedule(folder)));
      this.#sayTrouble();
      if (this.trouble === undefined) {
        this.#retry = undefined;
        return;
      }
    }
  }

  /** There may be thousands of folders: only those used last keep their segment open. */
  async #closeUnused(used: Folder): Promise<void> {
    this.#open.delete(used);
    if (used.writer.isOpen) this.#open.add(used);
    if (this.#open.size <= OPEN_SEGMENTS) return;
    const oldest = [...this.#open].find((folder) => !folder.busy);
    if (oldest === undefined) return;
    this.#open.delete(oldest);
    await oldest.writer.release();
  }

  async #compact(folder: Folder): Promise<void> {
    const { dir, epoch } = folder.writer;
    const { signal } = this.#closing;
    if (epoch === undefined || signal.aborted) return;
    const found = this.#loaded.get(folderDirName(folder.name)) ?? { lines: 0, superseded: 0 };
    try {
      const { clock } = this.#options;
      const removed = await compactFolder({ io: this.#io, dir, epoch, found, clock, signal });
      if (removed > 0)
        this.#options.log.debug({ dir, removed }, `compacted ${removed} ledger files of ${printable(dir)}`);
    } catch (error) {
      // It is housekeeping: the ledger is whole without it, and the next start tries again.
      this.#options.log.debug({ dir }, `the ledger of ${printable(dir)} couldn't be compacted: ${errorText(error)}`);
    }
  }

  #sayTrouble(): void {
    const { trouble } = this;
    if (trouble === this.#said) return;
    this.#said = trouble;
    if (trouble !== undefined) this.#options.log.warn(trouble);
    else this.#options.log.info('the ledger can be read and written again');
  }
}

function ignore(): void {}
