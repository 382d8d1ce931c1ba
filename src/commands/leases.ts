// `r2-sync leases`: who holds which folder, by the lease's files on the volume. Writes nothing and asks no store.
import { hostname } from 'node:os';
import { styleText } from 'node:util';
import { type Clock, systemClock } from '../clock.ts';
import type { Config } from '../config/types.ts';
import { ExitCode, errorText, UserError } from '../errors.ts';
import { type FolderLease, readLeases } from '../lease/survey.ts';
import { podHash } from '../object/metadata.ts';
import { printable } from '../paths.ts';
import { askAgent } from '../status/client.ts';
import { folderName } from '../status/render.ts';
import { type Column, tableLines, wrap } from '../status/terminal.ts';
import { ago, duration, number } from '../status/words.ts';
import { VolumeGate } from '../volume/gate.ts';
import { giveUp, runApart } from './apart.ts';
import { printJson, terminalWidth } from './output.ts';
import { requireConfig } from './settings.ts';
import { locateOutput } from './survey.ts';

/** A call on the volume that takes longer isn't waited for. */
const PATIENCE_MS = 10_000;

export interface LeaseSurvey {
  /** Where the files lie. */
  directory: string;
  /** Short hash of this pod. */
  pod: string;
  /** false: R2_LEASE=off here. */
  takesPart: boolean;
  /** How long a pod must be silent before another one takes its folders. */
  leaseSeconds: number;
  leases: FolderLease[];
}

export function leases(options: { json: boolean }): Promise<ExitCode> {
  return runApart(() => tellLeases(options));
}

async function tellLeases(options: { json: boolean }): Promise<ExitCode> {
  const { config } = requireConfig(false);
  if (config.endpoint === '') {
    const fix = 'Set R2_ENDPOINT and R2_BUCKET as the agent has them; the keys are not needed.';
    throw new UserError('R2_ENDPOINT is not set, so nobody knows which leases are meant', fix, ExitCode.usage);
  }
  const volumeGate = new VolumeGate(systemClock);
  const survey = await unlessHung(surveyLeases(config, volumeGate), volumeGate, systemClock);
  if (survey === 'hung') {
    console.error(
      `r2-sync: the volume of ${config.outputDir} doesn't answer.\nTry again; the agent's log and status page say more.`,
    );
    return await giveUp(ExitCode.unexpected);
  }
  if (options.json) printJson(survey);
  else if (process.stdout.isTTY) console.log(renderTable(survey, terminalWidth(), systemClock.wall()));
  else console.log(renderLines(survey));
  return ExitCode.done;
}

/** What `work` gives, or 'hung' as soon as one of its calls on the volume has taken too long. */
export async function unlessHung<T>(
  work: Promise<T>,
  gate: Pick<VolumeGate, 'overdueMs'>,
  clock: Clock,
): Promise<T | 'hung'> {
  const done = new AbortController();
  const watch = async () => {
    while (!done.signal.aborted && gate.overdueMs() < PATIENCE_MS) await clock.sleep(PATIENCE_MS / 20, done.signal);
    return 'hung' as const;
  };
  return await Promise.race([work, watch()]).finally(() => done.abort());
}

async function surveyLeases(config: Config, { fs }: VolumeGate): Promise<LeaseSurvey> {
  // An SSH shell may not have the variable that tells which pod this is; the agent does.
  const agent = await askAgent(config, '/api/status').catch(() => undefined);
  const pod = agent?.pod ?? podHash(process.env, hostname());
  const { targetDir } = await locateOutput(config, fs);
  const { leaseSeconds } = config;
  try {
    const leases = await readLeases(fs, targetDir, { pod, leaseSeconds, now: systemClock.wall() });
    return { directory: printable(targetDir), pod, takesPart: config.lease, leaseSeconds, leases };
  } catch (error) {
    const fix = 'Run this as a user who may read it, and look whether the volume is there.';
    throw new UserError(`${targetDir} can't be read (${errorText(error)})`, fix, ExitCode.unexpected, { cause: error });
  }
}

/** For a terminal: a sentence, a table, and what needs to be explained. `now`: wall ms. */
export function renderTable(survey: LeaseSurvey, width: number, now: number): string {
  const paint = (style: 'yellow' | 'bold', text: string) => styleText(style, text, { validateStream: false });
  const columns: Column<FolderLease>[] = [
    ['Folder', 'name', ({ folder }) => folderName(folder)],
    ['Held by', 'name', holder],
    ['Claim', 'count', ({ epoch }) => (epoch === null ? '-' : String(epoch))],
    ['Since', 'short', (lease) => (lease.silentSeconds === null ? '-' : ago(lease.since ?? '', now))],
    ['Last beat', 'short', lastBeat],
  ];
  const [head, ...rows] = tableLines(columns, survey.leases, width);
  const notes = describeOddities(survey).flatMap((note) => wrap(note, width, '! ', '  '));
  return [
    wrap(summarize(survey), width),
    ...(rows.length > 0 ? [[paint('bold', head!), ...rows]] : []),
    ...(notes.length > 0 ? [notes.map((line) => paint('yellow', line))] : []),
  ]
    .map((block) => block.join('\n'))
    .join('\n\n');
}

/** For a pipe: a line for each folder, which says all there is about it. */
export function renderLines(survey: LeaseSurvey): string {
  const { leases, takesPart } = survey;
  const lines = leases.map((lease) => {
    const { folder, state, epoch, since, thisPod, pod, silentSeconds, problem } = lease;
    const who = `${state === 'released' || thisPod || pod === null ? '' : 'pod '}${holder(lease)}`;
    const claim = epoch === null ? '' : `, claim ${epoch}${since === null ? '' : ` since ${since}`}`;
    const told = state === 'silent' ? `${lastBeat(lease)}, another pod may take it over` : lastBeat(lease);
    const beat = state === 'held' && silentSeconds !== null ? `last beat ${told}` : told;
    return `${folderName(folder)}: ${who}${claim}${problem === null ? `, ${beat}` : `. ${problem}`}`;
  });
  return [...(takesPart ? [] : [OFF]), ...(lines.length > 0 ? lines : [summarize(survey)])].join('\n');
}

const OFF = 'R2_LEASE=off: this pod uploads everything and asks nobody. Below is what other agents say.';

function holder({ state, pod, host, thisPod }: FolderLease): string {
  if (state === 'released') return 'nobody';
  if (thisPod) return 'this pod';
  return pod === null ? 'unknown' : `${pod} on ${host}`;
}

function lastBeat({ state, silentSeconds }: FolderLease): string {
  if (state === 'released') return 'given back';
  if (state === 'unreadable') return 'unreadable';
  if (silentSeconds === null) return 'clock differs';
  return state === 'silent' ? `silent for ${duration(silentSeconds)}` : `about ${duration(silentSeconds)} ago`;
}

function summarize({ leases, directory }: LeaseSurvey): string {
  if (leases.length === 0) return `No pod has claimed a folder yet: there is no claim in ${directory}.`;
  const count = (wish: (lease: FolderLease) => boolean) => leases.filter(wish).length;
  const parts: [number, string][] = [
    [count(({ state, thisPod }) => state === 'held' && thisPod), 'held by this pod'],
    [count(({ state, thisPod }) => state === 'held' && !thisPod), 'held by other pods'],
    [count(({ state }) => state === 'silent'), 'silent'],
    [count(({ state }) => state === 'unreadable'), 'unreadable'],
    [count(({ state }) => state === 'released'), 'free'],
  ];
  const words = parts.filter(([n]) => n > 0).map(([n, what]) => (n === leases.length ? what : `${number(n)} ${what}`));
  return `${number(leases.length)} ${leases.length === 1 ? 'folder' : 'folders'}: ${words.join(', ')}.`;
}

/** What in the table isn't as it mostly is, and what comes of it. */
function describeOddities({ leases, leaseSeconds, takesPart }: LeaseSurvey): string[] {
  const notes = takesPart ? [] : [OFF];
  if (leases.some(({ state }) => state === 'silent')) {
    notes.push(
      `Silent: no sign of life for more than ${leaseSeconds} s. Another pod may take such a folder over, and does as soon as something is due in it.`,
    );
  }
  if (leases.some(({ state, silentSeconds }) => state === 'held' && silentSeconds === null)) {
    notes.push(
      "Clock differs: the holder's clock isn't set as this one, so nobody can say when. No lease depends on it.",
    );
  }
  return [...notes, ...leases.flatMap(({ folder, problem }) => (problem ? [`${folderName(folder)}: ${problem}`] : []))];
}
