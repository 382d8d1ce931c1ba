// The process that makes the checks: apart from the one that tells of them, because a process that has called a volume
// which hangs can't even be killed before that call returns, and keeps its output open for as long.
import { systemClock } from '../clock.ts';
import { readSettings } from '../config/sources.ts';
import type { Config, Loaded } from '../config/types.ts';
import { redactor } from '../log.ts';
import { VolumeGate } from '../volume/gate.ts';
import { checks } from './checks/index.ts';
import type { Report } from './report.ts';
import { runChecks } from './run.ts';
import { Subject } from './subject.ts';

/** What the process that tells gets to hear. No secret is in it. */
export type Message = { report: Report } | { end: End };

export interface End {
  bucket: string;
  /** Keys of objects that stay in the bucket. */
  left: string[];
}

export interface ApartOptions {
  settings: Loaded;
  places: Config | undefined;
  folder: string;
}

/** Makes all checks and tells of each; stops and cleans up when it is told to, or when nobody listens any more. */
export async function checkApart({ settings, places, folder }: ApartOptions): Promise<void> {
  const hide = redactor(settings.secrets);
  const tell = (message: Message) =>
    new Promise((resolve) => process.send?.(JSON.parse(hide(JSON.stringify(message))), resolve));
  const known = { ...settings, origins: readSettings(process.env).origins };
  const gate = new VolumeGate(systemClock);
  const subject = new Subject({ settings: known, places, folder, clock: systemClock, gate });
  const stop = () => void leave(subject);
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, stop);
  process.once('disconnect', stop);
  for await (const report of runChecks(checks, subject)) void tell({ report });
  await subject.close();
  await tell({ end: { bucket: settings.config?.bucket ?? '', left: [...subject.left] } });
  await leave(subject);
}

async function leave(subject: Subject): Promise<never> {
  await subject.close();
  // An exit would wait for a volume that hangs; with a kill the process goes as soon as the volume lets it.
  if (subject.isHung()) process.kill(process.pid, 'SIGKILL');
  process.exit();
}
