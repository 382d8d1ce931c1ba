// The bench's command line.
import { tmpdir } from 'node:os';
import { parseArgs } from 'node:util';
import type { StoreKind } from './row.ts';

export interface Options {
  quick: boolean;
  /** Row ids; empty means all. */
  only: string[];
  /** The extra rows, too. */
  all: boolean;
  /** Contender ids; empty means all, or the few of a quick run. */
  contenders: string[];
  /** Where the run may work. */
  directory: string;
  /** What the rows store into, but for those that name their store. */
  store: StoreKind;
  /** Nothing new is begun after this many minutes. */
  minutes: number;
  /** Take the figures into the docs. */
  publish: boolean;
}

export const USAGE = `npm run bench [-- OPTIONS]
  --only ROW,ROW         only these rows
  --all                  the rows that cost minutes and change seldom, too
  --contenders ID,ID     only these contenders
  --quick                smaller and fewer: to try the bench, not to quote it
  --dir DIRECTORY        where to work (default: the system's temporary directory)
  --store double|real    what to store into (default: the project's double; real: versitygw on this machine)
  --minutes N            begin nothing new after N minutes (default 30)
  --publish              take the figures into docs/benchmarks.md; with --only, those rows alone`;

/** Throws on what can't be understood. */
export function parseOptions(args: readonly string[], rows: readonly string[], contenders: readonly string[]): Options {
  const { values } = parseArgs({
    args: [...args],
    options: {
      only: { type: 'string', default: '' },
      contenders: { type: 'string', default: '' },
      quick: { type: 'boolean', default: false },
      all: { type: 'boolean', default: false },
      dir: { type: 'string', default: tmpdir() },
      minutes: { type: 'string', default: '30' },
      store: { type: 'string', default: 'double' },
      publish: { type: 'boolean', default: false },
    },
  });
  const minutes = Number(values.minutes);
  if (!(minutes > 0)) throw new Error(`--minutes takes a number above 0, not "${values.minutes}"`);
  const store = values.store;
  if (store !== 'double' && store !== 'real') throw new Error(`--store takes double or real, not "${store}"`);
  const options: Options = {
    quick: values.quick,
    all: values.all,
    only: parseNames('--only', values.only, rows),
    contenders: parseNames('--contenders', values.contenders, contenders),
    directory: values.dir,
    store,
    publish: values.publish,
    minutes,
  };
  if (options.publish && partOf(options) === 'trial')
    throw new Error('--publish takes no --contenders, and with --only no --quick: the page would have holes');
  return options;
}

/**
 * What a run is to the page: undefined, all of it; `rows`, some whole rows, which may take the places of those that are
 * there; `trial`, nothing for the page.
 */
export function partOf({ only, contenders, quick }: Options): 'rows' | 'trial' | undefined {
  if (contenders.length > 0 || (quick && only.length > 0)) return 'trial';
  return only.length > 0 ? 'rows' : undefined;
}

function parseNames(option: string, text: string, known: readonly string[]): string[] {
  const names = text.split(',').filter((name) => name !== '');
  const unknown = names.filter((name) => !known.includes(name));
  if (unknown.length > 0) throw new Error(`${option} doesn't know ${unknown.join(', ')}; it knows ${known.join(', ')}`);
  return names;
}
