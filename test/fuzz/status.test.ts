// The status page may stand in the open behind a proxy: whatever somebody sends, it answers or breaks the connection off,
// tells nothing to who has no token, gives no byte of what isn't an output, and answers the next one.
import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect } from 'vitest';
import { systemClock } from '../../src/clock.ts';
import { agentHeader } from '../../src/status/client.ts';
import { createMetrics } from '../../src/status/metrics.ts';
import { type StatusServer, startStatusServer } from '../../src/status/server.ts';
import { VolumeGate } from '../../src/volume/gate.ts';
import { listLog, sampleSnapshot } from '../status/sample.ts';
import { eventually } from '../support/eventually.ts';
import { fuzz, oddJson } from './fuzz.ts';

const TOKEN = 'the-token-of-the-fuzz-test';
const HIDDEN = 'bytes that are no output';
const BUCKET = 'a-bucket-nobody-is-told-of';
const SILENCE_MS = 300;
const PICTURE = Buffer.from(Array.from({ length: 300 }, (_, at) => at % 256));
const known = { size: PICTURE.length, sha256: 'a'.repeat(64), storedAt: 0, mtimeNs: 0n, incomplete: false };

const base = realpathSync(mkdtempSync(join(tmpdir(), 'r2-sync-fuzz-status-')));
const root = join(base, 'output');
let server: StatusServer;
/** What somebody has made the agent do. */
const done: string[] = [];

beforeAll(async () => {
  mkdirSync(join(root, '.r2-sync'), { recursive: true });
  writeFileSync(join(root, 'a.png'), PICTURE);
  for (const path of ['notes.html', '.r2-sync/beat.png', '../outside.png']) writeFileSync(join(root, path), HIDDEN);
  symlinkSync(join(base, 'outside.png'), join(root, 'link.png'));
  const { store } = sampleSnapshot();
  server = startStatusServer({
    host: '0.0.0.0',
    port: 0,
    token: TOKEN,
    snapshot: () => sampleSnapshot({ store: { ...store, bucket: BUCKET } }),
    rescan: async () => void done.push('rescan'),
    repair: async () => done.push('repair'),
    // Whatever is asked for: what is no output must not be given for other reasons than that nobody knows it.
    outputs: () => ({ root, fs: new VolumeGate(systemClock).share(2), known: () => known }),
    metrics: createMetrics(),
    log: listLog().log,
    clock: systemClock,
  });
  await eventually(() => server.url ?? expect.fail(`not listening: ${server.trouble}`));
  // Or the properties below would hold of a server that gives nothing to anybody.
  const reply = await send(requestOf({ method: 'GET', target: '/media?path=a.png', headers: [], body: '' }, true));
  expect(reply).toContain(PICTURE.toString('latin1'));
});
afterAll(async () => {
  await server.close();
  rmSync(base, { recursive: true });
});

/** What comes back for these bytes, until the other side ends it or the first reply is whole. */
function send(bytes: Buffer): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(Number(new URL(server.url!).port), '127.0.0.1');
    const chunks: Buffer[] = [];
    const end = () => resolve(Buffer.concat(chunks).toString('latin1'));
    socket.on('data', (chunk) => chunks.push(chunk));
    socket.on('close', end);
    socket.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ECONNREFUSED') reject(error);
    });
    // Who announced more than he sent would wait for ever; and to end earlier takes back what was asked.
    socket.setTimeout(SILENCE_MS, () => socket.destroy());
    socket.write(bytes);
  });
}

/** Mostly something that is understood: what is no HTTP at all gets no further than Node. */
const text = (...likely: string[]) =>
  fc.oneof(
    { arbitrary: fc.constantFrom(...likely), weight: 15 },
    { arbitrary: fc.string({ unit: 'binary-ascii', maxLength: 40 }), weight: 1 },
  );
const file = text(
  'a.png',
  'a.png',
  '../outside.png',
  'notes.html',
  '.r2-sync/beat.png',
  'link.png',
  '%2e%2e/outside.png',
);
const path = fc.oneof(
  fc.constantFrom('/', '/api/status', '/api/repair', '/api/scan', '/page.json', '/metrics', '/healthz', '/badge.json'),
  fc.constantFrom('/page.js', '//media', '/media/..', '/media/a.png', '*', 'http://x/media'),
  fc.webPath(),
);
const pair = fc.tuple(text('path', 'v', 'seen', 'token'), file);
const target = fc.oneof(
  fc.tuple(file, fc.boolean()).map(([name, encode]) => `/media?path=${encode ? encodeURIComponent(name) : name}`),
  fc
    .tuple(path, fc.array(pair, { maxLength: 3 }), fc.constantFrom('?', ';', '#'))
    .map(([start, query, mark]) => `${start}${mark}${query.map((one) => one.join('=')).join('&')}`),
);
const ranges = [
  'bytes=0-',
  'bytes=-1',
  'bytes=5-2',
  'bytes=299-300',
  'bytes=0-99999999999999999999',
  'bytes=0-0,5-6',
  'x',
];
const header = fc.oneof(
  { arbitrary: fc.tuple(fc.constantFrom('range', 'if-range'), text(...ranges)), weight: 6 },
  { arbitrary: fc.tuple(fc.constantFrom('if-none-match', 'cookie', 'origin'), text('null', '"', '*')), weight: 3 },
  { arbitrary: fc.constant([agentHeader, '1'] as [string, string]), weight: 3 },
  { arbitrary: fc.tuple(text('content-length', 'transfer-encoding', 'host'), text('1', '-1', 'chunked')), weight: 1 },
);
const asked = fc.record({
  method: text('GET', 'GET', 'GET', 'HEAD', 'POST', 'PUT', 'OPTIONS'),
  target,
  headers: fc.array(header, { maxLength: 3 }),
  body: fc.oneof(
    fc.constant(''),
    fc.string({ unit: 'binary' }),
    oddJson.map((value) => JSON.stringify(value) ?? ''),
  ),
});

function requestOf(
  { method, target, headers, body }: typeof asked extends fc.Arbitrary<infer T> ? T : never,
  token: boolean,
) {
  const lines = [
    `${method} ${target} HTTP/1.1`,
    'Host: localhost',
    'Connection: close',
    ...(token ? [`Authorization: Bearer ${TOKEN}`] : []),
    ...(body === '' ? [] : [`Content-Length: ${Buffer.byteLength(body)}`]),
    ...headers.map(([name, value]) => `${name}: ${value}`),
  ];
  return Buffer.concat([Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1'), Buffer.from(body)]);
}

async function stillAnswers(): Promise<void> {
  const reply = await send(Buffer.from('GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n'));
  expect(reply).toMatch(/^HTTP\/1\.1 200 /);
}

describe('whatever is sent to the status page', () => {
  fuzz(
    'who has no token learns nothing and changes nothing',
    300,
    fc.asyncProperty(asked, async (request) => {
      const reply = await send(requestOf(request, false));
      for (const secret of [TOKEN, BUCKET, HIDDEN, PICTURE.subarray(200).toString('latin1')])
        expect(reply).not.toContain(secret);
      expect(reply).not.toMatch(/^HTTP\/1\.1 5/);
      expect(done).toEqual([]);
      await stillAnswers();
    }),
  );

  fuzz(
    'who has it gets outputs, and no byte of anything else',
    300,
    fc.asyncProperty(asked, async (request) => {
      const reply = await send(requestOf(request, true));
      for (const secret of [TOKEN, HIDDEN]) expect(reply).not.toContain(secret);
      expect(reply).not.toMatch(/^HTTP\/1\.1 5/);
      await stillAnswers();
    }),
  );
});
