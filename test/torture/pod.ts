// One pod of a torture: the agent as a child process with the hook in it, started again when it ends, as start.sh does.
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import type { Snapshot } from '../../src/status/snapshot.ts';
import { agentEnv, freePort } from '../support/agent.ts';
import { childrenOf } from '../support/processes.ts';
import type { History } from './history.ts';
import { type DiskFault, HookControl, type HookReport } from './hook/control.ts';

const run = promisify(execFile);

const running = new Set<ChildProcess>();

/** For the way out, where nothing can be awaited. */
export function killAllPods(): void {
  for (const child of running) child.kill('SIGKILL');
}

const RESTART_MS = 300;
const ASK_MS = 2000;

/** What a process has of the machine. */
export interface Resources {
  /** What its open descriptors lead to; none where there is no process. */
  descriptors: string[];
  /** Resident, MiB; 0 where there is no process. */
  memory: number;
}

export interface PodOptions {
  number: number;
  /** Of its own, on no volume. */
  base: string;
  /** The output directory as it sees it. */
  output: string;
  /** The agent's program. */
  bundle: string;
  endpoint: string;
  accessKey: (generation: number) => string;
  /** Drawn anew for each life. */
  settings: () => Record<string, string>;
  history: History;
}

/** One line of its log about a lease. */
export interface LeaseLine {
  pod: number;
  lease: string;
  folder: string;
  epoch: number;
  /** When it was heard: performance.now(), ms. */
  at: number;
}

export class TorturePod {
  readonly number: number;
  readonly control: HookControl;
  readonly leaseLines: LeaseLine[] = [];
  /** Ends that no fault explains. */
  readonly surprises: string[] = [];
  /** While it is above the present moment, an end by itself is what we made it do: performance.now(), ms. */
  excusedUntil = 0;
  /** This life was told to end. */
  #told = false;
  /** For the next life: what Node may keep on its heap, MiB. */
  heapMib: number | undefined;
  /** What its file calls suffer from at present. */
  readonly disk = new Set<DiskFault>();
  readonly #held = new Set<string>();
  /** Who wants to know what the hook reports. */
  readonly listeners = new Set<(report: HookReport) => void>();
  readonly #options: PodOptions;
  readonly #keyFile: string;
  #child: ChildProcess | undefined;
  #ended: Promise<void> = Promise.resolve();
  #url = '';
  #generation = 0;
  #wanted = false;
  /** Begun so often. */
  lives = 0;
  /** The last lines of its log that matter. */
  readonly log: string[] = [];

  constructor(options: PodOptions) {
    this.#options = options;
    this.number = options.number;
    mkdirSync(this.#runDir, { recursive: true });
    this.#keyFile = join(options.base, `access-key-${options.number}`);
    writeFileSync(this.#keyFile, options.accessKey(0));
    this.control = new HookControl(join(options.base, `control-${options.number}.json`), options.output);
  }

  get #runDir(): string {
    return join(this.#options.base, `run-${this.number}`);
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  get alive(): boolean {
    return this.#child !== undefined && this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** Starts it and keeps it running until `end`. */
  begin(): void {
    this.#wanted = true;
    void this.#live();
  }

  async #live(): Promise<void> {
    while (this.#wanted) {
      await this.#start();
      await this.#ended;
      if (this.#wanted) await new Promise((resolve) => setTimeout(resolve, RESTART_MS));
    }
  }

  async #start(): Promise<void> {
    const { bundle, endpoint, output, base, settings, history } = this.#options;
    const port = await freePort();
    // What it was to die of, it has died of.
    this.control.set({ dieAt: null, block: null });
    this.#url = `http://127.0.0.1:${port}`;
    const heap = this.heapMib === undefined ? [] : [`--max-old-space-size=${this.heapMib}`];
    const child = spawn(
      process.execPath,
      [...heap, '--max-semi-space-size=1', ...this.control.nodeArgs, bundle, 'run'],
      {
        env: agentEnv({ base, output, runDir: this.#runDir }, undefined, {
          R2_ENDPOINT: endpoint,
          R2_BUCKET: 'runpod',
          R2_ACCESS_KEY_FILE: this.#keyFile,
          R2_SECRET_KEY: 'secret-key-of-all-tortured-pods',
          RUNPOD_POD_ID: `torture-${this.number}`,
          ...this.control.env,
          ...settings(),
          R2_STATUS_PORT: String(port),
        }),
        stdio: ['ignore', 'pipe', 'pipe'],
      },
    );
    this.#child = child;
    running.add(child);
    this.lives += 1;
    this.#held.clear();
    this.#told = false;
    history.say(`pod ${this.number} starts, process ${child.pid}`);
    createInterface({ input: child.stdout }).on('line', (line) => this.#hear(line));
    createInterface({ input: child.stderr }).on('line', (line) => this.#note(line));
    this.#ended = new Promise((resolve) => {
      child.on('exit', (code, signal) => {
        running.delete(child);
        history.say(`pod ${this.number} ended with ${signal ?? code}`);
        const byUs = this.#told || signal === 'SIGKILL';
        if (this.#wanted && !byUs && performance.now() > this.excusedUntil) {
          this.surprises.push(
            `pod ${this.number} ended by itself with ${signal ?? code}:\n${this.log.slice(-8).join('\n')}`,
          );
        }
        resolve();
      });
    });
  }

  #hear(line: string): void {
    if (!line.startsWith('{')) return this.#note(line);
    const said = JSON.parse(line) as { level?: number | string; lease?: string; folder?: string; epoch?: number };
    if (said.lease !== undefined && said.folder !== undefined) {
      if (said.lease === 'gained') this.#held.add(said.folder);
      else this.#held.delete(said.folder);
      this.leaseLines.push({
        pod: this.number,
        lease: said.lease,
        folder: said.folder,
        epoch: said.epoch ?? 0,
        at: performance.now(),
      });
    }
    if (said.lease !== undefined || !(said.level === 30 || said.level === 'info')) this.#note(line);
  }

  #note(line: string): void {
    this.log.push(line.slice(0, 500));
    if (this.log.length > 300) this.log.splice(0, 100);
  }

  /** Whether, by its log, a folder is its own. */
  holdsSomething(): boolean {
    return this.alive && this.#held.size > 0;
  }

  /** Hands on what the hook has reported since the last time. */
  hearHook(): void {
    for (const report of this.control.read()) for (const listener of this.listeners) listener(report);
  }

  /** A signal, if it runs. */
  signal(name: NodeJS.Signals): void {
    if (!this.alive) return;
    if (name === 'SIGTERM') this.#told = true;
    this.#child!.kill(name);
  }

  /** Waits for the end of this life. */
  ended(): Promise<void> {
    return this.#ended;
  }

  /** Ends it for good: SIGTERM, and what it says with its exit code. Undefined if it had to be killed. */
  async end(limitMs: number): Promise<number | undefined> {
    this.#wanted = false;
    const child = this.#child;
    this.signal('SIGTERM');
    const timer = setTimeout(() => this.signal('SIGKILL'), limitMs);
    await this.#ended;
    clearTimeout(timer);
    return child?.exitCode ?? undefined;
  }

  /** Undefined where it doesn't answer. */
  async snapshot(): Promise<Snapshot | undefined> {
    try {
      const signal = AbortSignal.timeout(ASK_MS);
      const reply = await fetch(`${this.#url}/api/status`, { headers: { 'x-r2-sync': '1' }, signal });
      return (await reply.json()) as Snapshot;
    } catch {
      return undefined;
    }
  }

  /** A new access key lies in its file, as when temporary credentials are renewed. */
  renewKey(): void {
    writeFileSync(this.#keyFile, this.#options.accessKey(this.#generation));
  }

  /** The key that will be good next: what is in the file is too old from now on. */
  nextKey(): string {
    this.#generation += 1;
    return this.#options.accessKey(this.#generation);
  }

  /** Processes of this name that the agent has started. */
  children(name: string): number[] {
    return this.pid === undefined ? [] : childrenOf(this.pid, name);
  }

  resources(): Resources {
    return { descriptors: this.descriptors(), memory: this.#memory() };
  }

  descriptors(): string[] {
    try {
      const dir = `/proc/${this.pid}/fd`;
      return readdirSync(dir).flatMap((name) => {
        try {
          return [readlinkSync(`${dir}/${name}`)];
        } catch {
          return [];
        }
      });
    } catch {
      return [];
    }
  }

  #memory(): number {
    try {
      return Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${this.pid}/status`, 'utf8'))?.[1] ?? 0) / 1024;
    } catch {
      return 0;
    }
  }

  /** At most so many open descriptors from now on; undefined lifts it. */
  async limitDescriptors(most: number | undefined): Promise<void> {
    const limit = most ?? 65_536;
    if (this.alive) await run('prlimit', [`--pid=${this.pid}`, `--nofile=${limit}:65536`]).catch(() => {});
  }
}
