// Warns before the volume is full. A network volume may show the space of the whole cluster and not its quota: there
// this says nothing, and the ledger's trouble is the first sign.
import type { Clock } from '../clock.ts';
import { size } from '../status/words.ts';

const LOOK_MS = 60_000;
/** Unless told otherwise it warns below the smaller of the two. */
const LOW = { bytes: 2e9, share: 0.05 };
/** What hovers about the limit must not be told and untold. */
const ENOUGH = 1.25;

export interface Space {
  /** Bytes that we may still write. */
  free: number;
  /** Bytes. */
  total: number;
}

/** @param lowMb R2_LOW_SPACE_MB; 0 never warns. `low`: whether it was low at the last look. */
export function isLow({ free, total }: Space, lowMb: number | undefined, low: boolean): boolean {
  const limit = lowMb === undefined ? Math.min(LOW.bytes, LOW.share * total) : lowMb * 1e6;
  return total > 0 && free < limit * (low ? ENOUGH : 1);
}

export class SpaceWatch {
  readonly #ask: () => Promise<Space>;
  readonly #lowMb: number | undefined;
  readonly #clock: Clock;
  #low: Space | undefined;
  /** At the last look; undefined before it. */
  last: Space | undefined;

  constructor(ask: () => Promise<Space>, lowMb: number | undefined, clock: Clock) {
    this.#ask = ask;
    this.#lowMb = lowMb;
    this.#clock = clock;
  }

  /** For people; undefined while there is enough. */
  get trouble(): string | undefined {
    if (!this.#low) return undefined;
    const { free, total } = this.#low;
    return `The volume of the output directory is nearly full: ${size(free)} of ${size(total)} are left. When it is full, ComfyUI can't save its pictures. Delete what isn't needed here any more, or use a larger volume.`;
  }

  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      // A volume that can't say how much is left says so elsewhere.
      const space = await this.#ask().catch(() => undefined);
      this.last = space;
      if (space) this.#low = isLow(space, this.#lowMb, this.#low !== undefined) ? space : undefined;
      await this.#clock.sleep(LOOK_MS, signal);
    }
  }
}
