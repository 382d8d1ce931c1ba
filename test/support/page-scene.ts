// What browser tests of the status page share: a real agent with a store, a visit to its page, pictures, and axe.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { Browser, BrowserContextOptions } from 'playwright-core';
import { expect, onTestFinished } from 'vitest';
import { makePlace, type Place, type RunningAgent, removePlace, startAgent, until } from './agent.ts';
import { foreignRequests, openVisit, type Visit } from './browser.ts';
import { type StoreDouble, startStoreDouble } from './store-double.ts';

export interface PageScene {
  place: Place;
  store: StoreDouble;
  agent: RunningAgent;
  /** Starts the agent again, at the same address. */
  restart(): Promise<void>;
  /** Writes an output as ComfyUI does: whole, then closed. */
  write(path: string, bytes: Buffer): Promise<void>;
}

/** @param prepare what is there before the agent starts */
export async function openPageScene(
  settings: Record<string, string> = {},
  prepare: (scene: Pick<PageScene, 'write' | 'store'>) => Promise<void> = async () => {},
): Promise<PageScene> {
  const place = await makePlace();
  const store = await startStoreDouble();
  const { accessKeyId, secretAccessKey } = store.settings;
  const target = { endpoint: store.endpoint, bucket: 'runpod', accessKeyId, secretAccessKey };
  const write = async (path: string, bytes: Buffer) => {
    await mkdir(dirname(join(place.output, path)), { recursive: true });
    await writeFile(join(place.output, path), bytes);
  };
  await prepare({ write, store });
  const scene: PageScene = {
    place,
    store,
    agent: await startAgent(place, target, settings),
    write,
    restart: async () => {
      const port = new URL(scene.agent.url).port;
      scene.agent = await startAgent(place, target, { ...settings, R2_STATUS_PORT: port });
    },
  };
  onTestFinished(async () => {
    store.fault = undefined;
    await scene.agent.stop('SIGKILL');
    await store.close();
    await removePlace(place);
  });
  return scene;
}

/** Opens the page. At the end of the test it must have asked nobody else and raised no error. */
export async function visitPage(browser: Browser, url: string, options: BrowserContextOptions = {}): Promise<Visit> {
  const visit = await openVisit(browser, options);
  onTestFinished(() => visit.close());
  await visit.page.goto(url);
  return visit;
}

/** Nothing that the page must never do was done. */
export function expectInnocence(visit: Visit, url: string): void {
  expect(foreignRequests(visit, url)).toEqual([]);
  expect(visit.errors).toEqual([]);
}

/** Waits until an expression is true in the page. Playwright's own waiting needs `eval`, which the page's policy forbids. */
export function untilTrue({ page }: Visit, expression: string): Promise<void> {
  return until(() => page.evaluate<boolean>(expression).catch(() => false), expression);
}

/** A picture of the whole page, for people to look at: `R2_TEST_PICTURES` names the directory, without it there is none. */
export async function takePicture({ page }: Visit, name: string): Promise<void> {
  const directory = process.env.R2_TEST_PICTURES;
  if (directory) await page.screenshot({ path: join(directory, `${name}.png`), fullPage: true });
}

const axe = readFileSync(new URL('../../node_modules/axe-core/axe.min.js', import.meta.url), 'utf8');

interface Finding {
  id: string;
  nodes: { html: string; failureSummary: string }[];
}

/** Accessibility: what axe finds on the page as it is now, each with the element. */
export async function findBarriers({ page }: Visit): Promise<string[]> {
  await page.evaluate(axe);
  const findings = await page.evaluate<Finding[]>('axe.run({ resultTypes: ["violations"] }).then((r) => r.violations)');
  return findings.flatMap(({ id, nodes }) => nodes.map((node) => `${id}: ${node.html}: ${node.failureSummary}`));
}

/** A video that Chromium plays, of some seconds; ffmpeg makes it. To a file: in a pipe its size stays unknown. */
export function makeVideo(seconds: number): Buffer {
  const directory = mkdtempSync(join(tmpdir(), 'r2-sync-video-'));
  try {
    const file = join(directory, 'film.webm');
    const source = `testsrc2=size=160x120:rate=10:duration=${seconds}`;
    execFileSync('ffmpeg', ['-loglevel', 'error', '-f', 'lavfi', '-i', source, '-c:v', 'libvpx', file]);
    return readFileSync(file);
  } finally {
    rmSync(directory, { recursive: true });
  }
}
