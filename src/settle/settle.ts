// Decides whether a file is finished. Pure: it is given what is known about writers, quiet and format, and says
// "settled", or how long to wait and why (design, section 7).
import type { Verdict } from './formats/index.ts';

/** Who has the file open for writing. `unseen`: writers aren't in sight, an empty /proc proves nothing. */
export type Writers = 'none' | 'open' | 'unseen';

export interface Evidence {
  size: number;
  writers: Writers;
  /** A local hint said that the file was created, and none said that it was closed. */
  heardOpen: boolean;
  /** Judged on the bytes that were read; undefined where nothing was read yet (then `canTell` counts). */
  verdict: Verdict;
  /** Milliseconds since size, mtime or the last local hint moved. */
  quietMs: number;
  /** R2_QUIET_SECONDS in milliseconds. */
  quietLimitMs: number;
}

export type Decision =
  | { settled: true; incomplete: boolean }
  | {
      settled: false;
      /** What it waits for: a writer's close, bytes that complete its format (or any at all), or time alone. */
      until: 'closed' | 'whole' | 'quiet';
      /** Milliseconds until it is worth looking again. */
      waitMs: number;
      why: string;
      /** Nothing in it, and quiet: shown and left. */
      empty?: true;
    };

const MINUTE = 60_000;
/** A torn file that stays quiet this long will never be whole: its writer has crashed. */
export const INCOMPLETE_AFTER_MS = { writersSeen: 10 * MINUTE, writersUnseen: 60 * MINUTE } as const;
/** How often an open file is asked after where no hint tells of its close. */
const OPEN_POLL_MS = 1000;
/** Where neither writers nor format can tell, quiet must last this many times as long. */
const BLIND_FACTOR = 4;

export function decideSettled(evidence: Evidence): Decision {
  const { writers, verdict, quietMs, quietLimitMs } = evidence;
  const seen = writers !== 'unseen';
  if (writers === 'open') {
    return { settled: false, until: 'closed', waitMs: OPEN_POLL_MS, why: 'a program still has it open for writing' };
  }
  const giveUp = seen ? INCOMPLETE_AFTER_MS.writersSeen : INCOMPLETE_AFTER_MS.writersUnseen;
  if (evidence.size === 0) {
    const decision = lookAgain(evidence, 'whole', Number.POSITIVE_INFINITY, 'it is empty');
    return quietMs < quietLimitMs ? decision : { ...decision, empty: true };
  }
  if (verdict === 'torn') {
    if (quietMs >= giveUp) return { settled: true, incomplete: true };
    return lookAgain(evidence, 'whole', giveUp, 'its format says that it is not finished');
  }
  // A writer that /proc doesn't show was heard to open it: only its close counts, or the time that a crash takes.
  if (!seen && evidence.heardOpen && quietMs < giveUp) {
    return lookAgain(evidence, 'closed', giveUp, 'its writer has not closed it yet');
  }
  const needed = quietNeeded(seen, verdict === 'whole', quietLimitMs);
  if (quietMs >= needed) return { settled: true, incomplete: false };
  const why = `waiting until it has been quiet for ${needed / 1000} s`;
  return { settled: false, until: 'quiet', waitMs: needed - quietMs, why };
}

/** Milliseconds without a change that a file needs, by who can tell that it is finished. */
export function quietNeeded(writersSeen: boolean, formatTells: boolean, quietLimitMs: number): number {
  if (writersSeen && formatTells) return 0;
  return writersSeen || formatTells ? quietLimitMs : BLIND_FACTOR * quietLimitMs;
}

/** Look again soon after a change and more and more rarely afterwards, but not later than `limitMs` of quiet. */
function lookAgain(
  { quietMs }: Evidence,
  until: 'closed' | 'whole',
  limitMs: number,
  why: string,
): Decision & { settled: false } {
  const poll = Math.min(10_000, Math.max(250, quietMs / 4));
  return { settled: false, until, waitMs: Math.min(poll, Math.max(0, limitMs - quietMs)), why };
}
