// What a check of `r2-sync doctor` is: it looks at one thing, says what it found, and what to do where that isn't good.
import type { ExitCode } from '../errors.ts';
import { endSentence } from '../status/words.ts';
import type { Subject } from './subject.ts';

/**
 * - `good`: as it should be;
 * - `note`: worth knowing, nothing to do;
 * - `warning`: uploads work, but something could be better;
 * - `bad`: uploads don't work, or a promise isn't kept;
 * - `skipped`: what it needs isn't there.
 */
export type Mark = 'good' | 'note' | 'warning' | 'bad' | 'skipped';

export interface Finding {
  mark: Mark;
  /** For people, as the rest of a line. */
  result: string;
  /** What to do about it, as whole sentences. */
  fix?: string;
  /** Of the command, where it is bad and the check's own doesn't fit. */
  exitCode?: ExitCode;
}

export interface Check {
  /** For scripts (`--json`), and for `needs`. */
  id: string;
  /** What is looked at. */
  title: string;
  /**
   * What must have gone well before: checks by their id; `places`, settings that say where things are; `keys`, settings
   * that are right in all.
   */
  needs?: readonly string[];
  /** The command's exit code where it is bad. */
  exitCode: ExitCode;
  /** It isn't waited for longer than this. Default: 10. */
  seconds?: number;
  /** The signal is aborted when its time is over. What it throws is a bad finding. */
  look(subject: Subject, signal: AbortSignal): Promise<Finding | readonly Finding[]>;
}

export function good(result: string): Finding {
  return { mark: 'good', result };
}

export function note(result: string, fix?: string): Finding {
  return { mark: 'note', result, ...(fix === undefined ? {} : { fix }) };
}

export function warning(result: string, fix: string): Finding {
  return { mark: 'warning', result, fix };
}

export function bad(result: string, fix: string, exitCode?: ExitCode): Finding {
  return { mark: 'bad', result, fix, ...(exitCode === undefined ? {} : { exitCode }) };
}

/** A StoreError's fix begins in lower case and has no end. */
export function sentence(fix: string): string {
  return endSentence(`${fix.charAt(0).toUpperCase()}${fix.slice(1)}`);
}
