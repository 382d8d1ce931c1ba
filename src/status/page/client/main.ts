// The page's script: keeps what the server has rendered up to date. What is shown is decided on the server; here it is
// only put in its place, so that a focus, a selection, an opened list and a video that plays survive.
import { Idiomorph } from 'idiomorph';
import { iconUrl } from '../icon.ts';
import type { PageUpdate } from '../update.ts';
import { reactToCopy } from './copy.ts';
import { startFeed } from './feed.ts';
import { markLost, retryMedia, watchMedia } from './media.ts';
import { setServerTime, showTimes } from './times.ts';

const stale = document.getElementById('stale')!;
const spoken = document.getElementById('spoken')!;
const icon = document.getElementById('icon') as HTMLLinkElement;
let title = document.title;
let news = spoken.textContent ?? '';
let iconHref = icon.href;

function show(update: PageUpdate): void {
  for (const [id, html] of Object.entries(update.sections)) {
    const section = document.getElementById(id);
    if (section)
      Idiomorph.morph(section, html, { morphStyle: 'outerHTML', callbacks: { beforeAttributeUpdated: mayUpdate } });
  }
  title = update.title;
  iconHref = iconUrl(update.mood);
  news = update.spoken;
  say(news);
  markLost();
}

/** What somebody has opened stays open. */
function mayUpdate(name: string, element: Element): boolean {
  return !(name === 'open' && element.tagName === 'DETAILS');
}

/** Read out by screen readers, only when it is something new. */
function say(text: string): void {
  if (spoken.textContent !== text) spoken.textContent = text;
}

/** @param since wall ms of this machine: the last answer; undefined while the agent answers */
function showLiveness(since: number | undefined): void {
  const isStale = since !== undefined;
  if (stale.hidden === isStale) {
    stale.hidden = !isStale;
    document.documentElement.classList.toggle('stale', isStale);
    const when = new Date(since ?? 0).toLocaleTimeString();
    const words = `Nobody knows whether the pod may be stopped. What you see below is from ${when}. It is tried again all the time.`;
    if (isStale) stale.querySelector('p')!.textContent = words;
    else retryMedia();
    // The alert speaks for itself, and old news must not be read after it.
    say(isStale ? '' : news);
  }
  const shownTitle = isStale ? 'No answer · r2-sync' : title;
  if (document.title !== shownTitle) document.title = shownTitle;
  const href = isStale ? iconUrl('unknown') : iconHref;
  if (icon.href !== href) icon.href = href;
}

document.documentElement.classList.add('js');
setServerTime(Number(document.body.dataset.now));
watchMedia();
reactToCopy(say);
startFeed({ build: document.body.dataset.build!, etag: document.body.dataset.etag!, show, showLiveness });
setInterval(showTimes, 1000);
