// How far a command has come, on standard error: a bar that is drawn over on a terminal, a line now and then elsewhere.
import { createLogUpdate } from 'log-update';
import type { Clock } from '../clock.ts';
import { cut } from '../status/terminal.ts';
import { duration, number, size } from '../status/words.ts';

export interface Progress {
  files: number;
  bytes: number;
  totalFiles: number;
  totalBytes: number;
}

export interface ProgressView {
  /** Draws for the last time, and leaves no bar behind. */
  end(): void;
}

const DRAW_MS = 150;
const LINE_MS = 10_000;
/** The speed is that of this long, so that it says how it goes now. */
const SPEED_MS = 10_000;
const BAR = 24;

/** Shows what `look` gives, until `end` is called. */
export function showProgress(verb: string, look: () => Progress, clock: Clock): ProgressView {
  const terminal = process.stderr.isTTY === true;
  const draw = terminal ? createLogUpdate(process.stderr) : undefined;
  const samples: { at: number; bytes: number }[] = [{ at: clock.monotonic(), bytes: look().bytes }];
  const show = () => {
    const now = clock.monotonic();
    const progress = look();
    samples.push({ at: now, bytes: progress.bytes });
    while (samples.length > 2 && samples[1]!.at < now - SPEED_MS) samples.shift();
    const { at, bytes } = samples[0]!;
    const speed = now > at ? Math.max(0, ((progress.bytes - bytes) / (now - at)) * 1000) : 0;
    const text = describeProgress(verb, progress, speed);
    if (draw) draw(cut(`${bar(progress)} ${text}`, (process.stderr.columns ?? 80) - 1));
    else console.error(text);
  };
  const timer = setInterval(show, terminal ? DRAW_MS : LINE_MS);
  return {
    end() {
      clearInterval(timer);
      draw?.clear();
      draw?.done();
    },
  };
}

/** `restored 1,234 of 2,000 files, 1.2 of 2.4 GB, 85 MB/s, 14 s left`. `speed`: bytes a second. */
export function describeProgress(verb: string, progress: Progress, speed: number): string {
  const { files, bytes, totalFiles, totalBytes } = progress;
  const parts = [`${verb} ${number(files)} of ${number(totalFiles)} files`, `${size(bytes)} of ${size(totalBytes)}`];
  if (speed > 0) parts.push(`${size(Math.round(speed))}/s`, `${duration((totalBytes - bytes) / speed)} left`);
  return parts.join(', ');
}

function bar({ files, bytes, totalFiles, totalBytes }: Progress): string {
  const share = totalBytes > 0 ? bytes / totalBytes : totalFiles > 0 ? files / totalFiles : 1;
  const full = Math.round(Math.min(1, Math.max(0, share)) * BAR);
  return `[${'#'.repeat(full)}${'-'.repeat(BAR - full)}]`;
}
