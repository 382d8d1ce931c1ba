// Runs the checks in order. Nothing that a check does, throws or waits for keeps the others from being made.
import type { Clock } from '../clock.ts';
import { ExitCode, errorCode, errorText, UserError } from '../errors.ts';
import { bad, type Check, type Finding } from './check.ts';
import type { Report } from './report.ts';
import type { Subject } from './subject.ts';

const SECONDS = 10;

/** Yields what was found, check by check. */
export async function* runChecks(checks: readonly Check[], subject: Subject): AsyncIterable<Report> {
  const { clock } = subject;
  /** Titles of what went wrong or wasn't looked at, by id. */
  const failed = new Map<string, string>();
  if (!subject.has('places')) failed.set('places', 'the settings');
  if (!subject.has('keys')) failed.set('keys', 'the settings');
  for (const check of checks) {
    const began = clock.monotonic();
    const missing = check.needs?.find((need) => failed.has(need));
    const findings =
      missing === undefined
        ? await look(check, subject, clock)
        : [{ mark: 'skipped' as const, result: `not looked at, because of ${failed.get(missing)}` }];
    if (findings.some(({ mark }) => mark === 'bad')) failed.set(check.id, `"${check.title}"`);
    if (missing !== undefined) failed.set(check.id, failed.get(missing)!);
    const seconds = (clock.monotonic() - began) / 1000;
    for (const finding of findings) {
      const exitCode = finding.mark === 'bad' ? { exitCode: finding.exitCode ?? check.exitCode } : {};
      yield { ...finding, ...exitCode, check: check.id, title: check.title, seconds };
    }
  }
}

async function look(check: Check, subject: Subject, clock: Clock): Promise<readonly Finding[]> {
  const { seconds = SECONDS } = check;
  const over = new AbortController();
  const done = new AbortController();
  const patience = clock.sleep(seconds * 1000, done.signal).then((): Finding => {
    over.abort();
    return bad(`no answer within ${seconds} s`, 'Try again. If it stays so, look at the volume and the network.');
  });
  try {
    const found = await Promise.race([check.look(subject, over.signal), patience]);
    return Array.isArray(found) ? found : [found as Finding];
  } catch (error) {
    return [over.signal.aborted ? await patience : describeThrown(error)];
  } finally {
    done.abort();
  }
}

function describeThrown(error: unknown): Finding {
  if (error instanceof UserError) return bad(error.message, error.fix, error.exitCode);
  if (errorCode(error) !== undefined) return bad(errorText(error), 'Check the volume and its permissions.');
  return bad(`something unexpected: ${errorText(error)}`, 'Please report it.', ExitCode.unexpected);
}
