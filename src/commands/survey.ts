// Looks at output directory and ledger without an agent and without a store: for `plan`, and for `status` and `wait`
// when no agent answers. Writes nothing.
import * as fs from 'node:fs/promises';
import { notedFirstStart, SKIPPED_AS_OLDER } from '../agent/first-start.ts';
import { systemClock } from '../clock.ts';
import type { Config } from '../config/types.ts';
import { ExitCode, errorCode, UserError } from '../errors.ts';
import { Ledger } from '../ledger/ledger.ts';
import { locateState } from '../ledger/location.ts';
import type { Log } from '../log.ts';
import { extensionOf, folderOf } from '../paths.ts';
import { judgeFormat, type Verdict } from '../settle/formats/index.ts';
import { handleSource, openOutput } from '../settle/open-file.ts';
import type { VolumeFs } from '../volume/gate.ts';
import { startVolume } from '../volume/volume.ts';
import { createFilter } from '../watch/filter.ts';
import { type Candidate, Scanner } from '../watch/scanner.ts';

export interface Survey {
  /** Where ledger and leases of this target lie. */
  targetDir: string;
  ledger: Ledger;
  /** Files that the ledger doesn't know as they are now. */
  candidates: (Candidate & { verdict: Verdict | 'empty' | 'unreadable' })[];
  /** Files that the filter leaves alone, by reason. */
  skipped: Record<string, number>;
  /** Directories that can't be read. */
  problems: { path: string; code: string }[];
}

/** Where the state of the output directory lies. Throws UserError where there is no such directory. */
export async function locateOutput(config: Config, io: VolumeFs = fs): ReturnType<typeof locateState> {
  return await locateState(io, {
    outputDir: config.outputDir,
    ...(config.stateDir === undefined ? {} : { stateDir: config.stateDir }),
    endpointHost: config.endpoint === '' ? '' : new URL(config.endpoint).host,
    bucket: config.bucket,
  }).catch((error: unknown) => {
    throw new UserError(
      `the output directory ${config.outputDir} can't be looked at (${errorCode(error) ?? error})`,
      'Set COMFYUI_OUTPUT_DIR to where ComfyUI writes.',
      ExitCode.usage,
    );
  });
}

/** Throws UserError where there is no output directory. */
export async function surveyOutput(config: Config, log: Log): Promise<Survey> {
  const { root, prefix, targetDir } = await locateOutput(config);
  const ledger = await Ledger.open({ targetDir, log, clock: systemClock, readOnly: true });
  const volume = startVolume();
  const found: Candidate[] = [];
  let older = 0;
  const firstStart =
    config.existing === 'skip'
      ? ((await notedFirstStart(fs, targetDir)) ?? systemClock.wall())
      : Number.NEGATIVE_INFINITY;
  const scanner = new Scanner({
    volume,
    clock: systemClock,
    filter: createFilter(config, prefix),
    index: ledger.index,
    root,
    prefix,
    onCandidate: (candidate) => {
      if (Number(candidate.ctimeNs / 1_000_000n) < firstStart) older += 1;
      else found.push(candidate);
    },
  });
  const { problems } = await scanner.pass(true);
  await volume.close();
  const candidates: Survey['candidates'] = [];
  for (const candidate of found) candidates.push({ ...candidate, verdict: await judgeCandidate(root, candidate) });
  const skipped = { ...scanner.skipped(), ...(older > 0 ? { [SKIPPED_AS_OLDER]: older } : {}) };
  return { targetDir, ledger, candidates, skipped, problems };
}

/** Counts of one folder. */
export function countFolders(candidates: Survey['candidates']): Map<string, { files: number; bytes: number }> {
  const folders = new Map<string, { files: number; bytes: number }>();
  for (const { path, size } of candidates) {
    const counts = folders.get(folderOf(path)) ?? { files: 0, bytes: 0 };
    counts.files += 1;
    counts.bytes += size;
    folders.set(folderOf(path), counts);
  }
  return folders;
}

async function judgeCandidate(root: string, { path, size }: Candidate): Promise<Verdict | 'empty' | 'unreadable'> {
  if (size === 0) return 'empty';
  try {
    const opened = await openOutput(fs, root, path);
    if (typeof opened === 'string') return 'unreadable';
    return await judgeFormat(extensionOf(path), handleSource(opened, size)).finally(() => opened.close());
  } catch {
    return 'unreadable';
  }
}
