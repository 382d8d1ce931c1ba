// The agent: waits for the output directory, runs a session on it, starts over when it is replaced, drains at the end.
// Wires configuration, store and session together; what a command or the status page wants to know comes from here.
import { constants } from 'node:fs';
import { hostname } from 'node:os';
import { describeCondition } from './agent/condition.ts';
import { describeAgent } from './agent/describe.ts';
import { Session } from './agent/session.ts';
import { Totals } from './agent/totals.ts';
import type { Clock } from './clock.ts';
import type { Config } from './config/types.ts';
import { errorCode, errorText } from './errors.ts';
import type { Log } from './log.ts';
import type { Condition } from './notify/condition.ts';
import type { StoredFact } from './notify/fact.ts';
import { podHash } from './object/metadata.ts';
import type { Outputs } from './status/media.ts';
import type { Repair } from './status/repair.ts';
import type { Snapshot } from './status/snapshot.ts';
import { createS3Store, type S3StoreOptions } from './upload/s3.ts';
import type { Store } from './upload/store.ts';
import { version } from './version.ts';
import type { VolumeFs, VolumeGate } from './volume/gate.ts';
import { describeSilence, HUNG_MS } from './volume/volume.ts';

export interface AgentOptions {
  /** Undefined while the settings are wrong: then nothing is uploaded, and the snapshot says why. */
  config: Config | undefined;
  /** What is wrong with the settings, for people. */
  problems: readonly string[];
  log: Log;
  clock: Clock;
  /** One for the whole process. */
  volumeGate: VolumeGate;
  /** Gets each file that was sent. */
  onUpload: (fact: StoredFact) => void;
  /** Called once the ledger was read and every file compared with it: what comes from here on is little at a time. */
  onReady: () => void;
  /** Called for every request to the store. */
  onRequest: S3StoreOptions['onRequest'];
  /** What else isn't as it should be, for people. */
  reasons: () => readonly string[];
  /** Watch for hints too; a single pass needs none. */
  hints: boolean;
}

const LOOK_FOR_DIRECTORY_MS = 1000;
const WATCH_DIRECTORY_MS = 5000;
const CLOSE_MS = 2000;
/** Of the volume gate's calls, those that pictures on the status page may take at a time. */
const MEDIA_CALLS = 2;

export class Agent {
  readonly #options: AgentOptions;
  readonly #pod = podHash(process.env, hostname());
  readonly #startedAt: number;
  readonly #startedAtWall: number;
  readonly #totals: Totals;
  readonly #mediaFs: VolumeFs;
  readonly #stop = new AbortController();
  #store: Store | undefined;
  #session: Session | undefined;
  #directoryTrouble: string | undefined;
  #running: Promise<void> = Promise.resolve();

  constructor(options: AgentOptions) {
    this.#options = options;
    this.#startedAt = options.clock.monotonic();
    this.#startedAtWall = options.clock.wall();
    this.#mediaFs = options.volumeGate.share(MEDIA_CALLS);
    this.#totals = new Totals(options.clock, (fact) => options.onUpload({ ...fact, root: this.#session?.root ?? '' }));
  }

  /** Begins to work; returns at once. */
  start(): void {
    const { config } = this.#options;
    if (!config) return;
    this.#store = createS3Store({ ...config, onRequest: this.#options.onRequest });
    this.#running = this.#run(config, this.#store);
    void this.#tellHangs(config);
  }

  snapshot(): Snapshot {
    const { config, clock, problems } = this.#options;
    return describeAgent({
      version,
      pod: this.#pod,
      clock,
      startedAt: this.#startedAt,
      startedAtWall: this.#startedAtWall,
      config,
      session: this.#session,
      totals: this.#totals,
      problems,
      reasons: this.#reasons(),
    });
  }

  /** What the status page may show of the volume; undefined while there is no output directory. */
  outputs(): Outputs | undefined {
    const session = this.#session;
    if (!session) return undefined;
    return { root: session.root, fs: this.#mediaFs, known: (path) => session.ledger.index.get(path) };
  }

  /** What somebody may want to be told. Unlike a snapshot it is cheap, however many files there are. */
  condition(): Condition {
    const { config, problems } = this.#options;
    return describeCondition({
      config,
      session: this.#session,
      totals: this.#totals,
      problems,
      reasons: this.#reasons(),
    });
  }

  /** Where pods that share the volume leave things for each other; undefined while there is no output directory. */
  get targetDir(): string | undefined {
    return this.#session?.targetDir;
  }

  /** A number that changes with whatever the agent does, and stands still while it has nothing to do. */
  activity(): number {
    const session = this.#session;
    return session ? this.#totals.turns + session.ledger.index.size + (session.scans.ready ? 1 : 0) : 0;
  }

  /** Scans everything once; what was there at the call is in the snapshot afterwards. */
  async rescan(): Promise<void> {
    await this.#session?.scans.scanNow();
  }

  /** Sends these files again; resolves at once with how many of them the ledger has as they are described. */
  async repair(wanted: readonly Repair[]): Promise<number> {
    await this.#sessionOpened();
    return (await this.#session?.repair(wanted)) ?? 0;
  }

  /** One pass: finds everything, uploads what can go, and resolves; at once where the directory can't be used. */
  async finishPass(): Promise<void> {
    await this.#sessionOpened();
    await this.#session?.finishPass(this.#stop.signal);
  }

  /** Resolves where the directory can't be used, too. */
  async #sessionOpened(): Promise<void> {
    const { clock, config } = this.#options;
    while (config && !this.#session && !this.#stop.signal.aborted && !this.#directoryTrouble) await clock.sleep(20);
  }

  /** Uploads what is there, for at most `seconds`; tells what is left. To be closed afterwards. */
  async drain(seconds: number): Promise<Snapshot> {
    const { clock, config } = this.#options;
    const deadline = clock.monotonic() + seconds * 1000;
    // Told to stop right after the start: what is there still counts.
    while (config && !this.#session && !this.#directoryTrouble && clock.monotonic() < deadline) await clock.sleep(20);
    await this.#session?.drain(deadline);
    return this.snapshot();
  }

  /** Stops at once; what is under way is cut off and found again by the next start. */
  async close(): Promise<void> {
    this.#stop.abort();
    await this.#session?.close();
    // A volume that hangs holds up whoever looks for the directory, too.
    await Promise.race([this.#running, this.#options.clock.sleep(CLOSE_MS)]);
    this.#store?.close();
  }

  /** Whether the volume doesn't answer: then the process can't end by itself, only be killed. */
  isHung(): boolean {
    return this.#session?.isHung() ?? this.#options.volumeGate.overdueMs() > CLOSE_MS;
  }

  /** What isn't as it should be and no session says. */
  #reasons(): string[] {
    const trouble = this.#directoryTrouble;
    const silence = this.#session ? [] : describeSilence(this.#silentMs());
    return [...(trouble ? [trouble] : []), ...silence, ...this.#options.reasons()];
  }

  /** Of a volume that hangs while it is opened, too. */
  #silentMs(): number {
    return this.#session?.silentMs() ?? this.#options.volumeGate.silentMs();
  }

  async #tellHangs({ outputDir }: Config): Promise<void> {
    const { clock, log } = this.#options;
    const { signal } = this.#stop;
    for (let hung = false; !signal.aborted; await clock.sleep(WATCH_DIRECTORY_MS, signal)) {
      const hangs = this.#silentMs() > HUNG_MS;
      if (hangs && !hung) log.error(`the volume of ${outputDir} doesn't answer; uploads go on as soon as it does`);
      if (hung && !hangs) log.info(`the volume of ${outputDir} answers again`);
      hung = hangs;
    }
  }

  async #run(config: Config, store: Store): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      if (!(await this.#findDirectory(config))) continue;
      try {
        await this.#runSession(config, store);
      } catch (error) {
        const trouble = `The output directory ${config.outputDir} can't be used: ${errorText(error)}. It is tried again.`;
        if (trouble !== this.#directoryTrouble) this.#options.log.error(trouble);
        this.#directoryTrouble = trouble;
        await this.#options.clock.sleep(LOOK_FOR_DIRECTORY_MS, signal);
      }
    }
  }

  /** Runs until the directory is lost or the agent stops. */
  async #runSession(config: Config, store: Store): Promise<void> {
    const { clock, log, hints, volumeGate } = this.#options;
    const lost = new AbortController();
    const onLost = (state: 'gone' | 'replaced') => {
      if (lost.signal.aborted) return;
      log.warn(`the output directory ${config.outputDir} ${state === 'gone' ? 'is gone' : 'was replaced by another'}`);
      lost.abort();
    };
    const session = await Session.open({
      config,
      clock,
      log,
      store,
      version,
      pod: this.#pod,
      totals: this.#totals,
      volumeGate,
      hints,
      // Whatever was written since then is no backlog, even if its directory is only found now.
      startedAt: performance.timeOrigin,
      onReady: this.#options.onReady,
      onLost,
    });
    if (this.#stop.signal.aborted) return session.close();
    this.#session = session;
    if (this.#directoryTrouble) log.info(`the output directory ${config.outputDir} is there`);
    this.#directoryTrouble = undefined;
    session.start();
    const ended = AbortSignal.any([lost.signal, this.#stop.signal]);
    let looking = false;
    while (!ended.aborted) {
      await clock.sleep(WATCH_DIRECTORY_MS, ended);
      // One look at a time: on a volume that hangs none comes back.
      if (!ended.aborted && !looking) {
        looking = true;
        void this.#checkDirectory(config, session, onLost).finally(() => {
          looking = false;
        });
      }
    }
    if (!lost.signal.aborted) return;
    this.#session = undefined;
    await session.close();
  }

  /** The way to the output directory may lead elsewhere by now: a symlink that was set anew shows in no scan. */
  async #checkDirectory(
    { outputDir }: Config,
    session: Session,
    onLost: (state: 'gone' | 'replaced') => void,
  ): Promise<void> {
    try {
      if ((await this.#options.volumeGate.fs.realpath(outputDir)) !== session.directory && session === this.#session)
        onLost('replaced');
    } catch (error) {
      if (errorCode(error) === 'ENOENT' && session === this.#session) onLost('gone');
    }
  }

  async #findDirectory(config: Config): Promise<boolean> {
    const { clock, log } = this.#options;
    const trouble = await describeDirectoryTrouble(this.#options.volumeGate.fs, config.outputDir);
    if (trouble === undefined) return true;
    if (trouble !== this.#directoryTrouble) log.warn(trouble);
    this.#directoryTrouble = trouble;
    await clock.sleep(LOOK_FOR_DIRECTORY_MS, this.#stop.signal);
    return false;
  }
}

async function describeDirectoryTrouble(fs: VolumeFs, outputDir: string): Promise<string | undefined> {
  try {
    if ((await fs.stat(outputDir)).isDirectory()) {
      await fs.access(outputDir, constants.R_OK | constants.X_OK);
      return undefined;
    }
    return `The output directory ${outputDir} is not a directory. Set COMFYUI_OUTPUT_DIR to where ComfyUI writes.`;
  } catch (error) {
    const code = errorCode(error);
    if (code === 'ENOENT') {
      return `The output directory ${outputDir} doesn't exist yet; it is waited for. If ComfyUI writes elsewhere, set COMFYUI_OUTPUT_DIR.`;
    }
    return `The output directory ${outputDir} can't be looked at (${code ?? errorText(error)}). Check its permissions and the volume; it is tried again.`;
  }
}
