import { describe, expect, it } from 'vitest';
import { renderDocument } from '../../src/status/page/document.ts';
import { changedSections, viewState } from '../../src/status/page/state.ts';
import type { Snapshot } from '../../src/status/snapshot.ts';
import {
  heldBy,
  sampleFolder,
  sampleNow,
  sampleSnapshot,
  sampleStored,
  sampleTotals,
  sampleWaiting,
} from './sample.ts';

const state = (change: Partial<Snapshot> = {}) => viewState(sampleSnapshot(change));
const page = (change: Partial<Snapshot> = {}) => renderDocument(state(change), sampleNow);
/** As it reads: without tags. */
const textOf = (html: string) => html.replace(/<[^>]*>/g, '').replace(/\s+/g, ' ');

describe('the page', () => {
  it('leads with whether the pod may be stopped, before any script has run', () => {
    const html = page();
    expect(textOf(html)).toContain(
      'Safe to stop All 212 files are in the bucket, last one 3 s ago. You may stop the pod.',
    );
    const headline = html.indexOf('<section id="headline" class="hero fine"');
    expect(headline).toBeGreaterThan(0);
    expect(headline).toBeLessThan(html.indexOf('<h2'));
    expect(html).toContain('<title>All stored · r2-sync</title>');
  });

  it('shows hostile names as text, wherever a name can stand', () => {
    const name = `<img src=x onerror="alert('1')">&amp;.png`;
    const html = page({
      state: 'failing',
      reasons: [`no ${name}`, `nor ${name}`],
      folders: [sampleFolder({ folder: name, lease: heldBy(`pod ${name}`, { host: name }) })],
      recent: [sampleStored({ path: name, key: name, at: name })],
      parked: [{ path: name, reason: name, fix: name, since: name }],
      pending: [
        sampleWaiting({ path: name, state: name, since: name }),
        sampleWaiting({ path: name, uploading: true, sent: 1 }),
      ],
      skipped: { [name]: 1 },
      pod: name,
      startedAt: name,
      store: { endpoint: name, bucket: name, reachable: false, lastError: name },
      ...sampleTotals({ pendingFiles: 2, parkedFiles: 1 }),
    });
    expect(html).not.toMatch(/<img src=x|="?x onerror=(?!&)|&amp;\.png/);
    const escaped = '&lt;img src=x onerror=&quot;alert(&#39;1&#39;)&quot;&gt;&amp;amp;.png';
    expect(html.split(escaped).length - 1).toBe(24);
  });

  it('no text from outside can pass for one of our times or break out of an attribute', () => {
    const html = page({
      pod: '\u00002026-11-20T11:00:00.000Z\u0000',
      skipped: { '<time data-as="ago" datetime="">': 1 },
    });
    expect(html).toContain('\\u00002026');
    expect(html.match(/<time/g)).toHaveLength(5);
  });

  it('says who serves a folder only where other pods are there', () => {
    expect(page()).not.toMatch(/Served by|this pod</);
    const html = page({ folders: [sampleFolder(), sampleFolder({ folder: 'bob', lease: heldBy('ffee') })] });
    expect(html).toMatch(/Served by.*this pod.*ffee on gpu-2/s);
  });

  it('the tab of the browser says that the pod may be stopped while only files of other pods are on their way', () => {
    const titleOf = (change: Partial<Snapshot>) => /<title>(.*)<\/title>/.exec(page(change))?.[1];
    const pending = sampleTotals({ pendingFiles: 3 });
    expect(titleOf(pending)).toBe('Safe to stop · r2-sync');
    expect(titleOf({ ...pending, safeToStop: false })).toBe('3 pending · r2-sync');
  });

  it('what a screen reader is told does not change with every file', () => {
    const spoken = (pendingFiles: number) => state({ safeToStop: false, ...sampleTotals({ pendingFiles }) }).spoken;
    expect(spoken(3)).toBe("Files are on their way: don't stop the pod yet.");
    expect(spoken(4)).toBe(spoken(3));
    expect(state().spoken).toBe('All files are in the bucket. You may stop the pod.');
  });

  it('shows control characters, direction marks and broken bytes as escapes', () => {
    expect(page({ recent: [sampleStored({ path: 'a\n\u202egnp.\udcff' })] })).toContain('a\\n\\u202egnp.\\xff');
  });

  it('has no inline script or style, which the policy would refuse, and names no other host', () => {
    const html = page({
      pending: [sampleWaiting({ uploading: true, sent: 500 })],
      ...sampleTotals({ pendingFiles: 1 }),
    });
    expect(html).not.toMatch(/<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=/i);
    expect(html.match(/(?:src|href|action)="(?!data:|page\.|media\?)[^"]*"/g)).toBeNull();
  });

  it('says what to do about parked files once, however many have the same cause', () => {
    const parked = Array.from({ length: 50 }, (_, i) => ({
      path: `a/${i}.png`,
      reason: 'The token may not write outputs/a.',
      fix: 'Give the token the prefix.',
      since: '2026-11-20T11:00:00.000Z',
    }));
    const html = page({ parked, ...sampleTotals({ parkedFiles: 60 }) });
    expect(html.match(/Give the token the prefix/g)).toHaveLength(1);
    expect(html).toContain('<summary>… and 45 more</summary>');
    expect(html).toContain('… and 10 more');
  });

  it('a list that is cut says how much is missing, also of what was never listed', () => {
    const pending = Array.from({ length: 30 }, (_, i) => sampleWaiting({ path: `${i}.png` }));
    const html = page({ pending, ...sampleTotals({ pendingFiles: 500 }) });
    expect(html).toContain('<summary>… and 490 more</summary>');
    expect(html).toContain('… and 470 more');
  });

  it('names the bucket and whose it is, and nowhere the number of the account: the page may be public', () => {
    const account = '0123456789abcdef0123456789abcdef';
    const about = (endpoint: string) =>
      textOf(state({ store: { ...sampleSnapshot().store, endpoint } }).sections.about!);
    for (const host of [`${account}.r2.cloudflarestorage.com`, `${account}.eu.r2.cloudflarestorage.com`])
      expect(about(`https://${host}`)).toContain('bucket runpod at Cloudflare R2 (reachable)');
    expect(about('https://s3.example:9000')).toContain('bucket runpod at s3.example:9000 (reachable)');
    expect(about('https://r2.cloudflarestorage.com.example')).toContain('at r2.cloudflarestorage.com.example');
    const trouble = `R2_ENDPOINT is https://${account}.fedramp.r2.cloudflarestorage.com: it can't be reached`;
    const html = page({
      state: 'failing',
      reasons: [trouble, trouble],
      parked: [{ path: 'a.png', reason: trouble, fix: trouble, since: '2026-11-20T11:00:00.000Z' }],
      store: { ...sampleSnapshot().store, lastError: trouble },
      ...sampleTotals({ parkedFiles: 1 }),
    });
    expect(html.split('https://….fedramp.r2.cloudflarestorage.com').length - 1).toBe(5);
    expect(html).not.toContain(account);
  });

  it('how long it takes stays on one line, and no bar fills up by the number of files', () => {
    const html = page({ safeToStop: false, etaSeconds: 7800, ...sampleTotals({ pendingFiles: 3 }) });
    expect(html).toContain('3 files are on their way, about 2\u00a0h 10\u00a0min left: don&#39;t stop the pod yet.');
    expect(html).not.toContain('<progress');
  });

  it('progress is a bar with words, and a file in one piece gets a bar without a figure', () => {
    const pending = [
      sampleWaiting({ path: 'big.mp4', uploading: true, bytes: 40_000_000, sent: 12_000_000 }),
      sampleWaiting({ path: 'small.png', uploading: true }),
    ];
    const html = page({ pending, ...sampleTotals({ pendingFiles: 2 }) });
    expect(html).toContain('12 MB of 40 MB, 30 %');
    expect(html).toContain('<progress value="12000000" max="40000000" aria-label="big.mp4">');
    expect(html).toContain('<progress aria-label="small.png">');
  });

  it('pictures are thumbnails, video and sound have players, and what may hold script is only named', () => {
    const recent = ['a.png', 'b.MP4', 'c.flac', 'd.svg', 'e.json', 'f.html', 'constructor', 'g.constructor'].map(
      (path) => sampleStored({ path, encodedPath: path }),
    );
    const html = page({ recent });
    expect(html.match(/<(img|video|audio) [^>]*src="[^"]*"/g)).toHaveLength(3);
    expect(html).toContain(
      '<img src="media?path=a.png&amp;v=9f86d081884c7d65" alt="" loading="lazy" decoding="async">',
    );
    expect(html.match(/media\?path=[^&]*/g)).toEqual(
      ['a.png', 'a.png', 'b.MP4', 'c.flac'].map((p) => `media?path=${p}`),
    );
  });

  it('a picture of many megabytes is linked, not fetched for a thumbnail', () => {
    const html = page({ recent: [sampleStored({ bytes: 40_000_000 })] });
    expect(html).not.toContain('<img');
    expect(html).toContain('Open, 40 MB');
  });
});

describe('what is sent to pages that are open', () => {
  it('nothing changes while only time goes by', () => {
    const before = state({ uptimeSeconds: 10, pending: [sampleWaiting({ seconds: 1 })] });
    const after = state({ uptimeSeconds: 11, pending: [sampleWaiting({ seconds: 2 })] });
    expect(after.etag).toBe(before.etag);
    expect(changedSections(after, before)).toEqual({});
  });

  it('only the sections that have changed', () => {
    const before = state();
    const after = state({ skipped: { '.txt': 3 } });
    expect(after.etag).not.toBe(before.etag);
    expect(Object.keys(changedSections(after, before))).toEqual(['skipped']);
    expect(Object.keys(changedSections(after, undefined))).toEqual(Object.keys(after.sections));
  });
});
