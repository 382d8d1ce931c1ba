import { renameSync, symlinkSync } from 'node:fs';
import patchedFs, * as fs from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { takeInventory } from '../../src/bucket/inventory.ts';
import { lookForMissing, type RestoreOutcome, type RestoreWork, restoreAll } from '../../src/bucket/restore.ts';
import { planRestore } from '../../src/bucket/restore-plan.ts';
import { createS3Store } from '../../src/upload/s3.ts';
import type { Store } from '../../src/upload/store.ts';
import { until } from '../support/agent.ts';
import { type FaultRequest, type StoreDouble, startStoreDouble } from '../support/store-double.ts';
import { putForeign, putStored } from '../support/stored.ts';

const TEMPLATE = 'outputs/{path}/{date}/{name}-{hash16}{ext}';
const mtimeNs = 1_795_176_000_123_456_789n;
const patience = { retries: 3, firstPauseMs: 1 };
let double: StoreDouble;
let store: Store;
let base: string;
let root: string;

beforeEach(async () => {
  double = await startStoreDouble();
  const { accessKeyId, secretAccessKey } = double.settings;
  const place = { endpoint: double.endpoint, bucket: 'runpod', accessKeyId, secretAccessKey };
  store = createS3Store({ ...place, concurrency: 40, idleTimeoutMs: 500 });
  base = await fs.mkdtemp(join(tmpdir(), 'r2-sync-restore-'));
  root = join(base, 'target');
  await fs.mkdir(root);
});

afterEach(async () => {
  store.close();
  await double.close();
  await fs.rm(base, { recursive: true, force: true });
});

interface Restored extends RestoreOutcome {
  work: RestoreWork;
  /** What couldn't be restored, from either part. */
  reasons: Record<string, string>;
}

async function restore({ overwrite = false, signal = new AbortController().signal } = {}): Promise<Restored> {
  const found = [];
  for await (const object of takeInventory({ store, prefixes: ['outputs/'], patience })) found.push(object);
  const plan = planRestore(found, TEMPLATE);
  const work = await lookForMissing(root, plan.entries, overwrite);
  const rest = { onBytes: () => {}, onFile: () => {} };
  const outcome = await restoreAll({ store, root, overwrite, patience, signal, ...rest }, work.missing);
  const failures = [...plan.failures, ...work.failures, ...outcome.failures];
  return {
    ...outcome,
    work,
    reasons: Object.fromEntries(failures.map(({ path, key, reason }) => [path ?? key, reason])),
  };
}

function put(
  path: string,
  content: string | Buffer,
  more: object = {},
  changes: Record<string, string | undefined> = {},
) {
  return putStored(double, { path, body: Buffer.from(content), mtimeNs, ...more }, changes);
}

/** Everything below the target, hidden names as well. */
async function tree(dir = root): Promise<string[]> {
  const entries = await fs.readdir(dir, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => !entry.isDirectory())
    .map(({ parentPath, name }) => join(parentPath, name).slice(dir.length + 1))
    .sort();
}

/** Until the end of the test the whole process has this in place of a call of node:fs/promises. */
function replaceCall(call: 'mkdir' | 'open' | 'link' | 'rename' | 'unlink', replacement: unknown): void {
  const original = patchedFs[call];
  const set = (value: unknown) => {
    Object.assign(patchedFs, { [call]: value });
    syncBuiltinESMExports();
  };
  set(replacement);
  onTestFinished(() => set(original));
}

const read = (path: string) => fs.readFile(join(root, path), 'utf8');
const gets = () => double.requests.filter(({ operation }) => operation === 'GetObject');

describe('restore', () => {
  test('files come back with name, bytes and time, and a second run fetches nothing', async () => {
    put('alice/a.png', 'one');
    put('b \n\\ü.png', Buffer.alloc(3_000_000, 7), { mtimeNs: -1_500_000_001n });
    put('empty.txt', '');
    expect(await restore()).toMatchObject({ files: 3, bytes: 3_000_003, failures: [], notTried: 0 });
    expect(await tree()).toEqual(['alice/a.png', 'b \n\\ü.png', 'empty.txt']);
    expect(await read('alice/a.png')).toBe('one');
    const stats = await fs.stat(join(root, 'alice/a.png'), { bigint: true });
    expect(Number(mtimeNs - stats.mtimeNs)).toBeGreaterThanOrEqual(0);
    expect(Number(mtimeNs - stats.mtimeNs)).toBeLessThan(1000);

    double.requests.length = 0;
    expect(await restore()).toMatchObject({ files: 0, work: { there: 3, missing: [], failures: [] } });
    expect(gets()).toEqual([]);
  });

  test('a time just before midnight doesn’t move into the next day, which would be another key', async () => {
    const nearly = BigInt(Date.parse('2026-11-21T00:00:00Z')) * 1_000_000n - 1n;
    put('a.png', 'x', { mtimeNs: nearly });
    await restore();
    const { mtimeNs: restored } = await fs.stat(join(root, 'a.png'), { bigint: true });
    expect(new Date(Number(restored / 1_000_000n)).toISOString()).toMatch(/^2026-11-20T23:59:59/);
    expect(await restore()).toMatchObject({ work: { there: 1 } });
  });

  test('a file of other bytes stays, whatever its size; with overwrite it is replaced', async () => {
    put('a.png', 'stored');
    put('b.png', 'stored');
    await fs.writeFile(join(root, 'a.png'), 'mine, and longer');
    await fs.writeFile(join(root, 'b.png'), 'mine, ');
    const kept = await restore();
    expect(kept.reasons).toEqual({
      'a.png': expect.stringContaining('--overwrite'),
      'b.png': expect.stringContaining('--overwrite'),
    });
    expect([await read('a.png'), await read('b.png')]).toEqual(['mine, and longer', 'mine, ']);
    expect(gets()).toEqual([]);
    expect(await restore({ overwrite: true })).toMatchObject({ files: 2, reasons: {} });
    expect([await read('a.png'), await read('b.png')]).toEqual(['stored', 'stored']);
    expect(await tree()).toEqual(['a.png', 'b.png']);
  });

  test('the same bytes with another time are the file: nothing is fetched, and its time is left alone', async () => {
    put('a.png', 'stored');
    await fs.writeFile(join(root, 'a.png'), 'stored');
    await fs.utimes(join(root, 'a.png'), 1000, 1000);
    expect(await restore()).toMatchObject({ files: 0, work: { there: 1 }, reasons: {} });
    expect(gets()).toEqual([]);
    expect((await fs.stat(join(root, 'a.png'))).mtimeMs).toBe(1_000_000);
  });

  test('a file that comes while its object is fetched is not replaced', async () => {
    put('a.png', 'stored');
    double.fault = ({ operation }) => {
      if (operation === 'GetObject') void fs.writeFile(join(root, 'a.png'), 'quicker');
      return operation === 'GetObject' ? { delayMs: 100 } : undefined;
    };
    expect((await restore()).reasons).toEqual({ 'a.png': expect.stringContaining('another file came') });
    expect(await read('a.png')).toBe('quicker');
  });

  test('bytes that are not those that were stored get no name, and are tried once more', async () => {
    const key = put('a.png', 'stored');
    double.objects.get(key)!.body = Buffer.from('broken');
    expect((await restore()).reasons).toEqual({ 'a.png': expect.stringContaining('other bytes than were stored') });
    expect(await tree()).toEqual([]);
    expect(gets()).toHaveLength(2);
  });

  test('an object that was cut short gets no name', async () => {
    const key = put('a.png', 'stored');
    double.objects.set(key, { ...double.objects.get(key)!, body: Buffer.from('sto'), size: 3 });
    expect((await restore()).reasons).toEqual({ 'a.png': expect.stringContaining('other bytes than were stored') });
    expect(await tree()).toEqual([]);
  });

  test('an incomplete file comes back, and is named as such', async () => {
    put('torn.png', 'half', { incomplete: true });
    put('whole.png', 'whole');
    expect((await restore()).incomplete.map(({ path }) => path)).toEqual(['torn.png']);
    expect(await read('torn.png')).toBe('half');
  });

  test('what another program stored comes back by its key, its size is what is checked', async () => {
    putForeign(double, 'outputs/holiday/b.jpg', Buffer.from('foreign'));
    expect(await restore()).toMatchObject({ files: 1, reasons: {} });
    expect(await read('holiday/b.jpg')).toBe('foreign');
    expect(await restore()).toMatchObject({ files: 0, work: { there: 1 } });
  });

  test('run again on a file system with whole seconds, an object without a hash is there', async () => {
    putForeign(double, 'outputs/b.jpg', Buffer.from('foreign'));
    Object.assign(double.objects.get('outputs/b.jpg')!, { storedAt: 1_795_176_000_789 });
    expect(await restore()).toMatchObject({ files: 1, reasons: {} });
    await fs.utimes(join(root, 'b.jpg'), 1_795_176_000, 1_795_176_000);
    expect(await restore()).toMatchObject({ files: 0, work: { there: 1 }, reasons: {} });
    for (const other of [1_795_175_999, 1_795_176_001, 1_795_176_000.5]) {
      await fs.utimes(join(root, 'b.jpg'), other, other);
      expect((await restore()).reasons).toEqual({ 'b.jpg': expect.stringContaining('a different file') });
    }
  });
});

describe('a run that was killed is gone on with', () => {
  /** Leaves half of an object behind, as a killed run does. */
  async function fetchHalf(body: Buffer): Promise<{ partial: string; ranges: (string | undefined)[] }> {
    put('video.mp4', body);
    let killed = false;
    /** What the run after it asks for. */
    const ranges: (string | undefined)[] = [];
    const stop = new AbortController();
    double.fault = ({ operation, headers }: FaultRequest) => {
      if (operation !== 'GetObject') return undefined;
      if (killed) ranges.push(headers.range);
      return killed ? undefined : 'hang-mid-reply';
    };
    const running = restore({ signal: stop.signal });
    const half = async () => {
      const [name] = await tree();
      return name !== undefined && (await fs.stat(join(root, name))).size > 1_000_000;
    };
    await until(half, 'half of the object');
    stop.abort();
    await running;
    killed = true;
    const [partial = ''] = await tree();
    return { partial, ranges };
  }

  test('what is there is hashed, and the rest fetched from there', async () => {
    const body = Buffer.from(Array.from({ length: 5_000_000 }, (_, n) => n % 251));
    const { partial, ranges } = await fetchHalf(body);
    expect(partial).toMatch(/^\.r2-sync-.*\.partial$/);
    const { size } = await fs.stat(join(root, partial));
    expect(size).toBeGreaterThan(1_000_000);
    expect(await restore()).toMatchObject({ files: 1, reasons: {} });
    expect(ranges).toEqual([`bytes=${size}-`]);
    expect((await fs.readFile(join(root, 'video.mp4'))).equals(body)).toBe(true);
    expect(await tree()).toEqual(['video.mp4']);
  });

  test('what is there and wrong is fetched anew', async () => {
    const body = Buffer.alloc(5_000_000, 3);
    const { partial, ranges } = await fetchHalf(body);
    await fs.writeFile(join(root, partial), Buffer.alloc(1000, 4));
    expect(await restore()).toMatchObject({ files: 1, reasons: {} });
    expect(ranges).toEqual(['bytes=1000-', undefined]);
    expect((await fs.readFile(join(root, 'video.mp4'))).equals(body)).toBe(true);
  });

  test('what is there and whole needs no request', async () => {
    const { partial, ranges } = await fetchHalf(Buffer.alloc(5_000_000, 3));
    await fs.writeFile(join(root, partial), Buffer.alloc(5_000_000, 3));
    expect(await restore()).toMatchObject({ files: 1, reasons: {} });
    expect(ranges).toEqual([]);
  });

  test('one that ended between the name and the end leaves nothing behind', async () => {
    const { partial } = await fetchHalf(Buffer.alloc(5_000_000, 3));
    await restore();
    await fs.link(join(root, 'video.mp4'), join(root, partial));
    expect(await restore()).toMatchObject({ work: { there: 1 } });
    expect(await tree()).toEqual(['video.mp4']);
  });

  test('a partial file that is another file’s second name is not written to', async () => {
    const { partial } = await fetchHalf(Buffer.alloc(5_000_000, 3));
    await fs.writeFile(join(base, 'precious'), 'precious');
    await fs.rm(join(root, partial));
    await fs.link(join(base, 'precious'), join(root, partial));
    await restore();
    expect(await fs.readFile(join(base, 'precious'), 'utf8')).toBe('precious');
    await fs.rm(join(root, 'video.mp4'));
    await fs.symlink(join(base, 'precious'), join(root, partial));
    await restore();
    expect(await fs.readFile(join(base, 'precious'), 'utf8')).toBe('precious');
  });
});

test('who is stopped while looking for what is there looks no further', async () => {
  put('a.png', 'stored');
  const found = [];
  for await (const object of takeInventory({ store, prefixes: ['outputs/'], patience })) found.push(object);
  const { entries } = planRestore(found, TEMPLATE);
  const stopped = await lookForMissing(root, entries, false, AbortSignal.abort());
  expect(stopped).toEqual({ missing: [], there: 0, failures: [] });
});

describe('nothing leaves the directory', () => {
  test('hostile metadata is refused, and the rest comes back', async () => {
    put('good.png', 'good');
    const hostile = ['../../x', '../x', '/etc/x', 'a/../../b', 'a%00b', '%2e%2e%2fx', '.r2-sync/x', 'n'.repeat(400)];
    for (const [n, path] of hostile.entries()) put(`${n}.png`, `hostile ${n}`, {}, { path });
    const { files, reasons } = await restore();
    expect(files).toBe(1);
    expect(Object.keys(reasons)).toHaveLength(hostile.length);
    expect(await tree()).toEqual(['good.png']);
    expect(await tree(base)).toEqual(['target/good.png']);
  });

  test('a symlink on the way, or in the place, leads nowhere', async () => {
    const outside = join(base, 'outside');
    await fs.mkdir(outside);
    await fs.writeFile(join(outside, 'victim'), 'as it was');
    await fs.symlink(outside, join(root, 'alice'));
    await fs.symlink(join(outside, 'victim'), join(root, 'b.png'));
    await fs.symlink(join(outside, 'not there'), join(root, 'c.png'));
    for (const path of ['alice/a.png', 'alice/deep/a.png', 'b.png', 'c.png']) put(path, path);
    for (const overwrite of [false, true]) {
      const { files, reasons } = await restore({ overwrite });
      expect(files).toBe(0);
      expect(Object.values(reasons)).toHaveLength(4);
      for (const reason of Object.values(reasons)) expect(reason).toContain('symlink');
    }
    expect(await tree(outside)).toEqual(['victim']);
    expect(await fs.readFile(join(outside, 'victim'), 'utf8')).toBe('as it was');
  });

  test.skipIf(process.platform !== 'linux').each([
    ['mkdir', 'deep', false],
    ['open', '.partial', false],
    ['link', '.partial', false],
    ['rename', '.partial', true],
    ['unlink', '.partial', false],
  ] as const)('a directory that becomes a symlink just before %s leads nowhere', async (call, at, overwrite) => {
    const outside = join(base, 'outside');
    await fs.mkdir(outside);
    await fs.mkdir(join(root, 'alice'));
    await fs.writeFile(join(outside, 'a.png'), 'as it was');
    if (overwrite) await fs.writeFile(join(root, 'alice/a.png'), 'replace me');
    const original = patchedFs[call];
    let swaps = 0;
    const swapFirst = async (...args: unknown[]) => {
      if (swaps === 0 && String(args[0]).includes(at)) {
        swaps += 1;
        renameSync(join(root, 'alice'), join(root, 'moved'));
        symlinkSync(outside, join(root, 'alice'));
      }
      return await (original as (...all: unknown[]) => Promise<unknown>)(...args);
    };
    replaceCall(call, swapFirst);
    put(call === 'mkdir' ? 'alice/deep/a.png' : 'alice/a.png', 'stored');
    await restore({ overwrite });
    expect(swaps).toBe(1);
    expect(await fs.readdir(outside)).toEqual(['a.png']);
    expect(await fs.readFile(join(outside, 'a.png'), 'utf8')).toBe('as it was');
    // What was under way is where the directory is now, or nowhere.
    expect((await tree()).filter((path) => !path.startsWith('moved/'))).toEqual(['alice']);
  });

  test('a directory that becomes a symlink while its file is fetched gets no file, and that is told', async () => {
    const outside = join(base, 'outside');
    await fs.mkdir(outside);
    put('alice/a.png', 'stored');
    double.fault = ({ operation }) => {
      if (operation !== 'GetObject') return undefined;
      renameSync(join(root, 'alice'), join(root, 'moved'));
      symlinkSync(outside, join(root, 'alice'));
      return undefined;
    };
    expect((await restore()).reasons).toEqual({ 'alice/a.png': expect.stringContaining('alice is a symlink') });
    expect(await tree(outside)).toEqual([]);
  });

  test('what the system says of a name can’t act on a terminal', async () => {
    const path = 'alice/\u001b[2J\u009b.png';
    put(path, 'stored');
    await fs.mkdir(join(root, 'alice'));
    replaceCall('link', async () => {
      throw Object.assign(new Error(`EIO: i/o error, link '${path}'`), { code: 'EIO', errno: -5 });
    });
    const { reasons } = await restore();
    expect(reasons[path]).toMatch(/can't be written: .*\(EIO\)/);
    expect(reasons[path]).not.toMatch(/[\u0000-\u001f\u007f-\u009f]/);
  });

  test('what stands in the way is told, and stays', async () => {
    await fs.mkdir(join(root, 'a.png'));
    await fs.writeFile(join(root, 'alice'), 'a file');
    put('a.png', 'x');
    put('alice/b.png', 'y');
    put('c.png', 'z');
    const { files, reasons } = await restore({ overwrite: true });
    expect(files).toBe(1);
    expect(reasons['a.png']).toContain('a directory');
    expect(reasons['alice/b.png']).toContain('a file');
    expect(await read('alice')).toBe('a file');
  });
});

describe('trouble with the store', () => {
  test('a hiccup in the middle is waited out, and what came isn’t fetched again', async () => {
    put('video.mp4', Buffer.alloc(5_000_000, 1));
    const ranges: (string | undefined)[] = [];
    double.fault = ({ operation, headers }) => {
      if (operation !== 'GetObject') return undefined;
      ranges.push(headers.range);
      return ranges.length === 1
        ? 'reset-mid-reply'
        : ranges.length === 2
          ? { status: 503, code: 'SlowDown' }
          : undefined;
    };
    expect(await restore()).toMatchObject({ files: 1, reasons: {} });
    expect(ranges).toHaveLength(3);
    expect(ranges[2]).toMatch(/^bytes=\d+-$/);
  });

  test('a file that the store won’t give is listed, and the others come', async () => {
    const bad = put('bad.png', 'bad');
    for (let n = 0; n < 40; n += 1) put(`${n}.png`, `${n}`);
    double.fault = ({ operation, key }) =>
      operation === 'GetObject' && key === bad ? { status: 503, code: 'SlowDown' } : undefined;
    const outcome = await restore();
    expect(outcome).toMatchObject({ files: 40, notTried: 0, stopped: undefined });
    expect(outcome.reasons).toEqual({ 'bad.png': expect.stringContaining('SlowDown') });
  });

  test.each([
    ['refuses', { status: 403, code: 'AccessDenied' }, true],
    ['is away', { status: 503, code: 'ServiceUnavailable' }, false],
  ])(
    'a store that %s in the middle isn’t asked for every file, and nothing that came is lost',
    async (_, fault, refused) => {
      for (let n = 0; n < 200; n += 1) put(`${n}.png`, `${n}`);
      let answered = 0;
      double.fault = ({ operation }) => (operation === 'GetObject' && answered++ >= 50 ? fault : undefined);
      const outcome = await restore();
      expect(outcome.files).toBe(50);
      expect(outcome.stopped).toMatchObject({ refused });
      expect(outcome.notTried).toBeGreaterThan(60);
      expect(outcome.files + outcome.failures.length + outcome.notTried).toBe(200);
      double.fault = undefined;
      expect(await restore()).toMatchObject({ files: 150, work: { there: 50 }, reasons: {} });
    },
  );

  test('an object that is deleted meanwhile is told', async () => {
    const key = put('a.png', 'x');
    double.fault = ({ operation }) => {
      if (operation === 'GetObject') double.objects.delete(key);
      return undefined;
    };
    expect((await restore()).reasons).toEqual({ 'a.png': expect.stringContaining('gone') });
  });
});
