// The lower part of the page: folders (users), what is left alone, and which agent and bucket all this is about.
import { printable } from '../../paths.ts';
import { storeName } from '../endpoint.ts';
import { folderColumns, orderFolders, skippedWords } from '../render.ts';
import type { Snapshot } from '../snapshot.ts';
import { endSentence } from '../words.ts';
import { type Html, html, markTime, nothing, textWithTimes, time } from './html.ts';
import { viewLongList } from './lists.ts';

const FIRST = 15;
/** Beyond that nobody looks through a list. */
const MOST = 200;

export function viewFolders(snapshot: Snapshot): Html {
  const { folders } = snapshot;
  if (folders.length === 0) return html`<section id="folders" hidden></section>`;
  const columns = folderColumns(snapshot, 0, markTime);
  const head = columns.map(([title, name]) => html`<th scope="col" class="${name}">${title}</th>`);
  const shown = orderFolders(folders).slice(0, MOST);
  const rows = shown.map((folder) => {
    const cells = columns.map(([, name, cell], i) =>
      i === 0
        ? html`<th scope="row" class="path">${cell(folder)}</th>`
        : html`<td class="${name}">${textWithTimes(cell(folder))}</td>`,
    );
    return html`<tr>${cells}</tr>`;
  });
  const wrap = (some: readonly Html[]) =>
    html`<div class="scroll" tabindex="0" role="group" aria-labelledby="folders-title"><table aria-labelledby="folders-title"><thead><tr>${head}</tr></thead><tbody>${some}</tbody></table></div>`;
  return html`<section id="folders" aria-labelledby="folders-title">
<h2 id="folders-title">Folders</h2>
${viewLongList({ id: 'folders', rows, first: FIRST, total: folders.length, wrap })}
</section>`;
}

export function viewSkipped(snapshot: Snapshot): Html {
  const words = skippedWords(snapshot).map((text) => html`<p class="quiet">${text}</p>`);
  return html`<section id="skipped"${words.length === 0 ? html` hidden` : nothing}>${words}</section>`;
}

export function viewAbout({ version, pod, startedAt, store }: Snapshot): Html {
  const reach = store.reachable === null ? '' : store.reachable ? ' (reachable)' : ' (not reachable)';
  const error = store.lastError === null ? '' : ` Last error of the store: ${endSentence(printable(store.lastError))}`;
  return html`<section id="about" class="quiet"><p>r2-sync ${version} on pod ${printable(pod)}, up ${time(startedAt, 'for')}, bucket ${printable(store.bucket)} at ${printable(storeName(store.endpoint))}${reach}.${error}</p></section>`;
}
