// How far a command has come, on standard error: a bar that is drawn over on a terminal, a line now and then elsewhere.
import { createLogUpdate } from 'log-update';
import type { Progress } from '../bucket/findings.ts';
import { systemClock } from '../clock.ts';
import { cut } from '../status/terminal.ts';
import { duration, number, size } from '../status/words.ts';

export interface ProgressView {
  /** Cheap: it is drawn when its time comes. */
  show(progress: Progress): void;
  /** Leaves no bar behind. What is shown after that begins a new one. */
  end(): void;
}

const DRAW_MS = 150;
const LINE_MS = 10_000;
/** The speed is that of this long, so that it says how it goes now. */
const SPEED_MS = 10_000;
const BAR = 24;

/** Nothing is drawn before something is shown. It keeps no process alive. */
export function createProgress(): ProgressView {
  const terminal = process.stderr.isTTY === true;
  let bar: ReturnType<typeof createLogUpdate> | undefined;
  let timer: NodeJS.Timeout | undefined;
  let latest: Progress | undefined;
  let what = '';
  let samples: { at: number; bytes: number }[] = [];
  const sample = ({ bytes = 0 }: Progress) => samples.push({ at: systemClock.monotonic(), bytes });
  const draw = () => {
    if (!latest) return;
    sample(latest);
    const now = samples.at(-1)!;
    while (samples.length > 2 && samples[1]!.at < now.at - SPEED_MS) samples.shift();
    const { at, bytes } = samples[0]!;
    const text = describeProgress(latest, now.at > at ? ((now.bytes - bytes) / (now.at - at)) * 1000 : 0);
    if (bar) bar(cut(`${barOf(latest)}${text}`, (process.stderr.columns ?? 80) - 1));
    else console.error(text);
  };
  return {
    show(progress) {
      latest = progress;
      if (progress.what !== what) {
        what = progress.what;
        samples = [];
        sample(progress);
      }
      if (timer) return;
      if (terminal) bar = createLogUpdate(process.stderr);
      timer = setInterval(draw, terminal ? DRAW_MS : LINE_MS).unref();
    },
    end() {
      clearInterval(timer);
      bar?.clear();
      bar?.done();
      timer = bar = latest = undefined;
    },
  };
}

/** `restored: 1,234 of 2,000, 1.2 of 2.4 GB, 85 MB/s, 14 s left`. `speed`: bytes a second. */
export function describeProgress({ what, done, total, bytes, totalBytes }: Progress, speed: number): string {
  const parts = [`${what}: ${number(done)}${total === undefined ? '' : ` of ${number(total)}`}`];
  if (bytes !== undefined && totalBytes !== undefined) {
    parts.push(`${size(bytes)} of ${size(totalBytes)}`);
    if (speed > 0) parts.push(`${size(Math.round(speed))}/s`, `${duration((totalBytes - bytes) / speed)} left`);
  }
  return parts.join(', ');
}

/** Nothing where nobody knows how much there is. */
function barOf({ done, total, bytes = 0, totalBytes = 0 }: Progress): string {
  if (total === undefined) return '';
  const share = totalBytes > 0 ? bytes / totalBytes : total > 0 ? done / total : 1;
  const full = Math.round(Math.min(1, Math.max(0, share)) * BAR);
  return `[${'#'.repeat(full)}${'-'.repeat(BAR - full)}] `;
}
