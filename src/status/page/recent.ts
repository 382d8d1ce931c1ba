// What was stored last, as pictures: thumbnails, players for video and sound, the key, size, and how long it took.
import { createHash } from 'node:crypto';
import { nameOf, printable } from '../../paths.ts';
import type { Snapshot, StoredFile } from '../snapshot.ts';
import { duration, size } from '../words.ts';
import { type Html, html, nothing, time } from './html.ts';
import { viewLongList } from './lists.ts';
import { mediaKindOf, mediaVersion } from './media-kinds.ts';

/** How many cards are shown at once: whole rows on most screens. */
const FIRST = 12;
/** Larger pictures are linked: a page of them would be hundreds of megabytes. */
const THUMBNAIL_BYTES = 6_000_000;

export function viewRecent({ recent }: Snapshot): Html {
  if (recent.length === 0) return html`<section id="recent" hidden></section>`;
  const rows = recent.map((file, i) => viewCard(file, i < FIRST));
  const wrap = (cards: readonly Html[]) => html`<ul class="cards">${cards}</ul>`;
  return html`<section id="recent" aria-labelledby="recent-title">
<h2 id="recent-title">Stored last</h2>
${viewLongList({ id: 'recent', rows, first: FIRST, wrap })}
</section>`;
}

/** @param atOnce a video in it may show its first picture without being asked */
function viewCard(file: StoredFile, atOnce: boolean): Html {
  const path = printable(file.path);
  const took = file.seconds < 10 ? `${file.seconds.toFixed(1)} s` : duration(file.seconds);
  return html`<li id="${idOf(file)}" class="card">
${viewFrame(file, path, atOnce)}
<p class="path">${path}</p>
<p class="quiet">${size(file.bytes)} · took ${took} · ${time(file.at, 'ago')}</p>
${file.incomplete ? html`<p class="flag">Incomplete: its writer never finished it</p>` : nothing}
<p class="key"><code>${printable(file.key)}</code><button type="button" class="copy"><span>Copy key</span><span class="for-readers"> of ${nameOf(path)}</span></button></p>
</li>`;
}

function viewFrame(file: StoredFile, path: string, atOnce: boolean): Html {
  const kind = mediaKindOf(file.path);
  const url = `media?path=${encodeURIComponent(file.encodedPath)}&v=${mediaVersion(file.sha256)}`;
  if (kind === undefined) {
    const ending = /\.([A-Za-z0-9]{1,8})$/.exec(path)?.[1] ?? 'file';
    return html`<div class="frame"><span class="kind">${ending.toUpperCase()}</span></div>`;
  }
  const preload = atOnce ? 'metadata' : 'none';
  switch (kind.shownAs) {
    case 'image': {
      const big = file.bytes > THUMBNAIL_BYTES;
      const inside = big
        ? html`<span class="kind">Open, ${size(file.bytes)}</span>`
        : html`<img src="${url}" alt="" loading="lazy" decoding="async">`;
      return html`<div class="frame"><a href="${url}" target="_blank" rel="noopener" aria-label="Open ${path}">${inside}</a></div>`;
    }
    case 'video':
      return html`<div class="frame"><video src="${url}" controls playsinline preload="${preload}" aria-label="${path}"></video></div>`;
    case 'audio':
      return html`<div class="frame"><audio src="${url}" controls preload="${preload}" aria-label="${path}"></audio></div>`;
  }
}

/** The same for as long as the card stands for the same upload. */
function idOf({ encodedPath, at }: StoredFile): string {
  return `r-${createHash('sha256').update(`${at} ${encodedPath}`).digest('hex').slice(0, 16)}`;
}
