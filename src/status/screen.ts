// The picture of `r2-sync top`: what the page shows, in as many rows as the window has. What matters most gets its rows
// first; what doesn't fit is counted.
import { styleText } from 'node:util';
import { printable } from '../paths.ts';
import type { Pace } from './pace.ts';
import {
  agentWords,
  describeSkipped,
  folderColumns,
  groupParked,
  headline,
  mood,
  orderFolders,
  otherReasons,
  pendingColumns,
} from './render.ts';
import type { Snapshot, StoredFile, WaitingFile } from './snapshot.ts';
import { bar, type Column, clip, cut, tableLines, wrap } from './terminal.ts';
import { ago, duration, number, size } from './words.ts';

export interface ScreenOptions {
  color: boolean;
  /** Columns and rows of the window. */
  width: number;
  height: number;
  /** Wall-clock milliseconds. */
  now: number;
  pace: Pace;
}

type Style = 'green' | 'yellow' | 'red' | 'bold' | 'dim';

/** A block of lines under a title. */
interface Section {
  title: string;
  /** Rows, with the title: fewer are of no use; more than enough only if all the others have enough. */
  least: number;
  enough: number;
  lines: readonly string[];
  /** What is said in place of the lines from `shown` on; undefined: nothing. */
  rest?: (shown: number) => string | undefined;
}

/** What the last line says beside the agent's. */
const KEYS = 'q quits';
/** More are in no window. */
const MOST_LINES = 300;

/** Exactly as many lines as the window has rows, none longer than it is wide. */
export function renderScreen(snapshot: Snapshot, options: ScreenOptions): string[] {
  const { width, height, now, color } = options;
  const paint = (style: Style, lines: readonly string[]) =>
    lines.map((line) => (color && line !== '' ? styleText(style, line, { validateStream: false }) : line));
  const moodStyle = { fine: 'green', busy: 'yellow', bad: 'red' } as const;
  const head = wrap(headline(snapshot, now), width).map((line) => clip(line, width));
  const reasons = otherReasons(snapshot).flatMap((reason) => wrap(reason, width, '! ', '  '));
  const foot = clip(`${KEYS} · ${agentWords(snapshot)}`, width);
  // Half of the window at most is for what is wrong: the rest says what goes on all the same.
  const told = fill(
    { lines: reasons, rest: tellStatus(reasons.length) },
    Math.max(1, Math.floor(height / 2) - head.length),
    width,
  );
  const lines = [...paint(moodStyle[mood(snapshot)], head), ...paint('yellow', told)].slice(0, height - 1);
  const sections = sectionsOf(snapshot, options);
  const rows = shareRows(
    sections.map(({ lines, least, enough }) =>
      [least, enough, Infinity].map((rows) => Math.min(rows, lines.length + 1)),
    ),
    height - 1 - lines.length,
  );
  sections.forEach((section, i) => {
    if (rows[i] === 0) return;
    lines.push('', ...paint('bold', [clip(section.title, width)]), ...fill(section, rows[i]! - 1, width));
  });
  while (lines.length < height - 1) lines.push('');
  return [...lines, ...paint('dim', [foot])];
}

/**
 * How many rows each section gets, without the empty one above it; 0: left out. In each round, those that come first get
 * what they wish first. In the first round it is that or nothing.
 * @param wishes of each section, round by round
 */
export function shareRows(wishes: readonly (readonly number[])[], room: number): number[] {
  const rows = wishes.map(() => 0);
  let left = room;
  for (const [i, [wish = 0]] of wishes.entries()) {
    if (wish === 0 || wish + 1 > left) continue;
    left -= wish + 1;
    rows[i] = wish;
  }
  for (let round = 1; round < (wishes[0]?.length ?? 0); round += 1) {
    for (const [i, wish] of wishes.entries()) {
      const more = rows[i] === 0 ? 0 : Math.max(0, Math.min(left, wish[round]! - rows[i]!));
      left -= more;
      rows[i]! += more;
    }
  }
  return rows;
}

/** The most important first. */
function sectionsOf(snapshot: Snapshot, options: ScreenOptions): Section[] {
  const { width, now, pace } = options;
  const { pending, recent, totals } = snapshot;
  // Those that take long first: of them it can be told how far they are.
  const uploading = pending.filter((file) => file.uploading).sort((a, b) => b.bytes - a.bytes);
  const waiting = pending.filter((file) => !file.uploading);
  const folders = orderFolders(snapshot.folders).slice(0, MOST_LINES);
  const [folderTitle = '', ...folderRows] =
    folders.length === 0 ? [] : tableLines(folderColumns(snapshot, now), folders, width);
  const parked = groupParked(snapshot.parked).flatMap((group) => describeGroup(group, width));
  const speed = pace.total === undefined ? '' : `, ${size(pace.total)}/s in all`;
  const skipped = describeSkipped(snapshot);
  const all: Section[] = [
    {
      title: `Being uploaded now${speed}`,
      least: 4,
      enough: 12,
      lines: list(uploadColumns(width, pace), uploading, width),
      rest: countRest(uploading.length),
    },
    {
      title: 'Parked: something must be fixed first',
      least: 4,
      enough: 9,
      lines: parked,
      rest: tellStatus(parked.length),
    },
    {
      title: 'On their way',
      least: 3,
      enough: 6,
      lines: list(pendingColumns, waiting, width),
      rest: countRest(totals.pendingFiles - uploading.length),
    },
    { title: folderTitle, least: 3, enough: 9, lines: folderRows, rest: countRest(snapshot.folders.length) },
    { title: 'Stored last', least: 3, enough: 9, lines: list(recentColumns(width, now), recent, width) },
    {
      title: 'Left alone by the settings',
      least: 2,
      enough: 2,
      lines: skipped === '' ? [] : wrap(skipped, width, '  '),
    },
  ];
  return all.filter(({ lines }) => lines.length > 0);
}

/** What to do comes before why: it is what must be seen in a small window. */
function describeGroup({ reason, fix, paths }: ReturnType<typeof groupParked>[number], width: number): string[] {
  const others = paths.length > 1 ? ` and ${number(paths.length - 1)} more` : '';
  const name = `  ${cut(paths[0]!, Math.max(8, width - 2 - others.length))}${others}`;
  return [name, ...wrap(fix, width, '    → ', '      '), `    ${reason}`];
}

function list<T>(columns: readonly Column<T>[], rows: readonly T[], width: number): string[] {
  if (rows.length === 0) return [];
  return tableLines(columns, rows.slice(0, MOST_LINES), width - 2, false).map((line) => `  ${line}`);
}

function uploadColumns(width: number, { byPath }: Pace): Column<WaitingFile>[] {
  const barWidth = Math.max(6, Math.min(30, Math.floor(width / 5)));
  const share = ({ sent, bytes }: WaitingFile) => (bytes > 0 ? sent / bytes : 0);
  const left = ({ path, bytes, sent }: WaitingFile) => {
    const speed = byPath.get(path);
    return speed === undefined ? '' : `${duration(Math.max(1, (bytes - sent) / speed))} left`;
  };
  const speed = ({ path }: WaitingFile) => {
    const bytes = byPath.get(path);
    return bytes === undefined ? '' : `${size(bytes)}/s`;
  };
  const columns: [narrowest: number, column: Column<WaitingFile>][] = [
    [0, ['File', 'name', ({ path }) => printable(path)]],
    // Of a file that goes in one piece, nobody knows how far it is.
    [0, ['Progress', 'name', (file) => (file.sent > 0 ? bar(share(file), barWidth) : '·'.repeat(barWidth))]],
    [0, ['Share', 'count', (file) => (file.sent > 0 ? `${Math.floor(100 * share(file))} %` : '')]],
    [60, ['Size', 'count', ({ bytes }) => size(bytes)]],
    [90, ['Speed', 'count', speed]],
    [60, ['Left', 'count', left]],
  ];
  return columns.filter(([narrowest]) => width >= narrowest).map(([, column]) => column);
}

function recentColumns(width: number, now: number): Column<StoredFile>[] {
  const took = (seconds: number) => (seconds < 10 ? `${seconds.toFixed(1)} s` : duration(seconds));
  const columns: [narrowest: number, column: Column<StoredFile>][] = [
    [0, ['File', 'name', ({ path, incomplete }) => `${printable(path)}${incomplete ? ' (incomplete)' : ''}`]],
    [0, ['Size', 'count', ({ bytes }) => size(bytes)]],
    [60, ['Took', 'count', ({ seconds }) => `took ${took(seconds)}`]],
    [0, ['When', 'count', ({ at }) => ago(at, now)]],
  ];
  return columns.filter(([narrowest]) => width >= narrowest).map(([, column]) => column);
}

/** As many lines as there are rows, and as much of them as the window is wide. */
function fill({ lines, rest }: Pick<Section, 'lines' | 'rest'>, rows: number, width: number): string[] {
  let shown = lines.slice(0, rows);
  let left = rest?.(shown.length);
  if (left !== undefined && shown.length === rows) {
    shown = shown.slice(0, -1);
    left = rest?.(shown.length);
  }
  return [...shown, ...(left === undefined ? [] : [left])].map((line) => clip(line, width));
}

/** Where a line isn't an entry. */
function tellStatus(all: number): (shown: number) => string | undefined {
  return (shown) => (all > shown ? '  … more with `r2-sync status`' : undefined);
}

function countRest(all: number): (shown: number) => string | undefined {
  return (shown) => (all > shown ? `  … and ${number(all - shown)} more` : undefined);
}
