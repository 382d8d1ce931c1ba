// What people see, in a real Chromium, from a real agent: every state of the page, each looked at by axe as well.
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { browserIsThere, launchBrowser } from '../support/browser.ts';
import { makePng, makePngOfSize, makeWav } from '../support/media.ts';
import {
  expectInnocence,
  findBarriers,
  makeVideo,
  openPageScene,
  takePicture,
  untilTrue,
  visitPage,
} from '../support/page-scene.ts';

const headline = (page: Page, text: string | RegExp) => page.locator('h1', { hasText: text }).waitFor();
const verdict = (page: Page) => page.locator('.verdict').innerText();

describe.skipIf(!browserIsThere('the status page in a browser'))('the status page', () => {
  let browser: Browser;

  beforeAll(async () => {
    browser = await launchBrowser();
  });

  afterAll(() => browser.close());

  test('with nothing to upload, says that the pod may be stopped, and notices the first picture by itself', async () => {
    const { agent, write } = await openPageScene();
    await agent.until(({ safeToStop }) => safeToStop, 'the first scan');
    const visit = await visitPage(browser, agent.url);
    await headline(visit.page, 'There is nothing to upload yet. You may stop the pod.');
    await takePicture(visit, 'nothing');
    await write('alice/first.png', makePng());
    await headline(visit.page, /^The only file is in the bucket, stored .*You may stop the pod\.$/);
    expect(await visit.page.title()).toBe('All stored · r2-sync');
    expectInnocence(visit, agent.url);
  });

  test('pictures, video and sound can be looked at, names are text, and every screen and scheme is without barriers', async () => {
    const names = [
      '<img src=x onerror=alert(1)>.png',
      '"><script>alert(2)</script>.png'.replaceAll('/', ''),
      '画像 🎨.png',
    ];
    const { agent, write, place } = await openPageScene({ R2_QUIET_SECONDS: '0.2' });
    for (const [i, name] of names.entries()) await write(`<b>alice/${name}`, makePng({ width: 96 + i, height: 64 }));
    await write('bob/gone.png', makePng({ seed: 9 }));
    await write('bob/film.webm', makeVideo(1));
    await write('bob/song.wav', makeWav());
    await write('bob/latent.json', Buffer.from('{}'));
    await agent.until(({ safeToStop, totals }) => safeToStop && totals.storedFiles === 7, 'seven files in the bucket');
    await rm(join(place.output, 'bob/gone.png'));

    const screens = [
      ['light', { colorScheme: 'light', viewport: { width: 1280, height: 900 } }],
      ['dark', { colorScheme: 'dark', viewport: { width: 1280, height: 900 } }],
      ['phone', { colorScheme: 'light', viewport: { width: 320, height: 640 }, hasTouch: true }],
    ] as const;
    for (const [name, options] of screens) {
      const visit = await visitPage(browser, agent.url, options);
      const { page } = visit;
      await headline(page, /^All [67] files are in the bucket/);
      expect(await page.locator('.card .path').allInnerTexts()).toContain('<b>alice/<img src=x onerror=alert(1)>.png');
      await page.locator('.card', { hasText: 'gone.png' }).scrollIntoViewIfNeeded();
      await page.getByText('No longer on the volume').waitFor();
      for (const image of await page.locator('.frame img').all()) {
        await image.scrollIntoViewIfNeeded();
      }
      await untilTrue(visit, '[...document.querySelectorAll(".frame img")].every((img) => img.naturalWidth > 0)');
      await untilTrue(
        visit,
        'document.querySelector("video").readyState > 0 && document.querySelector("audio").readyState > 0',
      );
      expect(await page.locator('.frame img').count()).toBe(3);
      expect(await page.locator('.card', { hasText: 'latent.json' }).locator('img, video, a').count()).toBe(0);
      expect(await page.evaluate('document.documentElement.scrollWidth <= innerWidth')).toBe(true);
      expect(await findBarriers(visit)).toEqual([]);
      await page.evaluate('scrollTo(0, 0)');
      await takePicture(visit, `fine-${name}`);
      expectInnocence(visit, agent.url);
    }
  });

  test('a picture that cannot be shown says why, and comes by itself where it can', async () => {
    const { agent, write } = await openPageScene({}, ({ write }) => write('a.png', makePng()));
    await write('b.png', makePng({ seed: 2 }));
    await agent.until(({ totals }) => totals.storedFiles === 2, 'two files in the bucket');
    const visit = await visitPage(browser, 'about:blank');
    const { page } = visit;
    let answer: { status: number; headers: Record<string, string>; body?: string } | undefined;
    const headers = { 'x-r2-sync': '1', 'retry-after': '1' };
    await page.route('**/media?path=a.png*', (route) => (answer ? route.fulfill(answer) : route.continue()));
    for (const [next, words] of [
      [{ status: 429, headers }, 'Waits for its turn'],
      [{ status: 503, headers }, "The volume doesn't answer"],
      [{ status: 503, headers: { 'retry-after': '1' } }, 'No answer'],
      [{ status: 404, headers: {} }, 'No answer'],
    ] as const) {
      answer = next;
      await page.goto(agent.url);
      const frame = page.locator('.card', { hasText: 'a.png' }).locator('.frame');
      await frame.getByText(words).waitFor();
      answer = undefined;
      await frame.locator('img').waitFor();
      await untilTrue(
        visit,
        '[...document.querySelectorAll(".frame img")].filter((i) => i.naturalWidth > 0).length === 2',
      );
    }
    answer = { status: 200, headers: { ...headers, 'content-type': 'image/png' }, body: 'no picture' };
    await page.goto(agent.url);
    await page.getByText("This browser can't show it").waitFor();
  });

  test('without script it is all there, and asks again by itself', async () => {
    const { agent, write } = await openPageScene({}, ({ write }) => write('a.png', makePng()));
    await write('b.png', makePng({ seed: 2 }));
    await agent.until(({ totals }) => totals.storedFiles === 2, 'two files in the bucket');
    const { page } = await visitPage(browser, agent.url, { javaScriptEnabled: false });
    expect(await page.locator('h1:visible').innerText()).toMatch(
      /^All 2 files are in the bucket, last one (just now|\d+ s ago)/,
    );
    expect(await page.locator('noscript').innerHTML()).toContain('http-equiv="refresh"');
  });

  test('a live upload shows its progress, and what somebody does on the page survives every update', async () => {
    const { agent, write, store } = await openPageScene();
    const film = makeVideo(5);
    await write('bob/film.webm', film);
    // First of all: among the last ones it would be the one that moves to the list below while it plays, and stops by that.
    await agent.until(({ totals }) => totals.storedFiles === 1, 'the film in the bucket');
    for (let i = 0; i < 14; i += 1) await write(`alice/${i}.png`, makePng({ seed: i }));
    await agent.until(
      ({ totals, safeToStop }) => safeToStop && totals.storedFiles === 15,
      'fifteen files in the bucket',
    );
    const visit = await visitPage(browser, agent.url, { viewport: { width: 1280, height: 900 } });
    const { page } = visit;
    await headline(page, /^All 15 files/);
    await page.locator('#recent-more > summary').click();
    await page.evaluate(
      '(async () => { const v = document.querySelector("video"); v.muted = true; v.loop = true; await v.play(); })()',
    );
    await page.locator('.card').nth(3).locator('button').focus();
    await page.evaluate('getSelection().selectAllChildren(document.querySelectorAll(".card code")[1])');
    const selected = await page.evaluate<string>('String(getSelection())');

    // Two of five parts arrive, then one more, then the rest: each once the page has shown what was there before.
    const [third, rest] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    store.fault = ({ query }) => {
      const part = Number(query.get('partNumber'));
      return part > 2 ? { until: part === 3 ? third.promise : rest.promise } : undefined;
    };
    await write('carol/large.png', makePngOfSize(40_000_000));
    const bar = page.locator('#uploading progress[value]');
    await bar.waitFor();
    expect(await verdict(page)).toBe("Don't stop yet");
    expect(await page.title()).toBe('1 pending · r2-sync');
    const first = Number(await bar.getAttribute('value'));
    third.resolve();
    await untilTrue(visit, `Number(document.querySelector("#uploading progress")?.getAttribute("value")) > ${first}`);
    await takePicture(visit, 'live');
    expect(await findBarriers(visit)).toEqual([]);
    rest.resolve();
    await headline(page, /^All 16 files are in the bucket/);
    expect(await page.locator('#uploading').isVisible()).toBe(false);

    expect(await page.locator('#recent-more').getAttribute('open')).toBe('');
    expect(await page.evaluate('document.querySelector("video").paused')).toBe(false);
    expect(await page.evaluate('String(getSelection())')).toBe(selected);
    expect(await page.evaluate('document.activeElement.className')).toBe('copy');
    expectInnocence(visit, agent.url);
  });

  test('a key is copied by keyboard, and that is said', async () => {
    const { agent, write } = await openPageScene();
    await write('a.png', makePng());
    await agent.until(({ totals, safeToStop }) => safeToStop && totals.storedFiles === 1, 'a file in the bucket');
    const { page, context } = await visitPage(browser, agent.url);
    await context.grantPermissions(['clipboard-read', 'clipboard-write']);
    await page.keyboard.press('Tab');
    expect(await page.evaluate('document.activeElement.getAttribute("aria-label")')).toBe('Open a.png');
    expect(await page.evaluate('getComputedStyle(document.activeElement).outlineStyle')).toBe('solid');
    await page.keyboard.press('Tab');
    await page.keyboard.press('Enter');
    await page.getByRole('status').getByText('Copied').waitFor({ state: 'attached' });
    expect(await page.evaluate('navigator.clipboard.readText()')).toBe(await page.locator('.key code').innerText());
  });

  test('with a backlog of 1,000 it shows the first and says how many more there are', async () => {
    const { agent, store } = await openPageScene({}, async ({ write, store }) => {
      store.settings.latencyMs = 300;
      await Promise.all(Array.from({ length: 1000 }, (_, i) => write(`alice/ComfyUI_${i}_.png`, makePng({ seed: i }))));
    });
    await agent.until(({ totals }) => totals.pendingFiles > 800, 'the backlog');
    const visit = await visitPage(browser, agent.url, { viewport: { width: 320, height: 640 }, colorScheme: 'dark' });
    const { page } = visit;
    await page.locator('#waiting-more > summary', { hasText: /^… and \d{3} more$/ }).waitFor();
    await headline(page, /^\d+ files are on their way.*don't stop the pod yet\.$/);
    expect(await page.locator('#waiting tbody tr').count()).toBeLessThanOrEqual(100);
    await takePicture(visit, 'backlog');
    expect(await findBarriers(visit)).toEqual([]);
    expect(await page.evaluate('document.documentElement.scrollWidth <= innerWidth')).toBe(true);
    store.settings.latencyMs = 0;
    await headline(page, /^All 1,000 files are in the bucket/);
    expectInnocence(visit, agent.url);
  });

  test('parked files are grouped by what to do about them', async () => {
    const { agent, write, store } = await openPageScene();
    store.fault = ({ operation, key }) =>
      operation === 'PutObject' && key.includes('/bad-') ? { status: 400, code: 'EntityTooLarge' } : undefined;
    for (let i = 0; i < 8; i += 1) await write(`alice/bad-${i}.png`, makePng({ seed: i }));
    await write('alice/good.png', makePng({ seed: 99 }));
    await agent.until(({ totals }) => totals.parkedFiles === 8 && totals.storedFiles === 1, 'eight parked files');
    const visit = await visitPage(browser, agent.url, { viewport: { width: 800, height: 900 } });
    const { page } = visit;
    await headline(page, /^8 files can't be uploaded until something is fixed/);
    expect(await verdict(page)).toBe('Needs you');
    expect(await page.getByRole('heading', { level: 3 }).allInnerTexts()).toHaveLength(1);
    await page.getByText('What to do:').waitFor();
    await page.locator('#parked-0-more > summary', { hasText: '… and 3 more' }).click();
    await page.getByText('alice/bad-0.png').waitFor();
    await takePicture(visit, 'parked');
    expect(await findBarriers(visit)).toEqual([]);
    expectInnocence(visit, agent.url);
  });

  test('a store that refuses is the first thing that is said, with the fix', async () => {
    const { agent, write } = await openPageScene({}, async ({ store }) => {
      store.fault = () => ({ status: 403, code: 'AccessDenied', message: 'Access Denied' });
    });
    await write('alice/a.png', makePng());
    await agent.until(({ state }) => state === 'failing', 'the state failing');
    for (const colorScheme of ['light', 'dark'] as const) {
      const visit = await visitPage(browser, agent.url, { colorScheme, viewport: { width: 800, height: 700 } });
      expect(await verdict(visit.page)).toBe('Failing');
      expect(await visit.page.title()).toBe('Failing · r2-sync');
      expect(await visit.page.locator('h1:visible').innerText()).toBe(
        "Nothing can be uploaded. 1 file waits: don't stop the pod yet.",
      );
      expect(await visit.page.locator('.trouble').innerText()).toMatch(/^The store answered 403.*R2_ACCESS_KEY/);
      await takePicture(visit, `failing-${colorScheme}`);
      expect(await findBarriers(visit)).toEqual([]);
      expectInnocence(visit, agent.url);
    }
  });

  test('50 folders: those with something left first, the rest one step away', async () => {
    const { agent, write, store } = await openPageScene({}, async ({ write }) => {
      for (let i = 0; i < 50; i += 1) await write(`user-${i}/a.png`, makePng({ seed: i }));
    });
    await agent.until(({ totals }) => totals.storedFiles === 50, 'fifty files in the bucket');
    store.fault = ({ key }) => (key.includes('user-7/') ? { delayMs: 60_000 } : undefined);
    await write('user-7/b.png', makePng({ seed: 77 }));
    await agent.until(({ totals }) => totals.pendingFiles === 1, 'one on its way');
    const visit = await visitPage(browser, agent.url, { viewport: { width: 1280, height: 900 } });
    const { page } = visit;
    expect(await page.locator('#folders tbody tr').count()).toBe(50);
    expect(await page.locator('#folders tbody tr').first().innerText()).toContain('user-7');
    await page.locator('#folders-more > summary', { hasText: '… and 35 more' }).click();
    await takePicture(visit, 'folders');
    expect(await findBarriers(visit)).toEqual([]);
    expectInnocence(visit, agent.url);
  });
});
