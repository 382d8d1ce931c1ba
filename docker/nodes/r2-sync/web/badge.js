// The badge in ComfyUI's page: whether everything is in the bucket, in two words; pointed at or focused it says what to
// do, and it opens the status page. It stands among ComfyUI's own buttons where the page has a place for those
// (`app.menu`), else by itself at an edge. It changes nothing of ComfyUI's, and where something isn't as expected it
// isn't there. What it says only ever becomes text.

const page = new URL('../../r2-sync/', import.meta.url);
const seconds = { between: 4, off: 60, longest: 60, patience: 8 };
/** From this many failures in a row on, what was shown last isn't news any more. */
const doubtful = 3;
const unknown = { mood: 'unknown', label: 'r2-sync?', text: "ComfyUI doesn't answer, so nothing is known of r2-sync." };
/** Where the badge stands by itself, as a share of the window's width and height: the first that covers no control. */
const spots = [
  [0.5, 1],
  [0.5, 0],
  [0, 1],
  [1, 1],
  [0.25, 1],
  [0.75, 1],
  [0.75, 0],
];
const controls = 'button, input, select, textarea, a, img, video, [role="button"], [role="tab"], .p-button';
/** Pixels between things. */
const gap = 8;

const style = `
.r2-sync-badge { display: inline-flex; align-items: center; gap: .4rem; box-sizing: border-box; height: 2rem;
  padding: 0 .7rem; border-radius: .5rem; font: 500 .8125rem/1 system-ui, sans-serif; white-space: nowrap;
  text-decoration: none; cursor: pointer; color: var(--input-text, var(--fg-color, #ddd));
  background: var(--comfy-input-bg, #222); }
.r2-sync-badge[hidden] { display: none; }
.r2-sync-badge:hover { filter: brightness(1.1); }
.r2-sync-badge:focus-visible { outline: 2px solid var(--p-primary-color, #3b82f6); outline-offset: 1px; }
.r2-sync-badge::before { content: "?"; flex: none; width: 1rem; border-radius: 50%; text-align: center;
  font: 700 .75rem/1rem system-ui, sans-serif; color: #fff; background: #6b7280; }
.r2-sync-badge[data-mood="fine"]::before { content: "✓"; background: #17793f; }
.r2-sync-badge[data-mood="busy"]::before { content: "↑"; background: #a35c00; }
.r2-sync-badge[data-mood="bad"] { color: #fff; background: #b3261e; }
.r2-sync-badge[data-mood="bad"]::before { content: "!"; color: #b3261e; background: #fff; }
@media (max-width: 640px) {
  .r2-sync-badge:not(.r2-sync-alone) { gap: 0; padding: 0 .5rem; font-size: 0; }
}
.r2-sync-alone { position: fixed; z-index: 900;
  border: 1px solid var(--border-color, #4e4e4e); }
.r2-sync-tip { position: fixed; z-index: 10000; inset: auto; margin: 0; box-sizing: border-box; padding: .5rem .75rem;
  width: max-content; max-width: min(26rem, calc(100vw - 1rem)); border: 1px solid var(--border-color, #4e4e4e);
  border-radius: .5rem; font: .8125rem/1.45 system-ui, sans-serif; overflow-wrap: anywhere; pointer-events: none;
  color: var(--input-text, var(--fg-color, #ddd)); background: var(--comfy-menu-bg, #171718);
  box-shadow: 0 2px 10px #0006; }
.r2-sync-tip[hidden] { display: none; }
.r2-sync-said { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
`;

function make(tag, className, attributes = {}) {
  const element = document.createElement(tag);
  element.className = className;
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

const badge = make('a', 'r2-sync-badge', { href: page.href, target: '_blank', rel: 'noopener', hidden: '' });
const tip = make('div', 'r2-sync-tip', { id: 'r2-sync-tip', role: 'tooltip', hidden: '' });
// Said aloud when the mood changes, not at each picture.
const said = make('div', 'r2-sync-said', { role: 'status' });

function show({ mood, label, text }) {
  if (mood === 'off') {
    badge.hidden = true;
    tip.hidden = true;
    return;
  }
  const news = badge.dataset.mood !== mood && badge.dataset.mood !== undefined;
  badge.dataset.mood = mood;
  badge.textContent = label;
  badge.setAttribute('aria-label', `r2-sync: ${label}. Open the status page`);
  tip.textContent = text;
  badge.hidden = false;
  if (news) said.textContent = `r2-sync: ${label}. ${text}`;
  place();
  if (!tip.hidden) placeTip();
}

/** Among ComfyUI's buttons, while those are seen: its menu can be turned off, and some of its views have none. */
function place() {
  // Moved, it would lose the focus.
  if (document.activeElement === badge) return;
  const group = app?.menu?.settingsGroup;
  if (group?.element?.isConnected && typeof group.append === 'function') {
    badge.classList.remove('r2-sync-alone');
    badge.removeAttribute('style');
    if (badge.parentNode !== group.element) group.append(badge);
    if (badge.getClientRects().length > 0) return;
  }
  group?.remove?.(badge);
  badge.classList.add('r2-sync-alone');
  if (badge.parentNode !== document.body) document.body.append(badge);
  const { width, height } = badge.getBoundingClientRect();
  const boxes = spots.map(([across, down]) => ({
    left: gap + across * (innerWidth - width - 2 * gap),
    top: gap + down * (innerHeight - height - 2 * gap),
    width,
    height,
  }));
  const { left, top } = boxes.find(isFree) ?? boxes[0];
  badge.style.left = `${left}px`;
  badge.style.top = `${top}px`;
}

function isFree({ left, top, width, height }) {
  return ![...document.querySelectorAll(controls)].some((other) => {
    const at = other.getBoundingClientRect();
    return (
      other !== badge &&
      at.width > 0 &&
      at.left < left + width &&
      at.right > left &&
      at.top < top + height &&
      at.bottom > top
    );
  });
}

function showTip() {
  tip.hidden = badge.hidden;
  placeTip();
}

function hideTip() {
  tip.hidden = true;
}

/** Below the badge if there is room, else above it, and never beyond the window's edges. */
function placeTip() {
  const { left, bottom, top } = badge.getBoundingClientRect();
  const { width, height } = tip.getBoundingClientRect();
  const below = bottom + gap + height <= innerHeight;
  tip.style.left = `${Math.max(gap, Math.min(left, innerWidth - width - gap))}px`;
  tip.style.top = `${below ? bottom + gap : Math.max(gap, top - gap - height)}px`;
}

let failures = 0;
let timer;
let asking = false;

/** Asks, shows, and asks again later; while nobody sees the page nothing is asked. */
async function poll() {
  clearTimeout(timer);
  if (document.hidden || asking) return;
  asking = true;
  let wait = seconds.between;
  try {
    const reply = await fetch(new URL('badge.json', page), {
      cache: 'no-store',
      signal: AbortSignal.timeout(1000 * seconds.patience),
    });
    if (!reply.ok) throw new Error(`badge.json: ${reply.status}`);
    const state = await reply.json();
    failures = 0;
    if (state.mood === 'off') wait = seconds.off;
    show(state);
  } catch {
    failures += 1;
    wait = Math.min(seconds.between * 2 ** failures, seconds.longest);
    if (failures >= doubtful && !badge.hidden) show(unknown);
  }
  asking = false;
  timer = setTimeout(poll, 1000 * wait);
}

function start() {
  const sheet = document.createElement('style');
  sheet.textContent = style;
  document.head.append(sheet);
  document.body.append(said, tip);
  badge.setAttribute('aria-describedby', tip.id);
  badge.addEventListener('pointerenter', showTip);
  badge.addEventListener('pointerleave', hideTip);
  badge.addEventListener('focus', showTip);
  badge.addEventListener('blur', hideTip);
  // ComfyUI has a meaning for many keys; these are for the badge alone.
  badge.addEventListener('keydown', (event) => {
    if (event.key === 'Escape') hideTip();
    if (event.key === 'Enter') event.stopPropagation();
  });
  document.addEventListener('visibilitychange', poll);
  poll();
}

const app = await findApp();
if (typeof app?.registerExtension === 'function') app.registerExtension({ name: 'r2-sync.badge', setup: start });
else start();

async function findApp() {
  try {
    return (await import('../../scripts/app.js')).app;
  } catch {
    return undefined;
  }
}
