// The top of the page: may the pod be stopped, in words, then in figures; and what isn't as it should be.
import { failingAnswer, failingReason, headline, mood, otherReasons } from '../render.ts';
import type { Snapshot } from '../snapshot.ts';
import { files, number, size } from '../words.ts';
import { type Html, html, markTime, nothing, textWithCode, textWithTimes } from './html.ts';
import { shapeOf } from './icon.ts';

export function viewHeadline(snapshot: Snapshot): Html {
  const { totals } = snapshot;
  const { pendingFiles } = totals;
  return html`<section id="headline" class="hero ${mood(snapshot)}" aria-labelledby="headline-text">
<p class="verdict"><svg viewBox="0 0 32 32" aria-hidden="true"><circle cx="16" cy="16" r="16"/><path d="${shapeOf(totals.parkedFiles > 0 && pendingFiles === 0 ? 'bad' : mood(snapshot))}"/></svg>${verdictOf(snapshot)}</p>
<h1 id="headline-text">${textWithTimes(headlineOf(snapshot))}</h1>
${viewTrouble(snapshot)}
<dl class="figures">${viewFigures(snapshot)}</dl>
</section>`;
}

/** Where nothing can be uploaded, the reason is long and stands below, not in the letters of a headline. */
function headlineOf(snapshot: Snapshot): string {
  if (snapshot.state === 'failing') return failingAnswer(snapshot);
  // A number and its unit stay on one line.
  return headline(snapshot, 0, markTime).replace(/about [^,:]* left/, (words) => words.replace(/(?<=\d) /g, '\u00a0'));
}

function viewTrouble(snapshot: Snapshot): Html {
  if (snapshot.state !== 'failing') return nothing;
  return html`<p class="trouble">${textWithCode(failingReason(snapshot))}</p>`;
}

/** The reasons that the headline doesn't say. */
export function viewReasons(snapshot: Snapshot): Html {
  const reasons = otherReasons(snapshot);
  if (reasons.length === 0) return html`<section id="reasons" hidden></section>`;
  return html`<section id="reasons" class="notes" aria-labelledby="reasons-title">
<h2 id="reasons-title">What isn't as it should be</h2>
<ul>${reasons.map((reason) => html`<li>${textWithCode(reason)}</li>`)}</ul>
</section>`;
}

/** For the browser's tab. */
export function titleOf({ state, safeToStop, totals }: Snapshot): string {
  const { pendingFiles, parkedFiles } = totals;
  if (state === 'failing') return 'Failing · r2-sync';
  if (pendingFiles > 0) return `${safeToStop ? 'Safe to stop' : `${number(pendingFiles)} pending`} · r2-sync`;
  if (parkedFiles > 0) return `${number(parkedFiles)} parked · r2-sync`;
  return `${safeToStop ? 'All stored' : 'Looking'} · r2-sync`;
}

/** What a screen reader says when the state has changed: the headline without its counts. */
export function spokenWords(snapshot: Snapshot): string {
  const { pendingFiles, parkedFiles, storedFiles } = snapshot.totals;
  if (snapshot.state === 'failing') return 'Nothing can be uploaded: something must be fixed.';
  if (pendingFiles > 0 && snapshot.safeToStop) return 'This pod has nothing left to upload. You may stop the pod.';
  if (pendingFiles > 0) return "Files are on their way: don't stop the pod yet.";
  if (parkedFiles > 0) return "Some files can't be uploaded until something is fixed.";
  if (!snapshot.safeToStop) return "Still looking for files: don't stop the pod yet.";
  return storedFiles === 0
    ? 'There is nothing to upload yet. You may stop the pod.'
    : 'All files are in the bucket. You may stop the pod.';
}

/** The answer in two or three words, above the sentence. */
function verdictOf({ state, safeToStop, totals }: Snapshot): string {
  if (state === 'failing') return 'Failing';
  if (safeToStop) return 'Safe to stop';
  return totals.pendingFiles === 0 && totals.parkedFiles > 0 ? 'Needs you' : "Don't stop yet";
}

function viewFigures({ totals }: Snapshot): Html[] {
  const { storedFiles, storedBytes, pendingFiles, pendingBytes, parkedFiles } = totals;
  const figures: [title: string, count: number, more: string][] = [
    ['In the bucket', storedFiles, size(storedBytes)],
    ['On their way', pendingFiles, size(pendingBytes)],
    ['Parked', parkedFiles, 'wait for you'],
  ];
  return figures
    .filter(([, count]) => count > 0)
    .map(([title, count, more]) => html`<div><dt>${title}</dt><dd>${files(count)} <small>${more}</small></dd></div>`);
}
