// Commands that read the volume run in a process of their own: one that has called a volume which hangs can't even be
// killed before that call returns, and the shell would wait for it.
import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import type { ExitCode } from '../errors.ts';

/** Runs `work` in a process of its own, started with this one's arguments; resolves with its exit code. */
export async function runApart(work: () => Promise<ExitCode>): Promise<ExitCode> {
  if (process.send) return await work();
  // A pipe would stay open for as long as that process lives.
  const output = ({ isTTY }: NodeJS.WriteStream) => (isTTY ? 'inherit' : 'pipe');
  const child = spawn(process.execPath, [...process.execArgv, ...process.argv.slice(1)], {
    stdio: ['ignore', output(process.stdout), output(process.stderr), 'ipc'],
  });
  child.stdout?.pipe(process.stdout, { end: false });
  child.stderr?.pipe(process.stderr, { end: false });
  // Ctrl-C in a terminal reaches both: the end is that process's to choose.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => child.kill(signal));
  const { promise, resolve, reject } = Promise.withResolvers<ExitCode>();
  child.once('error', reject);
  // As a shell says it of a process that a signal ended.
  child.once('close', (code, signal) => resolve((code ?? 128 + constants.signals[signal!]) as ExitCode));
  // Its end is its own affair: it may take as long as the volume does.
  child.once('message', (code) => resolve(code as ExitCode));
  return await promise;
}

/** What needs the volume has to be given up: the process that waits for this one hears it, and this one goes when it can. */
export async function giveUp(code: ExitCode): Promise<never> {
  if (process.send) await new Promise((resolve) => process.send!(code, resolve));
  // An exit would wait for the volume: a kill doesn't.
  process.kill(process.pid, 'SIGKILL');
  return await new Promise(() => {});
}
