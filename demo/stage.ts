// The demo's hold on the process behind the stage: starts it, passes its lines on, stops it.
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { S3Place } from '../test/support/s3-client.ts';
import type { BackstageOptions, Report } from './backstage.ts';
import { DemoError } from './errors.ts';
import { bucketSettings, cleanEnvironment } from './settings.ts';

export interface Stage {
  /** Where the files go; undefined if it ended before it was ready. Rejects with DemoError if it can't start. */
  place: Promise<S3Place | undefined>;
  /** The agent's exit code, once all has ended. */
  ended: Promise<number>;
  /** Asks the agent to drain and all to end; the second time it ends at once. */
  stop(): void;
}

/** `place` undefined: the simulator's. */
export function openStage(
  options: BackstageOptions,
  place: S3Place | undefined,
  onLine: (line: string) => void,
): Stage {
  const child = fork(join(import.meta.dirname, 'backstage.ts'), [JSON.stringify(options)], {
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    env: { ...cleanEnvironment(process.env), ...(place ? bucketSettings(place) : {}) },
  });
  for (const stream of [child.stdout!, child.stderr!]) createInterface({ input: stream }).on('line', onLine);
  // 'close' and not 'exit': the last lines come before it.
  const ended = once(child, 'close').then(([code]) => (code as number | null) ?? 1);
  const ready = once(child, 'message').then(([report]: Report[]) => {
    if ('place' in report!) return report.place;
    throw new DemoError(report!.trouble);
  });
  return {
    place: Promise.race([ready, ended.then(() => undefined)]),
    ended,
    stop: () => {
      if (child.connected) child.send('stop');
    },
  };
}
