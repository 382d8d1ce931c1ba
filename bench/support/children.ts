// Starts the programs of a run, each in its own session, and makes sure that none outlives the run.
import { type ChildProcess, spawn } from 'node:child_process';
import { pause } from './clock.ts';
import { listTree } from './process-tree.ts';

export interface Child {
  pid: number;
  /** The first line on stdout that `accept` likes. Rejects if the program ends or `limitMs` passes before. */
  line(accept: (line: string) => boolean, limitMs: number): Promise<string>;
  /** Settles when it has ended. */
  exit: Promise<void>;
  /** Undefined while it runs. */
  ended(): string | undefined;
  /** The last lines of its stderr, for error messages. */
  complaints(): string;
  /** Ends the program and all that it started; returns when they are gone. */
  stop(): Promise<void>;
}

const STOP_LIMIT_MS = 10_000;
const KEPT_OUTPUT = 4_000;
const running = new Set<{ pid: number }>();

/** Starts `command` with exactly the environment `env`. Nothing secret belongs in `args`. */
export function startChild(command: string, args: readonly string[], env: Record<string, string>): Child {
  const child = spawn(command, args, { env, detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
  const entry = { pid: child.pid ?? 0 };
  if (child.pid !== undefined) running.add(entry);
  const output = collect(child);
  let end: string | undefined;
  const exit = new Promise<void>((resolve) => {
    child.once('error', (error) => {
      end ??= error.message;
      resolve();
    });
    child.once('exit', (code, signal) => {
      end ??= `ended with ${signal ?? `exit code ${code}`}`;
      resolve();
    });
  });
  return {
    pid: entry.pid,
    line: (accept, limitMs) =>
      new Promise<string>((resolve, reject) => {
        const fail = (why: string) =>
          reject(new Error(`${command} ${why}. Its stderr: ${output.stderr() || '(empty)'}`));
        const timer = setTimeout(() => fail(`said nothing expected for ${limitMs / 1000} s`), limitMs);
        const done = (line: string) => {
          clearTimeout(timer);
          resolve(line);
        };
        output.eachLine((line) => accept(line) && done(line));
        void exit.then(() => {
          clearTimeout(timer);
          fail(end ?? 'ended');
        });
      }),
    exit,
    ended: () => end,
    complaints: output.stderr,
    stop: async () => {
      await stopTree(entry.pid, exit);
      running.delete(entry);
    },
  };
}

/** For the way out, where nothing can be awaited: kills whatever still runs. */
export function killAllChildren(): void {
  for (const { pid } of running) for (const member of listTree(pid)) signal(member, 'SIGKILL');
  running.clear();
}

/** SIGTERM to the whole tree, SIGKILL to what is left after a while. */
async function stopTree(pid: number, exit: Promise<void>): Promise<void> {
  if (pid === 0) return;
  const members = listTree(pid);
  for (const member of members) signal(member, 'SIGTERM');
  await Promise.race([exit, pause(STOP_LIMIT_MS)]);
  for (const member of new Set([...members.filter((m) => m !== pid), ...listTree(pid)])) signal(member, 'SIGKILL');
  await Promise.race([exit, pause(STOP_LIMIT_MS)]);
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch {
    // It has ended meanwhile.
  }
}

function collect(child: ChildProcess): { stderr(): string; eachLine(listener: (line: string) => void): void } {
  let stderr = '';
  let rest = '';
  const lines: string[] = [];
  const listeners: ((line: string) => void)[] = [];
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    stderr = (stderr + text).slice(-KEPT_OUTPUT);
  });
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    const parts = (rest + text).split('\n');
    rest = (parts.pop() ?? '').slice(-KEPT_OUTPUT);
    for (const line of parts) {
      if (lines.length < 100) lines.push(line);
      for (const listener of listeners) listener(line);
    }
  });
  return {
    stderr: () => stderr.trim(),
    eachLine: (listener) => {
      for (const line of lines) listener(line);
      listeners.push(listener);
    },
  };
}
