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
    const count = this.kinds.get(name) ?? { done: 0, counted: 0, upload: 0, ledger: 0, lease: 0 };
    count.done += 1;
    if (interrupted.size > 0) count.counted += 1;
    for (const what of interrupted) count[what] += 1;
    this.kinds.set(name, count);
  }

  sum(of: keyof Count): number {
    return [...this.kinds.values()].reduce((sum, count) => sum + count[of], 0);
  }
}
