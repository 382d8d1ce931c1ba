// `r2-sync doctor`: looks at everything that uploads depend on, and says what to do about what isn't good. Here is what
// tells of it; the checks are made in a process of their own, which a volume that hangs may take along.
import { execa } from 'execa';
import type { End, Message } from '../doctor/apart.ts';
import { exitCodeOf, type Look, type Report, renderEnd, renderReport } from '../doctor/report.ts';
import { ExitCode, UserError } from '../errors.ts';
import { version } from '../version.ts';
import { printJson, terminalWidth, wantsColor } from './output.ts';
import { loadSettings } from './settings.ts';

/** What tells a shell that Ctrl-C ended it. */
const INTERRUPTED = 130 as ExitCode;
/** That process cleans up when it is told to end; if it can't, the next doctor does: ms. */
const CLEANING_MS = 4000;

export interface DoctorOptions {
  /** A folder of the output directory, for a token that may write there only. */
  folder?: string;
  json: boolean;
}

/** Exit codes: done, also with warnings; otherwise as `exitCodeOf` has it. */
export async function doctor({ folder = '', json }: DoctorOptions): Promise<ExitCode> {
  if (process.send) {
    const { checkApart } = await import('../doctor/apart.ts');
    await checkApart({ settings: loadSettings(true), places: loadSettings(false).config, folder });
    return ExitCode.done;
  }
  const look: Look = { color: wantsColor(), width: process.stdout.isTTY ? terminalWidth() : Infinity };
  const reports: Report[] = [];
  const end = await listen(folder, (report) => {
    reports.push(report);
    if (!json) console.log(renderReport(report, look));
  });
  if (end === 'interrupted') return INTERRUPTED;
  if (json) printJson(describe(reports, end));
  else console.log(renderEnd(reports, end.left, end.bucket, look));
  return exitCodeOf(reports);
}

/** Has the checks made, and hands on what is told of each. */
async function listen(folder: string, take: (report: Report) => void): Promise<End | 'interrupted'> {
  const args = ['doctor', '--folder', folder];
  const child = execa(process.execPath, [...process.execArgv, process.argv[1]!, ...args], {
    stdio: 'ignore',
    ipc: true,
    buffer: false,
    reject: false,
    // Its end is its own affair: it may take as long as the volume does.
    cleanup: false,
    detached: true,
  });
  const over = Promise.withResolvers<End | 'interrupted'>();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.once(signal, () => {
      child.kill(signal);
      setTimeout(() => over.resolve('interrupted'), CLEANING_MS);
    });
  }
  const hear = async () => {
    for await (const message of child.getEachMessage()) {
      const told = message as unknown as Message;
      // Who leaves the loop waits for that process.
      if ('end' in told) over.resolve(told.end);
      else take(told.report);
    }
    const { signal, exitCode } = await child;
    // It was told to end, and did.
    if (exitCode === ExitCode.done) return over.resolve('interrupted');
    const fix = 'Run it again: what it may have left on the volume goes then.';
    throw new UserError(`the checks ended half-way (${signal ?? `exit code ${exitCode}`})`, fix);
  };
  hear().catch(over.reject);
  return await over.promise;
}

function describe(reports: readonly Report[], { left }: End) {
  const exitCode = exitCodeOf(reports);
  return {
    version,
    ok: exitCode === ExitCode.done,
    exitCode,
    checks: reports.map(({ check, title, mark, result, fix, seconds }) => ({
      check,
      title,
      mark,
      result,
      fix: fix ?? null,
      seconds: Math.round(seconds * 1000) / 1000,
    })),
    left,
  };
}
