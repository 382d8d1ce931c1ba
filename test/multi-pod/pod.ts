// One pod of a team: an agent process with an id, a run directory and an access key of its own, and what its log says
// about leases.
import { chown, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Snapshot } from '../../src/status/snapshot.ts';
import { type RunningAgent, startAgent, type Target, until } from '../support/agent.ts';

/** Short, for tests that wait for a take-over; and yet an agent that gets no CPU for four seconds loses nothing. */
export const LEASE_SECONDS = 9;

/** For tests in which nobody falls silent: the machine may be as busy as it likes. */
export const CALM = { R2_LEASE_SECONDS: '30' };

/** All that can be waited for is short, so that no test waits long. */
const BRISK = {
  R2_LEASE_SECONDS: `${LEASE_SECONDS}`,
  R2_SCAN_SECONDS: '0.5',
  R2_QUIET_SECONDS: '0.3',
  R2_FOREIGN_SECONDS: '1',
};

export interface PodOptions {
  /** RUNPOD_POD_ID; by default one of its own. */
  id?: string;
  /** Its ComfyUI writes into this folder of the output directory. */
  below?: string;
  /** Whom the agent runs as; only root may choose. */
  uid?: number;
  /** Its clock isn't ours: the moments in its log can't be compared. */
  ownClock?: boolean;
  settings?: Record<string, string>;
}

/** One line of the log about a lease. */
export interface LeaseLine {
  /** `without`: its state can't be written, so it is uploaded without a lease. */
  lease: 'gained' | 'lost' | 'released' | 'without';
  folder: string;
  epoch: number;
  /** Of `gained`: whose it was (pod hash), and how it became free. */
  from?: string | null;
  how?: 'free' | 'released' | 'silent' | 'dead';
  /** Epoch ms. */
  at: number;
}

/** From when to when a pod held a folder, epoch ms. */
export interface Holding {
  pod: Pod;
  folder: string;
  epoch: number;
  how: LeaseLine['how'];
  from: number;
  /** Infinity while it does. */
  to: number;
  end: 'held' | 'lost' | 'released' | 'fault';
}

export interface PodPlace {
  /** The output directory of the team, as this pod sees it. */
  output: string;
  /** Of its own, on no volume. */
  base: string;
  target: Target;
}

export class Pod {
  readonly number: number;
  readonly options: PodOptions;
  readonly accessKeyId: string;
  readonly #place: PodPlace;
  /** When it was killed, or stopped for a while, epoch ms. */
  readonly #faults: number[] = [];
  /** Agents that ran before this one. */
  readonly #former: RunningAgent[] = [];
  #agent: RunningAgent | undefined;

  constructor(number: number, place: PodPlace, options: PodOptions) {
    this.number = number;
    this.options = options;
    this.accessKeyId = place.target.accessKeyId;
    this.#place = place;
  }

  get agent(): RunningAgent {
    if (!this.#agent) throw new Error(`pod ${this.number} was not started`);
    return this.#agent;
  }

  get alive(): boolean {
    const child = this.#agent?.process;
    return child !== undefined && child.exitCode === null && child.signalCode === null;
  }

  /** Starts its agent, for the first time or again; resolves once the status page answers. */
  async start(): Promise<void> {
    const { options, number } = this;
    const { output, base, target } = this.#place;
    const runDir = join(base, `run-${number}`);
    await mkdir(runDir, { recursive: true });
    const user = options.uid === undefined ? {} : { uid: options.uid, gid: options.uid };
    if (user.uid !== undefined) await chown(runDir, user.uid, user.gid);
    const place = { base, runDir, output: options.below === undefined ? output : join(output, options.below) };
    const settings = { ...BRISK, RUNPOD_POD_ID: options.id ?? `pod-${number}`, ...options.settings };
    if (this.#agent) this.#former.push(this.#agent);
    this.#agent = await startAgent(place, target, settings, user);
  }

  /** Waits until it hears what its ComfyUI writes: what was written before may be taken for another pod's. */
  async hears(): Promise<void> {
    const heard = () => !this.alive || this.agent.log().includes('watching for finished files');
    await until(heard, `pod ${this.number} to watch`);
  }

  /** kill -9. Gives the moment. */
  async kill(): Promise<number> {
    const moment = this.#noteFault();
    await this.agent.stop('SIGKILL');
    return moment;
  }

  /** SIGSTOP: it stands still until `resume`. Gives the moment. */
  pause(): number {
    this.agent.process.kill('SIGSTOP');
    return this.#noteFault();
  }

  resume(): void {
    this.agent.process.kill('SIGCONT');
  }

  /** SIGTERM; resolves with the exit code. */
  drain(): Promise<number | string> {
    return this.agent.stop('SIGTERM');
  }

  /** Its hash, as logs and status of all pods name it. */
  async hash(): Promise<string> {
    return (await this.agent.snapshot()).pod;
  }

  until(wish: (snapshot: Snapshot) => boolean, what: string, seconds?: number): Promise<Snapshot> {
    return this.agent.until(wish, `${what} (pod ${this.number})`, seconds);
  }

  /** What its agents logged about leases, oldest first. */
  leaseLines(): LeaseLine[] {
    const agents = this.#agent ? [...this.#former, this.#agent] : [];
    return agents
      .flatMap((agent) => agent.heard())
      .filter(({ line }) => line.lease !== undefined)
      .map(({ at, line }) => {
        const said = typeof line.time === 'number' ? line.time : Date.parse(String(line.time));
        return { ...(line as unknown as LeaseLine), at: this.options.ownClock ? at : said };
      });
  }

  /** Every time that it held a folder. A fault ends what was held then: nobody can say that it was lost. */
  holdings(): Holding[] {
    const holdings: Holding[] = [];
    for (const { lease, folder, epoch, how, at } of this.leaseLines()) {
      const holding = holdings.find((other) => other.folder === folder && other.epoch === epoch);
      if (lease === 'gained') {
        holdings.push({ pod: this, folder, epoch, how, from: at, to: Infinity, end: 'held' });
      } else if (lease !== 'without' && holding) {
        Object.assign(holding, { to: at, end: lease });
      }
    }
    for (const holding of holdings) {
      const fault = this.#faults.find((moment) => moment >= holding.from && moment < holding.to);
      if (fault !== undefined) Object.assign(holding, { to: fault, end: 'fault' });
    }
    return holdings;
  }

  #noteFault(): number {
    const moment = Date.now();
    this.#faults.push(moment);
    return moment;
  }
}
