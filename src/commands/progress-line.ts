// One line on a terminal that says how far a long command is; nothing where standard error is no terminal.
import type { Progress } from '../bucket/findings.ts';
import { systemClock } from '../clock.ts';
import { duration, number, size } from '../status/words.ts';

const REDRAW_MS = 100;
/** Before that nobody can tell how long the rest takes. */
const SURE_MS = 2000;

export interface ProgressLine {
  show(progress: Progress): void;
  clear(): void;
}

export function createProgressLine(stream: NodeJS.WriteStream = process.stderr): ProgressLine {
  if (!stream.isTTY) return { show: () => {}, clear: () => {} };
  let drawnAt = Number.NEGATIVE_INFINITY;
  let what = '';
  let begun = 0;
  return {
    show: (progress) => {
      const now = systemClock.monotonic();
      if (progress.what !== what) {
        what = progress.what;
        begun = now;
      } else if (now - drawnAt < REDRAW_MS) return;
      drawnAt = now;
      stream.write(`\r\u001b[K${describeProgress(progress, now - begun).slice(0, stream.columns - 1)}`);
    },
    clear: () => void stream.write('\r\u001b[K'),
  };
}

/** @param elapsedMs since this part began */
export function describeProgress({ what, done, total, bytes, totalBytes }: Progress, elapsedMs: number): string {
  const parts = [`${what}: ${number(done)}${total === undefined ? '' : ` of ${number(total)}`}`];
  if (bytes !== undefined && totalBytes !== undefined) {
    parts.push(`${size(bytes)} of ${size(totalBytes)}`);
    const left = (elapsedMs / 1000) * (totalBytes / bytes - 1);
    if (elapsedMs > SURE_MS && bytes > 0) parts.push(`about ${duration(left)} left`);
  }
  return parts.join(', ');
}
