// Commands that read the volume run in a process of their own: one that has called a volume which hangs can't even be
// killed before that call returns, and the shell would wait for it.
import { spawn } from 'node:child_process';
import { fstatSync } from 'node:fs';
import { constants } from 'node:os';
import type { Readable } from 'node:stream';
import type { ExitCode } from '../errors.ts';

/** How long that process has to end when it is told to. */
const ENDING_MS = 2000;

/** Runs `work` in a process of its own, started with this one's arguments; resolves with its exit code. */
export async function runApart(work: () => Promise<ExitCode>): Promise<ExitCode> {
  if (process.send) return await work();
  const child = spawn(process.execPath, [...process.execArgv, ...process.argv.slice(1)], {
    stdio: ['ignore', outputFor(1), outputFor(2), 'ipc'],
  });
  handOn(child.stdout, process.stdout);
  handOn(child.stderr, process.stderr);
  const { promise, resolve, reject } = Promise.withResolvers<ExitCode>();
  // As a shell says it of a process that a signal ended.
  const endedBy = (signal: NodeJS.Signals) => (128 + constants.signals[signal]) as ExitCode;
  // Ctrl-C in a terminal reaches both: the end is that process's to choose, if it still can.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => {
      child.kill(signal);
      setTimeout(resolve, ENDING_MS, endedBy(signal));
    });
  }
  child.once('error', reject);
  child.once('close', (code, signal) => resolve((code as ExitCode) ?? endedBy(signal!)));
  // Its end is its own affair: it may take as long as the volume does. What it said before that comes first.
  child.once('message', (code) => setImmediate(resolve, code as ExitCode));
  return await promise;
}

/** What needs the volume has to be given up: the process that waits for this one hears it, and this one goes when it can. */
export async function giveUp(code: ExitCode): Promise<never> {
  if (process.send) await new Promise((resolve) => process.send!(code, resolve));
  // An exit would wait for the volume: a kill doesn't.
  process.kill(process.pid, 'SIGKILL');
  return await new Promise(() => {});
}

/** Whoever reads a pipe waits until all have closed it, and so for that process. A terminal or a file waits for nobody. */
function outputFor(descriptor: number): 'pipe' | 'inherit' {
  const stats = fstatSync(descriptor);
  return stats.isFIFO() || stats.isSocket() ? 'pipe' : 'inherit';
}

function handOn(from: Readable | null, to: NodeJS.WriteStream): void {
  from?.pipe(to, { end: false });
  // Nobody listens any more: `| head`. Then that process need not wait to be heard.
  if (from) to.on('error', () => from.destroy());
}
