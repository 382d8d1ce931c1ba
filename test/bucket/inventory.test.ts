import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type BucketObject, type InventoryOptions, prefixesOf, takeInventory } from '../../src/bucket/inventory.ts';
import { manifestOfBucket } from '../../src/bucket/manifest.ts';
import { scopeOf } from '../../src/bucket/scope.ts';
import { createS3Store } from '../../src/upload/s3.ts';
import type { Store } from '../../src/upload/store.ts';
import { type StoreDouble, startStoreDouble } from '../support/store-double.ts';
import { hashOf } from '../upload/store.contract.ts';

const TEMPLATE = 'outputs/{path}/{date}/{name}-{hash16}{ext}';
const patience = { retries: 3, firstPauseMs: 1 };
let double: StoreDouble;
let store: Store;

beforeEach(async () => {
  double = await startStoreDouble();
  const { accessKeyId, secretAccessKey } = double.settings;
  store = createS3Store({ endpoint: double.endpoint, bucket: 'runpod', accessKeyId, secretAccessKey, concurrency: 40 });
});

afterEach(async () => {
  store.close();
  await double.close();
});

async function put(key: string, metadata: Record<string, string> = {}) {
  const body = Buffer.from(key);
  await store.put({ key, body, sha256: hashOf(body), contentType: 'image/png', metadata });
}

async function inventory(more: Partial<InventoryOptions> = {}): Promise<BucketObject[]> {
  const found: BucketObject[] = [];
  for await (const object of takeInventory({ store, prefixes: ['outputs/'], patience, ...more })) found.push(object);
  return found;
}

const heads = () => double.requests.filter(({ operation }) => operation === 'HeadObject');

describe('what is in the bucket', () => {
  test('each object below the prefix, with what it says about itself', async () => {
    const sha256 = hashOf(Buffer.from('outputs/alice/a'));
    await put('outputs/alice/a', {
      sha256,
      path: 'alice/a%20b.png',
      mtime: '1795176000.000000001',
      incomplete: 'true',
    });
    await put('elsewhere/b', { sha256, path: 'b.png' });
    const [object, ...more] = await inventory();
    expect(more).toEqual([]);
    expect(object).toEqual({
      key: 'outputs/alice/a',
      size: 15,
      modifiedAt: expect.any(Number),
      path: 'alice/a b.png',
      mtimeNs: 1_795_176_000_000_000_001n,
      sha256,
      incomplete: true,
      rejected: undefined,
    });
    expect(Math.abs(object!.modifiedAt - Date.now())).toBeLessThan(60_000);
  });

  test('what another program stored has no facts but its key; what leads out of the directory says why', async () => {
    await put('outputs/foreign.png');
    await put('outputs/hostile.png', { sha256: 'x', path: '../../x', mtime: 'y' });
    const nothing = { path: undefined, mtimeNs: undefined, sha256: undefined, incomplete: false };
    expect(await inventory()).toMatchObject([
      { key: 'outputs/foreign.png', ...nothing, rejected: undefined },
      { key: 'outputs/hostile.png', ...nothing, rejected: 'its path leads out of the directory' },
    ]);
  });

  test('the object of `r2-sync probe` is none, but a file of that name is one', async () => {
    await put('outputs/probe/r2-sync-probe-0011223344556677.txt', { sha256: 'a'.repeat(64), agent: '1' });
    await put('outputs/2026/r2-sync-probe-0011223344556677.txt', { path: 'r2-sync-probe.txt' });
    expect((await inventory()).map(({ path }) => path)).toEqual(['r2-sync-probe.txt']);
  });

  test('thousands are asked for several at a time, come in order, and only those that are wanted are asked for', async () => {
    const keys = Array.from({ length: 1200 }, (_, n) => `outputs/${String(n).padStart(4, '0')}`);
    for (const key of keys) double.objects.set(key, { ...bare, size: 1 });
    let running = 0;
    let most = 0;
    const counting: Store = {
      ...store,
      head: async (...args) => {
        running += 1;
        most = Math.max(most, running);
        return await store.head(...args).finally(() => {
          running -= 1;
        });
      },
    };
    const found = await inventory({ store: counting, isWanted: ({ key }) => key >= 'outputs/0100' });
    expect(found.map(({ key }) => key)).toEqual(keys.slice(100));
    expect(heads()).toHaveLength(1100);
    expect(most).toBeGreaterThan(1);
    expect(most).toBeLessThanOrEqual(32);
  });

  test('a hiccup of the store is waited out; an outage and a refusal end it', async () => {
    await put('outputs/a');
    let left = 3;
    double.fault = ({ operation }) =>
      operation === 'HeadObject' && left-- > 0 ? { status: 503, code: 'SlowDown' } : undefined;
    expect(await inventory()).toHaveLength(1);
    double.fault = ({ operation }) => (operation === 'HeadObject' ? { status: 503, code: 'SlowDown' } : undefined);
    await expect(inventory()).rejects.toMatchObject({ failure: 'transient' });
    double.fault = () => ({ status: 403, code: 'AccessDenied' });
    await expect(inventory()).rejects.toMatchObject({ failure: 'refused' });
  });

  test('what is listed and then isn’t there is named, not left out', async () => {
    await put('outputs/a');
    await put('outputs/b');
    double.fault = ({ operation }) => {
      if (operation === 'HeadObject') double.objects.delete('outputs/a');
      return undefined;
    };
    expect(await inventory()).toMatchObject([
      { key: 'outputs/a', size: 9, rejected: expect.stringContaining("isn't there") },
      { key: 'outputs/b', rejected: undefined },
    ]);
    const options = { keyTemplate: TEMPLATE, timezone: 'UTC', scope: scopeOf('', undefined), onProgress: () => {} };
    await put('outputs/a');
    expect((await manifestOfBucket(store, options)).missing).toContainEqual(
      expect.stringMatching(/^outputs\/a: .*isn't there/),
    );
  });

  test.each([
    ['answers 400 for', { status: 400 }],
    ['answers 410 for', { status: 410, code: 'Gone' }],
    ['refuses', { status: 403 }],
  ])('one object that the store %s is rejected with the reason, and the others come', async (_, fault) => {
    for (const name of ['a', 'b', 'c']) await put(`outputs/${name}`);
    double.fault = ({ operation, key }) => (operation === 'HeadObject' && key === 'outputs/a' ? fault : undefined);
    const found = await inventory();
    expect(found.map(({ key }) => key).sort()).toEqual(['outputs/a', 'outputs/b', 'outputs/c']);
    expect(found.filter(({ rejected }) => rejected !== undefined)).toMatchObject([
      { key: 'outputs/a', rejected: expect.stringContaining(`${fault.status}`) },
    ]);
  });

  test('a key with “.” or “..” for a name isn’t asked for, but named', async () => {
    for (const key of ['outputs/../x', 'outputs/./y', 'outputs/..']) double.objects.set(key, { ...bare, size: 1 });
    await put('outputs/a..b/.c');
    const found = await inventory();
    expect(found.map(({ key, rejected }) => [key, rejected !== undefined])).toEqual([
      ['outputs/..', true],
      ['outputs/../x', true],
      ['outputs/./y', true],
      ['outputs/a..b/.c', false],
    ]);
    expect(heads()).toHaveLength(1);
  });

  test.each([1, 3000])('a store that lists %i and refuses each of them refuses us', async (count) => {
    for (let n = 0; n < count; n += 1) double.objects.set(`outputs/${n}`, { ...bare, size: 1 });
    double.fault = ({ operation }) => (operation === 'HeadObject' ? { status: 403 } : undefined);
    await expect(inventory()).rejects.toMatchObject({ failure: 'refused' });
    expect(heads().length).toBeLessThan(300);
  });
});

test.each([
  [TEMPLATE, [], ['outputs/']],
  [TEMPLATE, ['alice', 'bob'], ['outputs/alice/', 'outputs/bob/']],
  [TEMPLATE, ['alice', 'alice'], ['outputs/alice/']],
  [TEMPLATE, ['.', 'alice'], ['outputs/']],
  [TEMPLATE, ['späte*', 'alice'], ['outputs/']],
  ['{path}/{name}-{hash16}{ext}', ['alice'], ['alice/']],
  ['{path}/{name}-{hash16}{ext}', [], ['']],
  ['all/{hash}{ext}', ['alice'], ['all/']],
])('keys of %s for the folders %j lie below %j', (template, folders, prefixes) => {
  expect(prefixesOf(template, folders)).toEqual(prefixes);
});

const bare = { body: undefined, sha256: undefined, etag: '"e"', metadata: {}, contentType: 'image/png', storedAt: 0 };
