// The routes of the agent's HTTP side, and what every answer says about itself.
import type { HttpBindings } from '@hono/node-server';
import { type Context, Hono } from 'hono';
import { compress } from 'hono/compress';
import { secureHeaders } from 'hono/secure-headers';
import type { Clock } from '../clock.ts';
import { errorText } from '../errors.ts';
import type { Log } from '../log.ts';
import { hasToken, requireLocalName, requireToken } from './access.ts';
import { viewBadge } from './badge.ts';
import { agentHeader, isLoopback } from './client.ts';
import type { Feed } from './feed.ts';
import { Latest } from './latest.ts';
import { Media, mediaPolicy, type Outputs } from './media.ts';
import type { Metrics } from './metrics.ts';
import { renderDocument } from './page/document.ts';
import { build, pageScript, pageStyle } from './page/files.ts';
import { MOST_REPAIR_BYTES, parseRepairs, type Repair } from './repair.ts';
import type { Snapshot } from './snapshot.ts';

export interface AppOptions {
  /** A name or an address of this machine. Beyond loopback every route but /healthz asks for the token. */
  host: string;
  /** From `ensureToken`. Beyond loopback, undefined lets nobody in. */
  token: string | undefined;
  snapshot: () => Snapshot;
  /** Looks at the whole output directory; resolves when what was there at the call is in the snapshot. */
  rescan: () => Promise<void>;
  /** Sends files again whose objects `verify` found missing or wrong; says how many the ledger has so. */
  repair: (wanted: Repair[]) => Promise<number>;
  /** What `/media` may show; undefined while there is no output directory. */
  outputs: () => Outputs | undefined;
  metrics: Metrics;
  log: Log;
  clock: Clock;
}

type Bindings = { Bindings: HttpBindings };

export function createApp(options: AppOptions, feed: Feed): Hono<Bindings> {
  const { snapshot, log, clock } = options;
  const local = isLoopback(options.host);
  const media = new Media(options.outputs, log, clock);
  const latest = new Latest(snapshot, clock);
  const app = new Hono<Bindings>();
  // Outermost, because it has the last word.
  app.use('/media', async (c, next) => {
    await next();
    c.res.headers.set('content-security-policy', mediaPolicy);
  });
  app.use(
    secureHeaders({
      contentSecurityPolicy: {
        defaultSrc: ["'none'"],
        scriptSrc: ["'self'"],
        styleSrc: ["'self'"],
        connectSrc: ["'self'"],
        imgSrc: ["'self'", 'data:'],
        mediaSrc: ["'self'"],
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

  // What a page loads first, and after a while without events. Not the events: each must leave at once.
  app.get('/', compress(), (c) => c.html(renderDocument(feed.current(), clock.wall())));
  app.get('/page.js', compress(), (c) => sendFile(c, pageScript, 'text/javascript; charset=utf-8'));
  app.get('/page.css', compress(), (c) => sendFile(c, pageStyle, 'text/css; charset=utf-8'));
  app.get('/page.json', compress(), (c) => c.json(feed.update(c.req.query('seen'))));
  app.get('/events', (c) => {
    if (c.req.raw.method === 'HEAD') return c.body(null);
    const stream = feed.open(c.req.query('seen'), () => c.env.outgoing.destroy());
    if (stream === undefined) return c.text('Too many pages are open.\n', 503);
    // nginx and what is like it would keep the events to themselves.
    return c.body(stream, 200, { 'content-type': 'text/event-stream', 'x-accel-buffering': 'no' });
  });
  app.get('/media', (c) => media.answer(c));
  app.get('/badge.json', (c) => c.json(viewBadge(latest.get(), clock.wall())));
  // Our own commands decide by it ("may I stop the pod?"), and send the header: nothing that is known may be missing.
  app.get('/api/status', (c) => c.json(c.req.header(agentHeader) === '1' ? latest.refresh() : latest.get()));
  app.post('/api/scan', async (c) => {
    // No other site can send this header without asking us first, and we never say yes.
    if (c.req.header(agentHeader) !== '1') return c.text(`Send the header ${agentHeader}: 1 with this request.\n`, 403);
    await options.rescan();
    return c.json(latest.refresh());
  });
  app.post('/api/repair', async (c) => {
    if (c.req.header(agentHeader) !== '1') return c.text(`Send the header ${agentHeader}: 1 with this request.\n`, 403);
    if (!(Number(c.req.header('content-length')) <= MOST_REPAIR_BYTES)) return c.text('Too much at once.\n', 413);
    const wanted = parseRepairs(await c.req.text());
    if (!wanted) return c.text('Send a list of { path, sha256, wide }.\n', 400);
    return c.json({ taken: await options.repair(wanted) });
  });
  app.get('/healthz', (c) => {
    const { state, reasons } = latest.get();
    // Reasons name bucket and endpoint; a probe without the token only learns the state.
    const told = local || hasToken(c, options.token) ? reasons : [];
    return c.json({ state, reasons: told }, state === 'failing' ? 503 : 200);
  });
  app.get('/metrics', async (c) =>
    c.body(await options.metrics.text(latest.get()), 200, { 'content-type': options.metrics.contentType }),
  );
  app.notFound((c) => c.text('There is no such page. The status page is at /.\n', 404));
  app.onError((error, c) => {
    log.error(`The status page can't answer ${c.req.path}: ${errorText(error)}`);
    return c.text("r2-sync can't answer this now; its log says why.\n", 500);
  });
  return app;
}

/** Asked for by the version that the page was made with, it never changes. */
function sendFile(c: Context, text: string, contentType: string): Response {
  if (c.req.query('v') === build) c.header('cache-control', 'private, max-age=31536000, immutable');
  return c.body(text, 200, { 'content-type': contentType });
}
