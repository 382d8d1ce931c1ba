// What open pages get, and what they cost.
import { describe, expect, it } from 'vitest';
import { Feed, type FeedOptions } from '../../src/status/feed.ts';
import { viewState } from '../../src/status/page/state.ts';
import type { PageUpdate } from '../../src/status/page/update.ts';
import type { Snapshot } from '../../src/status/snapshot.ts';
import { eventually } from '../support/eventually.ts';
import { createFakeClock, type FakeClock } from '../support/fake-clock.ts';
import { sampleSnapshot, sampleTotals } from './sample.ts';

interface Scene {
  clock: FakeClock;
  feed: Feed;
  /** What the snapshot says from now on. */
  change: Partial<Snapshot>;
  renders: number;
  /** What the next renderings take: ms of the clock; and what all of them have taken. */
  costMs: number;
  spentMs: number;
  errors: unknown[];
}

function createScene(options: Partial<FeedOptions> = {}): Scene {
  const clock = createFakeClock();
  const scene: Scene = { clock, feed: undefined as never, change: {}, renders: 0, costMs: 0, spentMs: 0, errors: [] };
  const view = () => {
    scene.renders += 1;
    scene.spentMs += scene.costMs;
    return viewState(sampleSnapshot(scene.change));
  };
  const slow: FakeClock = { ...clock, monotonic: () => clock.monotonic() + scene.spentMs };
  scene.feed = new Feed({ view, clock: slow, onError: (error) => scene.errors.push(error), ...options });
  return scene;
}

/** Reads a stream in the background. */
function listen(stream: ReadableStream<Uint8Array> | undefined): {
  events: [string, PageUpdate][];
  ended: boolean;
  leave(): Promise<void>;
} {
  const reader = stream!.getReader();
  const heard = { events: [] as [string, PageUpdate][], ended: false, leave: () => reader.cancel() };
  void (async () => {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      for (const [, event, data] of Buffer.from(value)
        .toString()
        .matchAll(/event: (\w+)\ndata: (.*)\n\n/g))
        heard.events.push([event!, JSON.parse(data!)]);
    }
    heard.ended = true;
  })();
  return heard;
}

const leaveIt = () => {};

const pending = (pendingFiles: number) => ({ safeToStop: false, ...sampleTotals({ pendingFiles }) });

describe('the stream of events', () => {
  it('begins with everything, or with nothing for who has it already', async () => {
    const { feed } = createScene();
    const { etag } = feed.current();
    const fresh = listen(feed.open(undefined, leaveIt));
    const known = listen(feed.open(etag, leaveIt));
    await eventually(() => expect(fresh.events.length + known.events.length).toBe(2));
    expect(fresh.events[0]![1]).toMatchObject({ base: null, mood: 'fine', title: 'All stored · r2-sync' });
    expect(Object.keys(fresh.events[0]![1].sections)).toContain('headline');
    expect(known.events[0]![1]).toMatchObject({ base: etag, etag, sections: {} });
    feed.close();
  });

  it('tells only what has changed, at most once a second, and a beat every 15 s otherwise', async () => {
    const scene = createScene();
    const page = listen(scene.feed.open(undefined, leaveIt));
    for (let i = 1; i <= 10; i += 1) {
      scene.change = pending(i);
      await scene.clock.advance(100);
    }
    await eventually(() => expect(page.events).toHaveLength(2));
    expect(page.events[1]![1].base).toBe(page.events[0]![1].etag);
    expect(Object.keys(page.events[1]![1].sections)).toEqual(['headline']);
    for (let i = 0; i < 31; i += 1) await scene.clock.advance(1000);
    await eventually(() => expect(page.events.map(([event]) => event)).toEqual(['update', 'update', 'beat', 'beat']));
    scene.feed.close();
  });

  it('is rendered once, however many pages are open, and not at all when none is', async () => {
    const scene = createScene();
    const pages = Array.from({ length: 20 }, () => listen(scene.feed.open(undefined, leaveIt)));
    await scene.clock.advance(1000);
    const before = scene.renders;
    for (let i = 0; i < 5; i += 1) await scene.clock.advance(1000);
    expect(scene.renders - before).toBe(5);
    for (const page of pages) await page.leave();
    await scene.clock.advance(2000);
    const after = scene.renders;
    for (let i = 0; i < 5; i += 1) await scene.clock.advance(1000);
    expect(scene.renders).toBe(after);
  });

  it('takes at most a hundredth of the time, however long a rendering takes', async () => {
    const scene = createScene();
    scene.costMs = 50;
    listen(scene.feed.open(undefined, leaveIt));
    await scene.clock.advance(100);
    const before = scene.renders;
    for (let i = 0; i < 60; i += 1) await scene.clock.advance(1000);
    expect((scene.renders - before) * scene.costMs).toBeLessThanOrEqual(650);
    scene.feed.close();
  });

  it('does not keep news back because a rendering took long: the first one, or one on a busy machine', async () => {
    const scene = createScene();
    scene.costMs = 200;
    const page = listen(scene.feed.open(undefined, leaveIt));
    for (const [at, costMs] of [0, 200, 0, 0, 200, 0].entries()) {
      Object.assign(scene, { costMs, change: pending(at + 1) });
      await scene.clock.advance(1000);
      await eventually(() => expect(page.events).toHaveLength(at + 2));
    }
    await page.leave();
  });

  it('ends where nothing can be rendered, so that the pages ask, and say that there is no answer', async () => {
    const scene = createScene();
    const page = listen(scene.feed.open(undefined, leaveIt));
    Object.defineProperty(scene, 'change', {
      get: () => {
        throw new Error('no snapshot');
      },
    });
    await scene.clock.advance(1000);
    await eventually(() => expect(page.ended).toBe(true));
    expect(scene.errors).toHaveLength(1);
    expect(() => scene.feed.update(undefined)).toThrow('no snapshot');
  });

  it('is cut off for a page that does not read, and refused beyond 64 pages', async () => {
    const scene = createScene();
    let cut = 0;
    const many = Array.from({ length: 64 }, () => scene.feed.open(undefined, () => (cut += 1)));
    expect(many.every((stream) => stream !== undefined)).toBe(true);
    expect(scene.feed.open(undefined, leaveIt)).toBeUndefined();
    // Nobody reads: some thousand updates of a large page are more than is kept for one.
    for (let i = 0; i < 400; i += 1) {
      scene.change = { ...pending(i + 1), skipped: { ['x'.repeat(10_000) + i]: 1 } };
      await scene.clock.advance(1000);
    }
    expect(cut).toBe(64);
    expect(scene.feed.open(undefined, leaveIt)).toBeDefined();
    scene.feed.close();
  });

  it('ends with the server', async () => {
    const { feed } = createScene();
    const page = listen(feed.open(undefined, leaveIt));
    feed.close();
    await eventually(() => expect(page.ended).toBe(true));
    expect(feed.open(undefined, leaveIt)).toBeUndefined();
  });
});

describe('polling', () => {
  it('gets everything when something has changed, and nothing otherwise', async () => {
    const scene = createScene();
    const first = scene.feed.update(undefined);
    expect(scene.feed.update(first.etag).sections).toEqual({});
    scene.change = pending(1);
    await scene.clock.advance(2000);
    const second = scene.feed.update(first.etag);
    expect(second.base).toBeNull();
    expect(Object.keys(second.sections)).toEqual(Object.keys(first.sections));
  });
});
