// When to scan: at start, every R2_SCAN_SECONDS, more often while no hints arrive, at once where a hint names a
// directory. Passes never overlap. Those that look for new files take at most a tenth of the time, and so do those that
// compare everything: one that takes a minute must not keep new files waiting for ten.
import type { Clock } from '../clock.ts';
import { errorCode, errorText } from '../errors.ts';
import type { Log } from '../log.ts';
import { printable, type RelPath } from '../paths.ts';
import type { PassResult, Scanner } from '../watch/scanner.ts';

const FULL_EVERY_MS = 15 * 60_000;
/** A directory named by a hint is looked into again after these: what recursive watchers miss is written right then. */
const AGAIN_MS = [100, 700, 2000];
/** Passes of one kind may take one part in so many of the time. */
const DUTY = 10;
/** After something wasn't where it was: a volume that was away for a moment is mostly back by then. */
const SOON_MS = 1000;
/** Without hints, scanning is all there is. */
const WITHOUT_HINTS_FACTOR = 4;

export interface ScanLoopOptions {
  scanner: Scanner;
  clock: Clock;
  log: Log;
  scanMs: number;
  /** Whether a source of hints is up. */
  hintsArrive: () => boolean;
  /** The first full pass is done. */
  onReady: () => void;
  /** The output directory is gone, or another one is in its place. */
  onRootLost: (state: 'gone' | 'replaced') => void;
}

export class ScanLoop {
  readonly #options: ScanLoopOptions;
  readonly #stop = new AbortController();
  readonly #soon = new Set<RelPath>();
  #running: Promise<unknown> = Promise.resolve();
  #wake = new AbortController();
  #fullWanted = true;
  #isSoon = false;
  #problems: PassResult['problems'] = [];
  /** The first full pass is done: from now on what is pending is all there is. */
  ready = false;
  /** The last pass that came to its end: when (wall ms), and how long it took (ms). */
  last: { endedAt: number; ms: number } | undefined;

  constructor(options: ScanLoopOptions) {
    this.#options = options;
  }

  /** For people: directories that can't be read. */
  get problems(): string[] {
    return this.#problems.map(
      ({ path, code }) =>
        `The directory "${printable(path) || '.'}" can't be read (${code}): what is in it isn't uploaded. Check its permissions and the volume.`,
    );
  }

  /** Whether everything was looked at, and nothing that was known has been missed since. */
  get seesAll(): boolean {
    return this.ready && this.#problems.length === 0 && !this.#options.scanner.hasDoubts;
  }

  /** Scans until it is stopped. Never rejects. */
  async run(): Promise<void> {
    const { clock, scanMs, hintsArrive } = this.#options;
    let nextFull = Number.NEGATIVE_INFINITY;
    while (!this.#stop.signal.aborted) {
      const begun = clock.monotonic();
      const full = this.#fullWanted || begun >= nextFull;
      this.#fullWanted = false;
      this.#wake = new AbortController();
      await this.#pass(full);
      const took = clock.monotonic() - begun;
      const every = hintsArrive() ? scanMs : scanMs / WITHOUT_HINTS_FACTOR;
      if (full) nextFull = begun + Math.max(FULL_EVERY_MS, took * DUTY);
      // One that must be repeated waits, too.
      const pause = full && !this.#fullWanted ? every - took : Math.max(every - took, took * (DUTY - 1));
      // Hints that were lost while it ran have aborted this sleep already.
      await clock.sleep(Math.max(0, pause), AbortSignal.any([this.#stop.signal, this.#wake.signal]));
    }
  }

  /** A pass over everything that begins after the call and is done when the promise resolves. */
  async scanNow(): Promise<void> {
    await this.#pass(false);
  }

  /** The next pass begins now and compares everything: hints were lost. */
  scanFully(): void {
    this.#fullWanted = true;
    this.#wake.abort();
  }

  /** The next pass comes within a second, if that isn't too often: something wasn't where it was. */
  passSoon(): void {
    if (this.#isSoon) return;
    this.#isSoon = true;
    const pause = Math.max(SOON_MS, (this.last?.ms ?? 0) * (DUTY - 1));
    void this.#options.clock.sleep(pause, this.#stop.signal).then(() => {
      this.#isSoon = false;
      this.#wake.abort();
    });
  }

  /** Looks into a directory now and again a moment later. */
  directorySoon(dir: RelPath): void {
    if (this.#soon.has(dir)) return;
    this.#soon.add(dir);
    void this.#lookInto(dir);
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }

  async #lookInto(dir: RelPath): Promise<void> {
    const { scanner, clock, log } = this.#options;
    try {
      await scanner.scanDirectory(dir);
      // From here a new hint for this directory starts over: what it names may be newer than this look.
      this.#soon.delete(dir);
      for (const pause of AGAIN_MS) {
        await clock.sleep(pause, this.#stop.signal);
        if (this.#stop.signal.aborted) return;
        await scanner.scanDirectory(dir);
      }
    } catch (error) {
      this.#soon.delete(dir);
      log.debug(
        { dir, error: errorText(error) },
        'a directory named by a hint could not be looked into; the next scan does it',
      );
    }
  }

  #becomeReady(): void {
    if (this.ready) return;
    this.ready = true;
    this.#options.onReady();
  }

  #pass(full: boolean): Promise<void> {
    const pass = this.#running.then(async () => {
      if (this.#stop.signal.aborted) return;
      const { scanner, log, clock, onRootLost } = this.#options;
      const begun = clock.monotonic();
      try {
        const result = await scanner.pass(full);
        this.last = { endedAt: clock.wall(), ms: clock.monotonic() - begun };
        if (result.root === 'gone' || result.root === 'replaced') return onRootLost(result.root);
        this.#problems = result.problems;
        if (full && result.root === 'there') this.#becomeReady();
        else if (full) this.#fullWanted = true;
        if (scanner.hasDoubts) this.passSoon();
        log.debug({ full, files: result.files, problems: result.problems.length }, 'scan done');
      } catch (error) {
        this.#problems = [{ path: '', code: errorCode(error) ?? errorText(error) }];
        this.#fullWanted ||= full;
        log.debug({ error: errorText(error) }, 'a scan failed; it is repeated');
      }
    });
    this.#running = pass;
    return pass;
  }
}
