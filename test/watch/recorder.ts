// What the tests of the watchers share: a directory, a listener that remembers, programs that stand in for inotifywait.
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import type { Hint, HintListener } from '../../src/watch/hints.ts';
import { eventually } from '../support/eventually.ts';

/** Whether the real inotifywait can be tested here. Says loudly if it can't. */
export function hasInotifywait(): boolean {
  try {
    execFileSync('inotifywait', ['--help'], { stdio: 'ignore' });
  } catch (error) {
    // `--help` itself ends with exit code 1.
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') {
      console.warn('SKIPPED: inotifywait is not installed here (package inotify-tools); its tests did not run');
      return false;
    }
  }
  return true;
}

export interface Recorder extends HintListener {
  hints: Hint[];
  /** `ready <source>` and `lost <source>: <reason>`, in order. */
  news: string[];
  /** Resolves when a hint for the path came, of the kind if one is given. */
  heard(path: string, kind?: Hint['kind']): Promise<void>;
}

export function createRecorder(): Recorder {
  const hints: Hint[] = [];
  const news: string[] = [];
  return {
    hints,
    news,
    hint: (hint) => hints.push(hint),
    ready: (source) => news.push(`ready ${source}`),
    lost: (source, reason) => news.push(`lost ${source}: ${reason}`),
    heard: (path, kind) =>
      until(() => hints.some((hint) => hint.path === path && (kind === undefined || hint.kind === kind))),
  };
}

/** Waits for a condition. */
export function until(condition: () => boolean): Promise<void> {
  return eventually(
    () => {
      if (!condition()) throw new Error(`not yet: ${condition}`);
    },
    { interval: 5 },
  );
}

/** A directory to watch, and one beside it for the test's own files; both are removed with the test. */
export function makeDirectories(name = 'output'): { watched: string; beside: string } {
  const beside = mkdtempSync(join(tmpdir(), 'r2-sync-watch-'));
  onTestFinished(() => rmSync(beside, { recursive: true, force: true }));
  const watched = join(beside, name);
  mkdirSync(watched);
  return { watched, beside };
}

/**
 * A program to run in place of inotifywait: a shell script that notes its pid, then runs `body`.
 * `runs()` are the pids of its runs so far, oldest first.
 */
export function makeProgram(beside: string, body: string): { command: string; runs: () => number[] } {
  const command = join(beside, 'program');
  const pids = join(beside, 'pids');
  writeFileSync(pids, '');
  writeFileSync(command, `#!/bin/sh\necho $$ >> '${pids}'\n${body}\n`);
  chmodSync(command, 0o755);
  return { command, runs: () => readFileSync(pids, 'utf8').split('\n').filter(Boolean).map(Number) };
}

export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
