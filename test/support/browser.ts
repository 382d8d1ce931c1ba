// A real Chromium for tests and pictures: started once, a fresh profile for each visit, and a record of what a visit
// must not do: ask another host, raise an error, break the page's policy.
import { existsSync } from 'node:fs';
import { type Browser, type BrowserContext, type BrowserContextOptions, chromium, type Page } from 'playwright-core';

const EXECUTABLES = ['/usr/bin/chromium', '/usr/bin/google-chrome', '/usr/bin/chromium-browser'];

/** Where Chromium is on this machine; undefined where it isn't installed. */
export const chromiumPath = EXECUTABLES.find((path) => existsSync(path));

/**
 * For `describe.skipIf(!browserIsThere('…'))`: whether browser tests can run. Without Chromium it says loudly which tests
 * don't, and throws where they must run (R2_REQUIRE_SYSTEM=1).
 */
export function browserIsThere(what: string): boolean {
  if (chromiumPath !== undefined) return true;
  const why = `NOT RUN: ${what} (needs Chromium: apt-get install chromium)`;
  if (process.env.R2_REQUIRE_SYSTEM === '1') throw new Error(why);
  console.warn(why);
  return false;
}

/** Starts Chromium, without a window and without traffic of its own. Close it at the end. */
export async function launchBrowser(): Promise<Browser> {
  if (chromiumPath === undefined) throw new Error('Chromium is not installed: apt-get install chromium');
  return chromium.launch({
    executablePath: chromiumPath,
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
  });
}

export interface Visit {
  readonly context: BrowserContext;
  readonly page: Page;
  /** Every URL that the page asked for, in order. */
  readonly requests: string[];
  /** Errors in the console, uncaught exceptions, violations of the policy. */
  readonly errors: string[];
  close(): Promise<void>;
}

/** A page in a profile of its own: no cookies, nothing cached. `options` as playwright's, for instance `colorScheme`. */
export async function openVisit(browser: Browser, options: BrowserContextOptions = {}): Promise<Visit> {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  const requests: string[] = [];
  const errors: string[] = [];
  context.on('request', (request) => requests.push(request.url()));
  page.on('pageerror', (error) => errors.push(String(error)));
  page.on('console', (message) => {
    // That the agent doesn't answer is what some tests are about; the browser says so by itself.
    if (message.type() === 'error' && !message.text().startsWith('Failed to load resource'))
      errors.push(message.text());
  });
  return { context, page, requests, errors, close: () => context.close() };
}

/** The requests that went to another host than the page's own: there must be none. */
export function foreignRequests(visit: Visit, url: string): string[] {
  const { origin } = new URL(url);
  return visit.requests.filter((request) => !request.startsWith('data:') && new URL(request).origin !== origin);
}
