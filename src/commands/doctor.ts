// `r2-sync doctor`: looks at everything that uploads depend on, and says what to do about what isn't good.
import { systemClock } from '../clock.ts';
import { readSettings } from '../config/sources.ts';
import { checks } from '../doctor/checks/index.ts';
import { type Look, renderEnd, renderReport } from '../doctor/render.ts';
import { exitCodeOf, type Report, runChecks } from '../doctor/run.ts';
import { Subject } from '../doctor/subject.ts';
import type { ExitCode } from '../errors.ts';
import { redactor } from '../log.ts';
import { version } from '../version.ts';
import { VolumeGate } from '../volume/gate.ts';
import { printJson, terminalWidth } from './output.ts';
import { loadSettings } from './settings.ts';

/** What tells a shell that Ctrl-C ended it. */
const INTERRUPTED = 130;

export interface DoctorOptions {
  /** A folder of the output directory, for a token that may write there only. */
  folder?: string;
  json: boolean;
}

/** Exit codes: done, also with warnings; otherwise as `exitCodeOf` has it. */
export async function doctor({ folder = '', json }: DoctorOptions): Promise<ExitCode> {
  const settings = { ...loadSettings(true), origins: readSettings(process.env).origins };
  const hide = redactor(settings.secrets);
  const gate = new VolumeGate(systemClock);
  const places = loadSettings(false).config;
  const subject = new Subject({ settings, places, folder, clock: systemClock, gate });
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.once(signal, () => void leave(subject).then(() => process.exit(INTERRUPTED)));
  }
  const look: Look = { color: process.stdout.isTTY, width: process.stdout.isTTY ? terminalWidth() : Infinity };
  const reports: Report[] = [];
  for await (const report of runChecks(checks, subject)) {
    reports.push(report);
    if (!json) console.log(hide(renderReport(report, look)));
  }
  const exitCode = exitCodeOf(reports);
  const bucket = settings.config?.bucket ?? '';
  if (json) printJson(JSON.parse(hide(JSON.stringify(describe(reports, subject, exitCode)))));
  else console.log(hide(renderEnd(reports, subject.left, bucket, look)));
  await leave(subject);
  return exitCode;
}

async function leave(subject: Subject): Promise<void> {
  await subject.close();
  // An exit would wait for a volume that hangs: a kill doesn't.
  if (subject.isHung()) process.kill(process.pid, 'SIGKILL');
}

function describe(reports: readonly Report[], { left }: Subject, exitCode: ExitCode) {
  return {
    version,
    ok: exitCode === 0,
    exitCode,
    checks: reports.map(({ check, mark, result, fix, seconds }) => ({
      check: check.id,
      title: check.title,
      mark,
      result,
      fix: fix ?? null,
      seconds: Math.round(seconds * 1000) / 1000,
    })),
    left: [...left],
  };
}
