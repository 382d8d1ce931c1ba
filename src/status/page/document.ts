// The documents around the sections: the page itself, whole before any script has run, and the two pages around the token.
import { ago, duration } from '../words.ts';
import { build } from './files.ts';
import { fillTimes, type Html, html } from './html.ts';
import { iconUrl } from './icon.ts';
import type { PageState } from './update.ts';

/** How a moment reads in the page; the script keeps it so. `now`: wall ms. */
function timeWords(now: number): (as: string, iso: string) => string {
  return (as, iso) => (as === 'ago' ? ago(iso, now) : duration((now - Date.parse(iso)) / 1000));
}

/** The whole document. Its URLs are relative, so that it works behind a proxy's path. `now`: wall ms. */
export function renderDocument(state: PageState, now: number): string {
  const head = html`<link rel="icon" id="icon" href="${iconUrl(state.mood)}">
<link rel="stylesheet" href="page.css?v=${build}">
<script src="page.js?v=${build}" defer></script>
<noscript><meta http-equiv="refresh" content="10"></noscript>`;
  const body = html`<p id="spoken" class="for-readers" role="status">${state.spoken}</p>
<section id="stale" class="hero" role="alert" hidden><h1>r2-sync doesn't answer</h1><p></p></section>`;
  const sections = fillTimes(Object.values(state.sections).join('\n'), timeWords(now));
  return document(
    state.title,
    head,
    `<body data-build="${build}" data-etag="${state.etag}" data-now="${now}">
<header><p class="brand">r2-sync</p></header>
<main>
${body.text}
${sections}
</main>
</body>`,
  );
}

/** What somebody without the right token gets: nothing about the pod, only what to do. */
export function tokenPage(wasWrong: boolean): string {
  const wrong = wasWrong ? '<p class="wrong" id="wrong" role="alert">That isn\'t the token.</p>' : '';
  const invalid = wasWrong ? ' aria-invalid="true" aria-describedby="wrong"' : '';
  const head = html`<link rel="icon" href="${iconUrl('unknown')}">
<link rel="stylesheet" href="page.css?v=${build}">`;
  return document(
    'Token needed · r2-sync',
    head,
    `<body>
<header><p class="brand">r2-sync</p></header>
<main>
<section class="hero token">
<h1>This page needs its token</h1>
<p>It is the value of R2_STATUS_TOKEN or, where that isn't set, the one that r2-sync wrote to its log on the pod at its
first start. Programs send it as <code>Authorization: Bearer TOKEN</code>.</p>
<form action="./" method="get">
${wrong}
<label for="token">Token</label>
<input id="token" name="token" type="password" autocomplete="current-password" required autofocus${invalid}>
<button>Open</button>
</form>
</section>
</main>
</body>`,
  );
}

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

function document(title: string, head: Html, body: string): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${title}</title>
${head.text}
</head>
${body}
</html>
`;
}
