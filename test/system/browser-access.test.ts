// The page between an agent and a browser that have a hard time: tokens, proxies, an agent that goes away and comes back.
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { browserIsThere, launchBrowser } from '../support/browser.ts';
import { makePng } from '../support/media.ts';
import { startPageProxy } from '../support/page-proxy.ts';
import {
  expectInnocence,
  findBarriers,
  openPageScene,
  takePicture,
  untilTrue,
  visitPage,
} from '../support/page-scene.ts';

const TOKEN = 'correct-horse-battery';
const beyondLoopback = { R2_STATUS_HOST: '0.0.0.0', R2_STATUS_TOKEN: TOKEN };
const headline = (page: Page, text: string | RegExp) => page.locator('h1:visible', { hasText: text }).waitFor();
const isFine = (page: Page) => page.locator('.hero.fine:visible').count();

describe.skipIf(!browserIsThere('the status page behind tokens and proxies'))('the status page', () => {
  let browser: Browser;

  beforeAll(async () => {
    browser = await launchBrowser();
  });

  afterAll(() => browser.close());

  test('beyond loopback it asks for the token, shows nothing before, and a wrong one is said', async () => {
    const { agent, write } = await openPageScene(beyondLoopback);
    await write('alice/secret.png', makePng());
    await agent.until(({ totals }) => totals.storedFiles === 1, 'a file in the bucket');
    for (const colorScheme of ['light', 'dark'] as const) {
      const visit = await visitPage(browser, agent.url, { colorScheme, viewport: { width: 400, height: 600 } });
      const { page, context } = visit;
      await headline(page, 'This page needs its token');
      expect(await page.content()).not.toMatch(/alice|runpod|bucket/);
      await page.keyboard.type('wrong-token');
      await page.keyboard.press('Enter');
      await page.getByRole('alert').getByText("That isn't the token.").waitFor();
      expect(await page.content()).not.toMatch(/alice|runpod|bucket/);
      expect(await context.cookies()).toEqual([]);
      await takePicture(visit, `token-${colorScheme}`);
      expect(await findBarriers(visit)).toEqual([]);

      await page.getByLabel('Token').fill(TOKEN);
      await page.getByRole('button', { name: 'Open' }).click();
      await headline(page, /^The only file is in the bucket/);
      expect(page.url()).toBe(`${agent.url}/`);
      await untilTrue(visit, 'document.querySelector(".frame img").naturalWidth > 0');
      await page.reload();
      await headline(page, /^The only file is in the bucket/);
      await page.close();
      const again = await context.newPage();
      await again.goto(agent.url);
      await headline(again, /^The only file is in the bucket/);
      expectInnocence(visit, agent.url);
    }
  });

  test("below a path of ComfyUI's port it is all there, and the cookie stays below that path", async () => {
    const scene = await openPageScene(beyondLoopback);
    const proxy = await startPageProxy(() => scene.agent.url, { prefix: '/r2-sync' });
    await scene.agent.until(({ safeToStop }) => safeToStop, 'the first scan');
    const visit = await visitPage(browser, `${proxy.url}?token=${TOKEN}`);
    const { page, context } = visit;
    await headline(page, 'There is nothing to upload yet.');
    expect(page.url()).toBe(proxy.url);
    expect((await context.cookies()).map(({ path }) => path)).toEqual(['/r2-sync']);
    await scene.write('a.png', makePng());
    await headline(page, /^The only file is in the bucket/);
    await untilTrue(visit, 'document.querySelector(".frame img").naturalWidth > 0');
    expect(visit.requests.filter((url) => !url.startsWith('data:') && !url.startsWith(proxy.url))).toEqual([]);
    expectInnocence(visit, proxy.url);
  });

  test('behind a proxy that keeps event streams to itself, it asks, and goes on to', async () => {
    const scene = await openPageScene();
    const proxy = await startPageProxy(() => scene.agent.url, { buffers: true });
    const visit = await visitPage(browser, proxy.url);
    await scene.agent.until(({ safeToStop }) => safeToStop, 'the first scan');
    for (const count of [1, 2]) {
      await scene.write(`${count}.png`, makePng({ seed: count }));
      await headline(visit.page, count === 1 ? /^The only file is in/ : /^All 2 files are in/);
    }
    expect(visit.requests.some((url) => url.includes('/page.json'))).toBe(true);
    expect(proxy.streams).toBe(1);
    expectInnocence(visit, proxy.url);
  });

  test('behind a proxy that cuts silent streams, it opens another and stays up to date', async () => {
    const scene = await openPageScene();
    const proxy = await startPageProxy(() => scene.agent.url, { cutsAfterMs: 500 });
    const visit = await visitPage(browser, proxy.url);
    await untilTrue(visit, 'document.title === "All stored · r2-sync"');
    while (proxy.cut < 2) await visit.page.waitForRequest(/events/);
    expect(await isFine(visit.page)).toBe(1);
    await scene.write('a.png', makePng());
    await headline(visit.page, /^The only file is in the bucket/);
    expectInnocence(visit, proxy.url);
  });

  test('an agent that is gone is said loudly, in place of good news; when it is back, so is the page', async () => {
    const scene = await openPageScene();
    await scene.write('a.png', makePng());
    await scene.agent.until(({ totals, safeToStop }) => safeToStop && totals.storedFiles === 1, 'a file in the bucket');
    const visit = await visitPage(browser, scene.agent.url, { viewport: { width: 800, height: 700 } });
    const { page } = visit;
    await headline(page, /^The only file is in the bucket/);
    await scene.agent.stop('SIGKILL');
    await headline(page, "r2-sync doesn't answer");
    expect(await isFine(page)).toBe(0);
    const told = page.getByText('You may stop the pod');
    for (const text of await told.all()) expect(await text.isVisible()).toBe(false);
    expect(await page.getByRole('status').textContent()).toBe('');
    expect(await page.title()).toBe('No answer · r2-sync');
    await takePicture(visit, 'stale');
    expect(await findBarriers(visit)).toEqual([]);

    await scene.restart();
    await headline(page, /^The only file is in the bucket/);
    expect(await page.title()).toBe('All stored · r2-sync');
    // What was stored last is in the ledger, too.
    await untilTrue(visit, 'document.querySelector(".card img").naturalWidth > 0');
    await scene.write('b.png', makePng({ seed: 2 }));
    await headline(page, /^All 2 files are in the bucket/);
    const noise = /ERR_CONNECTION_REFUSED|ERR_INCOMPLETE_CHUNKED|ERR_EMPTY_RESPONSE/;
    expect(visit.errors.filter((error) => !noise.test(error))).toEqual([]);
  });

  test('an agent that hangs, with its connections open, is noticed by its silence', async () => {
    const scene = await openPageScene();
    await scene.agent.until(({ safeToStop }) => safeToStop, 'the first scan');
    const visit = await visitPage(browser, 'about:blank');
    const { page } = visit;
    await page.clock.install();
    await page.goto(scene.agent.url);
    await headline(page, 'There is nothing to upload yet.');
    await page.locator('html.js').waitFor();
    scene.agent.process.kill('SIGSTOP');
    await page.clock.fastForward(25_000);
    await headline(page, "r2-sync doesn't answer");
    scene.agent.process.kill('SIGCONT');
    await headline(page, 'There is nothing to upload yet.');
  });

  test('a page that is older than the agent behind it loads itself anew, once', async () => {
    const scene = await openPageScene();
    await scene.agent.until(({ safeToStop }) => safeToStop, 'the first scan');
    const proxy = await startPageProxy(() => scene.agent.url);
    const visit = await visitPage(browser, proxy.url);
    const { page } = visit;
    const build = (await page.locator('body').getAttribute('data-build'))!;
    // Another version is behind the same address from here on; the old one is gone.
    proxy.settings.rewrite = (text) => text.replaceAll(build, 'other-build1');
    await scene.agent.stop('SIGKILL');
    await scene.restart();
    await page.locator('body[data-build="other-build1"]').waitFor();
    await headline(page, 'There is nothing to upload yet.');
    const loads = visit.requests.filter((url) => url === proxy.url);
    expect(loads).toHaveLength(2);
  });
});
