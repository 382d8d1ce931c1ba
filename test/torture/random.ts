// Chance that repeats: everything a torture decides comes from its seed.

/** mulberry32: small, well known, and good enough to draw faults. */
export class Random {
  readonly #seed: number;
  #state: number;

  constructor(seed: number) {
    this.#seed = seed >>> 0;
    this.#state = this.#seed;
  }

  /** From 0 up to but not including 1. */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = this.#state;
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  }

  /** A whole number, both ends included. */
  between(from: number, to: number): number {
    return from + Math.floor(this.next() * (to - from + 1));
  }

  /** True for such a share of the calls, 0 to 1. */
  chance(share: number): boolean {
    return this.next() < share;
  }

  pick<T>(of: readonly T[]): T {
    return of[this.between(0, of.length - 1)]!;
  }

  /** A stream of its own: who draws more often elsewhere changes nothing here. */
  fork(name: string): Random {
    let hash = 2_166_136_261 ^ this.#seed;
    for (const char of name) hash = Math.imul(hash ^ char.codePointAt(0)!, 16_777_619);
    return new Random(hash);
  }
}
