// What every command begins with: the settings of this machine, checked.
import { loadConfig } from '../config/parse.ts';
import { readSettings } from '../config/sources.ts';
import type { Config, Loaded, Problem } from '../config/types.ts';
import { ExitCode, UserError } from '../errors.ts';
import { createLog, type Log } from '../log.ts';

/** All that is known about the settings; never throws. */
export function loadSettings(needStore: boolean): Loaded {
  const sources = readSettings(process.env);
  return loadConfig(sources.settings, { needStore, earlier: sources });
}

/** Changes when any setting does, wherever it comes from. Holds secrets: only to be compared. */
export function fingerprintSettings(): string {
  const { settings, problems } = readSettings(process.env);
  return JSON.stringify([settings, problems]);
}

/** The configuration, or a UserError that names every mistake. */
export function requireConfig(needStore: boolean): {
  config: Config;
  warnings: readonly string[];
  secrets: readonly string[];
} {
  const { config, problems, warnings, secrets } = loadSettings(needStore);
  if (!config) {
    const text = problems.map((problem) => `  ${describeProblem(problem)}`).join('\n');
    throw new UserError(`the settings are wrong:\n${text}`, 'All settings: r2-sync --help', ExitCode.usage);
  }
  return { config, warnings, secrets };
}

/** The log of a command whose result goes to standard output: it writes to standard error. */
export function createCommandLog(level: string, secrets: readonly string[]): Log {
  return createLog({ level, secrets, stream: process.stderr });
}

export function describeProblem({ message, fix }: Problem): string {
  return `${message} ${fix}`.trim();
}
