// One output directory, from the first scan until it disappears or the agent drains: wires the stages together and
// moves every file along its way.
import { lstat } from 'node:fs/promises';
import type { Clock } from '../clock.ts';
import type { Config } from '../config/types.ts';
import { errorCode } from '../errors.ts';
import { type Leases, uncontested } from '../lease/lease.ts';
import { Ledger } from '../ledger/ledger.ts';
import { findRoot, locateState } from '../ledger/location.ts';
import type { Log } from '../log.ts';
import { directoryOf, extensionOf, fsPath, joinPath, printable, type RelPath } from '../paths.ts';
import { networkFileSystem } from '../settle/file-system.ts';
import { formatCanTell } from '../settle/formats/index.ts';
import { decideSettled } from '../settle/settle.ts';
import { createWriterCheck } from '../settle/writers.ts';
import type { StoredFile } from '../status/snapshot.ts';
import { Bandwidth } from '../upload/bandwidth.ts';
import { ExistingObjects } from '../upload/existing.ts';
import { backOffMs, type GateEvent } from '../upload/gate.ts';
import { Lanes } from '../upload/lanes.ts';
import { MultipartJournal } from '../upload/multipart-journal.ts';
import type { Store, StoreError } from '../upload/store.ts';
import { startVolume, type Volume } from '../volume/volume.ts';
import { createFilter, type Filter } from '../watch/filter.ts';
import type { Hint, HintListener, HintSource } from '../watch/hints.ts';
import { type Candidate, Scanner } from '../watch/scanner.ts';
import { watchHints } from '../watch/watcher.ts';
import { readFirstStart } from './first-start.ts';
import { type PendingFile, PendingTable } from './pending.ts';
import { type Outcome, Pipeline, type Stored } from './pipeline.ts';
import { ScanLoop } from './scan-loop.ts';
import { StoreGate } from './store-gate.ts';
import type { Totals } from './totals.ts';

export interface SessionOptions {
  config: Config;
  clock: Clock;
  log: Log;
  store: Store;
  version: string;
  pod: string;
  totals: Totals;
  /** The output directory is gone, or another one is in its place. */
  onLost: (state: 'gone' | 'replaced') => void;
}

/** A path that is rewritten all the time goes at most this often. */
const REWRITE_MS = 60_000;
/** Parked files, and those that can't be read, are tried again. */
const PARKED_RETRY_MS = 3600_000;
const REFUSED_FOLDER_RETRY_MS = 5 * 60_000;
const UNREADABLE_RETRY_MS = { first: 60_000, last: 3600_000 };
/** A hint that says only "changed" is followed up at most this often per file. */
const LOOK_GAP_MS = 200;
/** After a create, its writer gets this long before it is looked at without having heard a close. */
const CREATE_GRACE_MS = 250;
/** MooseFS has whole-second times and caches them for one more: within this a rewrite may leave no trace. */
const BLURRED_TIMES_MS = 2500;
/** Reading a backlog takes at most this much of the disk, in megabits per second. */
const BACKLOG_READ_MBPS = 1600;
/** A backlog smaller than this needs no announcement. */
const ANNOUNCED_FILES = 20;

export class Session {
  readonly table: PendingTable;
  readonly ledger: Ledger;
  readonly leases: Leases = uncontested;
  readonly gate: StoreGate;
  readonly scans: ScanLoop;
  readonly #options: SessionOptions;
  readonly #location: { root: string; prefix: RelPath; below: string[] };
  readonly #volume: Volume;
  readonly #filter: Filter;
  readonly #scanner: Scanner;
  readonly #pipeline: Pipeline;
  readonly #lanes: Lanes;
  readonly #existing: ExistingObjects;
  readonly #journal: MultipartJournal;
  readonly #abort = new AbortController();
  /** Wall ms: files whose inode hasn't changed since before are a backlog, not new outputs. */
  readonly #firstStart: number;
  readonly #refusedFolders = new Map<string, StoreError>();
  readonly #progress = new Map<RelPath, number>();
  #hints: HintSource | undefined;
  #hintSource: string | undefined;
  #hintsLost: string | undefined;
  #draining = false;
  #skippedExisting = 0;

  /** Opens the ledger and the worker; nothing is scanned or uploaded yet. Rejects where the directory can't be used. */
  static async open(options: SessionOptions): Promise<Session> {
    const { config, clock, log } = options;
    const location = await locateState({
      outputDir: config.outputDir,
      ...(config.stateDir === undefined ? {} : { stateDir: config.stateDir }),
      endpointHost: new URL(config.endpoint).host,
      bucket: config.bucket,
    });
    const { below } = await findRoot(config.outputDir);
    const volume = startVolume();
    const magic = await volume.ask('fileSystem', { path: config.outputDir }).catch(() => 0);
    const ledger = await Ledger.open({ targetDir: location.targetDir, log, clock });
    const firstStart = await readFirstStart(location.targetDir, clock);
    return new Session(
      options,
      { ...location, below },
      volume,
      networkFileSystem(magic) !== undefined,
      ledger,
      firstStart,
    );
  }

  private constructor(
    options: SessionOptions,
    location: { root: string; prefix: RelPath; targetDir: string; below: string[] },
    volume: Volume,
    networkVolume: boolean,
    ledger: Ledger,
    firstStart: number,
  ) {
    const { config, clock, log, store, pod, version, totals } = options;
    const { root, prefix, targetDir } = location;
    this.#options = options;
    this.#location = location;
    this.#volume = volume;
    this.#firstStart = firstStart;
    this.ledger = ledger;
    this.table = new PendingTable(clock);
    this.#filter = createFilter(config, prefix);
    this.#lanes = new Lanes(config.concurrency);
    this.#existing = new ExistingObjects({
      store,
      log,
      keyTemplate: config.keyTemplate,
      backlogOf: (folder) => countIf(this.table.pending(), (file) => file.existing && file.folder === folder),
    });
    this.#scanner = new Scanner({
      volume,
      clock,
      filter: this.#filter,
      index: ledger.index,
      root,
      prefix,
      onCandidate: (candidate) => this.#onCandidate(candidate),
    });
    this.scans = new ScanLoop({
      scanner: this.#scanner,
      clock,
      log,
      scanMs: config.scanSeconds * 1000,
      hintsArrive: () => this.#hintSource !== undefined,
      onRootLost: options.onLost,
    });
    this.#journal = new MultipartJournal({ targetDir, store, clock, log, pod });
    this.#pipeline = new Pipeline({
      config,
      clock,
      root,
      store,
      ledger,
      table: this.table,
      writers: createWriterCheck({ volume, clock, local: config.writers === 'local' }),
      bandwidth: new Bandwidth(config.bandwidthMbps, clock),
      backlogReads: new Bandwidth(BACKLOG_READ_MBPS, clock),
      existing: this.#existing,
      journal: this.#journal,
      networkVolume,
      pod,
      version,
      onRetry: () => totals.countRetry(),
      onProgress: (file, bytes) => this.#progress.set(file.path, bytes),
    });
    this.gate = new StoreGate({
      clock,
      log,
      onChange: (open) => this.#onGate(open),
      probe: (avoid) => this.#probe(avoid),
      onFolderRefused: (folder, error) => this.#refuseFolder(folder, error),
    });
  }

  /** Starts scanning, and watching if `hints` says so (a single pass needs none). */
  start({ hints }: { hints: boolean }): void {
    const { config, log, clock } = this.#options;
    if (hints) this.#hints = watchHints(config.outputDir, this.#listener(), { log, clock });
    void this.scans.run();
    void this.#journal.cleanUp();
    void this.#announceBacklog();
  }

  /** For people: what isn't as it should be, and what to do. */
  get reasons(): string[] {
    const reasons: string[] = [...this.scans.problems];
    const { ledger } = this;
    if (ledger.trouble) reasons.push(ledger.trouble);
    for (const below of this.#location.below) {
      reasons.push(
        `There is a second state directory at ${printable(below)}: an agent started in that folder alone, and the two don't know of each other. Stop that agent and delete it; its files are compared, not sent again.`,
      );
    }
    for (const [folder, error] of this.#refusedFolders) {
      reasons.push(`The store refuses the folder "${printable(folder)}": ${error.message}. ${error.fix}`);
    }
    if (this.#hintsLost !== undefined && this.#hintSource === undefined) {
      reasons.push(`${this.#hintsLost} Files are found by scanning, which takes a few seconds longer.`);
    }
    const hung = this.#volume.overdueMs();
    if (hung > 30_000)
      reasons.push(`The volume hasn't answered for ${Math.round(hung / 1000)} s. Uploads go on as soon as it does.`);
    return reasons;
  }

  skipped(): Record<string, number> {
    const skipped = this.#scanner.skipped();
    if (this.#skippedExisting > 0) skipped['older than the agent (R2_EXISTING=skip)'] = this.#skippedExisting;
    return skipped;
  }

  /** Confirmed bytes of a file that is being sent in parts. */
  progressOf(path: RelPath): number {
    return this.#progress.get(path) ?? 0;
  }

  /**
   * Uploads what is known and what one last scan finds; resolves when nothing is left or `deadline` (monotonic ms) is
   * there. Files that will never be whole don't hold it up.
   */
  async drain(deadline: number): Promise<void> {
    const { clock } = this.#options;
    this.#draining = true;
    for (const file of [...this.table.pending()])
      if (file.state === 'waiting' || file.state === 'settling') this.#examineNow(file);
    let scanned = false;
    void this.scans.scanNow().then(() => {
      scanned = true;
    });
    while (clock.monotonic() < deadline) {
      if (scanned && !some(this.table.pending(), (file) => file.state !== 'settling' || file.until !== 'whole')) return;
      if (scanned && this.gate.trouble?.cause === 'refused') return;
      await clock.sleep(20);
    }
  }

  /** Waits until one pass over everything is done and all that it found, and that can go without help, has gone. */
  async finishPass(signal: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    while (!this.scans.ready && !signal.aborted) await clock.sleep(20, signal);
    const mayGo = (file: PendingFile) => file.state !== 'settling' || file.until === 'quiet';
    while (!signal.aborted && some(this.table.pending(), mayGo)) {
      if (this.gate.trouble) return;
      await clock.sleep(20, signal);
    }
  }

  /** Stops everything; what is under way is cut off. */
  async close(): Promise<void> {
    this.#abort.abort();
    this.gate.stop();
    this.#lanes.pause();
    this.#lanes.clear();
    this.table.clear();
    await Promise.all([this.#hints?.close(), this.#volume.close()]);
    await this.scans.stop();
    await this.ledger.close();
  }

  // What may have changed?

  #listener(): HintListener {
    const { log } = this.#options;
    return {
      hint: (hint) => this.#onHint(hint),
      ready: (source) => {
        log.info({ source }, `watching for finished files with ${source}`);
        this.#hintSource = source;
        this.#hintsLost = undefined;
        // What happened before its watches stood was heard by nobody.
        this.scans.scanFully();
      },
      lost: (source, reason) => {
        log.warn({ source }, reason);
        if (source === this.#hintSource) this.#hintSource = undefined;
        this.#hintsLost = reason;
        // A close may have been among what was lost.
        for (const file of this.table.all()) file.heardOpen = false;
        this.scans.scanFully();
      },
    };
  }

  #onHint(hint: Hint): void {
    const path = this.#location.prefix === '' ? hint.path : joinPath(this.#location.prefix, hint.path);
    if (hint.kind === 'directory') return this.scans.directorySoon(path);
    const dir = directoryOf(path);
    if (!this.#scanner.knows(dir)) this.scans.directorySoon(dir);
    if (this.#filter.skipReason(path, 0) !== undefined || !this.#filter.entersDirectory(dir)) {
      if (hint.kind === 'changed') this.scans.directorySoon(path);
      return;
    }
    const file = this.table.get(path) ?? this.table.add(path);
    const now = this.#options.clock.monotonic();
    Object.assign(file, { local: true, stamp: file.stamp + 1, changedAt: now });
    if (hint.kind === 'opened') {
      Object.assign(file, { heardOpen: true, suspect: true });
      this.#lookLater(file, CREATE_GRACE_MS);
    } else if (hint.kind === 'closed') {
      Object.assign(file, { heardOpen: false, suspect: false, rehash: true });
      this.#examineNow(file);
    } else {
      this.#lookLater(file, Math.max(0, file.lookedAt + LOOK_GAP_MS - now));
    }
  }

  #onCandidate({ path, size, mtimeNs, ctimeNs }: Candidate): void {
    const known = this.table.get(path);
    if (known && known.size === size && known.mtimeNs === mtimeNs) return;
    const file = known ?? this.table.add(path);
    if (isBusy(file)) {
      file.stamp += 1;
      return;
    }
    this.#consider(file, size, mtimeNs, ctimeNs);
  }

  // Is it finished?

  #lookLater(file: PendingFile, ms: number): void {
    if (isBusy(file)) return;
    if (ms === 0) return this.#examineNow(file);
    this.table.setTimer(file, ms, () => this.#examineNow(file));
  }

  #examineNow(file: PendingFile): void {
    if (isBusy(file)) return;
    file.timer?.abort();
    file.timer = undefined;
    void this.#examine(file);
  }

  /** Looks at the file and decides whether it is worth reading. Never rejects. */
  async #examine(file: PendingFile): Promise<void> {
    file.lookedAt = this.#options.clock.monotonic();
    try {
      const stat = await lstat(fsPath(`${this.#location.root}/${file.path}`), { bigint: true });
      if (!this.table.has(file) || isBusy(file)) return;
      if (!stat.isFile()) {
        this.table.drop(file);
        if (stat.isDirectory()) this.scans.directorySoon(file.path);
        return;
      }
      this.#consider(file, Number(stat.size), stat.mtimeNs, stat.ctimeNs);
    } catch (error) {
      const code = errorCode(error);
      if (code === 'ENOENT' || code === 'ENOTDIR') this.table.drop(file);
      else this.#cannotRead(file, error);
    }
  }

  #consider(file: PendingFile, size: number, mtimeNs: bigint, ctimeNs: bigint): void {
    const { config, clock } = this.#options;
    const { index } = this.ledger;
    const moved = file.size !== size || file.mtimeNs !== mtimeNs;
    this.table.observe(file, size, mtimeNs);
    if (this.#filter.skipReason(file.path, size) !== undefined) return this.table.drop(file);
    if (!file.rehash && index.matches(file.path, size, mtimeNs)) return this.table.drop(file);
    if (file.state === 'due' || (file.state === 'parked' && !moved)) return;
    file.existing = !file.local && Number(ctimeNs / 1_000_000n) < this.#firstStart;
    if (file.existing && config.existing === 'skip') {
      this.#skippedExisting += 1;
      return this.table.drop(file);
    }
    const storedAgo = clock.wall() - (index.storedAt(file.path) ?? Number.NEGATIVE_INFINITY);
    if (storedAgo >= 0 && storedAgo < REWRITE_MS && !this.#draining) {
      return this.#settleLater(
        file,
        REWRITE_MS - storedAgo,
        'it was uploaded less than a minute ago and has changed since',
      );
    }
    // With the best that reading could show: is there any point in reading?
    const decision = decideSettled({
      size,
      writers: this.#pipeline.writersInSight(file) ? 'none' : 'unseen',
      verdict: formatCanTell(extensionOf(file.path)) ? 'whole' : 'unknown',
      heardOpen: file.heardOpen,
      quietMs: clock.monotonic() - file.changedAt,
      quietLimitMs: config.quietSeconds * 1000,
    });
    if (decision.settled) return this.#enqueue(file);
    this.#settleLater(file, decision.waitMs, decision.why, decision.until);
    if (decision.empty) file.state = 'empty';
  }

  #settleLater(file: PendingFile, ms: number, why: string, until: PendingFile['until'] = 'quiet'): void {
    Object.assign(file, { state: 'settling', why, until });
    this.table.setTimer(file, ms, () => this.#examineNow(file));
  }

  #cannotRead(file: PendingFile, error: unknown): void {
    const code = errorCode(error) ?? 'UNKNOWN';
    if (file.state !== 'unreadable') file.stuckSince = this.#options.clock.wall();
    file.attempts += 1;
    Object.assign(file, {
      state: 'unreadable',
      why: `it can't be read (${code})`,
      fix:
        code === 'EACCES' || code === 'EPERM'
          ? 'Let the user that the agent runs as read the file.'
          : 'Check the volume; the file is tried again.',
    });
    this.#options.log.warn(
      { path: printable(file.path), code },
      `can't read ${printable(file.path)} (${code}); it is tried again`,
    );
    const wait = Math.min(UNREADABLE_RETRY_MS.last, UNREADABLE_RETRY_MS.first * 2 ** (file.attempts - 1));
    this.table.setTimer(file, wait, () => this.#examineNow(file));
  }

  // Is it there?

  #enqueue(file: PendingFile): void {
    const refusal = this.#refusedFolders.get(file.folder);
    if (refusal) return this.#park(file, refusal);
    Object.assign(file, { state: 'due', why: 'waits for its turn' });
    this.#lanes.add(file.size, file.mtimeNs, async () => {
      if (file.state === 'due' && this.table.has(file)) await this.#take(file);
    });
  }

  /** One turn of a file; what came of it goes to the gate. Never rejects. */
  async #take(file: PendingFile): Promise<GateEvent | undefined> {
    const { stamp } = file;
    Object.assign(file, { state: 'working', why: 'is being uploaded', lookedAt: this.#options.clock.monotonic() });
    const outcome = await this.#pipeline.process(file, this.#abort.signal);
    this.#progress.delete(file.path);
    if (this.#abort.signal.aborted || !this.table.has(file)) return undefined;
    const event = this.#gateEvent(file, outcome);
    if (event) this.gate.report(event);
    this.#apply(file, stamp, outcome);
    return event;
  }

  #gateEvent(file: PendingFile, outcome: Outcome): GateEvent | undefined {
    if (outcome.kind === 'stored') return { kind: 'stored' };
    return outcome.kind === 'failed' ? { kind: 'failed', error: outcome.error, folder: file.folder } : undefined;
  }

  #apply(file: PendingFile, stamp: number, outcome: Outcome): void {
    switch (outcome.kind) {
      case 'stored':
        Object.assign(file, { state: 'recording', why: 'is in the bucket; the ledger is being written' });
        void this.#record(file, stamp, outcome);
        return;
      case 'unchanged':
        return this.#done(file, stamp);
      case 'gone':
        return this.table.drop(file);
      case 'changed':
        return this.#settleLater(file, 0, 'it changed while it was read');
      case 'unsettled':
        file.suspect = outcome.writersOpen;
        // A hint came while it was read: what was seen is old already.
        return this.#settleLater(
          file,
          file.stamp === stamp ? outcome.decision.waitMs : 0,
          outcome.decision.why,
          outcome.decision.until,
        );
      case 'unreadable':
        return this.#cannotRead(file, outcome.error);
      case 'failed':
        return this.#applyFailure(file, outcome.error);
    }
  }

  #applyFailure(file: PendingFile, error: StoreError): void {
    switch (error.failure) {
      case 'changed':
        return this.#settleLater(file, 0, 'it changed while it was sent');
      case 'refused':
        // The gate decides what this means; until then it waits like all the others.
        return this.#enqueue(file);
      case 'park':
        return this.#park(file, error);
      default: {
        const wait = backOffMs(file.attempts);
        file.attempts += 1;
        this.#options.totals.countRetry();
        Object.assign(file, { state: 'waiting', why: `is tried again: ${error.message}` });
        this.#options.log.debug(
          { path: printable(file.path), code: error.code, wait },
          'an upload failed and is tried again',
        );
        this.table.setTimer(file, wait, () => this.#examineNow(file));
      }
    }
  }

  async #record(file: PendingFile, stamp: number, stored: Stored): Promise<void> {
    const { clock, log, totals } = this.#options;
    const { key, sha256, identity, incomplete, already } = stored;
    const storedAt = clock.wall();
    const seconds = file.existing ? 0 : Math.max(0, storedAt - Number(identity.mtimeNs / 1_000_000n)) / 1000;
    await this.ledger.record({
      path: file.path,
      size: identity.size,
      mtimeNs: identity.mtimeNs,
      sha256,
      key,
      storedAt,
      incomplete,
    });
    const path = printable(file.path);
    const fact: StoredFile = { path, key, bytes: identity.size, seconds, at: new Date(storedAt).toISOString() };
    totals.countStored(fact, already);
    const size = `${(identity.size / 1e6).toFixed(identity.size < 1e5 ? 3 : 1)} MB`;
    const what = already ? 'already in the bucket' : incomplete ? 'stored as it is, incomplete' : 'stored';
    log.info({ ...fact, already, incomplete }, `${what}: ${path} → ${key} (${size}, ${seconds.toFixed(2)} s)`);
    if (!this.table.has(file)) return;
    file.state = 'settling';
    if (stored.changedSince) file.stamp += 1;
    this.#done(file, stamp);
    this.#lookAgainWhereTimesAreBlurred(file, storedAt, identity.mtimeNs);
  }

  /** Its bytes are in the bucket and the ledger; a hint since then makes it a new candidate. */
  #done(file: PendingFile, stamp: number): void {
    file.state = 'settling';
    file.attempts = 0;
    if (file.stamp === stamp) {
      this.table.drop(file);
      if (!some(this.table.pending(), ({ existing }) => existing)) this.#existing.clear();
      return;
    }
    this.#settleLater(file, 0, 'it changed after it was uploaded');
  }

  #lookAgainWhereTimesAreBlurred(file: PendingFile, storedAt: number, mtimeNs: bigint): void {
    const age = storedAt - Number(mtimeNs / 1_000_000n);
    const whole = mtimeNs % 1_000_000_000n === 0n;
    if (!whole || age < 0 || age > BLURRED_TIMES_MS || this.table.has(file)) return;
    const again = this.table.add(file.path);
    Object.assign(again, { local: file.local, rehash: true, size: file.size, mtimeNs });
    this.#settleLater(again, BLURRED_TIMES_MS - age, 'the volume keeps whole seconds: it is compared once more');
  }

  // What the store thinks of us.

  #onGate(open: boolean): void {
    if (!open) return this.#lanes.pause();
    this.#lanes.resume();
    for (const file of [...this.table.pending()]) if (file.state === 'waiting') this.#examineNow(file);
  }

  async #probe(avoidFolder: string): Promise<{ folder: string; event: GateEvent | undefined } | undefined> {
    let best: PendingFile | undefined;
    for (const file of this.table.pending()) {
      if (file.state !== 'due' && file.state !== 'waiting') continue;
      const better = !best || (best.folder === avoidFolder && file.folder !== avoidFolder);
      if (better || (best && file.folder === best.folder && file.size < best.size)) best = file;
    }
    if (!best) return undefined;
    best.timer?.abort();
    best.timer = undefined;
    this.#pipeline.doubtStore();
    const { stamp } = best;
    Object.assign(best, { state: 'working', why: 'is tried, to see whether the store takes it' });
    const outcome = await this.#pipeline.process(best, this.#abort.signal);
    if (this.#abort.signal.aborted) return undefined;
    this.#apply(best, stamp, outcome);
    return { folder: best.folder, event: this.#gateEvent(best, outcome) };
  }

  #refuseFolder(folder: string, error: StoreError): void {
    this.#refusedFolders.set(folder, error);
    for (const file of this.table.pending()) {
      if (file.folder === folder && (file.state === 'due' || file.state === 'waiting')) this.#park(file, error);
    }
    const { clock, log } = this.#options;
    log.error(
      { folder, code: error.code },
      `the store refuses the folder "${printable(folder)}" alone: ${error.message}. ${error.fix}`,
    );
    void clock.sleep(REFUSED_FOLDER_RETRY_MS, this.#abort.signal).then(() => this.#readmitFolder(folder));
  }

  /** Tries the folder again; if it is still refused, the gate finds that out with the first of its files. */
  #readmitFolder(folder: string): void {
    this.#refusedFolders.delete(folder);
    for (const file of [...this.table.stuck()]) {
      if (file.folder !== folder || file.state !== 'parked') continue;
      file.state = 'settling';
      this.#examineNow(file);
    }
  }

  #park(file: PendingFile, error: StoreError): void {
    if (file.state !== 'parked') {
      file.stuckSince = this.#options.clock.wall();
      this.#options.log.warn(
        { path: printable(file.path), code: error.code },
        `parked ${printable(file.path)}: ${error.message}. ${error.fix}`,
      );
    }
    Object.assign(file, { state: 'parked', why: error.message, fix: error.fix });
    this.table.setTimer(file, PARKED_RETRY_MS, () => {
      file.state = 'settling';
      this.#examineNow(file);
    });
  }

  // Odds and ends.

  async #announceBacklog(): Promise<void> {
    const { clock, log } = this.#options;
    while (!this.scans.ready) {
      await clock.sleep(100, this.#abort.signal);
      if (this.#abort.signal.aborted) return;
    }
    let files = 0;
    let bytes = 0;
    for (const file of this.table.pending()) {
      if (!file.existing) continue;
      files += 1;
      bytes += file.size;
    }
    if (files < ANNOUNCED_FILES) return;
    const minutes = Math.ceil((bytes * 8) / (BACKLOG_READ_MBPS * 1e6) / 60);
    log.info(
      { files, bytes },
      `${files} files (${(bytes / 1e9).toFixed(1)} GB) on the volume are older than the agent and not in the ledger. ` +
        `They are compared with the bucket and sent where they are missing: at least ${minutes} min, at most ${files} requests and a few for listing. New files go first. R2_EXISTING=skip leaves old ones alone.`,
    );
  }
}

function isBusy(file: PendingFile): boolean {
  return file.state === 'working' || file.state === 'recording';
}

function some<T>(items: Iterable<T>, test: (item: T) => boolean): boolean {
  for (const item of items) if (test(item)) return true;
  return false;
}

function countIf<T>(items: Iterable<T>, test: (item: T) => boolean): number {
  let count = 0;
  for (const item of items) if (test(item)) count += 1;
  return count;
}
