// The page for people. What it shows is decided once, as a tree of plain data: the server writes it as HTML for the
// first paint (works without script), and page.js builds the same tree from /page.json every two seconds. Text from
// disk is only ever text in it: escaped here, a text node there.
import { printable } from '../paths.ts';
import {
  agentWords,
  ago,
  duration,
  folderName,
  groupParked,
  headline,
  leaseWords,
  mood,
  number,
  orderFolders,
  otherReasons,
  size,
  skippedWords,
} from './render.ts';
import type { FolderStatus, Snapshot } from './snapshot.ts';

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
  const { pendingFiles, parkedFiles } = snapshot.totals;
  const title =
    snapshot.state === 'failing'
      ? 'Failing'
      : pendingFiles > 0
        ? `${number(pendingFiles)} pending`
        : parkedFiles > 0
          ? `${number(parkedFiles)} parked`
          : snapshot.safeToStop
            ? 'All stored'
            : 'Looking';
  return {
    title: `${title} · r2-sync`,
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

/** What somebody without the right token gets: nothing about the pod, only what to do. */
export const tokenPage = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Token needed · r2-sync</title>
<link rel="icon" href="data:,">
<h1>This page needs its token</h1>
<p>It is the value of R2_STATUS_TOKEN or, where that isn't set, the one that r2-sync wrote to its log on the pod at its
first start. Programs send it as <code>Authorization: Bearer TOKEN</code>.</p>
<form action="./" method="get">
<label>Token <input name="token" type="password" autocomplete="off" required autofocus></label> <button>Open</button>
</form>
`;

/**
 * Goes on to the page without the token in its address. A page and not a redirect: a browser that followed a link from
 * another site sends a SameSite=Strict cookie only with requests that our own page starts.
 */
export const welcomePage = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta http-equiv="refresh" content="0; url=./">
<title>r2-sync</title>
<p><a href="./">Go on to the page</a></p>
`;

export const pageScript = `const main = document.querySelector('main');
const stale = document.getElementById('stale');
let shown = [];
let lastReply = new Date();

function build(item) {
  if (typeof item === 'string') return document.createTextNode(item);
  const element = document.createElement(item.tag);
  if (item.className) element.className = item.className;
  element.append(...item.children.map(build));
  return element;
}

// Only what changed is replaced, so that a text which somebody is selecting stays.
function show(items) {
  const next = items.map((item) => JSON.stringify(item));
  if (next.length !== main.children.length) main.replaceChildren(...items.map(build));
  else items.forEach((item, i) => next[i] !== shown[i] && main.children[i].replaceWith(build(item)));
  shown = next;
}

async function refresh() {
  try {
    const reply = await fetch('page.json', { cache: 'no-store', signal: AbortSignal.timeout(10000) });
    if (reply.status === 401) return location.reload();
    if (!reply.ok) throw new Error(reply.statusText);
    const view = await reply.json();
    document.title = view.title;
    show(view.items);
    lastReply = new Date();
    stale.hidden = true;
  } catch {
    stale.textContent = 'r2-sync does not answer. What you see is from ' + lastReply.toLocaleTimeString() + '.';
    stale.hidden = false;
  }
  setTimeout(refresh, 2000);
}
setTimeout(refresh, 2000);
`;

export const pageStyle = `:root { color-scheme: light dark; font: 1rem/1.5 system-ui, sans-serif;
  --line: light-dark(#ddd, #3a3a3a); --quiet: light-dark(#666, #999); --back: light-dark(#fff, #161616);
  --fine: light-dark(#0a7a3c, #58d68d); --busy: light-dark(#8a5a00, #f5b942); --bad: light-dark(#b3261e, #ff8a80); }
body { margin: 0 auto; padding: 1rem; max-width: 60rem; background: var(--back); overflow-wrap: anywhere; }
h1 { font-size: 1.5rem; line-height: 1.3; margin: .5rem 0 1rem; padding-left: .75rem; border-left: .3rem solid; }
h2 { font-size: 1rem; margin: 0 0 .25rem; }
.fine { color: var(--fine); } .busy { color: var(--busy); } .bad { color: var(--bad); }
.reason { border-left: .3rem solid var(--busy); padding-left: .75rem; }
.quiet { color: var(--quiet); font-size: .875rem; }
section { margin: 1.5rem 0; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .3rem 1rem .3rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
th { font-weight: 500; font-size: .875rem; color: var(--quiet); white-space: nowrap; }
td { unicode-bidi: isolate; min-width: 3rem; }
td.name { min-width: 9rem; }
.count { text-align: right; white-space: nowrap; overflow-wrap: normal; }
.short { white-space: nowrap; overflow-wrap: normal; }
ul { margin: .25rem 0; padding-left: 1.25rem; } p { margin: .25rem 0; }
#stale { background: var(--bad); color: var(--back); padding: .5rem .75rem; }
`;

type Column<T> = [title: string, className: string, cell: (row: T) => string];

function viewFolders(snapshot: Snapshot, now: number): Element[] {
  // Columns that are empty for everybody only take room.
  const counts: [string, 'pending' | 'parked' | 'incomplete'][] = [
    ['Pending', 'pending'],
    ['Parked', 'parked'],
    ['Incomplete', 'incomplete'],
  ];
  const columns: Column<FolderStatus>[] = [
    ['Folder', 'name', (f) => folderName(f.folder)],
    ['Files', 'count', (f) => number(f.files)],
    ['Stored', 'count', (f) => number(f.stored)],
    ...counts
      .filter(([, field]) => snapshot.folders.some((f) => f[field] > 0))
      .map(([title, field]): Column<FolderStatus> => [title, 'count', (f) => number(f[field])]),
    ['Last stored', 'short', (f) => (f.lastStoredAt === null ? '' : ago(f.lastStoredAt, now))],
  ];
  if (snapshot.folders.some((f) => f.lease.state === 'theirs')) columns.push(['Served by', 'short', leaseWords]);
  return viewList('Folders', columns, orderFolders(snapshot.folders), limits.folders);
}

function viewPending(snapshot: Snapshot): Element[] {
  const columns: Column<Snapshot['pending'][number]>[] = [
    ['File', 'name', (p) => printable(p.path)],
    ['Size', 'count', (p) => size(p.bytes)],
    ['For', 'count', (p) => duration(p.seconds)],
    ['What it waits for', '', (p) => printable(p.state)],
  ];
  return viewList('On their way', columns, snapshot.pending, limits.pending, snapshot.totals.pendingFiles);
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
