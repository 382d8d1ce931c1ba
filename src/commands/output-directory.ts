// The output directory for commands that compare it with the bucket: opened, with a watch on it, for a call on a volume
// that hangs never comes back.
import { notedFirstStart } from '../agent/first-start.ts';
import type { OutputDirectory } from '../bucket/volume-files.ts';
import { systemClock } from '../clock.ts';
import type { Config } from '../config/types.ts';
import { ExitCode, UserError } from '../errors.ts';
import { printable } from '../paths.ts';
import { VolumeGate } from '../volume/gate.ts';
import { HUNG_MS, startVolume, type Volume } from '../volume/volume.ts';
import { createFilter } from '../watch/filter.ts';
import { giveUp } from './apart.ts';
import { locateOutput } from './survey.ts';

const LOOK_MS = 1000;

export type OpenedDirectory = OutputDirectory & { targetDir: string };

/**
 * Runs work with the output directory, or with the error that says why it can't be looked at. Ends the process as
 * `endIfHung` does.
 */
export async function withOutputDirectory<T>(
  config: Config,
  work: (opened: OpenedDirectory | UserError, gate: VolumeGate) => Promise<T>,
): Promise<T> {
  const gate = new VolumeGate(systemClock);
  let volume: Volume | undefined;
  const run = async () => {
    const opened = await openOutputDirectory(config, gate);
    if (!(opened instanceof UserError)) volume = opened.volume;
    return work(opened, gate);
  };
  const silentMs = () => Math.max(volume?.overdueMs() ?? 0, gate.silentMs());
  return await endIfHung(config.outputDir, silentMs, run).finally(() => volume?.close());
}

/**
 * Runs work on the volume of a directory. Where that doesn't answer for too long, it is told and the process is killed: the
 * call that hangs would hold it for ever.
 */
export async function endIfHung<T>(directory: string, silentMs: () => number, work: () => Promise<T>): Promise<T> {
  const watch = watchForHang(directory, silentMs);
  try {
    return await Promise.race([work(), watch.hung]);
  } catch (error) {
    if (!(error instanceof HungVolume)) throw error;
    console.error(`r2-sync: ${error.message}\n${error.fix}`);
    return await giveUp(error.exitCode);
  } finally {
    watch.stop();
  }
}

async function openOutputDirectory(config: Config, gate: VolumeGate): Promise<OpenedDirectory | UserError> {
  try {
    const { root, prefix, targetDir } = await locateOutput(config, gate.fs);
    const filter = createFilter(config, prefix);
    return { root, prefix, targetDir, filter, volume: startVolume(), fs: gate.fs, clock: systemClock };
  } catch (error) {
    if (error instanceof UserError) return error;
    throw error;
  }
}

/** Wall ms: files whose inode hasn't changed since before are left alone by R2_EXISTING=skip. */
export async function oldestOf({ existing }: Config, { fs, targetDir }: OpenedDirectory): Promise<number> {
  if (existing !== 'skip') return Number.NEGATIVE_INFINITY;
  return (await notedFirstStart(fs, targetDir)) ?? systemClock.wall();
}

/** Rejects when the volume hasn't answered for too long. `stop` ends the watch. */
export function watchForHang(directory: string, silentMs: () => number): { hung: Promise<never>; stop: () => void } {
  const over = new AbortController();
  const hung = (async () => {
    while (!over.signal.aborted && silentMs() < HUNG_MS) await systemClock.sleep(LOOK_MS, over.signal);
    // Nobody waits for it any more.
    if (over.signal.aborted) return await new Promise<never>(() => {});
    throw new HungVolume(directory);
  })();
  hung.catch(() => {});
  return { hung, stop: () => over.abort() };
}

class HungVolume extends UserError {
  constructor(directory: string) {
    super(
      `the volume of ${printable(directory)} hasn't answered for ${HUNG_MS / 1000} s`,
      'Check the volume; when it answers again, run this once more.',
      ExitCode.left,
    );
  }
}
