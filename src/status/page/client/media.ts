// Pictures and videos that can't be shown: says why. What may come yet is asked for again, what can't is not.

interface Reason {
  words: string;
  /** When to ask again: ms. Without it nothing more will come. */
  againMs?: number;
}

/** Why, by the status of the agent's answer; it says itself when to ask again. */
const reasons: Record<number, string> = {
  404: 'No longer on the volume',
  409: 'Changed since',
  429: 'Waits for its turn',
  503: "The volume doesn't answer",
};
const again: ReadonlySet<number> = new Set([429, 503]);
const usualWaitMs = 5_000;

/** By URL. */
const lost = new Map<string, Reason>();
/** By URL: what the agent has, and the browser has failed to show once. */
const doubtful = new Set<string>();
/** What stood where a note is. */
const replaced = new WeakMap<Element, readonly Node[]>();

/** Errors of media don't bubble, but they can be caught on their way down. */
export function watchMedia(): void {
  document.addEventListener('error', (event) => void explain(event.target), true);
  // Those that failed before this script ran.
  for (const element of mediaIn(document)) if (hasFailed(element)) void explain(element);
}

/** The agent answers again: what it couldn't give meanwhile is asked for once more. */
export function retryMedia(): void {
  for (const element of mediaIn(document)) if (hasFailed(element)) load(element);
}

/** Puts the reasons back where the page was just made anew. */
export function markLost(): void {
  for (const element of mediaIn(document)) {
    const reason = lost.get(urlOf(element));
    if (reason !== undefined) mark(element, reason);
  }
}

type MediaElement = HTMLImageElement | HTMLMediaElement;

async function explain(target: EventTarget | null): Promise<void> {
  if (!(target instanceof HTMLImageElement || target instanceof HTMLMediaElement) || !target.closest('.frame')) return;
  const url = urlOf(target);
  if (lost.has(url)) return;
  const reply = await fetch(url, { method: 'HEAD' }).catch(() => undefined);
  // The agent is away (then others may have answered): that is said elsewhere, and it may come back.
  if (reply === undefined || reply.status === 401 || lost.has(url)) return;
  const isAgent = reply.headers.has('x-r2-sync') || reply.status === 429;
  if (reply.ok && !doubtful.has(url)) {
    // Perhaps there were too many at a time, and there aren't any more.
    doubtful.add(url);
    lost.set(url, { words: reasons[429]!, againMs: usualWaitMs });
  } else if (reply.ok) lost.set(url, { words: "This browser can't show it" });
  else if (again.has(reply.status) || !isAgent) {
    const seconds = Number(reply.headers.get('retry-after'));
    const words = isAgent ? reasons[reply.status]! : 'No answer';
    lost.set(url, { words, againMs: seconds > 0 ? 1000 * seconds : usualWaitMs });
  } else lost.set(url, { words: reasons[reply.status] ?? "It can't be shown" });
  markLost();
  const { againMs } = lost.get(url)!;
  if (againMs !== undefined) setTimeout(() => bringBack(url), againMs);
}

function mark(element: MediaElement, { words }: Reason): void {
  const frame = element.closest('.frame')!;
  const note = document.createElement('span');
  note.className = 'kind lost';
  note.textContent = words;
  note.dataset.url = urlOf(element);
  replaced.set(note, [...frame.childNodes]);
  frame.replaceChildren(note);
}

/** Tries again to show it. */
function bringBack(url: string): void {
  lost.delete(url);
  for (const note of document.querySelectorAll<HTMLElement>('.frame > .lost')) {
    if (note.dataset.url !== url) continue;
    const frame = note.parentElement!;
    frame.replaceChildren(...(replaced.get(note) ?? []));
    for (const element of mediaIn(frame)) load(element);
  }
}

function load(element: MediaElement): void {
  if (element instanceof HTMLImageElement) element.setAttribute('src', urlOf(element));
  else element.load();
}

function hasFailed(element: MediaElement): boolean {
  return element instanceof HTMLImageElement ? element.complete && element.naturalWidth === 0 : element.error !== null;
}

function mediaIn(place: ParentNode): Iterable<MediaElement> {
  return place.querySelectorAll<MediaElement>('.frame [src]');
}

/** As the page has it: relative. */
function urlOf(element: MediaElement): string {
  return element.getAttribute('src')!;
}
