// Pictures and videos that can't be shown: says why, once, and doesn't ask again.

/** Why, by the status of the answer. */
const reasons: Record<number, string> = {
  404: 'No longer on the volume',
  409: 'Changed since',
  503: "The volume doesn't answer",
};

/** By URL. */
const lost = new Map<string, string>();

/** Errors of media don't bubble, but they can be caught on their way down. */
export function watchMedia(): void {
  document.addEventListener('error', (event) => void explain(event.target), true);
  // Those that failed before this script ran.
  for (const image of document.querySelectorAll<HTMLImageElement>('.frame img'))
    if (image.complete && image.naturalWidth === 0) void explain(image);
  for (const player of document.querySelectorAll<HTMLMediaElement>('.frame video, .frame audio'))
    if (player.error) void explain(player);
}

/** The agent answers again: what it couldn't give meanwhile is asked for once more. */
export function retryMedia(): void {
  for (const image of document.querySelectorAll<HTMLImageElement>('.frame img'))
    if (image.complete && image.naturalWidth === 0) image.setAttribute('src', image.getAttribute('src')!);
  for (const player of document.querySelectorAll<HTMLMediaElement>('.frame video, .frame audio'))
    if (player.error) player.load();
}

/** Puts the reasons back where the page was just made anew. */
export function markLost(): void {
  for (const element of document.querySelectorAll('.frame [src]')) {
    const reason = lost.get(element.getAttribute('src')!);
    if (reason !== undefined) mark(element, reason);
  }
}

async function explain(target: EventTarget | null): Promise<void> {
  if (!(target instanceof HTMLImageElement || target instanceof HTMLMediaElement)) return;
  const url = target.getAttribute('src');
  if (url === null || !target.closest('.frame') || lost.has(url)) return;
  const reply = await fetch(url, { method: 'HEAD' }).catch(() => undefined);
  // The agent is away: that is said elsewhere, and it may come back.
  if (reply === undefined || reply.status === 401) return;
  lost.set(url, reply.ok ? "This browser can't show it" : (reasons[reply.status] ?? "It can't be shown"));
  markLost();
}

function mark(element: Element, reason: string): void {
  const note = document.createElement('span');
  note.className = 'kind lost';
  note.textContent = reason;
  element.closest('.frame')!.replaceChildren(note);
}
