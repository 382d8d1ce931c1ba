// How the agent's state is put into words: the headline that page, log and `r2-sync status` share, and the plain text
// of `r2-sync status`. Names from disk go through `printable` here and nowhere later.
import { styleText } from 'node:util';
import { leaseTiming } from '../lease/timing.ts';
import { printable } from '../paths.ts';
import type { FolderStatus, ParkedFile, Snapshot } from './snapshot.ts';
import { type Column, cut, tableLines, wrap } from './terminal.ts';
import { ago, be, duration, endSentence, files, number, size } from './words.ts';

/** How many lines a list gets in the terminal before "… and n more". */
const limits = { folders: 30, pending: 10, namesPerParkedReason: 5 };
const minimumWidth = 40;

/** Puts a moment (ISO 8601) into words: "3 s ago". The page puts a mark there, and an element in place of the mark. */
type TellTime = (iso: string) => string;

/**
 * One sentence for "may I stop the pod now?", and why not. Plain text without control characters.
 * `now` is wall-clock milliseconds, for "3 s ago".
 */
export function headline(
  snapshot: Snapshot,
  now: number = Date.now(),
  tellTime: TellTime = (iso) => ago(iso, now),
): string {
  const { pendingFiles, parkedFiles, storedFiles } = snapshot.totals;
  if (snapshot.state === 'failing') return `${failingAnswer(snapshot)} ${failingReason(snapshot)}`;
  if (pendingFiles > 0 && snapshot.safeToStop) {
    return `This pod has nothing left to upload; ${files(pendingFiles)} of other pods ${be(pendingFiles)} still on the way. You may stop the pod.`;
  }
  if (pendingFiles > 0) {
    const way = `${files(pendingFiles)} ${pendingFiles === 1 ? 'is on its' : 'are on their'} way`;
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
  const when = last === undefined ? '' : `, ${storedFiles === 1 ? 'stored' : 'last one'} ${tellTime(last)}`;
  return `${all} ${be(storedFiles)} in the bucket${when}. You may stop the pod.`;
}

/** The headline of who can't upload, without the reason: that may be long. */
export function failingAnswer({ safeToStop, totals: { pendingFiles } }: Snapshot): string {
  const waits = ` ${files(pendingFiles)} ${pendingFiles === 1 ? 'waits' : 'wait'}: don't stop the pod yet.`;
  return `Nothing can be uploaded.${pendingFiles === 0 || safeToStop ? '' : waits}`;
}

/** Why nothing can be uploaded, and what to do. */
export function failingReason({ reasons }: Snapshot): string {
  const reason = endSentence(printable(reasons[0] ?? 'See the log'));
  return reason[0]!.toUpperCase() + reason.slice(1);
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

/** What is said of each folder. Columns that are empty for everybody only take room. */
export function folderColumns(
  snapshot: Snapshot,
  now: number,
  tellTime: TellTime = (iso) => ago(iso, now),
): Column<FolderStatus>[] {
  const { folders, pod } = snapshot;
  const counts: Column<FolderStatus>[] = (['pending', 'parked', 'incomplete'] as const)
    .filter((field) => folders.some((f) => f[field] > 0))
    .map((field) => [`${field[0]!.toUpperCase()}${field.slice(1)}`, 'count', (f) => number(f[field])]);
  const columns: Column<FolderStatus>[] = [
    ['Folder', 'name', (f) => folderName(f.folder)],
    ['Files', 'count', (f) => number(f.files)],
    ['Stored', 'count', (f) => number(f.stored)],
    ...counts,
    ['Last stored', 'short', (f) => (f.lastStoredAt === null ? '-' : tellTime(f.lastStoredAt))],
  ];
  // Who is alone on a volume needn't know that there are leases.
  const others = folders.some(({ lease }) => lease.state === 'theirs' && lease.holder !== pod);
  return others ? [...columns, ['Served by', 'name', (f) => servedBy(f, snapshot)]] : columns;
}

/** What is said of each file that isn't in the bucket yet. */
export const pendingColumns: Column<Snapshot['pending'][number]>[] = [
  ['File', 'name', (p) => printable(p.path)],
  ['Size', 'count', (p) => size(p.bytes)],
  ['For', 'count', (p) => duration(p.seconds)],
  ['What it waits for', 'name', (p) => printable(p.state)],
];

function servedBy({ lease }: FolderStatus, { pod, leaseSeconds }: Snapshot): string {
  const { state, holder, host, silentSeconds } = lease;
  // Of another process of this pod: it ran here before.
  if (state === 'mine' || (state === 'theirs' && holder === pod)) return 'this pod';
  if (state !== 'theirs') return '-';
  const who = holder === null ? 'another pod' : printable(`${holder} on ${host}`);
  const patience = (2 * leaseTiming(leaseSeconds ?? 0).beat) / 1000;
  return (silentSeconds ?? 0) > patience ? `${who}, silent for ${duration(silentSeconds!)}` : who;
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
export function skippedWords(snapshot: Snapshot): string[] {
  const words = describeSkipped(snapshot);
  return words === '' ? [] : [`Left alone by the settings: ${words}.`];
}

/** `4 .safetensors, 1 hidden`; '' for nothing. */
export function describeSkipped({ skipped }: Snapshot): string {
  return Object.entries(skipped)
    .filter(([, count]) => count > 0)
    .sort(([, a], [, b]) => b - a)
    .map(([kind, count]) => `${number(count)} ${kind === '' ? 'without an extension' : printable(kind)}`)
    .join(', ');
}

/** Which agent, and which store, as one line. */
export function agentWords({ version, pod, uptimeSeconds, store }: Snapshot): string {
  const reach = store.reachable === null ? '' : store.reachable ? ' (reachable)' : ' (not reachable)';
  const error = store.lastError === null ? '' : ` Last error of the store: ${endSentence(printable(store.lastError))}`;
  const bucket = `bucket ${printable(store.bucket)} at ${printable(store.endpoint)}${reach}`;
  const agent = pod === '' ? '' : ` on pod ${printable(pod)}, up ${duration(uptimeSeconds)}`;
  return `r2-sync ${version}${agent}, ${bucket}.${error}`;
}

function folderLines(snapshot: Snapshot, width: number, now: number): string[] {
  const folders = orderFolders(snapshot.folders);
  if (folders.length === 0) return [];
  const shown = folders.slice(0, limits.folders);
  return [...tableLines(folderColumns(snapshot, now), shown, width), ...more(folders.length - shown.length)];
}

function pendingLines(snapshot: Snapshot, width: number): string[] {
  const shown = snapshot.pending.slice(0, limits.pending).map((p) => ({ ...p, path: `  ${p.path}` }));
  if (shown.length === 0) return [];
  const lines = tableLines(pendingColumns, shown, width, false);
  return ['On their way', ...lines, ...more(snapshot.totals.pendingFiles - shown.length)];
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

function lastStoredAt(snapshot: Snapshot): string | undefined {
  const times = [snapshot.recent[0]?.at, ...snapshot.folders.map((f) => f.lastStoredAt)];
  return times
    .filter((time) => typeof time === 'string')
    .reduce<string | undefined>((a, b) => (a && a > b ? a : b), undefined);
}
