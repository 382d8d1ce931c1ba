// `/media` gives bytes of outputs and of nothing else, in a form that a browser can do nothing with but show them.
import { mkdir, mkdtemp, realpath, rename, rm, symlink, utimes, writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/clock.ts';
import type { Known } from '../../src/ledger/index.ts';
import { decodeName, fsPath, percentEncode } from '../../src/paths.ts';
import { parseRange } from '../../src/status/byte-range.ts';
import type { Outputs } from '../../src/status/media.ts';
import { createMetrics } from '../../src/status/metrics.ts';
import { startStatusServer } from '../../src/status/server.ts';
import { VolumeGate } from '../../src/volume/gate.ts';
import { eventually } from '../support/eventually.ts';
import { createFakeClock, type FakeClock } from '../support/fake-clock.ts';
import { makePng, noise } from '../support/media.ts';
import { ask, listLog, sampleSnapshot } from './sample.ts';

const sha256 = '9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08';
const v = sha256.slice(0, 16);
/** 2026-11-20T12:00:00Z */
const seconds = 1_795_176_000;

let base: string;
let root: string;
let url: string;
let known: Map<string, Known>;
/** The file handles that are open just now. */
let open: number;
/** How often bytes were asked for: by then it is known how many there are. */
let reads: number;
/** Held up before a call on the volume returns. */
let hold: Promise<void> | undefined;
/** Held up before a file is opened; and how often that was asked for. */
let holdOpen: Promise<void> | undefined;
let opens: number;
/** What the close of a file fails with. */
let closeError: Error | undefined;
let clock: FakeClock;
let cleanups: (() => Promise<void>)[];

beforeEach(async () => {
  base = await realpath(await mkdtemp(join(tmpdir(), 'r2-sync-media-')));
  root = join(base, 'output');
  await mkdir(root);
  known = new Map();
  open = 0;
  reads = 0;
  hold = undefined;
  holdOpen = undefined;
  opens = 0;
  closeError = undefined;
  clock = createFakeClock();
  cleanups = [() => rm(base, { recursive: true })];
  const snapshot = () => sampleSnapshot();
  const server = startStatusServer({
    host: '127.0.0.1',
    port: 0,
    token: undefined,
    snapshot,
    rescan: async () => {},
    repair: async () => 0,
    outputs: () => ({ root, fs: watched(new VolumeGate(systemClock).share(2)), known: (path) => known.get(path) }),
    metrics: createMetrics(),
    log: listLog().log,
    clock,
  });
  cleanups.push(() => server.close());
  url = await eventually(() => server.url ?? expect.fail(`not listening: ${server.trouble}`));
});

afterEach(async () => {
  for (const cleanup of cleanups.reverse()) await cleanup();
});

/** Counts the files that are open. */
function watched(fs: Outputs['fs']): Outputs['fs'] {
  const openFile = async (...args: Parameters<Outputs['fs']['open']>) => {
    opens += 1;
    await holdOpen;
    const handle = await fs.open(...args);
    open += 1;
    return new Proxy(handle, {
      get: (target, name) => {
        if (name === 'read')
          return async (...rest: never[]) => {
            reads += 1;
            await hold;
            return target.read(...rest);
          };
        if (name !== 'close') return Reflect.get(target, name);
        return async () => {
          open -= 1;
          await target.close();
          if (closeError) throw closeError;
        };
      },
    });
  };
  return new Proxy(fs, { get: (target, name) => (name === 'open' ? openFile : Reflect.get(target, name)) });
}

/** Writes an output that the ledger knows. */
async function store(path: string, bytes: Buffer): Promise<void> {
  await mkdir(join(root, path, '..'), { recursive: true });
  await writeFile(fsPath(`${root}/${path}`), bytes);
  await utimes(fsPath(`${root}/${path}`), seconds, seconds);
  const mtimeNs = BigInt(seconds) * 1_000_000_000n;
  known.set(path, { size: bytes.length, mtimeNs, sha256, storedAt: 0, incomplete: false });
}

const media = (path: string, headers: Record<string, string> = {}, method = 'GET') =>
  ask(`${url}media?path=${encodeURIComponent(percentEncode(path))}&v=${v}`, { headers, method });

describe('what is given', () => {
  it('the bytes, as the kind that the table says, shut in and kept by the browser for good', async () => {
    const bytes = makePng();
    await store('alice/a b%.png', bytes);
    const reply = await media('alice/a b%.png');
    expect(reply.status).toBe(200);
    expect(reply.headers['content-length']).toBe(String(bytes.length));
    expect(reply.headers['content-type']).toBe('image/png');
    expect(reply.headers['content-security-policy']).toBe("sandbox; default-src 'none'");
    expect(reply.headers['x-content-type-options']).toBe('nosniff');
    expect(reply.headers['cache-control']).toBe('private, max-age=31536000, immutable');
    expect(reply.headers.etag).toBe(`"${v}"`);
    expect(open).toBe(0);
  });

  it('names that are not UTF-8', async () => {
    const path = decodeName(Buffer.from([0x61, 0xff, 0x2e, 0x70, 0x6e, 0x67]));
    await store(path, makePng());
    expect((await media(path)).status).toBe(200);
  });

  it('what the browser has already is not sent again', async () => {
    await store('a.png', makePng());
    const reply = await media('a.png', { 'if-none-match': `"${v}"` });
    expect([reply.status, reply.body]).toEqual([304, '']);
    expect(open).toBe(0);
  });

  it('a part, for players that jump', async () => {
    const bytes = noise(700_000, 1);
    await store('film.mp4', bytes);
    const part = async (range: string, headers = {}) => {
      const { status, headers: got } = await media('film.mp4', { range, ...headers });
      return [status, got['content-range'], got['content-length']];
    };
    expect(await part('bytes=100-199')).toEqual([206, 'bytes 100-199/700000', '100']);
    expect(await part('bytes=699990-')).toEqual([206, 'bytes 699990-699999/700000', '10']);
    expect(await part('bytes=-5')).toEqual([206, 'bytes 699995-699999/700000', '5']);
    expect(await part('bytes=700000-')).toEqual([416, 'bytes */700000', undefined]);
    expect(await part('bytes=0-', { 'if-range': `"${v}"` })).toEqual([206, 'bytes 0-699999/700000', '700000']);
    expect(await part('bytes=5-9', { 'if-range': '"another"' })).toEqual([200, undefined, '700000']);
    expect(await bytesOf('film.mp4', 'bytes=300000-600000')).toEqual(bytes.subarray(300_000, 600_001));
    expect(open).toBe(0);
  });

  it('HEAD gives no bytes and leaves nothing open', async () => {
    await store('a.png', makePng());
    const reply = await media('a.png', {}, 'HEAD');
    expect([reply.status, reply.body]).toEqual([200, '']);
    expect(open).toBe(0);
  });
});

describe('what is not given', () => {
  it('invariant 6: nothing outside of the root, whatever a ledger says', async () => {
    await writeFile(join(base, 'secret.png'), 'secret');
    await symlink(join(base, 'secret.png'), join(root, 'link.png'));
    await symlink(base, join(root, 'directory'));
    await mkdir(join(root, 'folder.png'));
    await mkdir(join(root, '.r2-sync'));
    await writeFile(join(root, '.r2-sync/x.png'), 'state');
    const hostile = ['../secret.png', 'a/../../secret.png', `${base}/secret.png`, 'link.png', 'directory/secret.png'];
    for (const path of [...hostile, 'folder.png', './link.png', 'a//b.png', 'secret.png\0.png', '.r2-sync/x.png', '']) {
      known.set(path, { size: 6, mtimeNs: 0n, sha256, storedAt: 0, incomplete: false });
      for (const text of [percentEncode(path), path, path.replaceAll('.', '%2E')]) {
        const reply = await ask(`${url}media?path=${encodeURIComponent(text)}`);
        expect([reply.status, reply.body.includes('secret')], path).toEqual([404, false]);
      }
    }
    expect(open).toBe(0);
  });

  it('what the ledger does not know', async () => {
    await writeFile(join(root, 'new.png'), makePng());
    expect((await media('new.png')).status).toBe(404);
  });

  it('kinds that can hold script, or that a browser shows as text', async () => {
    for (const path of ['a.svg', 'a.html', 'a.json', 'a.txt', 'a.xml', 'a.png.html', 'a', 'png', 'a.constructor']) {
      await store(path, Buffer.from('<script>alert(1)</script>'));
      expect((await media(path)).status, path).toBe(404);
    }
  });

  it('a file that is gone, or has changed since', async () => {
    await store('gone.png', makePng());
    await rename(join(root, 'gone.png'), join(root, 'moved.png'));
    expect(await media('gone.png')).toMatchObject({ status: 404, body: 'The file is no longer on the volume.\n' });
    await store('a.png', makePng());
    expect((await ask(`${url}media?path=a.png&v=0000000000000000`)).status).toBe(409);
  });

  it('bytes that may differ from what the ledger knows are not kept by the browser', async () => {
    await store('a.png', makePng());
    await writeFile(join(root, 'a.png'), makePng({ seed: 2 }));
    const reply = await media('a.png');
    expect([reply.status, reply.headers['cache-control'], reply.headers.etag]).toEqual([200, 'no-store', undefined]);
  });
});

describe('the volume comes first', () => {
  it('a browser that leaves in the middle leaves no file open', async () => {
    await store('film.mp4', noise(30_000_000, 1));
    const call = request(`${url}media?path=film.mp4`, { agent: false }, (reply) =>
      reply.once('data', () => call.destroy()),
    );
    call.on('error', () => {});
    call.end();
    await eventually(() => expect(call.destroyed).toBe(true));
    await eventually(() => expect(open).toBe(0));
  });

  it('a file that becomes shorter while it is sent breaks the connection: the browser must not take it for whole', async () => {
    await store('film.mp4', noise(600_000, 1));
    let release = () => {};
    hold = new Promise((resolve) => {
      release = resolve;
    });
    const reply = bytesOf('film.mp4', 'bytes=0-');
    reply.catch(() => {});
    await eventually(() => expect(reads).toBe(1));
    await writeFile(join(root, 'film.mp4'), '');
    release();
    await expect(reply).rejects.toThrow();
    await eventually(() => expect(open).toBe(0));
  });

  it('more requests than a page makes are turned away, and none waits for ever', async () => {
    await store('film.mp4', noise(600_000, 1));
    let release = () => {};
    hold = new Promise((resolve) => {
      release = resolve;
    });
    const refused: (string | string[] | undefined)[] = [];
    const replies = Array.from({ length: 30 }, async () => {
      const reply = await media('film.mp4');
      if (reply.status === 429) refused.push(reply.headers['retry-after']);
      return reply;
    });
    await eventually(() => expect(refused).toEqual(Array(6).fill('2')));
    release();
    const statuses = (await Promise.all(replies)).map(({ status }) => status);
    expect(statuses.filter((status) => status === 200)).toHaveLength(24);
    expect(statuses.filter((status) => status === 429)).toHaveLength(6);
    expect((await media('film.mp4')).status).toBe(200);
  });
});

describe('nobody takes it all', () => {
  it('clients that do not read are cut off, and others get their turn', async () => {
    await store('film.mp4', noise(30_000_000, 1));
    let answered = 0;
    let broken = 0;
    const calls = Array.from({ length: 24 }, () => {
      const call = request(`${url}media?path=film.mp4`, { agent: false }, (reply) => {
        answered += 1;
        // Without a listener for its data, it stays unread.
        reply.on('error', () => (broken += 1));
      });
      call.on('error', () => {});
      call.end();
      return call;
    });
    await eventually(() => expect(answered).toBe(24));
    await store('a.png', makePng());
    expect((await media('a.png')).status).toBe(429);
    await eventually(async () => {
      await clock.advance(30_000);
      expect((await media('a.png')).status).toBe(200);
      expect(open).toBe(0);
    });
    for (const call of calls) call.destroy();
    await eventually(() => expect(broken).toBe(24));
  });

  it('a client that takes its time, but takes it, gets everything', async () => {
    const bytes = noise(30_000_000, 1);
    await store('film.mp4', bytes);
    const chunks: Buffer[] = [];
    const reply = await fetch(`${url}media?path=film.mp4`);
    for await (const chunk of reply.body!) {
      chunks.push(Buffer.from(chunk));
      await clock.advance(100);
    }
    expect(Buffer.concat(chunks).equals(bytes)).toBe(true);
  });

  it('what a hung volume still owes is not asked for again, and what comes late is closed, however that ends', async () => {
    await store('a.png', makePng());
    let release = () => {};
    holdOpen = new Promise((resolve) => {
      release = resolve;
    });
    const first = [media('a.png'), media('a.png')];
    await eventually(() => expect(opens).toBe(2));
    await eventually(() => expect(clock.sleeping()).toBe(2));
    await clock.advance(10_000);
    expect((await Promise.all(first)).map(({ status }) => status)).toEqual([503, 503]);
    const next = await media('a.png');
    expect([next.status, next.headers['retry-after'], next.body, opens]).toEqual([
      503,
      '10',
      "The volume doesn't answer.\n",
      2,
    ]);
    // Should this be nobody's, the test run ends with it.
    closeError = new Error('EIO');
    release();
    await eventually(() => expect(open).toBe(0));
    closeError = undefined;
    await eventually(async () => expect((await media('a.png')).status).toBe(200));
  });
});

describe('the Range header', () => {
  it.each([
    [undefined, undefined],
    ['bytes=0-0', { from: 0, to: 0 }],
    ['bytes=0-', { from: 0, to: 9 }],
    ['bytes=5-100', { from: 5, to: 9 }],
    ['bytes=-3', { from: 7, to: 9 }],
    ['bytes=-100', { from: 0, to: 9 }],
    ['bytes=-0', 'unsatisfiable'],
    ['bytes=10-', 'unsatisfiable'],
    ['bytes=5-2', undefined],
    ['bytes=-', undefined],
    ['bytes=0-1,3-4', undefined],
    ['lines=0-1', undefined],
  ])('%s', (header, range) => {
    expect(parseRange(header, 10)).toEqual(range);
  });
});

/** The bytes themselves: `ask` reads text. */
function bytesOf(path: string, range: string): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const call = request(`${url}media?path=${path}`, { agent: false, headers: { range } }, (reply) => {
      const chunks: Buffer[] = [];
      reply.on('data', (chunk: Buffer) => chunks.push(chunk));
      reply.on('error', reject);
      reply.on('end', () => resolve(Buffer.concat(chunks)));
    });
    call.on('error', reject);
    call.end();
  });
}
