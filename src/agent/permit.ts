// What a turn of a file may do, as long as its folder is ours: asked before every request, for a lease can end at any
// moment, and a process may have been paused since it was asked last.
import type { Clock } from '../clock.ts';
import type { Leases } from '../lease/leases.ts';
import { StoreError } from '../upload/store.ts';

export interface Permit {
  /** Throws StoreError (`aborted`) unless the folder is ours at this moment. */
  check(): void;
  /** Waits until the folder is ours, for a while: what was sent of a large file is worth it. Throws as `check` does. */
  regain(signal: AbortSignal): Promise<void>;
  /** Aborted when what is on its way must end. */
  readonly ending: AbortSignal;
  /** Others may upload the same: ask the bucket before sending. */
  readonly contested: boolean;
}

/** For the probe of a store that has refused us: one file, which nobody else can damage. */
export const unconditional: Permit = {
  check: () => {},
  regain: async () => {},
  ending: new AbortController().signal,
  contested: true,
};

/** How often one who waits for the folder asks. */
const POLL_MS = 100;

export interface PermitOptions {
  folder: string;
  /** Since when the file has been known: monotonic ms. */
  since: number;
  leases: Leases;
  clock: Clock;
  /** How long `regain` waits, in ms. */
  patienceMs: number;
  /** Whether others have stored the file meanwhile. */
  isStored: () => boolean;
}

export function permitOf({ folder, since, leases, clock, patienceMs, isStored }: PermitOptions): Permit {
  const check = () => {
    if (!leases.holds(folder)) throw leaseLost(folder);
  };
  return {
    check,
    regain: async (signal) => {
      const end = clock.monotonic() + patienceMs;
      const waits = () => !leases.holds(folder) && !isStored() && clock.monotonic() < end;
      while (waits() && !signal.aborted) await clock.sleep(POLL_MS, signal);
      check();
    },
    ending: leases.ending(folder),
    contested: !leases.protects(folder, since),
  };
}

function leaseLost(folder: string): StoreError {
  return new StoreError('aborted', 'LeaseLost', `another pod may upload the folder ${folder} now`, '');
}
