// Which state of the code is measured.
import { execFileSync } from 'node:child_process';

/** As `git describe` says it; undefined outside a checkout. */
export function readCommit(): string | undefined {
  try {
    return execFileSync('git', ['describe', '--always', '--dirty'], {
      cwd: import.meta.dirname,
      stdio: ['ignore', 'pipe', 'ignore'],
    })
      .toString()
      .trim();
  } catch {
    return undefined;
  }
}
