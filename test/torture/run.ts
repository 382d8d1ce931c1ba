// One run: storms in which files are written and everything goes wrong, and calms in which all of it must come right.
import { chmodSync, mkdirSync, mkdtempSync, rmSync, unlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fsPath, joinPath } from '../../src/paths.ts';
import { mooseFsMissing, mooseFsVolume } from '../support/moosefs.ts';
import { localVolume, type SharedVolume } from '../support/shared-volume.ts';
import { Checker, type Wrong } from './checker.ts';
import type { Scene } from './faults/fault.ts';
import { StoreFaults } from './faults/store.ts';
import { History } from './history.ts';
import { LedgerWatch } from './ledger-watch.ts';
import { type Resources, TorturePod } from './pod.ts';
import { Random } from './random.ts';
import { TortureStore } from './store.ts';
import { storm } from './storm.ts';
import { type Count, Tally } from './tally.ts';
import { runWriters, Shelf } from './writers/index.ts';

export interface RunOptions {
  seed: number;
  minutes: number;
  pods: number | undefined;
  volume: 'local' | 'moosefs';
  bundle: string;
}

export interface Result {
  seed: number;
  volume: 'local' | 'moosefs';
  pods: number;
  seconds: number;
  storms: number;
  versions: number;
  /** Of these, those that were there at a calm and had to be in the bucket. */
  due: number;
  missedTwins: number;
  objects: number;
  requests: number;
  sends: number;
  repeats: number;
  ledgerLines: number;
  lives: number;
  faults: Record<string, Count>;
  /** Those that interrupted something. */
  counted: number;
  wrongs: string[];
  /** What led to the first of them. */
  story: string | undefined;
}

/** How long everything may take to come right: the longest back-off is a minute, what was read wrongly waits as long. */
const CALM_MS = 200_000;
const START_MS = 60_000;
const OVERLOOKED_MS = 45_000;
const STORM_MS = { least: 20_000, most: 240_000 };
const TEMPLATES = ['outputs/{path}/{date}/{name}-{hash16}{ext}', 'all/{path}/{name}-{hash}{ext}'];
const LEASE_SECONDS = 9;

export async function runTorture(options: RunOptions): Promise<Result> {
  const run = await Run.open(options);
  try {
    return await run.go();
  } finally {
    await run.close();
  }
}

class Run {
  readonly #options: RunOptions;
  readonly #random: Random;
  readonly #base: string;
  readonly #volume: SharedVolume;
  readonly #store: TortureStore;
  readonly #history = new History();
  readonly #tally = new Tally();
  readonly #shelf = new Shelf();
  readonly #pods: TorturePod[];
  readonly #storeFaults: StoreFaults;
  readonly #ledger: LedgerWatch;
  readonly #checker: Checker;
  /** Of a process, when it had calmed down for the first time. */
  readonly #resources = new Map<number, Resources>();
  readonly #begun = performance.now();
  #storms = 0;

  private constructor(options: RunOptions, volume: SharedVolume, store: TortureStore, base: string) {
    this.#options = options;
    this.#random = new Random(options.seed);
    this.#volume = volume;
    this.#store = store;
    this.#base = base;
    const count = options.pods ?? this.#random.fork('pods').between(1, 4);
    this.#pods = Array.from({ length: count }, (_, index) => this.#makePod(index));
    this.#storeFaults = new StoreFaults(this.#random.fork('blips'), (name) => {
      this.#tally.add(`store: ${name}`, new Set(['upload']));
    });
    store.watch = this.#storeFaults;
    this.#ledger = new LedgerWatch(this.#output(0), store);
    this.#checker = new Checker(this.#shelf, store, this.#ledger);
  }

  static async open(options: RunOptions): Promise<Run> {
    if (options.volume === 'moosefs' && mooseFsMissing() !== undefined)
      throw new Error(`there can be no MooseFS here: ${mooseFsMissing()}`);
    const base = mkdtempSync(join(tmpdir(), 'r2-sync-torture-'));
    const volume = options.volume === 'local' ? await localVolume() : await mooseFsVolume(4);
    const template = new Random(options.seed).fork('template').pick(TEMPLATES);
    return new Run(options, volume, await TortureStore.start(template), base);
  }

  #output(pod: number): string {
    return join(this.#volume.mount(pod), 'output');
  }

  #makePod(index: number): TorturePod {
    const random = this.#random.fork(`pod ${index}`);
    return new TorturePod({
      number: index + 1,
      base: this.#base,
      output: this.#output(index),
      bundle: this.#options.bundle,
      endpoint: this.#store.double.endpoint,
      accessKey: (generation) => this.#store.accessKey(index + 1, generation),
      settings: () => ({
        R2_KEY_TEMPLATE: this.#store.template,
        R2_LEASE_SECONDS: String(LEASE_SECONDS),
        R2_SCAN_SECONDS: random.pick(['0.5', '1', '3']),
        R2_QUIET_SECONDS: random.pick(['1', '5']),
        R2_FOREIGN_SECONDS: '2',
        R2_DRAIN_SECONDS: '8',
        R2_CONCURRENCY: random.pick(['1', '4', '4', '8']),
        // Now and then without inotifywait.
        ...(random.chance(0.25) ? { PATH: '/nonexistent' } : {}),
      }),
      history: this.#history,
    });
  }

  async go(): Promise<Result> {
    mkdirSync(this.#output(0), { recursive: true });
    chmodSync(this.#output(0), 0o777);
    for (const pod of this.#pods) pod.begin();
    const wrongs = await this.#awaitCalm(START_MS, 'the start');
    const deadline = this.#begun + this.#options.minutes * 60_000;
    do {
      if (wrongs.length > 0) break;
      await this.#storm(deadline - performance.now());
      wrongs.push(...(await this.#awaitCalm(CALM_MS, `storm ${this.#storms}`)));
      wrongs.push(...(await this.#checkAll()));
      this.#history.say(`calm ${this.#storms}: ${this.#store.committed.size} objects, ${wrongs.length} wrongs`);
    } while (performance.now() < deadline);
    if (wrongs.length === 0) wrongs.push(...(await this.#startAgain()));
    return this.#result(wrongs);
  }

  async #storm(leftMs: number): Promise<void> {
    this.#storms += 1;
    const random = this.#random.fork(`storm ${this.#storms}`);
    const end = new AbortController();
    const { signal } = end;
    const ms = Math.max(STORM_MS.least, Math.min(leftMs, random.between(STORM_MS.least, STORM_MS.most)));
    const timer = setTimeout(() => end.abort(), ms);
    this.#history.say(`storm ${this.#storms} begins`);
    const scene: Scene = {
      pods: this.#pods,
      store: this.#store,
      storeFaults: this.#storeFaults,
      volume: this.#volume.faults,
      history: this.#history,
      signal,
    };
    const foreign = random.fork('foreign');
    const writing = runWriters(
      {
        pods: this.#pods.length,
        output: (pod) => this.#output(pod),
        random: random.fork('writers'),
        shelf: this.#shelf,
        signal,
        say: (line) => this.#history.say(line),
        announce: (file) => {
          // Only such a key leaves the agent another one.
          if (this.#store.template.includes('{hash16}') && foreign.chance(0.1)) this.#store.putForeign(file);
        },
      },
      { filesPerSecond: random.pick([10, 30, 60]) },
    );
    const watching = this.#watch(signal);
    await Promise.all([storm(scene, random.fork('faults'), this.#tally), writing, watching]);
    clearTimeout(timer);
    this.#history.say(
      `storm ${this.#storms} is over: ${this.#shelf.versions.length} versions, ${this.#store.requests} requests so far`,
    );
    // Half a file keeps its agent waiting for ten minutes, which is more than a calm has.
    for (const version of this.#shelf.versions) {
      if (!version.torn || version.goneAt !== undefined) continue;
      this.#shelf.leave(version.path);
      unlinkSync(fsPath(joinPath(this.#output(0), version.path)));
    }
  }

  /** Hears the hooks and reads the ledger while it storms. */
  async #watch(signal: AbortSignal): Promise<void> {
    for (let nth = 0; !signal.aborted; nth += 1) {
      await new Promise((resolve) => setTimeout(resolve, 100));
      for (const pod of this.#pods) pod.hearHook();
      // A MooseFS that hangs would stop the torture itself.
      if (nth % 10 === 0 && this.#volume.faults === undefined) this.#ledger.look();
    }
  }

  /** Waits until nobody has anything to do and everything is in the bucket, or says who is late. */
  async #awaitCalm(limitMs: number, after: string): Promise<Wrong[]> {
    const deadline = performance.now() + limitMs;
    let troubles: Wrong[] = [];
    let calmSince = Number.POSITIVE_INFINITY;
    do {
      await new Promise((resolve) => setTimeout(resolve, 250));
      for (const pod of this.#pods) pod.hearHook();
      troubles = [];
      for (const pod of this.#pods) {
        const trouble = await busy(pod);
        if (trouble !== undefined)
          troubles.push({ text: `NOT CALM after ${after}: pod ${pod.number} ${trouble}`, about: pod.log.slice(-3) });
      }
      calmSince = troubles.length > 0 ? Number.POSITIVE_INFINITY : Math.min(calmSince, performance.now());
      // Who has nothing to do and has overlooked a file for so long has lost it.
      if (performance.now() - calmSince > OVERLOOKED_MS) break;
    } while (performance.now() < deadline && (troubles.length > 0 || this.#stillMissing()));
    this.#ledger.look();
    return troubles;
  }

  #stillMissing(): boolean {
    return this.#checker.missing().some(({ twin }) => !twin);
  }

  async #checkAll(): Promise<Wrong[]> {
    const faults = this.#tally.sum('done');
    const wrongs = [
      ...this.#checker.checkCalm(this.#output(0)),
      ...this.#checker.checkWaste(faults, this.#lives()),
      ...this.#checker.checkLeases(this.#pods),
      ...this.#checker.checkHolders(await Promise.all(this.#pods.map((pod) => pod.snapshot()))),
      ...this.#pods.flatMap((pod) => pod.surprises.map((text) => ({ text, about: [] }))),
    ];
    for (const [index, pod] of this.#pods.entries()) {
      wrongs.push(...this.#checker.checkOpenFiles(pod, this.#output(index)));
      const before = this.#resources.get(pod.pid ?? 0);
      if (before) wrongs.push(...this.#checker.checkResources(pod, before));
      else this.#resources.set(pod.pid ?? 0, pod.resources());
    }
    return wrongs;
  }

  /** Everybody drains, with nothing left to do; started again, nobody sends anything. */
  async #startAgain(): Promise<Wrong[]> {
    const wrongs: Wrong[] = [];
    const ends = await Promise.all(this.#pods.map((pod) => pod.end(20_000)));
    for (const [index, code] of ends.entries()) {
      if (code !== 0)
        wrongs.push({
          text: `pod ${index + 1} had nothing left to do and ended with ${code ?? 'a signal'}`,
          about: [],
        });
    }
    const before = this.#store.sends;
    for (const pod of this.#pods) {
      pod.control.set({ clockOffsetMs: 0 });
      pod.begin();
    }
    wrongs.push(...(await this.#awaitCalm(START_MS, 'the last start')));
    const sent = this.#store.sends - before;
    if (sent > 0)
      wrongs.push({ text: `${sent} files were sent again by a start after which nothing was to be done`, about: [] });
    // A death between the beginning of an upload in parts and the note of it leaves one that nobody knows of.
    const { uploads } = this.#store.double;
    const most = this.#lives() + this.#store.unheardOf;
    if (uploads.size > most)
      wrongs.push({ text: `${uploads.size} uploads in parts were begun and never ended; ${most} may`, about: [] });
    return [...wrongs, ...this.#checker.checkCalm(this.#output(0)), ...this.#checker.checkLeases(this.#pods)];
  }

  #lives(): number {
    return this.#pods.reduce((sum, { lives }) => sum + lives, 0);
  }

  #result(wrongs: readonly Wrong[]): Result {
    const { committed, requests, sends, repeats } = this.#store;
    const [first] = wrongs;
    return {
      seed: this.#options.seed,
      volume: this.#options.volume,
      pods: this.#pods.length,
      seconds: Math.round((performance.now() - this.#begun) / 1000),
      storms: this.#storms,
      versions: this.#shelf.versions.length,
      due: this.#checker.due.size,
      missedTwins: this.#checker.missedTwins.size,
      objects: committed.size,
      requests,
      sends,
      repeats,
      ledgerLines: this.#ledger.lines,
      lives: this.#lives(),
      faults: Object.fromEntries([...this.#tally.kinds].sort()),
      counted: this.#tally.sum('counted'),
      wrongs: wrongs.map(({ text }) => text),
      story: first && this.#tell(first),
    };
  }

  #tell(first: Wrong): string {
    const file = join(tmpdir(), `r2-sync-torture-seed-${this.#options.seed}.txt`);
    const logs = this.#pods.map(
      (pod) => `--- the log of pod ${pod.number}, warnings and leases\n${pod.log.join('\n')}`,
    );
    writeFileSync(file, [this.#history.whole(), ...logs].join('\n'));
    const about = first.about.length > 0 ? first.about : ['FAULT'];
    return `${this.#history.about(about)}\nAll of it, with the agents' logs: ${file}`;
  }

  async close(): Promise<void> {
    await Promise.all(this.#pods.map((pod) => pod.end(5000)));
    await this.#volume.close();
    await this.#store.double.close();
    rmSync(this.#base, { recursive: true, force: true });
  }
}

/** Why an agent isn't done, in words; undefined when it is. */
async function busy(pod: TorturePod): Promise<string | undefined> {
  const snapshot = await pod.snapshot();
  if (!snapshot) return 'does not answer';
  const { state, reasons, totals, pending, parked, safeToStop, volume } = snapshot;
  if (state !== 'ok') return `is ${state}: ${reasons.join('; ')}`;
  if (volume.lastScan === null) return 'has not looked over its files yet';
  if (totals.pendingFiles > 0)
    return `has ${totals.pendingFiles} files pending: ${pending
      .slice(0, 3)
      .map((file) => `${file.path} ${file.state}`)
      .join('; ')}`;
  if (totals.parkedFiles > 0)
    return `has parked files: ${parked
      .slice(0, 3)
      .map((file) => `${file.path} ${file.reason}`)
      .join('; ')}`;
  return safeToStop ? undefined : 'does not say that it may be stopped';
}
