// The status page on ComfyUI's port (docker/nodes/r2-sync): real aiohttp in front of a stand-in for the agent that does
// what a test needs, and of the agent itself.
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { cp, mkdir, rm, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type RequestListener, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { makeScene } from '../agent/scene.ts';
import { freePort, makePlace, removePlace, until } from '../support/agent.ts';
import { pythonIsThere, startComfyUIPage } from '../support/comfyui-page.ts';
import { noise } from '../support/media.ts';

const possible = pythonIsThere("the status page on ComfyUI's port");

interface Upstream {
  port: number;
  /** In the order in which they came. */
  requests: IncomingMessage[];
}

/** Answers as the agent would mark its answers, unless `isAgent` is false. */
async function startUpstream(answer: RequestListener, isAgent = true): Promise<Upstream> {
  const requests: IncomingMessage[] = [];
  const server = createServer((call, reply) => {
    requests.push(call);
    if (isAgent) reply.setHeader('x-r2-sync', '1');
    answer(call, reply);
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  onTestFinished(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
  return { port: (server.address() as AddressInfo).port, requests };
}

async function comfy(statusPort: number | string, env: Record<string, string> = {}) {
  const server = await startComfyUIPage({ R2_STATUS_PORT: String(statusPort), ...env });
  onTestFinished(() => server.close());
  return server;
}

/** One request with exactly this target, which no URL parser has tidied. */
async function send(url: string, target: string, method = 'GET', headers: Record<string, string | string[]> = {}) {
  const { hostname, port } = new URL(url);
  const call = request({ hostname, port, path: target, method, headers, agent: false });
  call.end();
  const [reply] = (await once(call, 'response')) as [IncomingMessage];
  const chunks: Buffer[] = [];
  for await (const chunk of reply) chunks.push(chunk as Buffer);
  return { status: reply.statusCode, headers: reply.headers, body: Buffer.concat(chunks).toString() };
}

describe.skipIf(!possible)("r2-sync's page on ComfyUI's port", () => {
  test("is the agent's own page, with its policy, also below /api and where the address lacks its last slash", async (t) => {
    const scene = await makeScene(t);
    await scene.draw('alice/a.png');
    const agent = await scene.start();
    await agent.until(({ totals, safeToStop }) => totals.storedFiles === 1 && safeToStop, 'the picture in the bucket');
    const { url } = await comfy(new URL(agent.url).port);

    for (const base of ['/r2-sync', '/api/r2-sync']) {
      const redirect = await send(url, `${base}?token=a%2Fb`);
      expect([redirect.status, redirect.headers.location]).toEqual([302, 'r2-sync/?token=a%2Fb']);
      const page = await send(url, `${base}/`);
      expect(page.status).toBe(200);
      expect(page.body).toContain('The only file is in the bucket');
      expect(page.headers['content-security-policy']).toContain("default-src 'none'");
      expect(page.headers['x-content-type-options']).toBe('nosniff');
    }
    for (const path of ['page.js', 'page.css']) {
      const own = await send(agent.url, `/${path}`);
      const passed = await send(url, `/r2-sync/${path}`);
      expect(passed.body).toBe(own.body);
      for (const name of ['content-type', 'cache-control', 'content-security-policy'])
        expect(passed.headers[name], name).toBe(own.headers[name]);
    }
    expect(JSON.parse((await send(url, '/r2-sync/api/status')).body)).toMatchObject({ totals: { storedFiles: 1 } });
    expect(JSON.parse((await send(url, '/r2-sync/badge.json')).body)).toMatchObject({
      mood: 'fine',
      label: 'All safe',
    });
    expect((await send(url, '/r2-sync/healthz')).status).toBe(200);
  });

  test('has nothing else: no other path and no other way to write one reaches the agent', async () => {
    const upstream = await startUpstream((_, reply) => reply.end('reached'));
    const { url } = await comfy(upstream.port);
    const targets = [
      'metrics',
      'api/scan',
      'nowhere',
      'page.js/',
      'page.js/..%2fmetrics',
      '..%2fmetrics',
      '%2e%2e/metrics',
      'media/../metrics',
      './metrics',
      '/metrics',
      '/127.0.0.1:1/',
      'http://127.0.0.1:1/',
      '@127.0.0.1:1/',
      'page.js%00',
      'page.js%0d%0aX: y',
      'PAGE.JS',
    ];
    for (const target of targets) {
      const { status, body } = await send(url, encodeURI(`/r2-sync/${target}`).replaceAll('%25', '%'));
      expect([400, 404], target).toContain(status);
      expect(body, target).not.toContain('reached');
    }
    expect(upstream.requests).toEqual([]);
  });

  test("changes nothing: whatever isn't GET or HEAD is refused and never reaches the agent", async () => {
    const upstream = await startUpstream((_, reply) => reply.end('reached'));
    const { url } = await comfy(upstream.port);
    for (const method of ['POST', 'PUT', 'DELETE', 'PATCH'])
      for (const target of ['/r2-sync', '/r2-sync/', '/r2-sync/api/status', '/r2-sync/api/scan'])
        expect((await send(url, target, method)).status, `${method} ${target}`).toBe(405);
    expect(upstream.requests).toEqual([]);
    for (const path of ['', 'media?path=a.png', 'events', 'api/status']) {
      const { status, body } = await send(url, `/r2-sync/${path}`, 'HEAD');
      expect([status, body], path).toEqual([200, '']);
      expect(upstream.requests.at(-1)).toMatchObject({ method: 'HEAD', url: `/${path}` });
    }
    expect((await send(url, '/r2-sync/api/scan', 'HEAD')).status).toBe(404);
    expect(upstream.requests).toHaveLength(4);
  });

  test('why a picture is not there can be asked by HEAD', async (t) => {
    const scene = await makeScene(t);
    await scene.draw('a.png', 'b.png');
    const agent = await scene.start();
    await agent.until(({ totals }) => totals.storedFiles === 2, 'the pictures in the bucket');
    await rm(join(scene.place.output, 'b.png'));
    const { url } = await comfy(new URL(agent.url).port);
    const why = async (query: string) => {
      const { status, headers } = await send(url, `/r2-sync/media?path=${query}`, 'HEAD');
      return [status, headers['x-r2-sync']];
    };
    expect(await why('a.png')).toEqual([200, '1']);
    expect(await why('a.png&v=0000000000000000')).toEqual([409, '1']);
    expect(await why('b.png')).toEqual([404, '1']);
  });

  test('open streams never keep badge and page from being answered, and more than 32 of events are put off', async () => {
    const upstream = await startUpstream((call, reply) => {
      if (!/^.(events|media)/.test(call.url!))
        return void reply
          .setHeader('content-type', 'application/json')
          .end('{"mood":"fine","label":"All safe","text":""}');
      reply.writeHead(200, { 'content-type': 'text/event-stream' });
      reply.flushHeaders();
    });
    const { url } = await comfy(upstream.port);
    const leaving = new AbortController();
    const open = async (path: string, count: number) => {
      const replies = await Promise.all(
        Array.from({ length: count }, () => fetch(`${url}/r2-sync/${path}`, { signal: leaving.signal })),
      );
      const refused = replies.filter(({ status }) => status === 429);
      expect(refused.map(({ headers }) => headers.get('retry-after'))).toEqual(refused.map(() => '2'));
      return replies.filter(({ status }) => status === 200).length;
    };
    expect(await open('events', 64)).toBe(32);
    expect(await open('media?path=a.mp4', 30)).toBe(24);
    expect(JSON.parse((await send(url, '/r2-sync/badge.json')).body)).toMatchObject({ label: 'All safe' });
    for (const path of ['', 'page.json', 'healthz']) expect((await send(url, `/r2-sync/${path}`)).status).toBe(200);
    leaving.abort();
    await until(async () => {
      const again = new AbortController();
      const { status } = await fetch(`${url}/r2-sync/events`, { signal: again.signal });
      again.abort();
      return status === 200;
    }, 'room for another stream');
  });

  test('tells the agent no more than it needs, and nothing of the rest of ComfyUI', async () => {
    const upstream = await startUpstream((_, reply) => reply.end('{}'));
    const { url } = await comfy(upstream.port);
    const headers = {
      host: 'attacker.example',
      authorization: 'Bearer of-someone-else',
      cookie: `other=secret; r2-sync=${'a'.repeat(64)}; comfy-user=x`,
      range: 'bytes=1-',
      'if-none-match': '"tag"',
      'last-event-id': '7',
      'x-forwarded-proto': 'https',
      'x-forwarded-for': '10.0.0.1',
      'x-r2-sync': '1',
    };
    // The second path has a byte that is no UTF-8.
    await send(url, '/r2-sync/media?path=a%2Fb%FF%20%2B+.png&v=1', 'GET', headers);
    const [call] = upstream.requests;
    expect(call!.url).toBe('/media?path=a%2Fb%FF%20%2B+.png&v=1');
    expect(call!.headers).toEqual({
      host: `127.0.0.1:${upstream.port}`,
      accept: '*/*',
      'accept-encoding': 'identity',
      cookie: `r2-sync=${'a'.repeat(64)}`,
      range: 'bytes=1-',
      'if-none-match': '"tag"',
      'last-event-id': '7',
      'x-forwarded-proto': 'https',
      connection: expect.anything(),
    });
    await send(url, '/r2-sync/', 'GET', { cookie: 'r2-sync="a; b\\"c"', 'x-forwarded-proto': 'javascript' });
    expect(upstream.requests[1]!.headers).not.toHaveProperty('cookie');
    expect(upstream.requests[1]!.headers).not.toHaveProperty('x-forwarded-proto');
  });

  test("passes back what the page needs: no cookie but the agent's, nothing about the connection, no redirect", async () => {
    const elsewhere = await startUpstream((_, reply) => reply.end('elsewhere'));
    const upstream = await startUpstream((_, reply) => {
      reply.setHeader('set-cookie', ['r2-sync=b; HttpOnly', 'comfy-user=stolen']);
      reply.setHeader('access-control-allow-origin', '*');
      reply.setHeader('keep-alive', 'timeout=99');
      reply.setHeader('etag', '"tag"');
      reply.writeHead(302, { location: `http://127.0.0.1:${elsewhere.port}/` }).end('go on');
    });
    const { url } = await comfy(upstream.port);
    const { headers, body } = await send(url, '/r2-sync/');
    expect(headers['set-cookie']).toEqual(['r2-sync=b; HttpOnly']);
    expect(headers.etag).toBe('"tag"');
    for (const name of ['access-control-allow-origin', 'location']) expect(headers).not.toHaveProperty(name);
    expect(headers['keep-alive'] ?? '').not.toContain('99');
    expect(body).toBe('go on');
    expect(elsewhere.requests).toEqual([]);
  });

  test('events arrive one by one as the agent sends them, and when the reader goes the agent is told', async () => {
    let say = (_: string) => {};
    let gone = false;
    const upstream = await startUpstream((call, reply) => {
      reply.writeHead(200, { 'content-type': 'text/event-stream' });
      reply.flushHeaders();
      say = (text) => reply.write(`data: ${text}\n\n`);
      call.on('close', () => {
        gone = true;
      });
    });
    const { url } = await comfy(upstream.port);
    const leaving = new AbortController();
    const reply = await fetch(`${url}/r2-sync/events?seen=3`, { signal: leaving.signal });
    expect(upstream.requests[0]!.url).toBe('/events?seen=3');
    const reader = reply.body!.getReader();
    for (const text of ['one', 'two', 'three']) {
      say(text);
      // Each is awaited before the next is sent: what is kept back would never come.
      expect(Buffer.from((await reader.read()).value!).toString()).toBe(`data: ${text}\n\n`);
    }
    leaving.abort();
    await until(() => gone, 'the agent to hear that the reader has gone, without sending anything more');
  });

  test('large files come in pieces, with ranges, byte for byte', async () => {
    const bytes = noise(24 * 2 ** 20, 7);
    let goOn = () => {};
    const upstream = await startUpstream((_, reply) => {
      reply.writeHead(206, {
        'content-type': 'video/mp4',
        'content-length': String(bytes.length),
        'content-range': `bytes 5-${bytes.length + 4}/${bytes.length + 5}`,
        'accept-ranges': 'bytes',
      });
      reply.write(bytes.subarray(0, 2 ** 20));
      goOn = () => reply.end(bytes.subarray(2 ** 20));
    });
    const { url } = await comfy(upstream.port);
    const reply = await fetch(`${url}/r2-sync/media?path=a.mp4`, { headers: { range: 'bytes=5-' } });
    expect(reply.status).toBe(206);
    expect(reply.headers.get('content-range')).toBe(`bytes 5-${bytes.length + 4}/${bytes.length + 5}`);
    expect(reply.headers.get('content-length')).toBe(String(bytes.length));
    expect(upstream.requests[0]!.headers.range).toBe('bytes=5-');
    const hash = createHash('sha256');
    for await (const piece of reply.body!) {
      hash.update(piece);
      // The rest is only sent once the first piece is here.
      goOn();
      goOn = () => {};
    }
    expect(hash.digest('hex')).toBe(createHash('sha256').update(bytes).digest('hex'));
  });

  test.each(['with', 'without'])('a file that breaks off (%s a length) does not look whole', async (kind) => {
    const upstream = await startUpstream((_, reply) => {
      reply.writeHead(200, kind === 'with' ? { 'content-length': '1000' } : {});
      reply.write('half', () => reply.destroy());
    });
    const { url } = await comfy(upstream.port);
    const reply = await fetch(`${url}/r2-sync/media?path=a.png`);
    await expect(reply.arrayBuffer()).rejects.toThrow();
  });

  test("ComfyUI goes on while the agent doesn't answer", async () => {
    const upstream = await startUpstream(() => {});
    const { url } = await comfy(upstream.port);
    const waiting = new AbortController();
    const page = fetch(`${url}/r2-sync/`, { signal: waiting.signal });
    await until(() => upstream.requests.length === 1, 'the question to reach the agent');
    expect((await send(url, '/api/queue')).status).toBe(200);
    waiting.abort();
    await expect(page).rejects.toThrow();
  });

  test('another program on that port is not shown', async () => {
    const upstream = await startUpstream((_, reply) => reply.end('secrets of another program'), false);
    const { url } = await comfy(upstream.port);
    for (const path of ['', 'page.js', 'api/status', 'events', 'media', 'badge.json'])
      expect((await send(url, `/r2-sync/${path}`)).body, path).not.toContain('secrets');
    expect((await send(url, '/r2-sync/')).status).toBe(503);
  });
});

describe.skipIf(!possible)('without an agent', () => {
  const off = { mood: 'off', label: '', text: '' };

  test('that should be there, page and badge say so, and the page looks again by itself', async () => {
    const { url } = await comfy(await freePort(), { ENABLE_R2_SYNC: ' "True" ' });
    const page = await send(url, '/r2-sync/');
    expect(page.status).toBe(503);
    expect(page.body).toContain("r2-sync isn't running");
    expect(page.body).toContain('http-equiv="refresh"');
    expect(page.headers['content-security-policy']).toContain("default-src 'none'");
    expect((await send(url, '/r2-sync/page.json')).status).toBe(503);
    const badge = JSON.parse((await send(url, '/r2-sync/badge.json')).body);
    expect(badge).toMatchObject({ mood: 'bad', label: 'Uploads stopped' });
    expect(badge.text).toContain("don't stop the pod yet");
  });

  test("that runs but doesn't answer, page and badge say that, and not that it isn't running", async (t) => {
    const scene = await makeScene(t);
    const agent = await scene.start();
    const { url } = await comfy(new URL(agent.url).port, { ENABLE_R2_SYNC: 'true' });
    agent.process.kill('SIGSTOP');
    const [badge, page] = await Promise.all([send(url, '/r2-sync/badge.json'), send(url, '/r2-sync/')]);
    agent.process.kill('SIGCONT');
    expect(JSON.parse(badge.body)).toMatchObject({ mood: 'bad', label: 'No answer' });
    for (const { body } of [badge, page]) {
      expect(body).toContain("r2-sync doesn't answer, so nobody knows what is uploaded: don't stop the pod yet");
      expect(body).not.toContain("isn't running");
    }
    expect(page.status).toBe(503);
  });

  test('that nobody asked for, there is no badge, and the page says that it is off', async () => {
    const { url } = await comfy(await freePort());
    expect((await send(url, '/r2-sync/')).body).toContain("ENABLE_R2_SYNC isn't true");
    expect(JSON.parse((await send(url, '/r2-sync/badge.json')).body)).toEqual(off);
  });

  test('that was there before, the badge warns, whatever the settings are', async (t) => {
    const scene = await makeScene(t);
    const agent = await scene.start();
    const { url } = await comfy(new URL(agent.url).port);
    expect(JSON.parse((await send(url, '/r2-sync/badge.json')).body)).not.toEqual(off);
    await agent.stop('SIGKILL');
    expect(JSON.parse((await send(url, '/r2-sync/badge.json')).body)).toMatchObject({ label: 'Uploads stopped' });
    expect((await send(url, '/r2-sync/')).body).toContain("r2-sync isn't running");
  });

  test('that has a page (R2_STATUS_PORT=0), there is no badge, and the page says why', async () => {
    const { url } = await comfy('0', { ENABLE_R2_SYNC: 'true' });
    expect((await send(url, '/r2-sync/')).body).toContain('R2_STATUS_PORT is 0');
    expect(JSON.parse((await send(url, '/r2-sync/badge.json')).body)).toEqual(off);
  });
});

describe.skipIf(!possible)('where the agent asks for a token', () => {
  test('nothing is shown before it, and the page and the badge are there after it', async (t) => {
    const scene = await makeScene(t);
    const settings = { R2_STATUS_HOST: '0.0.0.0', R2_STATUS_TOKEN: 'of-this-test-4711' };
    const agent = await scene.start(settings);
    const { url } = await comfy(new URL(agent.url).port, { R2_STATUS_HOST: '0.0.0.0' });
    const locked = await send(url, '/r2-sync/');
    expect(locked.status).toBe(401);
    expect(locked.body).toContain('This page needs its token');
    for (const path of ['api/status', 'page.json', 'events', 'media?path=a.png'])
      expect((await send(url, `/r2-sync/${path}`)).status, path).toBe(401);
    expect(JSON.parse((await send(url, '/r2-sync/badge.json')).body)).toMatchObject({ mood: 'locked' });

    const entered = await send(url, `/r2-sync/?token=${settings.R2_STATUS_TOKEN}`, 'GET', {
      'x-forwarded-proto': 'https',
    });
    const [given] = entered.headers['set-cookie']!;
    expect(given).toMatch(/HttpOnly/i);
    expect(given).toMatch(/Secure/i);
    const cookie = given!.split(';')[0]!;
    expect((await send(url, '/r2-sync/api/status', 'GET', { cookie })).status).toBe(200);
    // It may be a second old.
    await until(async () => {
      const { body } = await send(url, '/r2-sync/badge.json', 'GET', { cookie });
      return JSON.parse(body).mood === 'fine';
    }, 'the badge that says so');
  });
});

describe.skipIf(!possible)('in a ComfyUI that is not as expected', () => {
  test('the extension vanishes with one line in the log, and stops nobody', async () => {
    const place = await makePlace();
    onTestFinished(() => removePlace(place));
    // Loaded before it, this node takes away what the extension needs.
    const saboteur = join(place.base, 'nodes/a-first');
    await mkdir(saboteur, { recursive: true });
    await writeFile(
      join(saboteur, '__init__.py'),
      'import server\ndel server.PromptServer\nNODE_CLASS_MAPPINGS = {}\n',
    );
    await cp(new URL('../../docker/nodes/r2-sync', import.meta.url), join(place.base, 'nodes/r2-sync'), {
      recursive: true,
    });
    const server = await startComfyUIPage({ ENABLE_R2_SYNC: 'true' }, { nodes: join(place.base, 'nodes') });
    onTestFinished(() => server.close());
    expect(await (await fetch(`${server.url}/extensions`)).json()).toEqual([]);
    expect((await fetch(`${server.url}/r2-sync/`)).status).toBe(404);
    expect(server.log().trim().split('\n')).toHaveLength(1);
    expect(server.log()).toContain('r2-sync: no badge and no status page');
  });
});
