// How the agent's state is put into words: the headline that page, log and `r2-sync status` share, and the plain text
// of `r2-sync status`. Names from disk go through `printable` here and nowhere later.
import { styleText } from 'node:util';
import { printable } from '../paths.ts';
import type { FolderStatus, ParkedFile, Snapshot } from './snapshot.ts';

/** How many lines a list gets in the terminal before "… and n more". */
const limits = { folders: 30, pending: 10, namesPerParkedReason: 5 };
const minimumWidth = 40;

/**
 * One sentence for "may I stop the pod now?", and why not. Plain text without control characters.
 * `now` is wall-clock milliseconds, for "3 s ago".
 */
export function headline(snapshot: Snapshot, now: number = Date.now()): string {
  const { pendingFiles, parkedFiles, storedFiles } = snapshot.totals;
  if (snapshot.state === 'failing') {
    const reason = endSentence(printable(snapshot.reasons[0] ?? 'Nothing can be uploaded at the moment; see the log'));
    if (pendingFiles === 0) return reason;
    return `${reason} ${files(pendingFiles)} ${pendingFiles === 1 ? 'waits' : 'wait'}: don't stop the pod yet.`;
  }
  if (pendingFiles > 0) {
    const way = `${files(pendingFiles)} ${pendingFiles === 1 ? 'is on its' : 'are on their'} way`;
    if (snapshot.safeToStop) return `${way}, but none of them waits for this pod. You may stop it.`;
    const left = snapshot.etaSeconds === null ? '' : `, about ${duration(Math.max(1, snapshot.etaSeconds))} left`;
    return `${way}${left}: don't stop the pod yet.`;
  }
  if (parkedFiles > 0) {
    const rest = storedFiles === 0 ? '' : `; the other ${number(storedFiles)} ${be(storedFiles)} in the bucket`;
    const them = parkedFiles === 1 ? 'it' : 'them';
    return `${files(parkedFiles)} can't be uploaded until something is fixed${rest}. Stop the pod only if you can do without ${them}.`;
  }
  const all = storedFiles === 1 ? 'The only file' : `All ${files(storedFiles)}`;
  if (!snapshot.safeToStop) {
    if (storedFiles === 0) return "Still looking for files: don't stop the pod yet.";
    return `${all} known so far ${be(storedFiles)} in the bucket; still looking for more: don't stop the pod yet.`;
  }
  if (storedFiles === 0) return 'There is nothing to upload yet. You may stop the pod.';
  const last = lastStoredAt(snapshot);
  const when = last === undefined ? '' : `, ${storedFiles === 1 ? 'stored' : 'last one'} ${ago(last, now)}`;
  return `${all} ${be(storedFiles)} in the bucket${when}. You may stop the pod.`;
}

/** What colour the headline has: fine, wait, or do something. */
export function mood(snapshot: Snapshot): 'fine' | 'busy' | 'bad' {
  if (snapshot.state === 'failing') return 'bad';
  if (!snapshot.safeToStop || snapshot.totals.parkedFiles > 0) return 'busy';
  return 'fine';
}

/** The reasons that the headline doesn't already say. */
export function otherReasons(snapshot: Snapshot): string[] {
  return snapshot.reasons.slice(snapshot.state === 'failing' ? 1 : 0).map(printable);
}

/** The text of `r2-sync status`, without a newline at the end. `width`: columns; `now`: wall-clock milliseconds. */
export function renderStatus(
  snapshot: Snapshot,
  options: { color: boolean; width: number; now?: number | undefined },
): string {
  const now = options.now ?? Date.now();
  const width = Math.max(minimumWidth, options.width);
  const paint = (style: 'green' | 'yellow' | 'red' | 'bold' | 'dim', text: string) =>
    options.color ? styleText(style, text, { validateStream: false }) : text;
  const color = { fine: 'green', busy: 'yellow', bad: 'red' } as const;

  const blocks: string[][] = [
    wrap(headline(snapshot, now), width).map((line) => paint(color[mood(snapshot)], line)),
    otherReasons(snapshot).flatMap((reason) => wrap(reason, width, '! ', '  ').map((line) => paint('yellow', line))),
    titled(folderLines(snapshot, width, now), (title) => paint('bold', title)),
    titled(pendingLines(snapshot, width), (title) => paint('bold', title)),
    titled(parkedLines(snapshot, width), (title) => paint('bold', title)),
    skippedWords(snapshot).flatMap((words) => wrap(words, width)),
    wrap(agentWords(snapshot), width).map((line) => paint('dim', line)),
  ];
  return blocks
    .filter((block) => block.length > 0)
    .map((block) => block.join('\n'))
    .join('\n\n');
}

/** Folders with something left first, then the most recently served ones. */
export function orderFolders(folders: readonly FolderStatus[]): FolderStatus[] {
  const left = (f: FolderStatus) => (f.pending + f.parked > 0 ? 0 : 1);
  return [...folders].sort(
    (a, b) =>
      left(a) - left(b) || (b.lastStoredAt ?? '').localeCompare(a.lastStoredAt ?? '') || (a.folder < b.folder ? -1 : 1),
  );
}

/** Who serves a folder, in words; '' where that is nobody's business. */
export function leaseWords({ lease }: FolderStatus): string {
  if (lease.state === 'mine') return 'this pod';
  return lease.state === 'theirs' ? printable(lease.holder ?? 'another pod') : '';
}

/** A folder's name for people: `.` holds the files that lie directly in the output directory. */
export function folderName(folder: string): string {
  return folder === '.' ? '(top level)' : printable(folder);
}

/** Parked files by what is to be done about them: a thousand files with one cause are one entry. */
export function groupParked(parked: readonly ParkedFile[]): { reason: string; fix: string; paths: string[] }[] {
  const groups = new Map<string, { reason: string; fix: string; paths: string[] }>();
  for (const { path, reason, fix } of parked) {
    const key = `${reason}\n${fix}`;
    const group = groups.get(key) ?? { reason: printable(reason), fix: printable(fix), paths: [] };
    group.paths.push(printable(path));
    groups.set(key, group);
  }
  return [...groups.values()];
}

/** What the filter leaves alone, as one sentence; empty when that is nothing. */
export function skippedWords({ skipped }: Snapshot): string[] {
  const parts = Object.entries(skipped)
    .filter(([, count]) => count > 0)
    .sort(([, a], [, b]) => b - a)
    .map(([kind, count]) => `${number(count)} ${kind === '' ? 'without an extension' : printable(kind)}`);
  return parts.length === 0 ? [] : [`Left alone by the settings: ${parts.join(', ')}.`];
}

/** Which agent, and which store, as one line. */
export function agentWords({ version, pod, uptimeSeconds, store }: Snapshot): string {
  const reach = store.reachable === null ? '' : store.reachable ? ' (reachable)' : ' (not reachable)';
  const error = store.lastError === null ? '' : ` Last error of the store: ${endSentence(printable(store.lastError))}`;
  const bucket = `bucket ${printable(store.bucket)} at ${printable(store.endpoint)}${reach}`;
  return `r2-sync ${version} on pod ${printable(pod)}, up ${duration(uptimeSeconds)}, ${bucket}.${error}`;
}

/** `3 s`, `5 min`, `2 h 10 min`, `3 days`. */
export function duration(seconds: number): string {
  const s = Math.max(0, Math.round(seconds));
  if (s < 60) return `${s} s`;
  const minutes = Math.round(s / 60);
  if (minutes < 60) return `${minutes} min`;
  if (minutes < 48 * 60) return `${Math.floor(minutes / 60)} h${minutes % 60 ? ` ${minutes % 60} min` : ''}`;
  return `${number(Math.round(minutes / 1440))} days`;
}

/** `3 s ago`, `just now`. `iso`: ISO 8601; `now`: wall-clock milliseconds. */
export function ago(iso: string, now: number): string {
  const seconds = (now - Date.parse(iso)) / 1000;
  if (Number.isNaN(seconds)) return printable(iso);
  return seconds < 1 ? 'just now' : `${duration(seconds)} ago`;
}

/** `820 bytes`, `2.1 MB` (powers of 1,000). */
export function size(bytes: number): string {
  if (bytes < 1000) return `${bytes} ${bytes === 1 ? 'byte' : 'bytes'}`;
  const units = ['kB', 'MB', 'GB', 'TB'];
  let value = bytes / 1000;
  while (value >= 999.5 && units.length > 1) {
    value /= 1000;
    units.shift();
  }
  return `${value < 10 ? value.toFixed(1) : Math.round(value)} ${units[0]}`;
}

/** `12,345`. */
export function number(value: number): string {
  return value.toLocaleString('en-US');
}

function folderLines(snapshot: Snapshot, width: number, now: number): string[] {
  const folders = orderFolders(snapshot.folders);
  const rows = folders
    .slice(0, limits.folders)
    .map((f) => [
      folderName(f.folder),
      number(f.files),
      number(f.stored),
      number(f.pending),
      number(f.parked),
      number(f.incomplete),
      f.lastStoredAt === null ? '-' : ago(f.lastStoredAt, now),
      leaseWords(f) || '-',
    ]);
  if (rows.length === 0) return [];
  const head = ['Folder', 'Files', 'Stored', 'Pending', 'Parked', 'Incomplete', 'Last stored', 'Served by'];
  return [...alignTable([head, ...rows], 'lrrrrrll', width), ...more(folders.length - rows.length)];
}

function pendingLines(snapshot: Snapshot, width: number): string[] {
  const shown = snapshot.pending.slice(0, limits.pending);
  if (shown.length === 0) return [];
  const rows = shown.map((p) => [`  ${printable(p.path)}`, size(p.bytes), duration(p.seconds), printable(p.state)]);
  return ['On their way', ...alignTable(rows, 'lrrl', width), ...more(snapshot.totals.pendingFiles - shown.length)];
}

function parkedLines(snapshot: Snapshot, width: number): string[] {
  if (snapshot.parked.length === 0) return [];
  const lines = groupParked(snapshot.parked).flatMap(({ reason, fix, paths }) => {
    const shown = paths.slice(0, limits.namesPerParkedReason);
    return [
      ...shown.map((path) => `  ${cut(path, width - 2)}`),
      ...more(paths.length - shown.length),
      ...wrap(`Why: ${reason}`, width, '    '),
      ...wrap(`Fix: ${fix}`, width, '    '),
    ];
  });
  const rest = more(snapshot.totals.parkedFiles - snapshot.parked.length);
  return ['Parked: something must be fixed first', ...lines, ...rest];
}

function titled([title, ...lines]: string[], paintTitle: (title: string) => string): string[] {
  return title === undefined ? [] : [paintTitle(title), ...lines];
}

function more(count: number): string[] {
  return count > 0 ? [`  … and ${number(count)} more`] : [];
}

/** Pads cells into columns ('l' left, 'r' right); the first column is cut so that a line fits the width. */
function alignTable(rows: readonly (readonly string[])[], align: string, width: number): string[] {
  const gap = 2;
  const widths = [...align].map((_, i) => Math.max(...rows.map((row) => columns(row[i]!))));
  const rest = widths.slice(1).reduce((sum, w) => sum + w + gap, 0);
  widths[0] = Math.min(widths[0]!, Math.max(12, width - rest));
  return rows.map((row) =>
    row
      .map((cell, i) => {
        const text = i === 0 ? cut(cell, widths[0]!) : cell;
        const pad = ' '.repeat(widths[i]! - columns(text));
        return align[i] === 'r' ? pad + text : text + pad;
      })
      .join(' '.repeat(gap))
      .trimEnd(),
  );
}

/** Cuts from the middle, so that the end of a name, which tells pictures apart, stays. */
function cut(text: string, width: number): string {
  if (columns(text) <= width) return text;
  const pieces = graphemes(text);
  const tail: string[] = [];
  const head: string[] = [];
  let room = width - 1;
  const take = (piece: string, budget: number) => {
    const needed = columns(piece);
    if (needed > Math.min(room, budget)) return 0;
    room -= needed;
    return needed;
  };
  for (let budget = Math.ceil(room * 0.6); pieces.length > 0; ) {
    const used = take(pieces.at(-1)!, budget);
    if (used === 0) break;
    budget -= used;
    tail.unshift(pieces.pop()!);
  }
  while (pieces.length > 0 && take(pieces[0]!, room) > 0) head.push(pieces.shift()!);
  return `${head.join('')}…${tail.join('')}`;
}

/** Breaks at spaces. A word longer than a line stays whole, so that a command in it can be copied. */
function wrap(text: string, width: number, first = '', next = first): string[] {
  const lines: string[] = [];
  let line = first;
  let empty = true;
  for (const word of text.split(' ')) {
    if (!empty && columns(line) + 1 + columns(word) > width) {
      lines.push(line);
      line = next;
      empty = true;
    }
    line += empty ? word : ` ${word}`;
    empty = false;
  }
  return [...lines, line];
}

/** How many columns a terminal gives a text: most characters one, Chinese, Japanese, Korean and emoji two. */
function columns(text: string): number {
  if (/^[\x20-\x7e]*$/.test(text)) return text.length;
  return graphemes(text).reduce((sum, piece) => sum + (wide.test(piece) ? 2 : narrow.test(piece) ? 0 : 1), 0);
}

const wide =
  /^[\p{Emoji_Presentation}\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Hangul}\u3000-\u303f\uff01-\uff60]|\ufe0f/u;
const narrow = /^[\p{Mn}\p{Me}\p{Cf}]+$/u;
/** Made when it is first needed: Intl's tables are megabytes of memory. */
let segmenter: Intl.Segmenter | undefined;

function graphemes(text: string): string[] {
  segmenter ??= new Intl.Segmenter('en', { granularity: 'grapheme' });
  return Array.from(segmenter.segment(text), ({ segment }) => segment);
}

function lastStoredAt(snapshot: Snapshot): string | undefined {
  const times = [snapshot.recent[0]?.at, ...snapshot.folders.map((f) => f.lastStoredAt)];
  return times
    .filter((time) => typeof time === 'string')
    .reduce<string | undefined>((a, b) => (a && a > b ? a : b), undefined);
}

function files(count: number): string {
  return `${number(count)} ${count === 1 ? 'file' : 'files'}`;
}

function be(count: number): string {
  return count === 1 ? 'is' : 'are';
}

function endSentence(text: string): string {
  return /[.!?]$/.test(text) ? text : `${text}.`;
}
