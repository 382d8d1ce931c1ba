// Something dear to make, for everybody who asks: made when somebody does, at most once a second and for at most a
// hundredth of the time; but nobody gets what is older than 10 s.
import type { Clock } from '../clock.ts';

const KEPT_MS = { least: 1000, most: 10_000 };
/** Making it takes at most this share of the time. */
const SHARE = 0.01;
/** The cheapest of so many makings in a row says what one costs: the others took compiling, or waited for a processor. */
const MAKINGS = 3;

export class Latest<T> {
  readonly #make: () => T;
  readonly #clock: Clock;
  #last: { value: T; at: number } | undefined;
  /** The last ones, ms. Nothing is said before there are as many as it takes. */
  #costs: number[] = [];

  constructor(make: () => T, clock: Clock) {
    this.#make = make;
    this.#clock = clock;
  }

  /** As old as `patienceMs` at most. Throws what making it throws. */
  get(): T {
    if (this.#last && this.#clock.monotonic() - this.#last.at < this.patienceMs()) return this.#last.value;
    return this.refresh();
  }

  /** As it is now, for all who ask from now on. Throws what making it throws. */
  refresh(): T {
    const began = this.#clock.monotonic();
    const value = this.#make();
    const at = this.#clock.monotonic();
    this.#last = { value, at };
    this.#costs = [...this.#costs, at - began].slice(-MAKINGS);
    return value;
  }

  /** How long what was made last is good enough: ms. */
  patienceMs(): number {
    const costMs = this.#costs.length < MAKINGS ? 0 : Math.min(...this.#costs);
    return Math.min(KEPT_MS.most, Math.max(KEPT_MS.least, costMs / SHARE));
  }
}
