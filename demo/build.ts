// Builds the agent where its bundle is missing or older than its sources.
import { execFileSync } from 'node:child_process';
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { DemoError } from './errors.ts';

const root = join(import.meta.dirname, '..');
export const agentFile = join(root, 'dist/r2-sync.js');

/** Throws DemoError where it can't be built; why is on standard error then. */
export function buildIfStale(): void {
  const built = statSync(agentFile, { throwIfNoEntry: false })?.mtimeMs ?? 0;
  const sources = readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' }).map((name) => `src/${name}`);
  const inputs = ['scripts/build.ts', 'package-lock.json', ...sources];
  if (inputs.every((name) => statSync(join(root, name)).mtimeMs <= built)) return;
  try {
    execFileSync(process.execPath, ['scripts/build.ts'], { cwd: root, stdio: ['ignore', 'ignore', 'inherit'] });
  } catch (cause) {
    throw new DemoError("The agent can't be built. After npm ci it can, unless its sources were changed.", { cause });
  }
}
