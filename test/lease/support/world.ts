// One time for all, and what machines make of it: clocks that tell it differently, processes that are paused and killed.
import { setImmediate as turn } from 'node:timers/promises';
import type { Clock } from '../../../src/clock.ts';

interface Due {
  at: number;
  run: () => void;
}

/** More events than this, and one a ms, are a loop. */
const BUSY_EVENTS = 10_000;

/** Everything that happens, in the order of time. The same seed gives the same. */
export class World {
  /** Milliseconds. */
  now = 0;
  /** Called after every event. */
  check: () => void = () => {};
  readonly #due: Due[] = [];
  #seed: number;

  constructor(seed = 1) {
    this.#seed = seed;
  }

  after(ms: number, run: () => void): void {
    const at = this.now + ms;
    let low = 0;
    for (let high = this.#due.length; low < high; ) {
      const middle = (low + high) >> 1;
      if (this.#due[middle]!.at <= at) low = middle + 1;
      else high = middle;
    }
    this.#due.splice(low, 0, { at, run });
  }

  /** Moves time on; what happens on the way happens at its moment. */
  async advance(ms: number): Promise<void> {
    const end = this.now + ms;
    let events = 0;
    await turn();
    for (let next = this.#due[0]; next && next.at <= end; next = this.#due[0]) {
      this.#due.shift();
      this.now = next.at;
      next.run();
      await turn();
      this.check();
      events += 1;
      if (events > BUSY_EVENTS + ms) throw new Error(`somebody is busy without end at ${this.now}`);
    }
    this.now = end;
  }

  /** A number from 0 to 1. */
  random(): number {
    this.#seed = (this.#seed + 0x6d2b79f5) | 0;
    let mixed = Math.imul(this.#seed ^ (this.#seed >>> 15), 1 | this.#seed);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  }
}

/** A machine's clocks: how fast they run, what they showed at the start (ms). */
export interface Machine {
  rate: number;
  monotonic: number;
  wall: number;
}

/** Nothing reaches a process while it is paused; a dead one is never reached again. */
export class Process {
  readonly clock: Clock;
  isDead = false;
  #isPaused = false;
  readonly #waiting: (() => void)[] = [];

  constructor(world: World, machine: Machine) {
    this.clock = {
      monotonic: () => machine.monotonic + world.now * machine.rate,
      wall: () => machine.wall + world.now * machine.rate,
      sleep: (ms, signal) =>
        new Promise((resolve) => {
          if (signal?.aborted) return resolve();
          const wake = () => {
            signal?.removeEventListener('abort', wake);
            resolve();
          };
          signal?.addEventListener('abort', wake);
          // As setTimeout does.
          world.after(Math.max(1, ms) / machine.rate, () => this.deliver(wake));
        }),
    };
  }

  deliver(run: () => void): void {
    if (this.isDead) return;
    if (this.#isPaused) this.#waiting.push(run);
    else run();
  }

  pause(): void {
    this.#isPaused = true;
  }

  resume(): void {
    this.#isPaused = false;
    for (const run of this.#waiting.splice(0)) run();
  }

  kill(): void {
    this.isDead = true;
  }
}
