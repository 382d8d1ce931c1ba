// The torture's command line.
import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';

export interface Options {
  /** One run for each. */
  seeds: number[];
  /** Of each run. */
  minutes: number;
  /** Undefined: drawn from the seed. */
  pods: number | undefined;
  volume: 'local' | 'moosefs';
  /** Names of planted bugs that the runs are to find; empty: the agent as it is. */
  bugs: string[];
  /** Runs at the same time. */
  jobs: number;
  /** Results are appended here, a line of JSON for each run. */
  report: string | undefined;
}

/** Whoever asks for help gets it, whatever else was said. */
export const asksForHelp = (args: readonly string[]) => args.includes('--help') || args.includes('-h');

export const USAGE = `npm run torture -- [OPTIONS]
  --seed N        what happens is drawn from it; N,N,... and N-N run several (default 1)
  --minutes M     how long each run goes on (default 1)
  --pods K        1 to 4 agents on one volume (default: drawn from the seed)
  --volume KIND   local (default), or moosefs: a real one, which takes root
  --bug NAME,...  plant this bug in the agent, or "all", each one alone: exit code 0 if a seed finds each of them
  --jobs J        so many runs at a time (default 1)
  --report FILE   append each run's result to it, a line of JSON each`;

/** Throws on what can't be understood. @param bugs the names that there are */
export function parseOptions(args: readonly string[], bugs: readonly string[]): Options {
  const { values } = parseArgs({
    args: [...args],
    options: {
      seed: { type: 'string', default: '1' },
      minutes: { type: 'string', default: '1' },
      pods: { type: 'string' },
      volume: { type: 'string', default: 'local' },
      bug: { type: 'string', default: '' },
      jobs: { type: 'string', default: '1' },
      report: { type: 'string' },
    },
  });
  const { volume } = values;
  if (volume !== 'local' && volume !== 'moosefs') throw new Error(`--volume takes local or moosefs, not "${volume}"`);
  const named = values.bug === 'all' ? [...bugs] : values.bug.split(',').filter((name) => name !== '');
  const unknown = named.filter((name) => !bugs.includes(name));
  if (unknown.length > 0) throw new Error(`--bug doesn't know ${unknown.join(', ')}; it knows ${bugs.join(', ')}`);
  return {
    seeds: parseSeeds(values.seed),
    minutes: parseNumber('--minutes', values.minutes, 0.1, 10_000),
    pods: values.pods === undefined ? undefined : Math.round(parseNumber('--pods', values.pods, 1, 4)),
    volume,
    bugs: named,
    jobs: Math.round(parseNumber('--jobs', values.jobs, 1, 4 * availableParallelism())),
    report: values.report,
  };
}

function parseSeeds(text: string): number[] {
  return text.split(',').flatMap((part) => {
    const range = /^(\d+)(?:-(\d+))?$/.exec(part);
    const from = Number(range?.[1]);
    const to = Number(range?.[2] ?? from);
    if (!range || to < from || to > 2 ** 32) throw new Error(`--seed takes whole numbers and ranges, not "${part}"`);
    return Array.from({ length: to - from + 1 }, (_, index) => from + index);
  });
}

function parseNumber(option: string, text: string, least: number, most: number): number {
  const value = Number(text);
  if (!(value >= least && value <= most)) throw new Error(`${option} takes ${least} to ${most}, not "${text}"`);
  return value;
}
