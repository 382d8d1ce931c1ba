import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/clock.ts';
import { UserError } from '../../src/errors.ts';
import { agentUrl, askAgent, ensureToken } from '../../src/status/client.ts';
import { createMetrics } from '../../src/status/metrics.ts';
import { startStatusServer } from '../../src/status/server.ts';
import { eventually } from '../support/eventually.ts';
import { listLog, sampleSnapshot } from './sample.ts';

const cleanups: (() => Promise<unknown>)[] = [];
let base: string;
let runDir: string;

beforeEach(async () => {
  base = await mkdtemp(join(tmpdir(), 'r2-sync-status-'));
  runDir = join(base, 'run');
});

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
  await rm(base, { recursive: true, force: true });
});

/** An agent's server; gives its port. */
async function startAgent(host: string, token: string | undefined, rescan = async () => {}): Promise<number> {
  const snapshot = () => sampleSnapshot();
  const metrics = createMetrics();
  const outputs = () => undefined;
  const repair = async () => 0;
  const options = {
    host,
    port: 0,
    token,
    snapshot,
    rescan,
    repair,
    outputs,
    metrics,
    log: listLog().log,
    clock: systemClock,
  };
  const server = startStatusServer(options);
  cleanups.push(() => server.close());
  const url = await eventually(() => server.url ?? expect.fail('not listening'));
  return Number(new URL(url).port);
}

/** Another program; gives its port. */
async function startOther(listener: RequestListener): Promise<number> {
  const server = createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  cleanups.push(async () => {
    server.closeAllConnections();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

const settings = (statusPort: number, statusHost = '127.0.0.1', statusToken?: string) => ({
  statusHost,
  statusPort,
  statusToken,
  runDir,
});

describe('the commands ask the agent', () => {
  it('and get its snapshot', async () => {
    const port = await startAgent('127.0.0.1', undefined);
    expect(await askAgent(settings(port), '/api/status')).toEqual(sampleSnapshot());
  });

  it('a scan has been made before the answer', async () => {
    let scans = 0;
    const port = await startAgent('127.0.0.1', undefined, async () => {
      scans += 1;
    });
    expect(await askAgent(settings(port), '/api/scan')).toEqual(sampleSnapshot());
    expect(scans).toBe(1);
  });

  it('with the token that is set, or the one that the agent left in its directory', async () => {
    const token = await ensureToken({ statusHost: '0.0.0.0', runDir }, listLog().log);
    const port = await startAgent('0.0.0.0', token);
    expect(await askAgent(settings(port, '0.0.0.0'), '/api/status')).toEqual(sampleSnapshot());
    expect(await askAgent(settings(port, '0.0.0.0', token), '/api/status')).toEqual(sampleSnapshot());
    await expect(askAgent(settings(port, '0.0.0.0', 'wrong'), '/api/status')).rejects.toThrow(/refuses the token/);
  });

  it('nobody there, or another program there, is undefined', async () => {
    const free = await startOther(() => {});
    await cleanups.pop()!();
    expect(await askAgent(settings(free), '/api/status')).toBeUndefined();

    const other = await startOther((_, reply) => reply.end(JSON.stringify(sampleSnapshot())));
    expect(await askAgent(settings(other), '/api/status')).toBeUndefined();
    const endless = await startOther((_, reply) => reply.write('x'));
    expect(await askAgent(settings(endless), '/api/status')).toBeUndefined();
    const redirect = await startOther((_, reply) => reply.writeHead(302, { location: 'http://192.0.2.1/' }).end());
    expect(await askAgent(settings(redirect), '/api/status')).toBeUndefined();
    const rude = await startOther((request) => request.socket.destroy());
    expect(await askAgent(settings(rude), '/api/status')).toBeUndefined();
  });

  it('an agent that answers something else, or nothing, is an error with what to do', async () => {
    const answers = ['{', '{}', 'null', JSON.stringify({ ...sampleSnapshot(), totals: {} })];
    for (const answer of answers) {
      const port = await startOther((_, reply) => reply.setHeader('x-r2-sync', '1').end(answer));
      const failure = await askAgent(settings(port), '/api/status').catch((error: unknown) => error);
      expect(failure).toBeInstanceOf(UserError);
      expect((failure as UserError).fix).not.toBe('');
    }
    const silent = await startOther(() => {});
    await expect(askAgent(settings(silent), '/api/status', { timeoutMs: 50 })).rejects.toThrow(/doesn't answer within/);
    const failing = await startAgent('127.0.0.1', undefined, () => Promise.reject(new Error('no volume')));
    await expect(askAgent(settings(failing), '/api/scan')).rejects.toThrow(/answers 500/);
  });

  it('what a newer agent adds to its state is kept', async () => {
    const newer = { ...sampleSnapshot(), colour: 'blue' };
    const port = await startOther((_, reply) => reply.setHeader('x-r2-sync', '1').end(JSON.stringify(newer)));
    expect(await askAgent(settings(port), '/api/status')).toEqual(newer);
  });

  it('an address to listen on becomes one to ask', () => {
    const hosts = ['0.0.0.0', '::', '[::]', '::1', '[::1]', 'localhost', '10.1.2.3'];
    expect(hosts.map((host) => agentUrl(host, 8190))).toEqual([
      'http://127.0.0.1:8190',
      'http://[::1]:8190',
      'http://[::1]:8190',
      'http://[::1]:8190',
      'http://[::1]:8190',
      'http://localhost:8190',
      'http://10.1.2.3:8190',
    ]);
  });
});

describe('the token', () => {
  it('is none on loopback', async () => {
    for (const statusHost of ['127.0.0.1', '127.0.1.1', 'localhost', '::1', '[::1]']) {
      expect(await ensureToken({ statusHost, runDir }, listLog().log)).toBeUndefined();
    }
  });

  it('is the one that is set', async () => {
    const { log, lines } = listLog();
    expect(await ensureToken({ statusHost: '0.0.0.0', statusToken: 'mine', runDir }, log)).toBe('mine');
    expect(lines).toEqual([]);
  });

  it('is made up once, kept for this user only, and logged once', async () => {
    const { log, lines } = listLog();
    const first = await ensureToken({ statusHost: '0.0.0.0', runDir }, log);
    expect(first).toMatch(/^[0-9a-f]{32}$/);
    expect((await readFile(join(runDir, 'token'), 'utf8')).trim()).toBe(first);
    expect((await stat(join(runDir, 'token'))).mode & 0o777).toBe(0o600);
    expect((await stat(runDir)).mode & 0o777).toBe(0o700);
    expect(await ensureToken({ statusHost: '::', runDir }, log)).toBe(first);
    expect(lines.filter((line) => line.includes(first!))).toHaveLength(1);
  });

  it('a token file that is cut off is replaced', async () => {
    const { log } = listLog();
    const first = await ensureToken({ statusHost: '0.0.0.0', runDir }, log);
    await writeFile(join(runDir, 'token'), first!.slice(0, 5));
    const second = await ensureToken({ statusHost: '0.0.0.0', runDir }, log);
    expect(second).toMatch(/^[0-9a-f]{32}$/);
    expect(second).not.toBe(first);
  });

  it('a directory that cannot be written is said, and the page still has a token', async () => {
    await writeFile(join(base, 'file'), '');
    const { log, lines } = listLog();
    expect(await ensureToken({ statusHost: '0.0.0.0', runDir: join(base, 'file') }, log)).toMatch(/^[0-9a-f]{32}$/);
    expect(lines.join('\n')).toContain("can't be kept");
  });
});
