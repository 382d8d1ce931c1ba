// The bench's command line.
import { tmpdir } from 'node:os';
import { parseArgs } from 'node:util';

export interface Options {
  quick: boolean;
  /** Row ids; empty means all. */
  only: string[];
  /** Contender ids; empty means all. */
  contenders: string[];
  /** Where the run may work. */
  directory: string;
  /** Nothing new is begun after this many minutes. */
  minutes: number;
}

export const USAGE = `npm run bench [-- OPTIONS]
  --only ROW,ROW         only these rows
  --contenders ID,ID     only these contenders
  --quick                smaller and fewer: to try the bench, not to quote it
  --dir DIRECTORY        where to work (default: the system's temporary directory)
  --minutes N            begin nothing new after N minutes (default 14)`;

/** Throws on what can't be understood. */
export function parseOptions(args: readonly string[], rows: readonly string[], contenders: readonly string[]): Options {
  const { values } = parseArgs({
    args: [...args],
    options: {
      only: { type: 'string', default: '' },
      contenders: { type: 'string', default: '' },
      quick: { type: 'boolean', default: false },
      dir: { type: 'string', default: tmpdir() },
      minutes: { type: 'string', default: '14' },
    },
  });
  const minutes = Number(values.minutes);
  if (!(minutes > 0)) throw new Error(`--minutes takes a number above 0, not "${values.minutes}"`);
  return {
    quick: values.quick,
    only: parseNames('--only', values.only, rows),
    contenders: parseNames('--contenders', values.contenders, contenders),
    directory: values.dir,
    minutes,
  };
}

function parseNames(option: string, text: string, known: readonly string[]): string[] {
  const names = text.split(',').filter((name) => name !== '');
  const unknown = names.filter((name) => !known.includes(name));
  if (unknown.length > 0) throw new Error(`${option} doesn't know ${unknown.join(', ')}; it knows ${known.join(', ')}`);
  return names;
}
