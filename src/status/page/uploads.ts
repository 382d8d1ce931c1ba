// What isn't in the bucket yet: parked, with what to do; being uploaded, with progress; waiting, with what for.
import { printable } from '../../paths.ts';
import type { ParkedFile, Snapshot, WaitingFile } from '../snapshot.ts';
import { files, number, size } from '../words.ts';
import { type Html, html, nothing, textWithCode, time } from './html.ts';
import { viewLongList } from './lists.ts';

/** How many lines a list gets before "… and n more". */
const first = { namesPerFix: 5, waiting: 10 };

export function viewParked(snapshot: Snapshot): Html {
  const { parked, totals } = snapshot;
  if (parked.length === 0) return html`<section id="parked" hidden></section>`;
  const unlisted = totals.parkedFiles - parked.length;
  const groups = groupByFix(parked).map((group, i) => {
    const [{ reason, fix }] = group;
    // One cause is told once; where the words differ from file to file, each has its own.
    const isShared = group.every((file) => file.reason === reason);
    const rows = group.map(
      (file) =>
        html`<li><span class="path">${printable(file.path)}</span>${isShared ? nothing : html`: ${printable(file.reason)}`}</li>`,
    );
    const wrap = (some: readonly Html[]) => html`<ul>${some}</ul>`;
    return html`<article class="group">
<h3>${files(group.length)}${isShared ? html`: ${printable(reason)}` : nothing}</h3>
<p class="fix"><strong>What to do:</strong> ${textWithCode(printable(fix))}</p>
${viewLongList({ id: `parked-${i}`, rows, first: first.namesPerFix, wrap })}
</article>`;
  });
  return html`<section id="parked" class="notes" aria-labelledby="parked-title">
<h2 id="parked-title">Parked: something must be fixed first</h2>
${groups}
${unlisted > 0 ? html`<p class="quiet">… and ${number(unlisted)} more</p>` : nothing}
</section>`;
}

function groupByFix(parked: readonly ParkedFile[]): [ParkedFile, ...ParkedFile[]][] {
  const groups = new Map<string, [ParkedFile, ...ParkedFile[]]>();
  for (const file of parked) {
    const group = groups.get(file.fix);
    if (group) group.push(file);
    else groups.set(file.fix, [file]);
  }
  return [...groups.values()];
}

export function viewUploading({ pending }: Snapshot): Html {
  const uploading = pending.filter((file) => file.uploading);
  if (uploading.length === 0) return html`<section id="uploading" hidden></section>`;
  return html`<section id="uploading" aria-labelledby="uploading-title">
<h2 id="uploading-title">Being uploaded now</h2>
<ul class="uploads">${uploading.map(viewUpload)}</ul>
</section>`;
}

function viewUpload(file: WaitingFile): Html {
  const { bytes, sent } = file;
  const path = printable(file.path);
  // Of a file that goes in one piece, nobody knows how far it is.
  const known = sent > 0 && bytes > 0;
  const words = known ? `${size(sent)} of ${size(bytes)}, ${Math.floor((100 * sent) / bytes)} %` : size(bytes);
  const bar = known
    ? html`<progress value="${sent}" max="${bytes}" aria-label="${path}"></progress>`
    : html`<progress aria-label="${path}"></progress>`;
  return html`<li><span class="path">${path}</span> <span class="count">${words}</span>${bar}</li>`;
}

export function viewWaiting({ pending, totals }: Snapshot): Html {
  const waiting = pending.filter((file) => !file.uploading);
  if (waiting.length === 0) return html`<section id="waiting" hidden></section>`;
  const rows = waiting.map(
    (file) => html`<tr>
<th scope="row" class="path">${printable(file.path)}</th>
<td class="count">${size(file.bytes)}</td>
<td class="count">${time(file.since, 'for')}</td>
<td class="words">${printable(file.state)}</td></tr>`,
  );
  const wrap = (
    some: readonly Html[],
  ) => html`<div class="scroll" tabindex="0" role="group" aria-labelledby="waiting-title"><table aria-labelledby="waiting-title">
<thead><tr><th scope="col">File</th><th scope="col" class="count">Size</th><th scope="col" class="count">For</th><th scope="col">What it waits for</th></tr></thead>
<tbody>${some}</tbody></table></div>`;
  const total = totals.pendingFiles - (pending.length - waiting.length);
  return html`<section id="waiting" aria-labelledby="waiting-title">
<h2 id="waiting-title">On their way</h2>
${viewLongList({ id: 'waiting', rows, first: first.waiting, total, wrap })}
</section>`;
}
