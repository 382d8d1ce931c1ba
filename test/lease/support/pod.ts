// A pod: the real leases, ledger, pending list and permits, around an uploader that does what the agent's does and no more.
import { randomUUID } from 'node:crypto';
import { demandsOf } from '../../../src/agent/demand.ts';
import { type PendingFile, PendingTable } from '../../../src/agent/pending.ts';
import { type Permit, permitOf, unconditional } from '../../../src/agent/permit.ts';
import { FolderLeases } from '../../../src/lease/leases.ts';
import { leaseTiming } from '../../../src/lease/timing.ts';
import { Ledger, type LedgerFact } from '../../../src/ledger/ledger.ts';
import { createLog } from '../../../src/log.ts';
import type { StoreError } from '../../../src/upload/store.ts';
import { makeFact } from '../../ledger/support.ts';
import type { Bucket, Mood } from './bucket.ts';
import { type MemoryVolume, Mount } from './memory-volume.ts';
import { type Machine, Process, type World } from './world.ts';

export const TARGET_DIR = '/.r2-sync/target';
const FOREIGN_MS = 10_000;
const LOOK_MS = 1000;
const RETRY_MS = 5000;
const DRAIN_MS = 8000;
const log = createLog({ level: 'silent', secrets: [] });

/** A file in the output directory, as its writer left it. */
export interface Output {
  content: string;
  fact: LedgerFact & { key: string };
  /** The process that heard it being written. */
  heardBy: Process | undefined;
}

export function makeOutput(path: string, content: string, heardBy: Process | undefined): Output {
  return { content, fact: makeFact(path, content), heardBy };
}

/** What all pods share. */
export interface Team {
  world: World;
  volume: MemoryVolume;
  bucket: Bucket;
  outputs: Map<string, Output>;
  /** How often somebody got it, by folder. */
  gains: Map<string, number>;
}

export class Pod {
  readonly name: string;
  mood: Mood = 'fine';
  readonly #team: Team;
  readonly #machine: Machine;
  #run: Run | undefined;

  constructor(name: string, team: Team, machine: Machine) {
    this.name = name;
    this.#team = team;
    this.#machine = machine;
  }

  get isUp(): boolean {
    return this.#run?.process.isDead === false;
  }

  get process(): Process | undefined {
    return this.#run?.process;
  }

  get mount(): Mount | undefined {
    return this.#run?.mount;
  }

  start(): void {
    if (!this.isUp) this.#run = new Run(this, this.#team, this.#machine);
  }

  stepWall(ms: number): void {
    this.#machine.wall += ms;
  }

  drain(): void {
    void this.#run?.drain();
  }

  /** Whether it may upload the folder under a lease at this moment. */
  holds(folder: string): boolean {
    const leases = this.#run?.leases;
    return this.isUp && leases?.holds(folder) === true && leases.protects(folder, Number.POSITIVE_INFINITY);
  }

  get pending(): number {
    return this.#run ? [...this.#run.table.pending()].length : 0;
  }
}

/** One process of a pod, from its start to its end. */
class Run {
  readonly process: Process;
  readonly mount: Mount;
  readonly table: PendingTable;
  leases: FolderLeases | undefined;
  #ledger: Ledger | undefined;
  readonly #pod: Pod;
  readonly #team: Team;
  readonly #failing = new Map<string, number>();
  #store: 'fine' | 'refused' = 'fine';
  #drains = false;
  readonly #stop = new AbortController();

  constructor(pod: Pod, team: Team, machine: Machine) {
    this.#pod = pod;
    this.#team = team;
    this.process = new Process(team.world, machine);
    this.mount = new Mount(team.volume, this.process);
    this.table = new PendingTable(this.process.clock);
    void this.#live();
  }

  async drain(): Promise<void> {
    const { clock } = this.process;
    this.#drains = true;
    this.leases?.leave();
    const end = clock.monotonic() + DRAIN_MS;
    while (clock.monotonic() < end && [...this.table.pending()].some(({ local }) => local)) await clock.sleep(200);
    this.#stop.abort();
    this.table.clear();
    await this.#ledger?.close();
    await this.leases?.close();
    this.process.kill();
  }

  async #live(): Promise<void> {
    const { clock } = this.process;
    const { io } = this.mount;
    const { gains } = this.#team;
    const ledger = await Ledger.open({ targetDir: TARGET_DIR, io, clock, log });
    this.#ledger = ledger;
    const process = { pid: 1, startTime: '', pidNamespace: '', bootId: '', pod: this.#pod.name };
    const leases = new FolderLeases({
      io,
      targetDir: TARGET_DIR,
      self: { host: this.#pod.name, agent: '1.0.0', nonce: randomUUID(), process },
      timing: leaseTiming(45),
      clock,
      log,
      demands: () =>
        demandsOf({
          table: this.table,
          isUrgent: (file) => file.local,
          foreignMs: this.#drains ? Number.POSITIVE_INFINITY : FOREIGN_MS,
          failing: this.#failing,
        }),
      fitness: () => (this.#store === 'refused' ? 'unfit' : 'fit'),
      follow: (folder) => ledger.follow(folder),
      adopt: (folder, epoch) => {
        gains.set(folder, (gains.get(folder) ?? 0) + 1);
        ledger.adopt(folder, epoch);
      },
      onChange: (folder) => {
        if (leases.holds(folder)) this.#failing.delete(folder);
        this.#look(ledger, leases);
      },
    });
    this.leases = leases;
    void leases.run();
    while (!this.#drains) {
      this.#look(ledger, leases);
      if (this.#store === 'refused') await this.#probe();
      await clock.sleep(LOOK_MS);
    }
  }

  /** Every file that isn't in the ledger waits for its folder, or goes. */
  #look(ledger: Ledger, leases: FolderLeases): void {
    for (const [path, { fact, heardBy }] of this.#team.outputs) {
      const isKnown = ledger.index.matches(path, fact.size, fact.mtimeNs);
      let file = this.table.get(path);
      if (file?.state === 'leasing' && isKnown) this.table.drop(file);
      if (isKnown || this.#drains) continue;
      file ??= this.table.add(path);
      if (file.state === 'working' || file.state === 'waiting') continue;
      this.table.observe(file, fact.size, fact.mtimeNs);
      file.local ||= heardBy === this.process;
      if (!leases.holds(file.folder)) {
        file.state = 'leasing';
        if (file.local) leases.ask(file.folder);
      } else if (this.#store === 'fine') {
        void this.#turn(file, ledger, leases);
      }
    }
  }

  async #turn(file: PendingFile, ledger: Ledger, leases: FolderLeases): Promise<void> {
    file.state = 'working';
    const { clock } = this.process;
    const { folder, since } = file;
    const patienceMs = leaseTiming(45).stall;
    const permit = permitOf({ folder, since, leases, clock, patienceMs, isStored: () => false });
    const output = this.#team.outputs.get(file.path)!;
    try {
      if (ledger.index.get(file.path)?.sha256 !== output.fact.sha256) {
        const asksFirst = permit.contested || ledger.trouble !== undefined;
        await this.#send(output, permit, { asksFirst, isProtected: leases.protects(folder, Number.POSITIVE_INFINITY) });
        this.#failing.delete(file.folder);
        await ledger.record({ ...output.fact, storedAt: clock.wall() });
      }
      this.table.drop(file);
    } catch (error) {
      this.#fail(file, error as StoreError);
    }
  }

  async #send(
    { content, fact }: Output,
    permit: Pick<Permit, 'check' | 'ending'>,
    { asksFirst, isProtected }: { asksFirst: boolean; isProtected: boolean },
  ): Promise<void> {
    const { bucket } = this.#team;
    const mood = () => this.#pod.mood;
    if (asksFirst) {
      permit.check();
      if (await bucket.head(this.process, mood(), fact.key)) return;
    }
    permit.check();
    const ending = AbortSignal.any([permit.ending, this.#stop.signal]);
    const from = { process: this.process, pod: this.#pod.name, mood, ending, isProtected };
    await bucket.put(from, { path: fact.path, key: fact.key, content });
  }

  #fail(file: PendingFile, { failure }: StoreError): void {
    file.state = 'leasing';
    if (failure === 'aborted') return;
    if (failure === 'refused') this.#store = 'refused';
    if (!this.#failing.has(file.folder)) this.#failing.set(file.folder, this.process.clock.monotonic());
    file.state = 'waiting';
    this.table.setTimer(file, RETRY_MS, () => {
      file.state = 'leasing';
    });
  }

  /** One file, whoever's, shows whether the store takes us back. */
  async #probe(): Promise<void> {
    const [file] = this.table.pending();
    if (!file) return;
    try {
      await this.#send(this.#team.outputs.get(file.path)!, unconditional, { asksFirst: true, isProtected: false });
      this.#store = 'fine';
    } catch {
      await this.process.clock.sleep(RETRY_MS);
    }
  }
}
