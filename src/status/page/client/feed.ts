// How the page stays in touch with the agent. Events are the normal way; where none arrive (proxies keep event streams to
// themselves, or cut them) it asks instead, and tries events again later. Silence is never taken for good news.
import type { PageBeat, PageUpdate } from '../update.ts';
import { setServerTime, showTimes } from './times.ts';

export interface FeedOptions {
  /** What this page was made with. */
  build: string;
  etag: string;
  show: (update: PageUpdate) => void;
  /** `since`: wall ms of the last answer, where the agent doesn't answer; undefined while it does. Called often. */
  showLiveness: (since: number | undefined) => void;
}

const ms = {
  /** The first event comes at once where events come at all. */
  firstEvent: 4_000,
  /** The agent sends a beat every 15 s: after a silence of more than that, it is asked. */
  silence: 20_000,
  poll: 3_000,
  /** An answer takes no longer. */
  patience: 6_000,
  /** A stream that stays silent is given up, and another one is tried after a while. */
  givenUp: 35_000,
  tryEvents: 60_000,
  tick: 1_000,
};

export function startFeed({ build, etag, show, showLiveness }: FeedOptions): void {
  let seen = etag;
  /** Wall ms, all of them: the last answer of any kind, and that of the stream. */
  let answeredAt = Date.now();
  let heardAt = 0;
  let openedAt = 0;
  let events: EventSource | undefined;
  let polling = false;
  let polledAt = 0;
  let failed = false;

  const take = (update: PageUpdate | PageBeat) => {
    answeredAt = Date.now();
    failed = false;
    setServerTime(update.now);
    if (update.build !== build) reload(update.build);
    else if ('etag' in update && update.etag !== seen) {
      if (update.base === null || update.base === seen) {
        seen = update.etag;
        show(update);
      } else void poll();
    }
    showTimes();
    showLiveness(undefined);
  };

  const openEvents = () => {
    events?.close();
    openedAt = Date.now();
    const source = new EventSource(`events?seen=${encodeURIComponent(seen)}`);
    events = source;
    const hear = (event: MessageEvent<string>) => {
      if (events !== source) return;
      heardAt = Date.now();
      take(JSON.parse(event.data));
    };
    source.addEventListener('update', hear);
    source.addEventListener('beat', hear);
    source.addEventListener('error', () => {
      if (events !== source) return;
      // The browser would ask again for what this page saw when the stream was opened; so it is opened anew, later.
      source.close();
      events = undefined;
      void poll();
    });
  };

  const poll = async () => {
    if (polling) return;
    polling = true;
    polledAt = Date.now();
    const before = seen;
    try {
      const signal = AbortSignal.timeout(ms.patience);
      const reply = await fetch(`page.json?seen=${encodeURIComponent(seen)}`, { cache: 'no-store', signal });
      if (reply.status === 401) return location.reload();
      if (!reply.ok) throw new Error(reply.statusText);
      const update: PageUpdate = await reply.json();
      // What came by events meanwhile is newer.
      take(seen === before ? update : { build: update.build, now: update.now });
    } catch {
      // Where events still come, the agent is there, whatever keeps it from answering this.
      failed = events === undefined || Date.now() - heardAt > ms.silence;
    } finally {
      polling = false;
      if (failed) showLiveness(answeredAt);
    }
  };

  const tick = () => {
    const now = Date.now();
    const silentFor = now - Math.max(heardAt, openedAt);
    const hears = events !== undefined && heardAt >= openedAt;
    const suspects = hears ? silentFor > ms.silence : silentFor > ms.firstEvent || events === undefined;
    if (suspects && now - polledAt > ms.poll) void poll();
    if (events !== undefined && silentFor > ms.givenUp) {
      events.close();
      events = undefined;
    }
    // After an agent that went away has come back, and where a proxy has swallowed the stream.
    const wait = heardAt >= openedAt ? ms.poll : ms.tryEvents;
    if (events === undefined && !failed && now - openedAt > wait) openEvents();
    if (failed) showLiveness(answeredAt);
  };

  openEvents();
  setInterval(tick, ms.tick);
  // Timers of a page that nobody looks at hardly run.
  document.addEventListener('visibilitychange', () => {
    if (!document.hidden) void poll();
  });
}

/** The agent is another version by now: what this script knows is outdated. Once for each, should it not help. */
function reload(build: string): void {
  const key = 'r2-sync-build';
  if (sessionStorage.getItem(key) === build) return;
  sessionStorage.setItem(key, build);
  location.reload();
}
