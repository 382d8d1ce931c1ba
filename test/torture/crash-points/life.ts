// One life of an output directory: a store, an agent that is stopped dead at one point, and the one that is started after
// it. A scenario sees only files and the store; it doesn't know whether anybody died.
import { createHash } from 'node:crypto';
import { mkdir, stat, utimes, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { makePlace, type Place, type RunningAgent, removePlace, startAgent, until } from '../../support/agent.ts';
import { type Fault, type FaultRequest, type StoreDouble, startStoreDouble } from '../../support/store-double.ts';
import { HookControl, type HookReport } from '../hook/control.ts';
import { nameRequest, type Point } from './points.ts';
import { ledgerLines, notesOf, stateFiles } from './state.ts';

/** A file as its writer left it. */
export interface Version {
  path: string;
  sha256: string;
  mtimeMs: number;
}

/** For machines with much else to do. */
const PATIENCE_SECONDS = 120;
const SETTINGS = {
  R2_QUIET_SECONDS: '1',
  R2_SCAN_SECONDS: '1',
  R2_DRAIN_SECONDS: `${PATIENCE_SECONDS}`,
  R2_LOG_LEVEL: 'debug',
};

export class Life {
  readonly store: StoreDouble;
  readonly place: Place;
  /** In the order in which they were written. */
  readonly versions: Version[] = [];
  /** Names of all requests. */
  readonly requests: string[] = [];
  /** Every time that an object came into being. */
  readonly stored: { key: string }[] = [];
  readonly reports: HookReport[] = [];
  /** Whether the agent was stopped dead. */
  died = false;
  /** Notes of unfinished uploads that were there when it died. */
  notesAtDeath: string[] = [];
  /** What is done to the first request of a name. */
  readonly faults = new Map<string, Fault>();
  /** Of the agent that was there at the end. */
  log = '';
  readonly #control: HookControl;
  readonly #point: Point | undefined;
  readonly #bundle: string | undefined;
  #agent: Promise<RunningAgent>;
  #firstProcess: RunningAgent['process'] | undefined;

  /** @param bundle the agent's, if not the one in dist */
  static async begin(
    point: Point | undefined,
    prepare: (life: Life) => Promise<void>,
    bundle: string | undefined,
  ): Promise<Life> {
    const life = new Life(await makePlace(), await startStoreDouble(), point, bundle);
    await prepare(life);
    life.#agent = life.#startFirst();
    return life;
  }

  private constructor(place: Place, store: StoreDouble, point: Point | undefined, bundle: string | undefined) {
    this.#bundle = bundle;
    this.place = place;
    this.store = store;
    this.#point = point;
    this.#control = new HookControl(join(place.base, 'control'), place.output);
    this.#agent = Promise.reject(new Error('not begun'));
    this.#agent.catch(() => {});
    store.fault = (request) => this.#beforeRequest(request);
    store.done = (request, status) => this.#afterRequest(request, status);
  }

  async write(path: string, body: Buffer, mtimeMs?: number): Promise<Version> {
    const file = join(this.place.output, path);
    await mkdir(dirname(file), { recursive: true });
    await writeFile(file, body);
    if (mtimeMs !== undefined) await utimes(file, mtimeMs / 1000, mtimeMs / 1000);
    const sha256 = createHash('sha256').update(body).digest('hex');
    const version = { path, sha256, mtimeMs: (await stat(file)).mtimeMs };
    this.versions.push(version);
    return version;
  }

  /** Resolves when the ledger on the volume says that these are stored. */
  async acknowledged(...versions: Version[]): Promise<void> {
    await until(
      async () => {
        const lines = await ledgerLines(this.place.output);
        return versions.every(({ path, sha256 }) => lines.some((line) => line.path === path && line.sha256 === sha256));
      },
      `${versions.map(({ path }) => path).join(', ')} in the ledger\n${this.log}`,
      PATIENCE_SECONDS,
    );
  }

  /** Resolves when an agent that didn't die has made few segments of many; after a death that may be left for later. */
  async compacted(): Promise<void> {
    const count = async () =>
      (await stateFiles(this.place.output)).filter((file) => /\/ledger\.[^/]*$/.test(file)).length;
    await until(async () => this.died || (await count()) <= 2, 'a compaction', PATIENCE_SECONDS);
  }

  /** Stops the agent gently; if that is where it dies, another one is started and stopped. Gives the exit code. */
  async drain(): Promise<number | string> {
    for (;;) {
      const agent = await this.#agent;
      // Who came after a death must be well before it goes; the first one may have anything to do still.
      if (this.died)
        await agent.until((now) => now.state === 'ok' && now.safeToStop, 'ok, and nothing pending', PATIENCE_SECONDS);
      const code = await agent.stop();
      this.log += agent.log();
      this.reports.push(...this.#control.read());
      if (code !== 'SIGKILL' || agent.process !== this.#firstProcess) return code;
      await until(() => this.died, 'the death to be noticed');
    }
  }

  async end(): Promise<void> {
    this.store.fault = this.store.done = undefined;
    const agent = await this.#agent.catch(() => undefined);
    if (agent && agent.process.exitCode === null && agent.process.signalCode === null) await agent.stop('SIGKILL');
    await this.store.close();
    await removePlace(this.place);
  }

  async #startFirst(): Promise<RunningAgent> {
    const point = this.#point;
    if (point?.on === 'disk') {
      const { call, place, nth, when } = point;
      this.#control.set({ dieAt: { id: 1, effect: 'any', nth, when, only: { call, place } } });
    } else if (point === undefined) this.#control.set({ logEffects: true });
    const { nodeArgs, env } = this.#control;
    const agent = await this.#start(env, nodeArgs).catch(() => undefined);
    // It may have died before anybody could ask it anything.
    if (agent === undefined) return this.#startSecond();
    this.#firstProcess = agent.process;
    const goOn = () => {
      if (agent.process.signalCode !== 'SIGKILL' || this.died) return;
      this.log += agent.log();
      this.#agent = this.#startSecond();
      this.#agent.catch(() => {});
    };
    if (agent.process.signalCode === 'SIGKILL') return this.#startSecond();
    agent.process.once('exit', goOn);
    return agent;
  }

  async #startSecond(): Promise<RunningAgent> {
    this.died = true;
    this.notesAtDeath = await notesOf(this.place.output);
    return this.#start({}, []);
  }

  #start(env: Record<string, string>, nodeArgs: readonly string[]): Promise<RunningAgent> {
    const { endpoint, settings } = this.store;
    const { accessKeyId, secretAccessKey } = settings;
    const target = { endpoint, bucket: 'runpod', accessKeyId, secretAccessKey };
    return startAgent(this.place, target, { ...SETTINGS, ...env }, { nodeArgs, bundle: this.#bundle });
  }

  #beforeRequest(request: FaultRequest): Fault | undefined {
    const name = nameRequest(request);
    this.requests.push(name);
    if (this.#isPoint(name, 'before')) {
      this.#firstProcess?.kill('SIGKILL');
      return 'reset';
    }
    const fault = [...this.faults.keys()].find((start) => name.startsWith(start));
    if (fault === undefined) return undefined;
    const what = this.faults.get(fault);
    this.faults.delete(fault);
    return what;
  }

  #afterRequest(request: FaultRequest, status: number): void {
    const { operation, key } = request;
    if (status === 200 && (operation === 'PutObject' || operation === 'CompleteMultipartUpload'))
      this.stored.push({ key });
    if (this.#isPoint(nameRequest(request), 'after')) this.#firstProcess?.kill('SIGKILL');
  }

  #isPoint(name: string, when: 'before' | 'after'): boolean {
    const point = this.#point;
    if (point?.on !== 'store' || point.when !== when || point.request !== name || this.died) return false;
    return this.requests.filter((request) => request === name).length === point.nth;
  }
}
