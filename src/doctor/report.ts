// What `r2-sync doctor` reports and prints: a line for each finding, what to do below it, and one sentence at the end.
import { styleText } from 'node:util';
import { ExitCode } from '../errors.ts';
import { printable } from '../paths.ts';
import { wrap } from '../status/terminal.ts';
import { number } from '../status/words.ts';
import type { Finding, Mark } from './check.ts';

const signs: Record<Mark, readonly [sign: string, style: 'green' | 'yellow' | 'red' | 'dim']> = {
  good: ['✔', 'green'],
  note: ['i', 'dim'],
  warning: ['!', 'yellow'],
  bad: ['✘', 'red'],
  skipped: ['-', 'dim'],
};

/** The longest title has so many letters. The checks themselves aren't loaded for that: who prints doesn't make them. */
export const titleWidth = 21;

/** Which failure is told where there are several: first what causes the others. */
const WEIGHT: readonly ExitCode[] = [ExitCode.usage, ExitCode.refused, ExitCode.left, ExitCode.unexpected];

export interface Report extends Finding {
  /** The check's id and title. */
  check: string;
  title: string;
  /** How long the whole check took. */
  seconds: number;
}

/** Of the whole command. */
export function exitCodeOf(reports: readonly Report[]): ExitCode {
  const codes = reports.map(({ exitCode }) => exitCode);
  return WEIGHT.find((code) => codes.includes(code)) ?? ExitCode.done;
}

export interface Look {
  color: boolean;
  /** Columns; Infinity breaks no lines. */
  width: number;
}

/** The lines of one finding. */
export function renderReport({ mark, result, fix, title }: Report, { color, width }: Look): string {
  const [sign, style] = signs[mark];
  const paint = (text: string) => (color ? styleText(style, text, { validateStream: false }) : text);
  const indent = ' '.repeat(titleWidth + 4);
  const [first = '', ...rest] = wrap(printable(result), width, `${sign} ${title.padEnd(titleWidth)}  `, indent);
  const todo = fix === undefined ? [] : wrap(printable(fix), width, `${indent}→ `, `${indent}  `);
  return [paint(sign) + first.slice(sign.length), ...rest, ...todo].join('\n');
}

/** The last lines: how it is in all, and what is left behind. `bucket` is where the keys of `left` are. */
export function renderEnd(reports: readonly Report[], left: Iterable<string>, bucket: string, { width }: Look): string {
  const count = (mark: Mark) => reports.filter((report) => report.mark === mark).length;
  const wrong = count('bad');
  const warnings = count('warning');
  const could = warnings === 0 ? '' : `${number(warnings)} ${warnings === 1 ? 'thing' : 'things'} could be better`;
  const sentence =
    wrong > 0
      ? `${number(wrong)} ${wrong === 1 ? 'thing is' : 'things are'} wrong${could === '' ? '' : `, ${could}`}.`
      : could === ''
        ? 'All is well.'
        : `Nothing is wrong; ${could}.`;
  const keys = [...left].map(printable);
  const stays =
    keys.length === 0
      ? []
      : wrap(
          `In the bucket "${printable(bucket)}" stay, for this and every later run: ${keys.join(', ')}. r2-sync never deletes an object; you may.`,
          width,
        );
  return ['', ...wrap(sentence, width), ...stays].join('\n');
}
