// The output directory for commands that compare it with the bucket: opened, with a watch on it, for a call on a volume
// that hangs never comes back.
import type { OutputDirectory } from '../bucket/volume-files.ts';
import { systemClock } from '../clock.ts';
import type { Config } from '../config/types.ts';
import { ExitCode, UserError } from '../errors.ts';
import type { VolumeGate } from '../volume/gate.ts';
import { HUNG_MS, startVolume } from '../volume/volume.ts';
import { createFilter } from '../watch/filter.ts';
import { locateOutput } from './survey.ts';

const LOOK_MS = 1000;

/** The output directory and where its state lies; a UserError's text where it can't be looked at. */
export async function openOutputDirectory(
  config: Config,
  gate: VolumeGate,
): Promise<(OutputDirectory & { targetDir: string }) | UserError> {
  try {
    const { root, prefix, targetDir } = await locateOutput(config, gate.fs);
    const filter = createFilter(config, prefix);
    return { root, prefix, targetDir, filter, volume: startVolume(), fs: gate.fs, clock: systemClock };
  } catch (error) {
    if (error instanceof UserError) return error;
    throw error;
  }
}

/** Rejects when the volume hasn't answered for too long. `stop` ends the watch. */
export function watchForHang(
  { outputDir }: Config,
  silentMs: () => number,
): { hung: Promise<never>; stop: () => void } {
  const over = new AbortController();
  const hung = (async () => {
    while (!over.signal.aborted && silentMs() < HUNG_MS) await systemClock.sleep(LOOK_MS, over.signal);
    // Nobody waits for it any more.
    if (over.signal.aborted) return await new Promise<never>(() => {});
    throw new HungVolume(outputDir);
  })();
  hung.catch(() => {});
  return { hung, stop: () => over.abort() };
}

/** After it the process can't end by itself: the call that hangs holds it. */
export class HungVolume extends UserError {
  constructor(outputDir: string) {
    super(
      `the volume of ${outputDir} hasn't answered for ${HUNG_MS / 1000} s`,
      'Check the volume; when it answers again, run this once more. Nothing was changed.',
      ExitCode.left,
    );
  }
}
