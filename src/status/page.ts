// The page for people. What it shows is decided once, as a tree of plain data: the server writes it as HTML for the
// first paint (works without script), and page.js builds the same tree from /page.json every two seconds. Text from
// disk is only ever text in it: escaped here, a text node there.
import { printable } from '../paths.ts';
import {
  agentWords,
  folderColumns,
  groupParked,
  headline,
  mood,
  orderFolders,
  otherReasons,
  pendingColumns,
  skippedWords,
} from './render.ts';
import type { Snapshot } from './snapshot.ts';
import type { Column } from './terminal.ts';
import { ago, duration, number, size } from './words.ts';

/** An element of the page. Tags and classes never come from outside; a string is text. */
interface Element {
  tag: string;
  /** '' for none. */
  className: string;
  children: (string | Element)[];
}

export interface PageView {
  /** For the browser's tab. */
  title: string;
  items: Element[];
}

/** How many lines a list gets on the page before "… and n more". */
const limits = { folders: 100, pending: 20, parked: 20, recent: 20 };

/** What the page shows. `now`: wall-clock milliseconds. */
export function viewPage(snapshot: Snapshot, now: number): PageView {
  return {
    title: `${titleOf(snapshot)} · r2-sync`,
    items: [
      element('h1', mood(snapshot), headline(snapshot, now)),
      ...otherReasons(snapshot).map((reason) => element('p', 'reason', reason)),
      ...viewParked(snapshot),
      ...viewPending(snapshot),
      ...viewFolders(snapshot, now),
      ...viewRecent(snapshot, now),
      ...skippedWords(snapshot).map((words) => element('p', 'quiet', words)),
      element('p', 'quiet', agentWords(snapshot)),
    ],
  };
}

function titleOf({ state, safeToStop, totals }: Snapshot): string {
  const { pendingFiles, parkedFiles } = totals;
  if (state === 'failing') return 'Failing';
  if (pendingFiles > 0) return safeToStop ? 'Safe to stop' : `${number(pendingFiles)} pending`;
  if (parkedFiles > 0) return `${number(parkedFiles)} parked`;
  return safeToStop ? 'All stored' : 'Looking';
}

/** The whole document. Its URLs are relative, so that it works behind a proxy's path. */
export function renderPage(view: PageView): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${escapeHtml(view.title)}</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="page.css">
<script src="page.js" defer></script>
<noscript><meta http-equiv="refresh" content="10"></noscript>
</head>
<body>
<p id="stale" role="alert" hidden></p>
<main>${view.items.map(renderItem).join('\n')}</main>
</body>
</html>
`;
}

function viewFolders(snapshot: Snapshot, now: number): Element[] {
  return viewList('Folders', folderColumns(snapshot, now), orderFolders(snapshot.folders), limits.folders);
}

function viewPending(snapshot: Snapshot): Element[] {
  return viewList('On their way', pendingColumns, snapshot.pending, limits.pending, snapshot.totals.pendingFiles);
}

function viewRecent(snapshot: Snapshot, now: number): Element[] {
  const columns: Column<Snapshot['recent'][number]>[] = [
    ['File', 'name', (r) => printable(r.path)],
    ['Size', 'count', (r) => size(r.bytes)],
    ['Took', 'count', (r) => (r.seconds < 10 ? `${r.seconds.toFixed(1)} s` : duration(r.seconds))],
    ['When', 'short', (r) => ago(r.at, now)],
  ];
  return viewList('Stored last', columns, snapshot.recent.slice(0, limits.recent), limits.recent);
}

function viewParked(snapshot: Snapshot): Element[] {
  if (snapshot.parked.length === 0) return [];
  const groups = groupParked(snapshot.parked).map(({ reason, fix, paths }) => {
    const names = paths.slice(0, limits.parked).map((path) => element('li', '', path));
    return element(
      'div',
      '',
      element('ul', '', ...names),
      ...viewMore(paths.length - names.length),
      element('p', '', reason),
      element('p', 'busy', fix),
    );
  });
  const rest = viewMore(snapshot.totals.parkedFiles - snapshot.parked.length);
  return [element('section', '', element('h2', '', 'Parked: something must be fixed first'), ...groups, ...rest)];
}

function viewList<T>(
  title: string,
  columns: Column<T>[],
  rows: readonly T[],
  limit: number,
  total = rows.length,
): Element[] {
  if (rows.length === 0) return [];
  const shown = rows.slice(0, limit);
  const head = columns.map(([name, className]) => element('th', className, name));
  const body = shown.map((row) =>
    element('tr', '', ...columns.map(([, name, cell]) => element('td', name, cell(row)))),
  );
  const table = element('table', '', element('thead', '', element('tr', '', ...head)), element('tbody', '', ...body));
  return [
    element(
      'section',
      '',
      element('h2', '', title),
      element('div', 'scroll', table),
      ...viewMore(total - shown.length),
    ),
  ];
}

function viewMore(count: number): Element[] {
  return count > 0 ? [element('p', 'quiet', `… and ${number(count)} more`)] : [];
}

function element(tag: string, className: string, ...children: (string | Element)[]): Element {
  return { tag, className, children };
}

function renderItem(item: string | Element): string {
  if (typeof item === 'string') return escapeHtml(item);
  const { tag, className, children } = item;
  return `<${tag}${className === '' ? '' : ` class="${className}"`}>${children.map(renderItem).join('')}</${tag}>`;
}

const entities: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };

function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (char) => entities[char]!);
}
