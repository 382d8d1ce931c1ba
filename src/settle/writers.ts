// Who has a file open for writing? One pass over /proc/*/fd answers for every file that asks, and passes are rationed.
import { readFileSync } from 'node:fs';
import type { Clock } from '../clock.ts';
import type { Volume } from '../volume/volume.ts';
import type { Writers } from './settle.ts';

/** A pass may take this part of the time: after one of 4 ms the next waits 16 ms. */
const DUTY = 1 / 5;

export interface WriterCheck {
  /**
   * Answers from a pass that begins after the call.
   * @param target `dev:ino` in decimal
   */
  writersOf(target: string): Promise<Writers>;
}

export interface WriterCheckOptions {
  volume: Volume;
  clock: Clock;
  /** False (R2_WRITERS=remote): writers are elsewhere, nothing here can see them. */
  local: boolean;
}

export function createWriterCheck({ volume, clock, local }: WriterCheckOptions): WriterCheck {
  if (!local || processesAreHidden()) return { writersOf: async () => 'unseen' };
  let asking: { target: string; resolve: (writers: Writers) => void; reject: (error: unknown) => void }[] = [];
  let running = false;

  const runPasses = async () => {
    running = true;
    while (asking.length > 0) {
      const served = asking;
      asking = [];
      const begun = clock.monotonic();
      try {
        const { open, complete } = await volume.ask('writers', { targets: served.map(({ target }) => target) });
        const found = new Set(open);
        for (const { target, resolve } of served) resolve(found.has(target) ? 'open' : complete ? 'none' : 'unseen');
      } catch (error) {
        for (const { reject } of served) reject(error);
      }
      await clock.sleep((clock.monotonic() - begun) * (1 / DUTY - 1));
    }
    running = false;
  };

  return {
    writersOf: (target) =>
      new Promise((resolve, reject) => {
        asking.push({ target, resolve, reject });
        if (!running) void runPasses();
      }),
  };
}

/** /proc mounted with `hidepid` shows other users' processes to root alone. */
function processesAreHidden(): boolean {
  if (process.getuid?.() === 0) return false;
  try {
    const line = readFileSync('/proc/self/mounts', 'utf8')
      .split('\n')
      .find((mount) => mount.split(' ')[1] === '/proc');
    return /\bhidepid=(?!0|off)/.test(line ?? 'hidepid=2');
  } catch {
    return true;
  }
}
