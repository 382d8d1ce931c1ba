// Agents as state machines: the real leases and ledgers of up to four pods on one volume that fails in every way it
// can, with clocks of their own, crashes, pauses and a store that refuses. Afterwards everything must be as it should.
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { Ledger } from '../../src/ledger/ledger.ts';
import { createLog } from '../../src/log.ts';
import { Bucket } from './support/bucket.ts';
import { MemoryVolume, Mount } from './support/memory-volume.ts';
import { makeOutput, Pod, TARGET_DIR } from './support/pod.ts';
import { Process, World } from './support/world.ts';

/** Some 3 s each on a machine at rest. */
const RUNS = 200;
const FOLDERS = ['.', 'alice', 'bob'];
const MINUTE = 60_000;
/** All faults are over: everything is stored no later than this. */
const SETTLE_MS = 2 * MINUTE;

const pod = fc.nat({ max: 3 });
const writing = fc.record({
  kind: fc.constant('write' as const),
  folder: fc.constantFrom(...FOLDERS),
  name: fc.constantFrom('1.png', '2.png', '3.png'),
  /** 4: a writer whose hints nobody hears. */
  by: fc.nat({ max: 4 }),
});
const fault = fc.oneof(
  fc.record({
    error: fc.constantFrom('EIO', 'EDQUOT', 'ENOENT', 'ESTALE', 'EACCES'),
    lies: fc.boolean(),
  }),
  fc.constantFrom({ hangs: true }, { stale: true }, { slow: 2500 }, { stale: true, slow: 1000 }),
);
const trouble = fc.oneof(
  fc.record({ kind: fc.constantFrom('crash' as const, 'pause' as const, 'resume' as const, 'drain' as const), pod }),
  fc.record({ kind: fc.constant('step' as const), pod, ms: fc.constantFrom(-3_600_000, -20_000, 5000, 3_600_000) }),
  fc.record({ kind: fc.constant('fault' as const), pod, fault }),
  fc.record({ kind: fc.constant('mood' as const), pod, mood: fc.constantFrom('down' as const, 'refused' as const) }),
);
const relief = fc.record({ kind: fc.constantFrom('restart' as const, 'heal' as const), pod });
const waiting = fc.record({
  kind: fc.constant('wait' as const),
  ms: fc.oneof(fc.constantFrom(100, 1000, 5000), fc.nat({ max: 90_000 })),
});
type Value<A> = A extends fc.Arbitrary<infer T> ? T : never;
type Command = Value<typeof writing> | Value<typeof trouble> | Value<typeof relief> | Value<typeof waiting>;

/** Somebody is struck while at work, and others want the same folder. */
const strike = fc
  .tuple(writing, fc.nat({ max: 4000 }), trouble, writing, fc.constantFrom(500, 30_000, 70_000))
  .map(([first, soon, trouble, second, later]): Command[] => [
    first,
    { kind: 'wait', ms: soon },
    { ...trouble, pod: first.by % 4 },
    { ...second, folder: first.folder },
    { kind: 'wait', ms: later },
  ]);

const machine = fc.record({
  rate: fc.constantFrom(0.9, 1, 1.1),
  monotonic: fc.nat({ max: 10_000_000 }),
  wall: fc.constantFrom(0, 1, -1).map((hours) => Date.UTC(2026, 10, 20, 12) + hours * 3_600_000),
});
const machines = fc.array(machine, { minLength: 2, maxLength: 4 });
const seed = fc.nat();
const options = { numRuns: RUNS };

it('whatever happens to pods, volume and store: every file is stored and known, one pod at a time holds a folder, and nobody fights', async () => {
  const one = (arbitrary: fc.Arbitrary<Command>) => arbitrary.map((command) => [command]);
  const commands = fc.array(fc.oneof(one(writing), one(trouble), one(relief), one(waiting), strike, strike), {
    maxLength: 25,
    size: 'max',
  });
  await fc.assert(
    fc.asyncProperty(machines, seed, commands, async (machines, seed, commands) => {
      const team = new TestTeam(machines, seed);
      for (const command of commands.flat()) await team.carryOut(command);
      await team.settle();
    }),
    options,
  );
});

it('where nothing fails every file is sent once, whoever made it', async () => {
  const commands = fc.array<Command>(fc.oneof(writing, waiting), { maxLength: 40, size: 'max' });
  await fc.assert(
    fc.asyncProperty(machines, seed, commands, async (machines, seed, commands) => {
      const team = new TestTeam(machines, seed);
      for (const command of commands) await team.carryOut(command);
      await team.settle();
      expect([...team.bucket.sent.values()].every((times) => times === 1)).toBe(true);
    }),
    options,
  );
});

class TestTeam {
  readonly world: World;
  readonly bucket: Bucket;
  readonly volume: MemoryVolume;
  readonly outputs = new Map<string, ReturnType<typeof makeOutput>>();
  readonly gains = new Map<string, number>();
  readonly #pods: Pod[];
  readonly #mount: Mount;
  #versions = 0;
  #faults = 0;

  constructor(machines: { rate: number; monotonic: number; wall: number }[], seed: number) {
    this.world = new World(seed);
    this.bucket = new Bucket(this.world);
    this.volume = new MemoryVolume(this.world);
    // Nobody's process: the test's own look at the volume.
    this.#mount = new Mount(this.volume, new Process(this.world, { rate: 1, monotonic: 0, wall: 0 }));
    this.#pods = machines.map((machine, index) => new Pod(`pod-${index}`, this, { ...machine }));
    for (const pod of this.#pods) pod.start();
    this.world.check = () => {
      for (const folder of FOLDERS) {
        const holders = this.#pods.filter((pod) => pod.holds(folder)).map(({ name }) => name);
        if (holders.length > 1) throw new Error(`${holders.join(' and ')} hold "${folder}" at ${this.world.now}`);
      }
      if (this.bucket.overlaps.length > 0) throw new Error(`sent at a time: ${this.bucket.overlaps[0]}`);
    };
  }

  async carryOut(command: Command): Promise<void> {
    if (command.kind === 'wait') return this.world.advance(command.ms);
    if (command.kind === 'write') {
      const { folder, name, by } = command;
      const path = folder === '.' ? name : `${folder}/${name}`;
      this.#versions += 1;
      const writer = this.#pods[by];
      // Its size and time tell the versions of a file apart.
      const content = `${path}#${'x'.repeat(this.#versions)}`;
      this.outputs.set(path, makeOutput(path, content, writer?.isUp ? writer.process : undefined));
      return;
    }
    const pod = this.#pods[command.pod % this.#pods.length]!;
    if (command.kind === 'restart') pod.start();
    else if (command.kind === 'heal') this.#heal(pod);
    else this.#trouble(pod, command);
  }

  #trouble(pod: Pod, command: Command): void {
    this.#faults += 1;
    if (command.kind === 'crash') pod.process?.kill();
    if (command.kind === 'pause') pod.process?.pause();
    if (command.kind === 'resume') pod.process?.resume();
    if (command.kind === 'drain') pod.drain();
    if (command.kind === 'step') pod.stepWall(command.ms);
    if (command.kind === 'fault') pod.mount?.set(command.fault);
    if (command.kind === 'mood') pod.mood = command.mood;
  }

  #heal(pod: Pod): void {
    pod.mood = 'fine';
    pod.mount?.set({});
    pod.process?.resume();
  }

  /** All faults end, and at least one pod is there: it must all come right. */
  async settle(): Promise<void> {
    for (const pod of this.#pods) this.#heal(pod);
    // Drains end in ten seconds.
    await this.world.advance(MINUTE / 2);
    this.#pods[0]!.start();
    const before = new Map(this.gains);
    const end = this.world.now + SETTLE_MS;
    while (this.world.now < end && !this.#isAllStored()) await this.world.advance(MINUTE / 6);
    for (const { content, fact } of this.outputs.values()) expect(this.bucket.objects.get(fact.key)).toBe(content);
    // What the ledger couldn't take is tried again every minute.
    await this.world.advance(MINUTE);
    // An old fact that had to wait so long may hide a newer one: who starts next puts that right.
    if (!(await this.#isAllKnown())) {
      for (const pod of this.#pods) pod.process?.kill();
      this.#pods[0]!.start();
      await this.world.advance(2 * MINUTE);
    }
    const known = await this.#read();
    for (const [path, { fact }] of this.outputs) expect(known.get(path)).toMatchObject({ sha256: fact.sha256 });
    for (const times of this.bucket.sent.values()) expect(times).toBeLessThanOrEqual(1 + this.#faults);
    // Nothing is due any more: folders are given back, and nobody touches anything.
    await this.world.advance(2 * MINUTE);
    const calls = () => this.#pods.map(({ mount }) => mount?.calls);
    const idle = calls();
    await this.world.advance(2 * MINUTE);
    expect(calls()).toEqual(idle);
    for (const [folder, times] of this.gains)
      expect(times - (before.get(folder) ?? 0)).toBeLessThanOrEqual(3 * this.#pods.length);
  }

  #isAllStored(): boolean {
    return [...this.outputs.values()].every(({ fact }) => this.bucket.objects.has(fact.key));
  }

  async #isAllKnown(): Promise<boolean> {
    const { get } = await this.#read();
    return [...this.outputs].every(([path, { fact }]) => get(path)?.sha256 === fact.sha256);
  }

  async #read(): Promise<{ get: (path: string) => { sha256: string } | undefined }> {
    const opening = Ledger.open({
      targetDir: TARGET_DIR,
      io: this.#mount.io,
      clock: new Process(this.world, { rate: 1, monotonic: 0, wall: 0 }).clock,
      log: createLog({ level: 'silent', secrets: [] }),
      readOnly: true,
    });
    await this.world.advance(1000);
    const { index } = await opening;
    return { get: (path) => index.get(path) };
  }
}
