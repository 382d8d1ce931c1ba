import { createServer, type IncomingMessage, request, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it, test } from 'vitest';
import { type Clock, systemClock } from '../../src/clock.ts';
import { askAgent } from '../../src/status/client.ts';
import { createMetrics } from '../../src/status/metrics.ts';
import { type StatusOptions, type StatusServer, startStatusServer } from '../../src/status/server.ts';
import type { Snapshot } from '../../src/status/snapshot.ts';
import { eventually } from '../support/eventually.ts';
import { ask, listLog, sampleFolder, sampleSnapshot, sampleStored, sampleTotals, sampleWaiting } from './sample.ts';

const token = 'correct horse battery'.replaceAll(' ', '-');
const cleanups: (() => Promise<void>)[] = [];

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

function start(change: Partial<StatusOptions> = {}): StatusServer {
  const snapshot = change.snapshot ?? (() => sampleSnapshot());
  const server = startStatusServer({
    host: '127.0.0.1',
    port: 0,
    token: undefined,
    snapshot,
    rescan: async () => {},
    repair: async () => 0,
    outputs: () => undefined,
    metrics: createMetrics(),
    log: listLog().log,
    clock: systemClock,
    ...change,
  });
  cleanups.push(() => server.close());
  return server;
}

async function listening(change: Partial<StatusOptions> = {}): Promise<string> {
  const server = start(change);
  return eventually(() => server.url ?? expect.fail(`not listening: ${server.trouble}`));
}

async function takePort(): Promise<{ blocker: Server; port: number }> {
  const blocker = createServer((_, reply) => reply.end('not r2-sync'));
  await new Promise<void>((resolve) => blocker.listen(0, '127.0.0.1', resolve));
  cleanups.push(async () => void blocker.close());
  return { blocker, port: (blocker.address() as AddressInfo).port };
}

/** A clock whose sleeps end when the test says so. */
function steppedClock(): { clock: Clock; sleeps: number[]; wake: () => void } {
  const sleeps: number[] = [];
  let wake = () => {};
  const clock: Clock = {
    ...systemClock,
    sleep: (ms, signal) =>
      new Promise((resolve) => {
        sleeps.push(ms);
        wake = resolve;
        signal?.addEventListener('abort', () => resolve(), { once: true });
      }),
  };
  return { clock, sleeps, wake: () => wake() };
}

test('what the page loads first stays under 100 kB, with long names, 5,000 folders and all lists full', async () => {
  const path = (n: number) =>
    `${'a rather long name of a folder '.repeat(3)}${n}/${'ComfyUI_portrait_'.repeat(5)}${n}_.png`;
  const each = <T>(count: number, make: (n: number) => T) => Array.from({ length: count }, (_, n) => make(n));
  const snapshot = sampleSnapshot({
    safeToStop: false,
    folders: each(5000, (n) => sampleFolder({ folder: path(n), files: 212, stored: 210, pending: 2 })),
    recent: each(50, (n) => sampleStored({ path: path(n), encodedPath: path(n), key: `outputs/${path(n)}` })),
    pending: each(100, (n) => sampleWaiting({ path: path(n) })),
    parked: each(100, (n) => ({ path: path(n), reason: 'no', fix: `do ${n}`, since: '2026-11-20T11:00:00.000Z' })),
    ...sampleTotals({ pendingFiles: 90_000, parkedFiles: 10_000 }),
  });
  const url = await listening({ snapshot: () => snapshot });
  const html = await (await fetch(url)).text();
  const assets = [...html.matchAll(/(?:src|href)="(page\.[^"]+)"/g)].map(([, name]) => name!);
  expect(assets).toHaveLength(2);
  let bytes = 0;
  for (const name of ['', ...assets]) {
    const reply = await ask(`${url}${name}`, { headers: { 'accept-encoding': 'gzip' } });
    expect(reply.headers['content-encoding']).toBe('gzip');
    bytes += reply.length;
  }
  expect(bytes).toBeLessThan(100_000);
  expect(html).toContain('… and 4,985 more');
});

describe('a port that is taken', () => {
  it('is said with what to do, is tried again with back-off, and the page comes up once it is free', async () => {
    const { blocker, port } = await takePort();
    const { clock, sleeps, wake } = steppedClock();
    const { log, lines } = listLog();
    const server = start({ port, clock, log });

    for (let attempts = 1; attempts <= 8; attempts += 1) {
      await eventually(() => expect(sleeps).toHaveLength(attempts));
      if (attempts < 8) wake();
    }
    expect(sleeps).toEqual([1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000]);
    expect(server.url).toBeUndefined();
    expect(server.trouble).toContain(`port ${port} on 127.0.0.1 is taken`);
    expect(server.trouble).toContain('R2_STATUS_PORT');
    expect(lines).toEqual([server.trouble]);

    await new Promise((resolve) => blocker.close(resolve));
    wake();
    await eventually(() => expect(server.url).toBe(`http://127.0.0.1:${port}/`));
    expect(server.trouble).toBeUndefined();
    expect((await ask(`${server.url}healthz`)).status).toBe(200);
  });

  it('does not keep the agent from stopping', async () => {
    const { port } = await takePort();
    const { clock, sleeps } = steppedClock();
    const server = start({ port, clock });
    await eventually(() => expect(sleeps).toHaveLength(1));
    await server.close();
    expect(server.url).toBeUndefined();
  });

  it('a host that is not ours is said too', async () => {
    const { clock, sleeps } = steppedClock();
    const server = start({ host: '192.0.2.1', port: 0, clock });
    await eventually(() => expect(sleeps).toHaveLength(1));
    expect(server.trouble).toContain('192.0.2.1 is no address of this machine');
    expect(server.trouble).toContain('R2_STATUS_HOST');
  });
});

describe('on loopback', () => {
  it('the API gives the snapshot as it is, names that are not UTF-8 included', async () => {
    const snapshot = sampleSnapshot({
      skipped: { '.safetensors': 2, '': 1 },
      parked: [
        { path: 'bob/\udcff\n<b>.png', reason: 'too long', fix: 'shorten it', since: '2026-11-20T11:00:00.000Z' },
      ],
      ...sampleTotals({ parkedFiles: 1 }),
    });
    const reply = await ask(`${await listening({ snapshot: () => snapshot })}api/status`);
    expect(reply.status).toBe(200);
    expect(reply.headers['content-type']).toContain('application/json');
    expect(JSON.parse(reply.body)).toEqual(snapshot);
  });

  it('a repair is taken from who says so by the header, and only as a list of what was stored', async () => {
    const asked: unknown[] = [];
    const url = await listening({ repair: async (wanted) => asked.push(wanted) });
    const send = async (body: string, headers: Record<string, string> = { 'x-r2-sync': '1' }) =>
      (await fetch(`${url}api/repair`, { method: 'POST', body, headers })).status;
    const wanted = [{ path: 'a/\udcff.png', sha256: 'a'.repeat(64), wide: true }];
    expect(await send(JSON.stringify(wanted), {})).toBe(403);
    for (const bad of ['', '{}', '[{}]', '[{"path":"a.png","sha256":"","wide":true}]'])
      expect(await send(bad)).toBe(400);
    for (const path of ['', '.', '..', 'a/../b.png', 'a/./b.png', '/a.png', 'a//b.png', 'a/'])
      expect(await send(JSON.stringify([{ ...wanted[0], path }])), path).toBe(400);
    expect(await send(' '.repeat(2 ** 22 + 1))).toBe(413);
    expect(asked).toEqual([]);
    expect(await send(JSON.stringify(wanted))).toBe(200);
    expect(asked).toEqual([wanted]);
  });

  it('only loopback names are answered, against DNS rebinding', async () => {
    const url = await listening();
    const ours = ['127.0.0.1', 'localhost', '127.0.0.1:8190', 'LOCALHOST:9', '[::1]', '[::1]:8190'];
    const others = [
      'evil.example',
      'evil.example:8190',
      '127.0.0.1.evil.example',
      'localhost.evil.example',
      '10.0.0.1',
    ];
    for (const path of ['', 'api/status', 'healthz', 'metrics', 'page.json', 'page.js']) {
      for (const host of ours)
        expect((await ask(url + path, { headers: { host } })).status, `${path} ${host}`).toBe(200);
      for (const host of others) {
        const reply = await ask(url + path, { headers: { host } });
        expect(reply.status, `${path} ${host}`).toBe(403);
        expect(reply.body).not.toContain('runpod');
      }
    }
  });

  it('a scan is run before the answer, and only for whoever sends our header', async () => {
    let files = 0;
    const url = await listening({
      snapshot: () => sampleSnapshot(sampleTotals({ pendingFiles: files })),
      rescan: async () => {
        files += 1;
      },
    });
    expect((await ask(`${url}api/scan`, { method: 'POST' })).status).toBe(403);
    expect((await ask(`${url}api/scan`)).status).toBe(404);
    expect(files).toBe(0);
    const reply = await ask(`${url}api/scan`, { method: 'POST', headers: { 'x-r2-sync': '1' } });
    expect(reply.status).toBe(200);
    expect((JSON.parse(reply.body) as Snapshot).totals.pendingFiles).toBe(1);
    expect(files).toBe(1);
  });

  it('healthz is 503 with the reasons when failing, else 200', async () => {
    let snapshot = sampleSnapshot({ state: 'degraded', reasons: ['The volume is full.'] });
    let now = 0;
    const url = await listening({ snapshot: () => snapshot, clock: { ...systemClock, monotonic: () => now } });
    expect((await ask(`${url}healthz`)).status).toBe(200);
    now += 1000;
    snapshot = sampleSnapshot({ state: 'failing', reasons: ['The store refuses us.'] });
    const reply = await ask(`${url}healthz`);
    expect(reply.status).toBe(503);
    expect(JSON.parse(reply.body)).toEqual({ state: 'failing', reasons: ['The store refuses us.'] });
  });

  it('an error inside is answered without its text, which goes to the log', async () => {
    const { log, lines } = listLog();
    const url = await listening({
      log,
      snapshot: () => {
        throw new Error('secret detail');
      },
    });
    const reply = await ask(`${url}api/status`);
    expect(reply.status).toBe(500);
    expect(reply.body).not.toContain('secret detail');
    expect(reply.headers['x-r2-sync']).toBe('1');
    expect(lines.join('\n')).toContain('secret detail');
  });

  it('every answer forbids foreign and inline script, sniffing, referrers and caching', async () => {
    const url = await listening();
    for (const path of ['', 'page.js', 'page.css', 'page.json', 'api/status', 'metrics', 'healthz', 'nowhere']) {
      const { headers } = await ask(url + path);
      const policy = String(headers['content-security-policy']);
      expect(policy, path).toContain("default-src 'none'");
      expect(policy, path).toContain("script-src 'self'");
      expect(policy, path).toContain("frame-ancestors 'self'");
      expect(policy, path).not.toContain('unsafe');
      expect(headers['x-content-type-options'], path).toBe('nosniff');
      expect(headers['referrer-policy'], path).toBe('no-referrer');
      expect(headers['cache-control'], path).toBe('no-store');
    }
  });
});

describe('what asking costs', () => {
  it('badge, health, metrics and state share one snapshot, made once a second, or for a hundredth of the time where it is dear', async () => {
    let now = 0;
    let made = 0;
    let costMs = 0;
    const snapshot = () => {
      made += 1;
      now += costMs;
      return sampleSnapshot();
    };
    const url = await listening({ snapshot, clock: { ...systemClock, monotonic: () => now } });
    const look = async () => {
      for (const path of ['badge.json', 'healthz', 'metrics', 'api/status'])
        for (let i = 0; i < 5; i += 1) expect((await ask(url + path)).status).toBe(200);
      return made;
    };
    expect(await look()).toBe(1);
    now += 999;
    expect(await look()).toBe(1);
    costMs = 50;
    for (const nth of [2, 3, 4]) {
      now += 1000;
      expect(await look()).toBe(nth);
    }
    // Three in a row took as long: that is what it costs.
    now += 4_999;
    expect(await look()).toBe(4);
    costMs = 345;
    for (const nth of [5, 6, 7]) {
      now += 5_000;
      expect(await look()).toBe(nth);
    }
    now += 9_999;
    expect(await look()).toBe(7);
    now += 1;
    expect(await look()).toBe(8);
  });

  it('a file that is written after that is not missed by who decides: wait and the other commands', async () => {
    let found = 0;
    let written = 0;
    const pending = () => found > 0;
    const snapshot = () => sampleSnapshot({ safeToStop: !pending(), ...sampleTotals({ pendingFiles: found }) });
    const rescan = async () => {
      found = written;
    };
    // Time stands still: what is kept stays good enough.
    const url = await listening({ snapshot, rescan, clock: { ...systemClock, monotonic: () => 0 } });
    const settings = { statusHost: '127.0.0.1', statusPort: Number(new URL(url).port), runDir: '/nonexistent' };
    const others = async () => (JSON.parse((await ask(`${url}api/status`)).body) as Snapshot).safeToStop;
    expect(await others()).toBe(true);
    written = 1;
    expect((await askAgent(settings, '/api/scan'))!.safeToStop).toBe(false);
    expect(await others()).toBe(false);
    found = 0;
    expect((await askAgent(settings, '/api/status'))!.safeToStop).toBe(true);
    expect(await others()).toBe(true);
    found = 1;
    expect(await others()).toBe(true);
    expect((await askAgent(settings, '/api/status'))!.safeToStop).toBe(false);
    expect(await others()).toBe(false);
  });

  it('a page that does not read its events loses its connection', async () => {
    let made = 0;
    const snapshot = () => {
      made += 1;
      return sampleSnapshot({ skipped: { [`${'x'.repeat(200_000)}${made}`]: 1 } });
    };
    let now = 0;
    const clock: Clock = {
      ...systemClock,
      monotonic: () => (now += 1000),
      sleep: () => new Promise((resolve) => setTimeout(resolve, 1)),
    };
    const url = await listening({ snapshot, clock });
    const reply = await new Promise<IncomingMessage>((resolve, reject) => {
      request(`${url}events`, { agent: false }, resolve).on('error', reject).end();
    });
    // It may notice at once.
    const end = new Promise((resolve) => reply.on('end', () => resolve('whole')).on('error', () => resolve('broken')));
    // Unread until the agent gives it up: then nothing is rendered any more.
    await eventually(async () => {
      const before = made;
      await new Promise((resolve) => setTimeout(resolve, 200));
      expect(made).toBe(before);
    });
    reply.resume();
    expect(await end).toBe('broken');
  });
});

describe('beyond loopback', () => {
  const routes = [
    '',
    'page.js',
    'page.json',
    'events',
    'media?path=a.png',
    'badge.json',
    'api/status',
    'metrics',
    'nowhere',
  ];
  const failing = sampleSnapshot({ state: 'failing', reasons: ['Bucket runpod refuses us.'] });

  it('nothing is shown without the right token', async () => {
    const url = await listening({ host: '0.0.0.0', token, snapshot: () => failing });
    const wrong: Record<string, string>[] = [
      {},
      { authorization: 'Bearer wrong' },
      { authorization: `Basic ${token}` },
      { authorization: `Bearer ${token}x` },
      { cookie: `r2-sync=${token}` },
      { cookie: 'r2-sync=' },
    ];
    for (const path of routes) {
      for (const headers of wrong) {
        const reply = await ask(url + path, { headers });
        expect(reply.status, `${path} ${JSON.stringify(headers)}`).toBe(401);
        expect(reply.body).toMatch(/token/i);
        expect(reply.body).not.toMatch(/runpod|alice|refuses/);
      }
    }
    const scan = await ask(`${url}api/scan`, { method: 'POST', headers: { 'x-r2-sync': '1' } });
    expect(scan.status).toBe(401);
    const page = await ask(`${url}?token=wrong`);
    expect(page.status).toBe(401);
    expect(page.headers['set-cookie']).toBeUndefined();
    expect(page.body).toContain('R2_STATUS_TOKEN');
    expect(page.body).toContain("That isn't the token.");
    expect((await ask(url)).body).not.toContain("That isn't the token.");
    // The page that asks for the token looks like ours: its style is the same for everybody.
    expect((await ask(`${url}page.css`)).status).toBe(200);
  });

  it('nobody is let in where there is no token at all', async () => {
    const url = await listening({ host: '0.0.0.0', token: undefined });
    for (const headers of [{}, { authorization: 'Bearer undefined' }, { authorization: 'Bearer ' }]) {
      expect((await ask(`${url}api/status`, { headers })).status).toBe(401);
    }
    expect((await ask(`${url}?token=`)).status).toBe(401);
  });

  it('the right token opens everything, under any host name', async () => {
    const url = await listening({ host: '0.0.0.0', token });
    const headers = { authorization: `Bearer ${token}`, host: 'pod-8190.proxy.example' };
    const there = routes.filter((path) => !/^(media|events|nowhere)/.test(path));
    for (const path of there) expect((await ask(url + path, { headers })).status, path).toBe(200);
  });

  it('a token in the address becomes a cookie that script and other sites cannot use, and leaves the address', async () => {
    const url = await listening({ host: '0.0.0.0', token });
    const welcome = await ask(`${url}?token=${token}`);
    expect(welcome.status).toBe(200);
    expect(welcome.body).toContain('url=./');
    expect(welcome.body).not.toContain(token);
    const cookie = String(welcome.headers['set-cookie']);
    expect(cookie).toContain('HttpOnly');
    expect(cookie).toContain('SameSite=Strict');
    expect(cookie).not.toContain(token);
    expect(cookie).not.toContain('Secure');
    // Below ComfyUI's pages it belongs to ours alone: browsers take the directory that was asked.
    expect(cookie).not.toMatch(/path=/i);
    const page = await ask(url, { headers: { cookie: cookie.split(';')[0]! } });
    expect(page.status).toBe(200);
    expect(page.body).toContain('All 212 files');

    const proxied = await ask(`${url}?token=${token}`, { headers: { 'x-forwarded-proto': 'https' } });
    expect(String(proxied.headers['set-cookie'])).toContain('Secure');
  });

  it('healthz needs no token, but tells strangers only the state', async () => {
    const url = await listening({ host: '0.0.0.0', token, snapshot: () => failing });
    const stranger = await ask(`${url}healthz`);
    expect(stranger.status).toBe(503);
    expect(JSON.parse(stranger.body)).toEqual({ state: 'failing', reasons: [] });
    const friend = await ask(`${url}healthz`, { headers: { authorization: `Bearer ${token}` } });
    expect(JSON.parse(friend.body)).toEqual({ state: 'failing', reasons: failing.reasons });
  });
});
