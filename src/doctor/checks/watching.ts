// How files are noticed and seen to be finished: do events arrive here, how many may be watched for, and can the open
// files of other programs be seen?
import { readdir, readFile, readlink, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { ExitCode, errorText } from '../../errors.ts';
import { fsPath, printable } from '../../paths.ts';
import { number } from '../../status/words.ts';
import type { HintListener, HintSource } from '../../watch/hints.ts';
import { INOTIFYWAIT, NotInstalledError, startInotifywait } from '../../watch/inotifywait.ts';
import { PARCEL, startParcel } from '../../watch/parcel.ts';
import { type Check, type Finding, good, note, warning } from '../check.ts';
import type { Subject } from '../subject.ts';

const PATIENCE_MS = 4000;
/** A user who has used this share of a limit soon meets it. */
const NEARLY = 0.9;

export const watchingChecks: readonly Check[] = [
  { id: 'hints', title: 'Events', needs: ['state'], exitCode: ExitCode.left, seconds: 20, look: tryHints },
  {
    id: 'watch-limits',
    title: 'Watch limits',
    exitCode: ExitCode.left,
    look: async () => {
      const limits = await readWatchLimits().catch(() => undefined);
      return limits ? describeWatchLimits(limits) : note('they are not to be seen here');
    },
  },
  { id: 'writers', title: 'Writers', needs: ['output'], exitCode: ExitCode.left, look: lookForWriters },
];

type Start = (dir: string, listener: Pick<HintListener, 'hint' | 'lost'>, signal: AbortSignal) => Promise<HintSource>;

const sources: readonly [name: string, start: Start][] = [
  [INOTIFYWAIT, (dir, listener, signal) => startInotifywait(dir, listener, { signal })],
  [PARCEL, (dir, listener, signal) => startParcel(dir, listener, { signal })],
];

/** What came of a source: how long an event took, or why there was none. */
export type Trial = { source: string; ms: number } | { source: string; reason: string; missing: boolean };

async function tryHints(subject: Subject, signal: AbortSignal): Promise<Finding> {
  const { dir } = subject.scratch!;
  const trials: Trial[] = [];
  for (const [source, start] of sources) trials.push(await trySource(subject, source, start, dir, signal));
  return describeTrials(trials, subject.config.scanSeconds);
}

async function trySource(
  { clock, fs }: Subject,
  source: string,
  start: Start,
  dir: string,
  signal: AbortSignal,
): Promise<Trial> {
  const name = `${source.replace(/\W+/g, '-')}.txt`;
  const heard = Promise.withResolvers<true>();
  const over = new AbortController();
  const hint: HintListener['hint'] = ({ path }) => path === name && heard.resolve(true);
  const failed = (reason: string, missing = false): Trial => ({ source, reason, missing });
  let running: HintSource | undefined;
  try {
    const starting = start(dir, { hint, lost: () => {} }, AbortSignal.any([signal, over.signal]));
    const late = clock.sleep(PATIENCE_MS, over.signal).then(() => undefined);
    running = await Promise.race([starting, late]);
    if (!running) return failed('it does not start in time');
    const began = clock.monotonic();
    await fs.writeFile(fsPath(join(dir, name)), 'r2-sync doctor\n');
    const came = await Promise.race([heard.promise, clock.sleep(PATIENCE_MS, over.signal)]);
    return came ? { source, ms: clock.monotonic() - began } : failed('no event comes for a file that is written');
  } catch (error) {
    return failed(errorText(error), error instanceof NotInstalledError);
  } finally {
    over.abort();
    await running?.close();
  }
}

export function describeTrials(trials: readonly Trial[], scanSeconds: number): Finding {
  const words = trials
    .map((trial) =>
      'ms' in trial
        ? `${trial.source} tells of a file after ${Math.max(1, Math.round(trial.ms))} ms`
        : `${trial.source}: ${printable(trial.reason)}`,
    )
    .join('; ');
  const working = trials.filter((trial) => 'ms' in trial).length;
  if (working === trials.length) return good(words);
  if (working === 0) {
    return warning(words, `Files are found by scanning alone, within about ${scanSeconds} s: nothing is missed.`);
  }
  const missing = trials.some((trial) => 'missing' in trial && trial.missing);
  return note(words, missing ? 'With the package inotify-tools files are noticed a little sooner.' : undefined);
}

export interface WatchLimits {
  /** Of this user, as far as can be seen from here: watchers, and directories that they watch. */
  instances: number;
  watches: number;
  maxInstances: number;
  maxWatches: number;
}

export function describeWatchLimits({ instances, watches, maxInstances, maxWatches }: WatchLimits): Finding {
  const words = `${number(watches)} of ${number(maxWatches)} directories watched, by ${number(instances)} of ${number(maxInstances)} watchers`;
  const setting =
    watches >= NEARLY * maxWatches
      ? 'fs.inotify.max_user_watches'
      : instances >= NEARLY * maxInstances
        ? 'fs.inotify.max_user_instances'
        : undefined;
  if (setting === undefined) return good(words);
  return warning(words, `Raise ${setting} on the host, where you can. Without watching, files are found by scanning.`);
}

/** The kernel counts by user. */
async function readWatchLimits(): Promise<WatchLimits> {
  const limit = async (name: string) => Number(await readFile(`/proc/sys/fs/inotify/${name}`, 'utf8'));
  const counts = { instances: 0, watches: 0 };
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    const owner = await stat(`/proc/${pid}`).catch(() => undefined);
    if (owner?.uid !== process.getuid?.()) continue;
    for (const descriptor of await readdir(`/proc/${pid}/fd`).catch(() => [])) {
      const target = await readlink(`/proc/${pid}/fd/${descriptor}`).catch(() => '');
      if (target !== 'anon_inode:inotify') continue;
      counts.instances += 1;
      const info = await readFile(`/proc/${pid}/fdinfo/${descriptor}`, 'latin1').catch(() => '');
      counts.watches += info.split('\n').filter((line) => line.startsWith('inotify ')).length;
    }
  }
  return {
    ...counts,
    maxInstances: await limit('max_user_instances'),
    maxWatches: await limit('max_user_watches'),
  };
}

async function lookForWriters({ config, volume }: Subject): Promise<Finding> {
  if (config.writers === 'remote')
    return note(`R2_WRITERS=remote: files are finished when they have been quiet (${config.quietSeconds} s)`);
  const { complete } = await volume.ask('examine', { root: config.outputDir, paths: [], writers: true });
  if (complete) return good('the open files of every program here can be seen: a finished file goes at once');
  return warning(
    `the open files of some programs are hidden from the user ${process.getuid?.()}`,
    `Files wait until they have been quiet for ${config.quietSeconds} s. Run r2-sync as root, or as the user that ComfyUI runs as.`,
  );
}
