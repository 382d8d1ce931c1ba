// The agent's HTTP side: who may see what, and on which address. It never stops the agent: a port that is taken is
// tried again until it is free.
import { createHash, timingSafeEqual } from 'node:crypto';
import type { Server } from 'node:http';
import { createAdaptorServer } from '@hono/node-server';
import { type Context, Hono, type MiddlewareHandler } from 'hono';
import { getCookie, setCookie } from 'hono/cookie';
import { secureHeaders } from 'hono/secure-headers';
import type { Clock } from '../clock.ts';
import { errorCode, errorText } from '../errors.ts';
import type { Log } from '../log.ts';
import { viewBadge } from './badge.ts';
import { agentHeader, agentUrl, bareHost, isLoopback } from './client.ts';
import type { Metrics } from './metrics.ts';
import { renderPage, viewPage } from './page.ts';
import { pageScript, pageStyle, tokenPage, welcomePage } from './page-files.ts';
import type { Snapshot } from './snapshot.ts';

export interface StatusOptions {
  /** A name or an address of this machine. Beyond loopback every route but /healthz asks for the token. */
  host: string;
  /** 0 takes any free port. */
  port: number;
  /** From `ensureToken`. Beyond loopback, undefined lets nobody in. */
  token: string | undefined;
  snapshot: () => Snapshot;
  /** Looks at the whole output directory; resolves when what was there at the call is in the snapshot. */
  rescan: () => Promise<void>;
  metrics: Metrics;
  log: Log;
  clock: Clock;
}

export interface StatusServer {
  /** Where the page is, for people on this machine; undefined while it isn't listening. */
  readonly url: string | undefined;
  /** Why it isn't listening and what to do, for people. */
  readonly trouble: string | undefined;
  /** Stops listening and drops what is open. */
  close(): Promise<void>;
}

/** Milliseconds between two attempts to listen. */
const retryMs = { first: 1_000, last: 60_000 };
const cookieName = 'r2-sync';

/** What keeps a server from listening, by the system's code. */
const listenTroubles: Record<string, (options: StatusOptions) => string> = {
  EADDRINUSE: ({ host, port }) =>
    `port ${port} on ${host} is taken. Stop the program that has it, or choose another port: r2-sync config set R2_STATUS_PORT=8191 on the pod (0: no page).`,
  EACCES: ({ port }) =>
    `this user may not listen on port ${port}. Choose a port above 1023 with R2_STATUS_PORT (0: no page).`,
  EADDRNOTAVAIL: notOurs,
  ENOTFOUND: notOurs,
  EAI_AGAIN: notOurs,
};

/** Starts to listen and goes on trying until it can; returns at once. */
export function startStatusServer(options: StatusOptions): StatusServer {
  const { clock, log } = options;
  const closing = new AbortController();
  const server = createAdaptorServer({ fetch: createApp(options).fetch, overrideGlobalObjects: false }) as Server;
  let url: string | undefined;
  let trouble: string | undefined;

  const keepTrying = async () => {
    for (let waitMs = retryMs.first; !closing.signal.aborted; waitMs = Math.min(waitMs * 2, retryMs.last)) {
      try {
        await listen(server, bareHost(options.host), options.port);
      } catch (error) {
        const text = describeListenTrouble(error, options);
        if (text !== trouble) log.warn(text);
        trouble = text;
        await clock.sleep(waitMs, closing.signal);
        continue;
      }
      if (closing.signal.aborted) return;
      const address = server.address();
      const port = typeof address === 'object' && address !== null ? address.port : options.port;
      url = `${agentUrl(options.host, port)}/`;
      trouble = undefined;
      // What goes wrong from here on belongs to one connection.
      server.on('error', (error) => log.warn(`The status page had an error: ${errorText(error)}`));
      log.info(`The status page is at ${url}`);
      return;
    }
  };
  const trying = keepTrying();

  return {
    get url() {
      return url;
    },
    get trouble() {
      return trouble;
    },
    async close() {
      closing.abort();
      await trying;
      url = undefined;
      await new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      });
    },
  };
}

function createApp(options: StatusOptions): Hono {
  const { snapshot, log, clock } = options;
  const local = isLoopback(options.host);
  const app = new Hono();
  app.use(
    secureHeaders({
      contentSecurityPolicy: {
        defaultSrc: ["'none'"],
        scriptSrc: ["'self'"],
        styleSrc: ["'self'"],
        connectSrc: ["'self'"],
        imgSrc: ['data:'],
        formAction: ["'self'"],
        baseUri: ["'none'"],
        frameAncestors: ["'self'"],
      },
      referrerPolicy: 'no-referrer',
      // Whether this host is only to be reached by https is for whoever put a proxy there to say.
      strictTransportSecurity: false,
    }),
    async (c, next) => {
      c.header('cache-control', 'no-store');
      c.header(agentHeader, '1');
      await next();
    },
    local ? requireLocalName : requireToken(options.token),
  );

  app.get('/', (c) => c.html(renderPage(viewPage(snapshot(), clock.wall()))));
  app.get('/page.json', (c) => c.json(viewPage(snapshot(), clock.wall())));
  app.get('/page.js', (c) => c.body(pageScript, 200, { 'content-type': 'text/javascript; charset=utf-8' }));
  app.get('/page.css', (c) => c.body(pageStyle, 200, { 'content-type': 'text/css; charset=utf-8' }));
  app.get('/badge.json', (c) => c.json(viewBadge(snapshot(), clock.wall())));
  app.get('/api/status', (c) => c.json(snapshot()));
  app.post('/api/scan', async (c) => {
    // No other site can send this header without asking us first, and we never say yes.
    if (c.req.header(agentHeader) !== '1') return c.text(`Send the header ${agentHeader}: 1 with this request.\n`, 403);
    await options.rescan();
    return c.json(snapshot());
  });
  app.get('/healthz', (c) => {
    const { state, reasons } = snapshot();
    // Reasons name bucket and endpoint; a probe without the token only learns the state.
    const told = local || hasToken(c, options.token) ? reasons : [];
    return c.json({ state, reasons: told }, state === 'failing' ? 503 : 200);
  });
  app.get('/metrics', async (c) =>
    c.body(await options.metrics.text(), 200, { 'content-type': options.metrics.contentType }),
  );
  app.notFound((c) => c.text('There is no such page. The status page is at /.\n', 404));
  app.onError((error, c) => {
    log.error(`The status page can't answer ${c.req.path}: ${errorText(error)}`);
    return c.text("r2-sync can't answer this now; its log says why.\n", 500);
  });
  return app;
}

/**
 * Against DNS rebinding: a web site whose name was pointed at 127.0.0.1 is let in by the browser, but the Host header
 * still has the site's name.
 */
const requireLocalName: MiddlewareHandler = async (c, next) => {
  const name = (c.req.header('host') ?? '').replace(/:\d+$/, '');
  if (isLoopback(name)) return next();
  return c.text(
    'This address is only served under the names 127.0.0.1, localhost and [::1]. Open it with one of them, for instance through an SSH tunnel.\n',
    403,
  );
};

function requireToken(token: string | undefined): MiddlewareHandler {
  return async (c, next) => {
    const { path } = c.req;
    if (path === '/healthz') return next();
    const offered = path === '/' ? c.req.query('token') : undefined;
    if (offered !== undefined && token !== undefined && equal(offered.trim(), token)) {
      setCookie(c, cookieName, cookieValue(token), {
        path: '/',
        httpOnly: true,
        sameSite: 'Strict',
        secure: c.req.header('x-forwarded-proto') === 'https',
      });
      return c.html(welcomePage);
    }
    if (offered === undefined && hasToken(c, token)) return next();
    c.header('www-authenticate', 'Bearer');
    return path === '/' ? c.html(tokenPage, 401) : c.text('This needs the token: Authorization: Bearer TOKEN.\n', 401);
  };
}

function hasToken(c: Context, token: string | undefined): boolean {
  if (token === undefined) return false;
  const bearer = /^Bearer +(\S+) *$/i.exec(c.req.header('authorization') ?? '')?.[1];
  if (bearer !== undefined) return equal(bearer, token);
  const cookie = getCookie(c, cookieName);
  return cookie !== undefined && equal(cookie, cookieValue(token));
}

/** Browsers send cookies to every port of a host, so to ComfyUI's nodes too: the cookie isn't the token itself. */
function cookieValue(token: string): string {
  return createHash('sha256').update(`r2-sync cookie\n${token}`).digest('hex');
}

/** Compares in a time that says nothing about where the two differ. */
function equal(a: string, b: string): boolean {
  const digest = (text: string) => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(a), digest(b));
}

function listen(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ host, port }, () => {
      server.off('error', reject);
      resolve();
    });
  });
}

function describeListenTrouble(error: unknown, options: StatusOptions): string {
  const describe = listenTroubles[errorCode(error) ?? ''];
  const cause = describe?.(options) ?? `${errorText(error)}. Check R2_STATUS_HOST and R2_STATUS_PORT.`;
  return `The status page can't start: ${cause} Uploads go on; it is tried again, at least every minute.`;
}

function notOurs({ host }: StatusOptions): string {
  return `${host} is no address of this machine. Set R2_STATUS_HOST to one, or to 0.0.0.0 for all.`;
}
