// How many faults there were, of which kind, and what they interrupted.
import type { Interrupted } from './faults/fault.ts';

export interface Count {
  /** Done, whatever came of it. */
  done: number;
  /** Those that interrupted an upload, a ledger write or a lease operation. */
  counted: number;
  upload: number;
  ledger: number;
  lease: number;
}

export class Tally {
  readonly kinds = new Map<string, Count>();

  add(name: string, interrupted: ReadonlySet<Interrupted>): void {
    const count = this.#of(name);
    count.done += 1;
    if (interrupted.size > 0) count.counted += 1;
    for (const what of interrupted) count[what] += 1;
  }

  /** Adds what another run has counted. */
  merge(counts: Readonly<Record<string, Count>>): void {
    for (const [name, count] of Object.entries(counts)) {
      const all = this.#of(name);
      for (const what of Object.keys(all) as (keyof Count)[]) all[what] += count[what];
    }
  }

  sum(of: keyof Count): number {
    return [...this.kinds.values()].reduce((sum, count) => sum + count[of], 0);
  }

  #of(name: string): Count {
    const count = this.kinds.get(name) ?? { done: 0, counted: 0, upload: 0, ledger: 0, lease: 0 };
    this.kinds.set(name, count);
    return count;
  }
}
