// Makes the pictures of README and docs from a real run (npm run pictures): a real agent, real files, Chromium for the
// page, a pseudo-terminal for the commands. Needs chromium, ffmpeg and script (util-linux), and a build in dist.
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Browser, BrowserContextOptions } from 'playwright-core';
import { until } from '../test/support/agent.ts';
import { launchBrowser, openVisit } from '../test/support/browser.ts';
import { drawLandscape, encodePng } from './pictures/artwork.ts';
import { fillStage, holdUpload, openStage, type Stage } from './pictures/stage.ts';
import { openTerminal, type Shot, terminalPage } from './pictures/terminal.ts';

const pictures = fileURLToPath(new URL('../docs/pictures/', import.meta.url));
const bundle = fileURLToPath(new URL('../dist/r2-sync.js', import.meta.url));
const rough = mkdtempSync(join(tmpdir(), 'pictures-rough-'));

const desk = { viewport: { width: 1080, height: 912 } };
const phone = { viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true };

/** Run by the page. */
const inSightIsLoaded = `[...document.querySelectorAll('img, video')].every((media) =>
  media.getBoundingClientRect().top > innerHeight || media.complete || (media.readyState === 4 && media.networkState === 1))`;

mkdirSync(pictures, { recursive: true });
const browser = await launchBrowser();
const stage = await openStage();
try {
  await fillStage(stage);
  const letGo = await holdUpload(stage);
  await photographPage(browser, stage, 'status-page-light', 'busy', { ...desk, colorScheme: 'light' });
  await photographPage(browser, stage, 'status-page-dark', 'busy', { ...desk, colorScheme: 'dark' });
  await photographPage(browser, stage, 'status-page-phone', 'busy', { ...phone, colorScheme: 'light' });
  await photographTop(browser, stage);
  letGo();
  await stage.agent.until(({ safeToStop }) => safeToStop, 'everything to be stored', 150);
  await photographTerminal(browser, 'terminal-status', [await run(stage, ['status'])]);
  await photographTerminal(browser, 'terminal-doctor', [await run(stage, ['doctor'])]);
  await photographRestore(browser, stage);
  await photographFailing(browser, stage);
} finally {
  await browser.close();
  await stage.close();
  rmSync(rough, { recursive: true, force: true });
}

/** @param mood what the page's headline must look like */
async function photographPage(
  browser: Browser,
  { agent }: Stage,
  name: string,
  mood: 'busy' | 'bad',
  options: BrowserContextOptions,
) {
  const visit = await openVisit(browser, options);
  await visit.page.goto(agent.url);
  await visit.page.locator(`#headline.${mood}`).waitFor();
  // Whatever is in sight has come. Asked again and again, for waiting in the page takes eval, which its policy forbids.
  await until(() => visit.page.evaluate<boolean>(inSightIsLoaded), 'the pictures in sight');
  // Players show that they have loaded a moment later.
  await visit.page.waitForTimeout(1000);
  save(name, await visit.page.screenshot());
  await visit.close();
}

/** Somebody has taken from the token what it needs. */
async function photographFailing(browser: Browser, stage: Stage) {
  stage.store.fault = ({ operation }) =>
    operation === 'PutObject' ? { status: 403, code: 'AccessDenied', message: 'Access Denied' } : undefined;
  await stage.write('alice/ComfyUI_00070_.png', encodePng(drawLandscape(1, 704, 704), 'one more'));
  await stage.agent.until(({ state }) => state === 'failing', 'the agent to be failing');
  await photographPage(browser, stage, 'status-page-failing', 'bad', {
    viewport: { width: 1080, height: 560 },
    colorScheme: 'light',
  });
}

/** While something is being uploaded. */
async function photographTop(browser: Browser, { env }: Stage) {
  const top = openTerminal(bundle, ['top'], env, 24);
  const shot = await top.until((text) => text.includes('wan22_00007_.mp4'), 'top to show the upload');
  await photographTerminal(browser, 'terminal-top', [shot]);
  top.interrupt();
  await top.ended;
}

/** One folder, done; and everything, on its way. */
async function photographRestore(browser: Browser, { env, store, place }: Stage) {
  const to = (name: string) => join(place.base, name);
  const folder = await openTerminal(bundle, ['restore', to('alice'), '--folder', 'alice'], env).ended;
  store.settings.latencyMs = 500;
  const all = openTerminal(bundle, ['restore', to('again')], env);
  const underWay = await all.until((text) => /restored: 1[2-6]\d of/.test(text), 'more than half to be restored');
  store.settings.latencyMs = 60;
  await all.ended;
  await photographTerminal(browser, 'terminal-restore', [folder, underWay]);
}

function run({ env }: Stage, args: readonly string[]): Promise<Shot> {
  return openTerminal(bundle, args, env).ended;
}

async function photographTerminal(browser: Browser, name: string, shots: readonly Shot[]) {
  const visit = await openVisit(browser, { viewport: { width: 1200, height: 900 } });
  await visit.page.setContent(terminalPage(shots));
  save(name, await visit.page.locator('body').screenshot({ omitBackground: true }));
  await visit.close();
}

/** With as few colours as it takes: a picture that everybody loads should be small. */
function save(name: string, png: Buffer) {
  const [from, to] = [join(rough, `${name}.png`), join(pictures, `${name}.png`)];
  writeFileSync(from, png);
  const colors = 'split[a][b];[a]palettegen=max_colors=256:reserve_transparent=1[p];[b][p]paletteuse=dither=sierra2_4a';
  execFileSync('ffmpeg', ['-y', '-v', 'error', '-i', from, '-filter_complex', colors, '-update', '1', to]);
  console.log(
    `docs/pictures/${name}.png  ${Math.round(png.length / 1024)} KB → ${Math.round(statSync(to).size / 1024)} KB`,
  );
}
