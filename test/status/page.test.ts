import { describe, expect, it } from 'vitest';
import { renderPage, viewPage } from '../../src/status/page.ts';
import type { Snapshot } from '../../src/status/snapshot.ts';
import { heldBy, sampleFolder, sampleNow, sampleSnapshot, sampleTotals } from './sample.ts';

const page = (change: Partial<Snapshot> = {}) => renderPage(viewPage(sampleSnapshot(change), sampleNow));

describe('the page', () => {
  it('leads with whether the pod may be stopped, before any script has run', () => {
    const html = page();
    expect(html).toContain(
      '<h1 class="fine">All 212 files are in the bucket, last one 3 s ago. You may stop the pod.</h1>',
    );
    expect(html.indexOf('<h1')).toBeLessThan(html.indexOf('<section'));
    expect(html).toContain('<title>All stored · r2-sync</title>');
  });

  it('shows hostile names as text, wherever a name can stand', () => {
    const name = `<img src=x onerror="alert('1')">&amp;.png`;
    const html = page({
      state: 'failing',
      reasons: [`no ${name}`, `nor ${name}`],
      folders: [sampleFolder({ folder: name, lease: heldBy(`pod ${name}`, { host: name }) })],
      recent: [{ path: name, key: name, bytes: 1, seconds: 1, at: name }],
      parked: [{ path: name, reason: name, fix: name, since: name }],
      pending: [{ path: name, bytes: 1, state: name, seconds: 1 }],
      skipped: { [name]: 1 },
      pod: name,
      store: { endpoint: name, bucket: name, reachable: false, lastError: name },
      ...sampleTotals({ pendingFiles: 1, parkedFiles: 1 }),
    });
    expect(html).not.toContain('<img');
    expect(html).not.toContain('&amp;.png');
    const escaped = '&lt;img src=x onerror=&quot;alert(&#39;1&#39;)&quot;&gt;&amp;amp;.png';
    expect(html.split(escaped).length - 1).toBe(17);
  });

  it('says who serves a folder only where other pods are there', () => {
    expect(page()).not.toMatch(/Served by|this pod/);
    const html = page({ folders: [sampleFolder(), sampleFolder({ folder: 'bob', lease: heldBy('ffee') })] });
    expect(html).toMatch(/Served by.*this pod.*ffee on gpu-2/s);
  });

  it('the tab of the browser says that the pod may be stopped while only files of other pods are on their way', () => {
    const titleOf = (change: Partial<Snapshot>) => /<title>(.*)<\/title>/.exec(page(change))?.[1];
    const pending = sampleTotals({ pendingFiles: 3 });
    expect(titleOf(pending)).toBe('Safe to stop · r2-sync');
    expect(titleOf({ ...pending, safeToStop: false })).toBe('3 pending · r2-sync');
  });

  it('shows control characters, direction marks and broken bytes as escapes', () => {
    const html = page({ recent: [{ path: 'a\n\u202egnp.\udcff', key: 'k', bytes: 1, seconds: 1, at: '' }] });
    expect(html).toContain('a\\n\\u202egnp.\\xff');
  });

  it('has no inline script or style, which the policy would refuse', () => {
    const html = page();
    expect(html).not.toMatch(/<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=/i);
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
    expect(html.match(/<li>/g)).toHaveLength(20);
    expect(html).toContain('… and 30 more');
    expect(html).toContain('… and 10 more');
  });

  it('a list that is cut says how much is missing', () => {
    const pending = Array.from({ length: 30 }, (_, i) => ({ path: `${i}.png`, bytes: 1, state: 'waits', seconds: 1 }));
    expect(page({ pending, ...sampleTotals({ pendingFiles: 500 }) })).toContain('… and 480 more');
  });
});
