// One output directory, from the first scan until it disappears or the agent drains: wires the stages together, starts
// and ends them.
import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import type { Clock } from '../clock.ts';
import type { Config } from '../config/types.ts';
import { explain } from '../errors.ts';
import { FolderLeases, type Leases, uncontested } from '../lease/leases.ts';
import { leaseTiming } from '../lease/timing.ts';
import type { Ledger } from '../ledger/ledger.ts';
import type { Log } from '../log.ts';
import { folderOf, printable } from '../paths.ts';
import { identifyProcess } from '../process-identity.ts';
import { Examiner } from '../settle/examiner.ts';
import type { Repair } from '../status/repair.ts';
import { Bandwidth } from '../upload/bandwidth.ts';
import { ExistingObjects } from '../upload/existing.ts';
import { Lanes } from '../upload/lanes.ts';
import { MultipartJournal } from '../upload/multipart-journal.ts';
import type { Store } from '../upload/store.ts';
import type { VolumeGate } from '../volume/gate.ts';
import { type Space, SpaceWatch } from '../volume/space.ts';
import { describeSilence, HUNG_MS } from '../volume/volume.ts';
import { createFilter } from '../watch/filter.ts';
import type { HintListener, HintSource } from '../watch/hints.ts';
import { Scanner } from '../watch/scanner.ts';
import { watchHints } from '../watch/watcher.ts';
import { announceBacklog, BACKLOG_READ_MBPS, countBacklog } from './backlog.ts';
import { BufferPool } from './buffers.ts';
import { demandsOf } from './demand.ts';
import { SKIPPED_AS_OLDER } from './first-start.ts';
import { type Ground, openGround } from './ground.ts';
import { Intake } from './intake.ts';
import { isBusy, type PendingFile, PendingTable } from './pending.ts';
import { Pipeline } from './pipeline.ts';
import { NewestFacts, storedFileOf } from './recent-files.ts';
import { ScanLoop } from './scan-loop.ts';
import type { StoreGate } from './store-gate.ts';
import type { Totals } from './totals.ts';
import { Uploads } from './uploads.ts';

export interface SessionOptions {
  config: Config;
  clock: Clock;
  log: Log;
  store: Store;
  version: string;
  pod: string;
  totals: Totals;
  volumeGate: VolumeGate;
  /** Watch for hints too; a single pass needs none. */
  hints: boolean;
  /** Wall ms: when the agent started. */
  startedAt: number;
  /** Called when everything was looked at for the first time. */
  onReady: () => void;
  /** The output directory is gone, or another one is in its place. */
  onLost: (state: 'gone' | 'replaced') => void;
}

/** How long an end waits for the volume. */
const CLOSE_MS = 3000;
const POLL_MS = 20;
/** MooseFS takes about a minute to say that a file is lost, and the worker reads nothing else meanwhile. */
const STUCK_MS = 90_000;

export class Session {
  readonly table: PendingTable;
  readonly ledger: Ledger;
  readonly leases: Leases;
  readonly #leases: FolderLeases | undefined;
  readonly scans: ScanLoop;
  readonly #options: SessionOptions;
  readonly #ground: Ground;
  readonly #scanner: Scanner;
  readonly #intake: Intake;
  readonly #uploads: Uploads;
  readonly #existing: ExistingObjects;
  readonly #journal: MultipartJournal;
  readonly #space: SpaceWatch;
  readonly #closed = new AbortController();
  #hints: HintSource | undefined;
  #hintSource: string | undefined;
  #hintsLost: string | undefined;
  #hung = false;
  #drains = false;

  /** Opens the ledger and the worker; nothing is scanned or uploaded yet. Rejects where the directory can't be used. */
  static async open(options: SessionOptions): Promise<Session> {
    const newest = new NewestFacts();
    const ground = await openGround({
      ...options,
      fs: options.volumeGate.fs,
      onFact: (fact) => newest.offer(fact),
      onVolumeDied: () => options.onLost('replaced'),
    });
    const recent = newest.list().map((fact) => storedFileOf({ ...fact, key: fact.key! }));
    options.totals.remember(recent);
    return new Session(options, ground);
  }

  private constructor(options: SessionOptions, ground: Ground) {
    const { config, clock, log, store, pod, version, totals, volumeGate } = options;
    const { fs } = volumeGate;
    const { root, prefix, targetDir, volume, networkVolume, ledger, firstStart } = ground;
    this.#options = options;
    this.#ground = ground;
    this.ledger = ledger;
    const table = new PendingTable(clock);
    this.table = table;
    const filter = createFilter(config, prefix);
    this.#existing = new ExistingObjects({
      store,
      log,
      keyTemplate: config.keyTemplate,
      backlogOf: (folder) => countBacklog(table, folder).files,
    });
    this.#journal = new MultipartJournal({ targetDir, fs, store, clock, log, pod });
    const pipeline = new Pipeline({
      config,
      clock,
      source: { root, fs, volume, buffers: new BufferPool(clock, config.concurrency) },
      store,
      ledger,
      bandwidth: new Bandwidth(config.bandwidthMbps, clock),
      backlogReads: new Bandwidth(BACKLOG_READ_MBPS, clock),
      existing: this.#existing,
      journal: this.#journal,
      pod,
      version,
      onRetry: () => totals.countRetry(),
      onProgress: (file, bytes) => {
        this.#uploads.noteProgress(file.folder);
        totals.countSent(bytes);
      },
    });
    const examiner = new Examiner(volume, clock, root);
    this.#intake = new Intake({
      config,
      clock,
      log,
      prefix,
      filter,
      index: ledger.index,
      table,
      firstStart,
      examiner,
      networkVolume,
      hearsWriters: () =>
        networkVolume && config.writers === 'local' && this.scans.ready && this.#hintSource !== undefined,
      lookInto: (dir) => this.scans.directorySoon(dir),
      vanished: (file) => this.#vanished(file),
      knowsDirectory: (dir) => this.#scanner.knows(dir),
      onReady: (file) => this.#uploads.enqueue(file),
    });
    this.#space = new SpaceWatch(() => volume.ask('space', { path: config.outputDir }), config.lowSpaceMb, clock);
    const timing = leaseTiming(config.leaseSeconds);
    const isUrgent = (file: PendingFile) =>
      file.local || file.repair !== undefined || !networkVolume || !options.hints || (this.#drains && !file.foreign);
    this.#leases = !config.lease
      ? undefined
      : new FolderLeases({
          io: fs,
          targetDir,
          self: { host: hostname(), agent: version, nonce: randomUUID(), process: identifyProcess(pod) },
          timing,
          clock,
          log,
          demands: () =>
            demandsOf({
              table,
              isUrgent,
              // One that stops leaves to others what is theirs.
              foreignMs: this.#drains ? Number.POSITIVE_INFINITY : config.foreignSeconds * 1000,
              failing: this.#uploads.failing,
              closedSince: this.#uploads.closedSince,
            }),
          fitness: () => {
            // Beats may go on while the thread that reads files is stuck. One file that is lost must not do that: every
            // pod in turn would give its folders back for it.
            const stuck = volume.overdueMs() > STUCK_MS || volumeGate.silentMs() > HUNG_MS;
            if (this.gate.trouble?.cause === 'refused' || stuck) return 'unfit';
            return this.gate.open ? 'fit' : 'unsure';
          },
          follow: (folder) => ledger.follow(folder),
          adopt: (folder, epoch) => ledger.adopt(folder, epoch),
          onChange: (folder) => this.#uploads.onLeaseChange(folder),
        });
    this.leases = this.#leases ?? uncontested;
    this.#uploads = new Uploads({
      clock,
      log,
      table,
      ledger,
      leases: this.leases,
      isUrgent,
      leasePatienceMs: timing.stall,
      examiner,
      lanes: new Lanes(config.concurrency),
      pipeline,
      totals,
      examineNow: (file) => this.#intake.examineNow(file),
      settleLater: (file, ms, why, until) => this.#intake.settleLater(file, ms, why, until),
      cannotRead: (file, error) => this.#intake.cannotRead(file, error),
      vanished: (file) => this.#vanished(file),
    });
    this.#scanner = new Scanner({
      volume,
      clock,
      filter,
      index: ledger.index,
      root,
      prefix,
      onCandidate: (candidate) => this.#intake.takeCandidate(candidate),
    });
    this.scans = new ScanLoop({
      scanner: this.#scanner,
      clock,
      log,
      scanMs: config.scanSeconds * 1000,
      hintsArrive: () => this.#hintSource !== undefined,
      onReady: options.onReady,
      onRootLost: options.onLost,
    });
  }

  /** The directory that is scanned: absolute and real. */
  get directory(): string {
    const { root, prefix } = this.#ground;
    return prefix === '' ? root : `${root}/${prefix}`;
  }

  /** What all paths are relative to: absolute and real. */
  get root(): string {
    return this.#ground.root;
  }

  /** What the volume had left at the last look; undefined while that isn't known. */
  get space(): (Space & { low: boolean }) | undefined {
    const { last, trouble } = this.#space;
    return last && { ...last, low: trouble !== undefined };
  }

  /** Where the state of this bucket lies. */
  get targetDir(): string {
    return this.#ground.targetDir;
  }

  /** Whether the volume didn't answer when it should have. */
  isHung(): boolean {
    const overdue = Math.max(this.#ground.volume.overdueMs(), this.#options.volumeGate.overdueMs());
    return this.#hung || overdue > CLOSE_MS;
  }

  /** Milliseconds for which the volume has been asked and has answered nothing. */
  silentMs(): number {
    return Math.max(this.#ground.volume.overdueMs(), this.#options.volumeGate.silentMs());
  }

  get gate(): StoreGate {
    return this.#uploads.gate;
  }

  /** Whether the store refuses this folder while it takes others. */
  isRefused(folder: string): boolean {
    return this.#uploads.refusedFolders.has(folder);
  }

  /** Starts scanning and watching. */
  start(): void {
    const { config, log, clock, hints } = this.#options;
    if (hints) this.#hints = watchHints(config.outputDir, this.#listener(), { log, clock });
    void this.scans.run();
    void this.#leases?.run();
    void this.#journal.cleanUp();
    void this.#space.run(this.#closed.signal);
    const { table } = this;
    void announceBacklog({ table, clock, log, isKnown: () => this.scans.ready, signal: this.#closed.signal }).then(() =>
      this.#existing.clear(),
    );
  }

  /** For people: what isn't as it should be, and what to do. */
  get reasons(): string[] {
    const reasons: string[] = [...this.scans.problems, ...(this.#leases?.troubles ?? [])];
    if (this.ledger.trouble) reasons.push(this.ledger.trouble);
    if (this.#space.trouble) reasons.push(this.#space.trouble);
    for (const below of this.#ground.below) {
      reasons.push(
        `There is a second state directory at ${printable(below)}: an agent started in that folder alone, and the two don't know of each other. Stop that agent and delete it; its files are compared, not sent again.`,
      );
    }
    for (const [folder, error] of this.#uploads.refusedFolders) {
      reasons.push(`The store refuses the folder "${printable(folder)}": ${explain(error)}`);
    }
    if (this.#hintsLost !== undefined && this.#hintSource === undefined) {
      reasons.push(`${this.#hintsLost} Files are found by scanning, which takes a few seconds longer.`);
    }
    return [...reasons, ...describeSilence(this.silentMs())];
  }

  /** Whether the agent sees all that is there: only then an empty list of pending files means that all is safe. */
  get seesAll(): boolean {
    return this.scans.seesAll && this.silentMs() < HUNG_MS;
  }

  /**
   * Forgets what the ledger says about these files where that is still what the caller found to be wrong, so that they
   * are pending, and sent again by whoever holds their folder. Says how many those are. What others have recorded since
   * is taken in first: read later, old lines would say once more that all is well.
   */
  async repair(wanted: readonly Repair[]): Promise<number> {
    const { index } = this.ledger;
    const asked = new Set(wanted.map(({ path }) => folderOf(path)));
    // Whoever asks for names that nobody knows must not make the ledger remember them.
    const folders = [...index.folders()].map(({ folder }) => folder).filter((folder) => asked.has(folder));
    for (const folder of folders) await this.ledger.follow(folder);
    let taken = 0;
    for (const { path, sha256, wide } of wanted) {
      const known = index.get(path);
      if (known === undefined ? !this.table.get(path)?.repair : known.sha256 !== sha256) continue;
      index.delete(path);
      this.#intake.takeRepair(path, wide);
      taken += 1;
    }
    return taken;
  }

  /** Files that the filter or R2_EXISTING=skip leaves alone, by reason. */
  skipped(): Record<string, number> {
    const skipped = this.#scanner.skipped();
    const existing = this.#intake.skippedExisting.size;
    return existing > 0 ? { ...skipped, [SKIPPED_AS_OLDER]: existing } : skipped;
  }

  /**
   * Uploads what is known and what one last scan finds; resolves when nothing is left or `deadline` (monotonic ms) is
   * there. Files that will never be whole don't hold it up.
   */
  async drain(deadline: number): Promise<void> {
    const { clock } = this.#options;
    this.#drains = true;
    this.#intake.hurry();
    this.#leases?.leave();
    let scanned = false;
    const scan = () => {
      scanned = false;
      void this.scans.scanNow().then(() => {
        scanned = true;
      });
    };
    scan();
    for (; clock.monotonic() < deadline; await clock.sleep(POLL_MS)) {
      // Files that other pods made are theirs to finish, unless their turn has come already.
      const counts = (file: PendingFile) =>
        isBusy(file) || (!file.foreign && (file.state !== 'settling' || file.until !== 'whole'));
      const over = this.gate.trouble?.cause === 'refused' || !this.table.hasPending(counts);
      if (scanned && over && !this.#scanner.hasDoubts) break;
      // Something vanished after the scan had looked at it.
      if (scanned && this.#scanner.hasDoubts) scan();
    }
    // In the bucket, and nothing has said that they have changed: who waits for a slow volume to say so is not missing.
    for (const file of [...this.table.pending()])
      if (file.state === 'recording' && file.stamp === file.storedStamp) this.table.drop(file);
  }

  /** Waits until one pass over everything is done and all that it found, and that can go without help, has gone. */
  async finishPass(stop: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    const signal = AbortSignal.any([stop, this.#closed.signal]);
    while (!signal.aborted) {
      // An empty file is left once it has been quiet, so that is soon.
      const soon = (file: PendingFile) =>
        file.state !== 'settling' || file.until === 'quiet' || (file.until === 'whole' && file.size === 0);
      const over = this.gate.trouble !== undefined || !this.table.hasPending(soon);
      if (over && (this.scans.seesAll || this.scans.problems.length > 0)) return;
      await clock.sleep(POLL_MS, signal);
    }
  }

  /** Stops everything; what is under way is cut off. */
  async close(): Promise<void> {
    this.#closed.abort();
    await this.#uploads.close();
    this.table.clear();
    const closing = async () => {
      await Promise.all([this.#hints?.close(), this.#ground.volume.close()]);
      await this.scans.stop();
      await this.ledger.close();
      // Last, so that whoever goes on finds everything in the ledger.
      await this.#leases?.close();
      return 'closed';
    };
    // A call on a volume that hangs never comes back, and nothing can end it.
    const end = await Promise.race([closing(), this.#options.clock.sleep(CLOSE_MS)]);
    this.#hung = end !== 'closed';
  }

  #vanished(file: PendingFile): void {
    this.table.drop(file);
    this.#scanner.doubt(file.path);
    this.scans.passSoon();
  }

  #listener(): HintListener {
    const { log } = this.#options;
    return {
      hint: (hint) => this.#intake.takeHint(hint),
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
        this.#intake.forgetOpens();
        this.scans.scanFully();
      },
    };
  }
}
