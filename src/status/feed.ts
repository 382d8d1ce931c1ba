// Keeps open pages up to date. However many there are, the state is rendered once for all of them, as often as latest.ts
// says, and only what has changed is sent. Without an open page nothing is done.
import type { Clock } from '../clock.ts';
import { Latest } from './latest.ts';
import { build } from './page/files.ts';
import { changedSections } from './page/state.ts';
import type { PageBeat, PageState, PageUpdate } from './page/update.ts';

export interface FeedOptions {
  /** Renders; may throw. */
  view: () => PageState;
  clock: Clock;
  onError: (error: unknown) => void;
}

/** Proxies cut streams that are silent for about 100 s; the page takes silence of more than one beat for trouble. */
const BEAT_MS = 15_000;
/** Pages that are open at a time, and bytes that one may leave unread. */
const limits = { pages: 64, unreadBytes: 2_000_000 };

export class Feed {
  readonly #options: FeedOptions;
  readonly #state: Latest<PageState>;
  /** Each with what cuts its connection. */
  readonly #readers = new Map<ReadableStreamDefaultController<Uint8Array>, () => void>();
  readonly #closed = new AbortController();
  #running = false;

  constructor(options: FeedOptions) {
    this.#options = options;
    this.#state = new Latest(options.view, options.clock);
  }

  /** The state, as old as `Latest` allows. Throws what rendering throws. */
  current(): PageState {
    return this.#state.get();
  }

  /** What has changed since `seen`, an etag; everything unless that is the current one. */
  update(seen: string | undefined): PageUpdate {
    const state = this.current();
    return this.#updateOf(state, seen === state.etag ? state : undefined);
  }

  /**
   * Server-sent events, beginning with an update since `seen`. undefined: too many pages are open. `cutOff` breaks the
   * connection: what a page leaves unread would keep it open.
   */
  open(seen: string | undefined, cutOff: () => void): ReadableStream<Uint8Array> | undefined {
    if (this.#readers.size >= limits.pages || this.#closed.signal.aborted) return undefined;
    const state = this.current();
    const first = eventText('update', this.#updateOf(state, seen === state.etag ? state : undefined));
    let mine: ReadableStreamDefaultController<Uint8Array>;
    return new ReadableStream<Uint8Array>(
      {
        start: (controller) => {
          mine = controller;
          // The page tries again by itself; this is for browsers that lose the connection in the middle of something.
          controller.enqueue(encode(`retry: 2000\n\n${first}`));
          this.#readers.set(controller, cutOff);
          void this.#run(state);
        },
        cancel: () => void this.#readers.delete(mine),
      },
      new ByteLengthQueuingStrategy({ highWaterMark: limits.unreadBytes }),
    );
  }

  /** Ends all streams. */
  close(): void {
    this.#closed.abort();
    for (const reader of this.#readers.keys()) this.#drop(reader);
  }

  /** Runs while pages are open. `told`: what they know. */
  async #run(told: PageState): Promise<void> {
    if (this.#running) return;
    this.#running = true;
    const { clock, onError } = this.#options;
    let beatAt = clock.monotonic() + BEAT_MS;
    while (this.#readers.size > 0) {
      await clock.sleep(this.#state.patienceMs(), this.#closed.signal);
      if (this.#readers.size === 0) break;
      try {
        const state = this.current();
        if (state.etag !== told.etag) {
          this.#send(eventText('update', this.#updateOf(state, told)));
          told = state;
          beatAt = clock.monotonic() + BEAT_MS;
        }
      } catch (error) {
        onError(error);
        // The pages ask by themselves, get no answer, and say so.
        for (const reader of this.#readers.keys()) this.#drop(reader);
      }
      if (clock.monotonic() < beatAt) continue;
      this.#send(eventText('beat', { build, now: clock.wall() }));
      beatAt = clock.monotonic() + BEAT_MS;
    }
    this.#running = false;
  }

  #updateOf(state: PageState, before: PageState | undefined): PageUpdate {
    const sections = changedSections(state, before);
    return { ...state, build, now: this.#options.clock.wall(), base: before?.etag ?? null, sections };
  }

  #send(text: string): void {
    const bytes = encode(text);
    for (const [reader, cutOff] of this.#readers) {
      // It doesn't read: it starts over when it does again.
      if ((reader.desiredSize ?? 0) > 0) reader.enqueue(bytes);
      else {
        this.#drop(reader);
        cutOff();
      }
    }
  }

  #drop(reader: ReadableStreamDefaultController<Uint8Array>): void {
    this.#readers.delete(reader);
    try {
      reader.close();
    } catch {
      // Its page has left meanwhile.
    }
  }
}

function eventText(event: 'update' | 'beat', data: PageUpdate | PageBeat): string {
  return `event: ${event}\ndata: ${JSON.stringify(data)}\n\n`;
}

function encode(text: string): Uint8Array {
  return Buffer.from(text);
}
