// The tests of the shell scripts are written for bats. Here each of them becomes a test of this run, so that one command
// runs everything and one report counts it.
import { spawn } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';

const here = fileURLToPath(new URL('.', import.meta.url));
/** A test that takes longer hangs. (bats' own limit for each test loses results when processes end by themselves.) */
const TEST_MS = 5 * 60_000;
const bats = fileURLToPath(new URL('../../node_modules/bats/bin/bats', import.meta.url));

interface Outcome {
  name: string;
  ok: boolean;
  skipped: boolean;
  /** What bats says below a test that failed. */
  why: string;
}

interface Run {
  /** How many tests the file has, by its own count. */
  planned: number;
  outcomes: Outcome[];
  /** Everything printed, for a file that couldn't be run at all. */
  printed: string;
}

function runBats(file: string): Promise<Run> {
  const child = spawn(bats, ['--formatter', 'tap', file], {
    cwd: here,
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  });
  let printed = '';
  const limit = setTimeout(() => {
    printed += `\nStopped: nothing was printed for ${TEST_MS / 60_000} minutes.\n`;
    process.kill(-child.pid!, 'SIGKILL');
  }, TEST_MS);
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk: Buffer) => {
      printed += chunk.toString();
      limit.refresh();
    });
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', () => {
      clearTimeout(limit);
      resolve(readTap(printed));
    });
  });
}

function readTap(printed: string): Run {
  const run: Run = { planned: 0, outcomes: [], printed };
  for (const line of printed.split('\n')) {
    const plan = /^1\.\.(\d+)$/.exec(line);
    const result = /^(not )?ok \d+ (.*?)(?: # skip ?(.*))?$/.exec(line);
    if (plan) run.planned = Number(plan[1]);
    else if (result)
      run.outcomes.push({ name: result[2]!, ok: !result[1], skipped: result[3] !== undefined, why: result[3] ?? '' });
    else if (line.startsWith('#') && run.outcomes.length > 0) run.outcomes.at(-1)!.why += `\n${line}`;
  }
  return run;
}

const files = readdirSync(here).filter((name) => name.endsWith('.bats'));
const runs = await Promise.all(files.map(async (file) => ({ file, ...(await runBats(file)) })));

for (const { file, planned, outcomes, printed } of runs) {
  describe(file, () => {
    test('all of its tests were run', () => {
      expect(planned, printed).toBeGreaterThan(0);
      expect(outcomes.length, printed).toBe(planned);
    });
    for (const { name, ok, skipped, why } of outcomes) {
      if (skipped) console.warn(`NOT RUN: ${file}: ${name} (${why})`);
      test.skipIf(skipped)(name, () => expect(ok, why).toBe(true));
    }
  });
}
