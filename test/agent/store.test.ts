// A store that lies, fails, stalls or holds something else already: nothing is acknowledged that isn't there, nothing is
// stored twice or torn, and one bad file never holds up the others.
import { rm, truncate, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { freePort, until } from '../support/agent.ts';
import type { Fault } from '../support/store-double.ts';
import { bigPicture, makeScene, messages, names, picture, type Scene, sha256Of } from './scene.ts';

/** Keys that a test can foretell. */
const PLAIN_KEYS = { R2_KEY_TEMPLATE: 'outputs/{name}-{hash16}{ext}' };

describe.concurrent('invariant 1: acknowledged means stored', () => {
  test.for<Fault>(['html-200', 'no-etag'])(
    "a web server that isn't S3 (%s) is failing, and nothing counts as stored",
    async (fault, context) => {
      const scene = await makeScene(context);
      await scene.draw('a.png', 'b.png');
      scene.double.fault = () => fault;
      const agent = await scene.start();
      const seen = await agent.until(({ state }) => state === 'failing', 'failing');
      expect(seen.reasons.join()).toMatch(/isn't an S3 store.*R2_ENDPOINT/);
      expect(seen.totals).toMatchObject({ storedFiles: 0, pendingFiles: 2 });
      expect((await fetch(`${agent.url}/healthz`)).status).toBe(503);
      scene.double.fault = undefined;
      await agent.until(({ safeToStop }) => safeToStop, 'stored');
      await scene.expectStored(['a.png', 'b.png']);
    },
  );

  test('a store that says yes and has nothing is found out by the first HEAD', async (context) => {
    const scene = await makeScene(context);
    await scene.draw('a.png');
    scene.double.fault = ({ operation }) =>
      operation === 'PutObject' ? { status: 200, headers: { ETag: '"lie"' } } : undefined;
    const agent = await scene.start();
    const seen = await agent.until(({ state }) => state === 'failing', 'failing');
    expect(seen.totals.storedFiles).toBe(0);
    scene.double.fault = undefined;
    await agent.until(({ safeToStop }) => safeToStop, 'stored');
    await scene.expectStored(['a.png']);
  });

  test('a reply that is lost after the store has committed: success, once', async (context) => {
    const scene = await makeScene(context);
    await scene.draw('a.png');
    await scene.write('big.png', bigPicture(9));
    const dropped = new Set<string>();
    scene.double.fault = ({ operation, key }) => {
      if (!/^(PutObject|CompleteMultipartUpload)$/.test(operation) || dropped.has(key)) return undefined;
      dropped.add(key);
      return 'commit-and-drop-reply';
    };
    const agent = await scene.start();
    const seen = await agent.until(({ safeToStop }) => safeToStop, 'stored');
    expect(dropped.size).toBe(2);
    expect(seen.totals).toMatchObject({ storedFiles: 2, alreadyStored: 2 });
    expect(scene.double.uploads.size).toBe(0);
    await scene.expectStored(['a.png', 'big.png']);
  });

  test('a key that holds these bytes already is success, without a second object', async (context) => {
    const scene = await makeScene(context);
    await scene.draw('a.png');
    expect((await scene.command(['sync'])).code).toBe(0);
    await rm(join(scene.place.output, '.r2-sync'), { recursive: true });
    const agent = await scene.start();
    const seen = await agent.until(({ safeToStop }) => safeToStop, 'compared');
    expect(seen.totals).toMatchObject({ storedFiles: 1, alreadyStored: 1 });
    expect(messages(agent)).toMatch(/already in the bucket: a\.png/);
    await scene.expectStored(['a.png']);
  });

  test('a key that holds other bytes is left alone (invariant 4): the file goes under its full hash', async (context) => {
    const scene = await makeScene(context);
    await scene.draw('a.png');
    const hash = sha256Of(picture('a.png'));
    const taken = `outputs/a-${hash.slice(0, 16)}.png`;
    occupy(scene, taken);
    const agent = await scene.start(PLAIN_KEYS);
    await agent.until(({ safeToStop }) => safeToStop, 'stored');
    expect([...scene.double.objects.keys()].sort()).toEqual([taken, `outputs/a-${hash}.png`].sort());
    expect(scene.double.objects.get(taken)!.body!.toString()).toBe('not yours');
    expect(sha256Of(scene.double.objects.get(`outputs/a-${hash}.png`)!.body!)).toBe(hash);
  });

  test('both keys taken: parked, with the reason and what to do, and the others go on', async (context) => {
    const scene = await makeScene(context);
    await scene.draw('a.png', 'b.png');
    const hash = sha256Of(picture('a.png'));
    occupy(scene, `outputs/a-${hash.slice(0, 16)}.png`);
    occupy(scene, `outputs/a-${hash}.png`);
    const agent = await scene.start(PLAIN_KEYS);
    const seen = await agent.until(({ totals }) => totals.parkedFiles === 1 && totals.storedFiles === 1, 'parked');
    expect(seen.parked).toMatchObject([
      {
        path: 'a.png',
        reason: expect.stringMatching(/holds other bytes/),
        fix: expect.stringMatching(/R2_KEY_TEMPLATE/),
      },
    ]);
    expect(seen.safeToStop).toBe(false);
    expect(messages(agent)).toMatch(/parked a\.png.*R2_KEY_TEMPLATE/);
    expect(await agent.stop()).toBe(3);
  });
});

describe.concurrent('invariants 2 and 3: whatever the network does, everything arrives, once and whole', () => {
  test('500, 503, 429, resets before, in and after the body', async (context) => {
    const scene = await makeScene(context);
    const all = [...names(30), 'big.png'];
    await scene.draw(...names(30));
    await scene.write('big.png', bigPicture(10));
    const faults: Fault[] = [
      { status: 500, code: 'InternalError' },
      { status: 503, code: 'SlowDown' },
      { status: 429, code: 'TooManyRequests' },
      { status: 502, html: '<html>Bad gateway</html>' },
      'reset',
      'reset-mid-body',
      'commit-and-drop-reply',
    ];
    const seen = new Map<string, number>();
    let nth = 0;
    scene.double.fault = ({ operation, key, query }) => {
      // An upload whose id never arrived can be dropped by nobody but the bucket's own rule.
      if (operation === 'CreateMultipartUpload') return undefined;
      const what = `${operation} ${key} ${query.get('partNumber')}`;
      seen.set(what, (seen.get(what) ?? 0) + 1);
      nth += 1;
      return seen.get(what)! <= 2 ? faults[nth % faults.length] : undefined;
    };
    const agent = await scene.start();
    const done = await agent.until(({ safeToStop }) => safeToStop, 'stored');
    expect(done.store.lastError).toBeNull();
    expect(done.totals.storedFiles).toBe(31);
    expect(done.totals.retries).toBeGreaterThan(10);
    expect(scene.double.uploads.size).toBe(0);
    await scene.expectStored(all);
  });

  test('a file that always fails holds no slot, and is named with its reason', async (context) => {
    const scene = await makeScene(context);
    await scene.draw('bad.png');
    scene.double.fault = ({ key }) => (key.includes('bad') ? { status: 500, code: 'InternalError' } : undefined);
    const agent = await scene.start({ R2_CONCURRENCY: '1' });
    await agent.until(({ totals }) => totals.retries >= 2, 'a failure');
    await scene.draw(...names(10));
    const seen = await agent.until(
      ({ totals }) => totals.storedFiles === 10 && totals.pendingFiles === 1,
      'the others',
    );
    expect(seen.safeToStop).toBe(false);
    expect(seen.pending).toMatchObject([
      { path: 'bad.png', state: expect.stringMatching(/InternalError|being uploaded/) },
    ]);
    await until(() => /can't upload bad\.png yet.*InternalError/.test(messages(agent)), 'a warning in the log');
    scene.double.fault = undefined;
    await agent.until(({ safeToStop }) => safeToStop, 'stored');
    await scene.expectStored([...names(10), 'bad.png']);
  });

  test('many small files that always fail do not keep a larger good one out', async (context) => {
    const scene = await makeScene(context);
    await scene.draw(...names(12, 'bad'));
    scene.double.fault = ({ key }) => (key.includes('bad') ? { status: 500, code: 'InternalError' } : undefined);
    const agent = await scene.start();
    await agent.until(({ state }) => state === 'degraded', 'the store looks unwell');
    await scene.write('good.png', bigPicture(1));
    await agent.until(({ totals }) => totals.storedFiles === 1, 'the good one');
    await scene.expectStored(['good.png']);
  });

  test('a request that hangs holds one slot; the others go on', async (context) => {
    const scene = await makeScene(context);
    await scene.draw('slow.png');
    scene.double.fault = ({ key }) => (key.includes('slow') ? 'hang' : undefined);
    const agent = await scene.start({ R2_CONCURRENCY: '2' });
    await agent.until(({ pending }) => pending.some(({ state }) => state === 'is being uploaded'), 'the slow one');
    await scene.draw(...names(10));
    await agent.until(({ totals }) => totals.storedFiles === 10 && totals.pendingFiles === 1, 'the others');
    expect((await agent.snapshot()).pending.map(({ path }) => path)).toEqual(['slow.png']);
  });

  test('a large file that takes its time never stands before small ones', async (context) => {
    const scene = await makeScene(context);
    await scene.write('video.png', bigPicture(20));
    scene.double.fault = ({ operation }) => (operation === 'UploadPart' ? { bytesPerSecond: 1_000_000 } : undefined);
    const agent = await scene.start({ R2_CONCURRENCY: '1' });
    await until(() => scene.double.uploads.size === 1, 'the large one under way');
    await scene.draw(...names(10));
    const seen = await agent.until(
      ({ totals }) => totals.storedFiles === 10 && totals.pendingFiles === 1,
      'the small ones',
    );
    expect(seen.pending.map(({ path }) => path)).toEqual(['video.png']);
    scene.double.fault = undefined;
    await agent.until(({ safeToStop }) => safeToStop, 'the large one');
    await scene.expectStored([...names(10), 'video.png']);
  });

  test('R2_BANDWIDTH_MBPS holds the uploads of all lanes together below it', async (context) => {
    const scene = await makeScene(context);
    const all = names(4);
    for (const [seed, name] of all.entries()) await scene.write(name, bigPicture(0.5, seed));
    const agent = await scene.start({ R2_BANDWIDTH_MBPS: '8' });
    await agent.until(({ safeToStop }) => safeToStop, 'stored');
    const starts = scene.double.requests.filter(({ method }) => method === 'PUT').map(({ startedAt }) => startedAt);
    // A million bytes a second: before the fourth starts, three halves of a MiB are paid for, but for a tenth of a second.
    expect(Math.max(...starts) - Math.min(...starts)).toBeGreaterThan(900);
    await scene.expectStored(all);
  });
});

describe.concurrent('invariant 3: files in parts', () => {
  test('a connection that is cut in the middle of a part: the object is whole, and nothing is left behind', async (context) => {
    const scene = await makeScene(context);
    await scene.write('video.png', bigPicture(30));
    let cut = 0;
    scene.double.fault = ({ operation, query }) => {
      if (operation !== 'UploadPart' || query.get('partNumber') !== '2' || cut >= 2) return undefined;
      cut += 1;
      return 'reset-mid-body';
    };
    const agent = await scene.start();
    await agent.until(({ safeToStop }) => safeToStop, 'stored');
    expect(cut).toBe(2);
    expect(scene.double.uploads.size).toBe(0);
    await scene.expectStored(['video.png']);
  });

  test('bytes that change while they are sent never become an object', async (context) => {
    const scene = await makeScene(context);
    const [first, second] = [bigPicture(17, 1), bigPicture(17, 2)];
    await scene.write('video.png', first);
    scene.double.fault = ({ operation }) => (operation === 'UploadPart' ? { bytesPerSecond: 4_000_000 } : undefined);
    const agent = await scene.start();
    await until(() => scene.double.uploads.size === 1, 'under way');
    // The same inode and size, other bytes: what a program does that writes its output once more.
    await writeFile(join(scene.place.output, 'video.png'), second, { flag: 'r+' });
    scene.double.fault = undefined;
    await agent.until(({ safeToStop }) => safeToStop, 'stored');
    const hashes = [...scene.double.objects.values()].map(({ body }) => sha256Of(body!));
    expect(hashes).toContain(sha256Of(second));
    for (const hash of hashes) expect([sha256Of(first), sha256Of(second)]).toContain(hash);
    expect(scene.double.uploads.size).toBe(0);
  });

  test('a file that is cut short while it is sent leaves nothing behind', async (context) => {
    const scene = await makeScene(context);
    await scene.write('video.png', bigPicture(17));
    scene.double.fault = ({ operation }) => (operation === 'UploadPart' ? { bytesPerSecond: 2_000_000 } : undefined);
    const agent = await scene.start();
    await until(() => scene.double.uploads.size === 1, 'under way');
    await truncate(join(scene.place.output, 'video.png'), 1000);
    await until(() => scene.double.uploads.size === 0, 'the upload is dropped');
    await agent.until(({ pending }) => /not finished/.test(pending[0]?.state ?? ''), 'waits to be whole');
    expect(scene.double.objects.size).toBe(0);
  });
});

describe.concurrent('what it costs', () => {
  test('one request a file, one HEAD after the start, none while nothing changes, none after a restart', async (context) => {
    const scene = await makeScene(context);
    const settings = { R2_SCAN_SECONDS: '0.2', R2_LOG_LEVEL: 'debug' };
    const agent = await scene.start(settings);
    await agent.until(({ safeToStop }) => safeToStop, 'ready');
    await scene.draw(...names(10, 'a', 'sub/'), ...names(10, 'b'));
    await agent.until(({ totals }) => totals.storedFiles === 20, 'stored');
    expect(scene.count('PutObject')).toBe(20);
    expect(scene.count('HeadObject')).toBe(1);
    expect(scene.double.requests).toHaveLength(21);
    const scans = () => messages(agent).match(/scan done/g)?.length ?? 0;
    const before = scans();
    await until(() => scans() > before + 4, 'some scans');
    expect(await agent.stop()).toBe(0);
    const again = await scene.start(settings);
    await again.until(({ safeToStop, totals }) => safeToStop && totals.storedFiles === 20, 'all known');
    expect(scene.double.requests).toHaveLength(21);
  });

  test('a file that is written again with the same bytes is not stored again', async (context) => {
    const scene = await makeScene(context);
    await scene.draw('a.png');
    const agent = await scene.start();
    await agent.until(({ safeToStop }) => safeToStop, 'stored');
    await scene.draw('a.png');
    await agent.until(({ pending }) => /less than a minute ago/.test(pending[0]?.state ?? ''), 'noticed');
    expect(await agent.stop()).toBe(0);
    expect(scene.count('PutObject')).toBe(1);
    expect(messages(agent)).toMatch(/all 1 files are in the bucket/);
  });
});

describe.concurrent('a status port that is taken', () => {
  test('uploads go on, and the page comes as soon as the port is free', async (context) => {
    const scene = await makeScene(context);
    const port = await freePort();
    const other = createServer((socket) => socket.destroy());
    await new Promise<void>((resolve) => other.listen(port, '127.0.0.1', resolve));
    context.onTestFinished(() => void other.close());
    await scene.draw('a.png');
    const starting = scene.start({ R2_STATUS_PORT: String(port) });
    starting.catch(() => {});
    await until(() => scene.double.objects.size === 1, 'uploaded without a page');
    other.close();
    // Answers as soon as the page is there.
    expect(messages(await starting)).toContain(`port ${port} on 127.0.0.1 is taken`);
  });
});

/** Another program's object. */
function occupy(scene: Scene, key: string): void {
  const body = Buffer.from('not yours');
  scene.double.objects.set(key, {
    body,
    size: body.length,
    sha256: sha256Of(body),
    etag: '"0"',
    metadata: {},
    contentType: 'image/png',
    storedAt: 0,
  });
}
