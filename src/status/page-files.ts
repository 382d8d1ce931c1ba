// What the status page consists of beside its content: script, style, and the two pages around the token.

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
