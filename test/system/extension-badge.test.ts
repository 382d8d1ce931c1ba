// The badge in ComfyUI's page (docker/nodes/r2-sync/web/badge.js): real Chromium, the real front end of the ComfyUI that
// the image has, a real agent.
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { makeScene } from '../agent/scene.ts';
import { freePort, until } from '../support/agent.ts';
import { browserIsThere, foreignRequests, launchBrowser, openVisit, type Visit } from '../support/browser.ts';
import { pythonIsThere, startComfyUIPage } from '../support/comfyui-page.ts';

const what = "the badge in ComfyUI's page";
const possible = browserIsThere(what) && pythonIsThere(what);
const WINDOW = { width: 1280, height: 800 };
const PHONE = { width: 390, height: 800 };

let browser: Browser;
beforeAll(async () => {
  if (possible) browser = await launchBrowser();
});
afterAll(() => browser?.close());

async function visit(): Promise<Visit> {
  const opened = await openVisit(browser, { viewport: WINDOW });
  onTestFinished(() => opened.close());
  return opened;
}

async function comfy(env: Record<string, string>, options: { frontEnd?: boolean } = {}): Promise<string> {
  const server = await startComfyUIPage({ ENABLE_R2_SYNC: 'true', ...env }, options);
  onTestFinished(() => server.close());
  return server.url;
}

const badgeOf = (page: Page) => page.locator('.r2-sync-badge');

async function untilLabel(page: Page, label: RegExp): Promise<void> {
  await until(async () => label.test((await badgeOf(page).textContent()) ?? ''), `the badge to say ${label}`, 60);
}

/** What is seen at the middle of the element is the element itself: nothing lies over it. */
function isUncovered(page: Page, selector: string): Promise<boolean> {
  return page.evaluate(`(() => {
    const element = document.querySelector(${JSON.stringify(selector)});
    const { left, top, width, height } = element.getBoundingClientRect();
    const seen = document.elementFromPoint(left + width / 2, top + height / 2);
    return seen !== null && element.contains(seen);
  })()`);
}

/** The controls that the badge's rectangle touches. */
const COVERED = `(() => {
  const badge = document.querySelector('.r2-sync-badge');
  const box = badge.getBoundingClientRect();
  return [...document.querySelectorAll('button, input, a')]
    .filter((other) => other !== badge && other.getClientRects().length > 0)
    .map((other) => ({ other, at: other.getBoundingClientRect() }))
    .filter(({ at }) => at.left < box.right && at.right > box.left && at.top < box.bottom && at.bottom > box.top)
    .map(({ other }) => other.outerHTML);
})()`;

describe.skipIf(!possible)("the badge in ComfyUI's page", () => {
  test('says all safe, what is pending, why it fails and what to do, and that r2-sync is gone', async (t) => {
    const scene = await makeScene(t);
    await scene.draw('alice/a.png');
    const agent = await scene.start();
    await agent.until(({ totals }) => totals.storedFiles === 1, 'the picture in the bucket');
    const url = await comfy({ R2_STATUS_PORT: new URL(agent.url).port }, { frontEnd: true });
    const { page, requests, context } = await visit();
    await page.goto(url);
    const badge = badgeOf(page);
    await untilLabel(page, /^All safe$/);
    expect(await badge.getAttribute('data-mood')).toBe('fine');
    // Among ComfyUI's own buttons, and none of those is covered.
    expect(await page.getByTestId('legacy-topbar-container').locator('.r2-sync-badge').count()).toBe(1);
    for (const size of [WINDOW, PHONE]) {
      await page.setViewportSize(size);
      for (const selector of ['.r2-sync-badge', '[data-testid="queue-button"]'])
        await until(() => isUncovered(page, selector), `${selector} to be there, with nothing over it`);
    }
    await page.setViewportSize(WINDOW);

    scene.double.fault = ({ operation }) => (operation === 'PutObject' ? 'hang' : undefined);
    await scene.draw('alice/b.png', 'alice/c.png');
    await untilLabel(page, /^2 pending$/);
    expect(await badge.getAttribute('data-mood')).toBe('busy');

    scene.double.fault = () => ({ status: 403, code: 'AccessDenied' });
    await scene.draw('alice/d.png');
    await untilLabel(page, /^Uploads failing$/);
    // With the keyboard alone: what to do, and the page.
    await badge.focus();
    const tip = page.getByRole('tooltip');
    expect(await tip.textContent()).toContain('r2-sync config set');
    expect(await badge.getAttribute('aria-describedby')).toBe(await tip.getAttribute('id'));
    const opening = context.waitForEvent('page');
    await page.keyboard.press('Enter');
    const opened = await opening;
    await opened.waitForLoadState();
    expect(opened.url()).toBe(`${url}/r2-sync/`);
    await opened.getByRole('heading', { level: 1, name: "don't stop the pod yet" }).waitFor();
    await opened.close();

    await agent.stop('SIGKILL');
    await untilLabel(page, /^Uploads stopped$/);
    // ComfyUI's page itself asks its maker for news; nobody else is asked.
    expect(
      foreignRequests({ requests } as Visit, url).filter((to) => new URL(to).hostname !== 'api.comfy.org'),
    ).toEqual([]);
  });

  test('stands by itself where ComfyUI has no place for buttons, and covers none of what is there', async (t) => {
    const scene = await makeScene(t);
    const agent = await scene.start();
    const url = await comfy({ R2_STATUS_PORT: new URL(agent.url).port }, { frontEnd: true });
    const { page } = await visit();
    const alone = async () => {
      await badgeOf(page).and(page.locator('.r2-sync-alone')).waitFor({ timeout: 60_000 });
      await until(() => isUncovered(page, '.r2-sync-badge'), 'the badge to be there, with nothing over it');
      expect(await page.evaluate(COVERED)).toEqual([]);
    };
    await page.goto(url);
    await untilLabel(page, /^All safe$/);
    // Until its first workflow is there, the page ends this mode by itself.
    await until(() => isUncovered(page, '[data-testid="queue-button"]'), "ComfyUI's page to be there");
    await page.waitForLoadState('networkidle');
    const toggleAppMode = () => page.evaluate("app.extensionManager.command.execute('Comfy.ToggleLinear')");
    await toggleAppMode();
    await alone();
    await toggleAppMode();
    await page.getByTestId('legacy-topbar-container').locator('.r2-sync-badge').waitFor({ timeout: 60_000 });

    await fetch(`${url}/settings/Comfy.UseNewMenu`, { method: 'POST', body: '"Disabled"' });
    await page.reload();
    await alone();
  });

  test('is not there where sync was never turned on', async () => {
    const url = await comfy({ ENABLE_R2_SYNC: '', R2_STATUS_PORT: '1' }, { frontEnd: true });
    const { page, requests } = await visit();
    await page.goto(url);
    await until(() => requests.some((to) => to.endsWith('/r2-sync/badge.json')), 'the badge to ask');
    await page.waitForLoadState('networkidle');
    expect(await badgeOf(page).filter({ visible: true }).count()).toBe(0);
  });
});

describe.skipIf(!possible)("the status page on ComfyUI's port", () => {
  test('updates itself by events, shows thumbnails, breaks no policy, and survives a restart of the agent', async (t) => {
    const scene = await makeScene(t);
    await scene.draw('alice/<b>a.png');
    const port = String(await freePort());
    const agent = await scene.start({ R2_STATUS_PORT: port });
    await agent.until(({ totals }) => totals.storedFiles === 1, 'the picture in the bucket');
    const url = await comfy({ R2_STATUS_PORT: port });
    const visited = await visit();
    const { page, errors } = visited;
    // What it polls for when there are no events: none of that for now.
    await page.route('**/page.json*', (route) => route.abort());
    await page.goto(`${url}/r2-sync/`);
    const shown = (text: string) => page.getByRole('heading', { level: 1, name: text }).waitFor({ timeout: 60_000 });
    await shown('The only file is in the bucket');
    // Not by waitForFunction: it needs eval, which the page's policy forbids.
    await until(() => page.evaluate<boolean>('document.querySelector("main img")?.naturalWidth > 0'), 'the thumbnail');
    await scene.draw('alice/c.png');
    await shown('All 2 files are in the bucket');
    await page.unroute('**/page.json*');

    await agent.stop('SIGKILL');
    const next = await scene.start({ R2_STATUS_PORT: port });
    await scene.draw('alice/d.png');
    await shown('All 3 files are in the bucket');
    await next.stop();
    expect(errors).toEqual([]);
    expect(foreignRequests(visited, url)).toEqual([]);
  });
});

/** The script in a page that isn't ComfyUI's, over a stand-in for the agent: `answer` may be changed while it runs. */
async function standalone() {
  const state = { status: 200, badge: { mood: 'fine', label: 'All safe', text: 'All is well.' }, asked: 0 };
  const agent = createServer((_, reply) => {
    state.asked += 1;
    reply.setHeader('x-r2-sync', '1');
    reply.writeHead(state.status, { 'content-type': 'application/json' }).end(JSON.stringify(state.badge));
  });
  await once(agent.listen(0, '127.0.0.1'), 'listening');
  onTestFinished(() => void agent.close());
  const url = await comfy({ R2_STATUS_PORT: String((agent.address() as AddressInfo).port) });
  const opened = await visit();
  const { page } = opened;
  await page.clock.install();
  await page.goto(`${url}/queue`);
  await page.evaluate(`
    Object.defineProperty(document, 'hidden', { get: () => globalThis.away === true });
    globalThis.waits = [];
    const wait = globalThis.setTimeout;
    globalThis.setTimeout = (work, ms) => waits.push(ms) && wait(work, ms);
  `);
  await page.addScriptTag({ url: `${url}/extensions/r2-sync/badge.js`, type: 'module' });
  await until(() => state.asked === 1, 'the badge to ask');
  const look = (away: boolean) =>
    page.evaluate(`globalThis.away = ${away}; document.dispatchEvent(new Event('visibilitychange')); 0`);
  /** How long the script was told to wait, each time, in ms. */
  const waits = () => page.evaluate<number[]>('waits');
  return { ...opened, state, look, waits };
}

describe.skipIf(!possible)('the script of the badge', () => {
  test('shows whatever it is told as text, also in a page that has nothing of ComfyUI', async () => {
    const { page, state, errors } = await standalone();
    state.badge = { mood: 'bad', label: '<img src=x onerror=alert(1)>', text: '<script>alert(2)</script>' };
    await page.clock.fastForward(4_000);
    await untilLabel(page, /<img src=x onerror=alert\(1\)>/);
    await badgeOf(page).hover();
    expect(await page.getByRole('tooltip').textContent()).toBe('<script>alert(2)</script>');
    expect(await page.locator('.r2-sync-badge img').count()).toBe(0);
    expect(errors).toEqual([]);
  });

  test('asks nothing while nobody sees the page, and at once when somebody does', async () => {
    const { page, state, look } = await standalone();
    await untilLabel(page, /All safe/);
    await look(true);
    await page.clock.fastForward('10:00');
    await page.clock.fastForward('10:00');
    expect(state.asked).toBe(1);
    await look(false);
    await until(() => state.asked === 2, 'the badge to ask');
  });

  test('asks less and less while ComfyUI does not answer, says that nothing is known, and comes back', async () => {
    const { page, state, waits } = await standalone();
    await untilLabel(page, /All safe/);
    await page.route('**/badge.json', (route) => route.abort());
    const known = (await waits()).length;
    for (let tries = 1; tries <= 6; tries += 1) {
      await page.clock.fastForward((await waits()).at(-1)!);
      await until(async () => (await waits()).length === known + tries, 'the badge to wait again');
    }
    expect((await waits()).slice(known)).toEqual([8, 16, 32, 60, 60, 60].map((seconds) => 1000 * seconds));
    await untilLabel(page, /r2-sync\?/);
    await page.unroute('**/badge.json');
    await page.clock.fastForward(70_000);
    await untilLabel(page, /All safe/);
    expect(state.asked).toBeGreaterThan(1);
  });

  test('takes little notice of an answer that is no badge', async () => {
    const { page, state, errors } = await standalone();
    await untilLabel(page, /All safe/);
    state.status = 500;
    await page.clock.fastForward(4_000);
    await until(() => state.asked === 2, 'the badge to ask');
    await until(async () => !(await badgeOf(page).isVisible()), 'the badge to go');
    expect(errors).toEqual([]);
  });
});
