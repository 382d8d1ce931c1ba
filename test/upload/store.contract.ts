// What every store must keep, whoever it is: the double, Cloudflare's simulator, a real bucket. Where one of them can't,
// the difference has a name in `differences`, so that it is seen here and not in a user's bucket.
import { createHash, randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { cutIntoParts } from '../../src/upload/parts.ts';
import { createS3Store } from '../../src/upload/s3.ts';
import { type PutPartsRequest, type Store, StoreError } from '../../src/upload/store.ts';
import { createS3Client, type S3Client, type S3Place } from '../support/s3-client.ts';

export interface ContractPlace extends S3Place {
  differences: {
    /** `If-None-Match: *` on CompleteMultipartUpload is ignored: the second of two equal uploads replaces the first. */
    completionReplaces?: true;
    /** What the refusal of parts of unequal size is called, where it isn't `InvalidPart`. */
    unequalParts?: string;
  };
  close(): Promise<void>;
}

const mebibyte = 1024 * 1024;
const hostileNames = [
  'with space',
  ' leading and trailing ',
  'plus+plus',
  'percent%41%',
  'hash#tag',
  'question?a=b&c=d',
  'quotes\'"`',
  'umlaut-äöü-décomposé-e\u0301',
  '日本語',
  'emoji-🦊👩‍👩‍👧',
  'a=b;c,d:e@f!g$h(i)*j~k',
  '<xml>&amp;</xml>',
  'back\\slash',
  'dots...and..more.',
];

export function storeContract(name: string, start: () => Promise<ContractPlace>): void {
  describe(`the store's contract: ${name}`, () => {
    let place: ContractPlace;
    let store: Store;
    let client: S3Client;
    const prefix = `contract/${Date.now().toString(36)}-${randomBytes(4).toString('hex')}`;
    const used = new Set<string>();

    const key = (text: string) => {
      used.add(`${prefix}/${text}`);
      return `${prefix}/${text}`;
    };
    const put = (at: string, body: Buffer, metadata: Record<string, string> = {}) =>
      store.put({ key: at, body, sha256: hashOf(body), contentType: 'image/png', metadata });
    const putParts = (at: string, body: Buffer, more: object = {}) =>
      store.putParts({ key: at, contentType: 'video/mp4', metadata: {}, ...partsOf(body), ...more });
    const failureOf = async (call: Promise<unknown>): Promise<StoreError> => {
      const error = await call.then(
        () => undefined,
        (thrown: unknown) => thrown,
      );
      expect(error).toBeInstanceOf(StoreError);
      return error as StoreError;
    };

    beforeAll(async () => {
      place = await start();
      store = createS3Store({ ...place, concurrency: 4 });
      client = createS3Client(place);
    });

    afterAll(async () => {
      for (const at of used) await client.delete(at);
      store.close();
      await place.close();
    });

    test('invariant 1: what was put is there, with its bytes, type and metadata', async () => {
      const at = key('round trip.png');
      const body = randomBytes(70_000);
      const metadata = { sha256: hashOf(body), path: 'alice/%E2%9C%93%20x.png', mtime: '2026-11-20T10:15:00.123Z' };
      const { etag } = await put(at, body, metadata);
      expect(etag).not.toBe('');

      const fetched = await client.get(at);
      expect(fetched.body.equals(body)).toBe(true);
      expect(fetched).toMatchObject({ status: 200, contentType: 'image/png', metadata });
      expect(await store.head(at)).toEqual({ size: body.length, etag, metadata, contentType: 'image/png' });
    });

    test('HEAD of an object that is not there is undefined', async () => {
      expect(await store.head(key('nothing'))).toBeUndefined();
    });

    test('invariant 4: a key that is taken is refused as "exists", and its object stays', async () => {
      const at = key('taken');
      await put(at, Buffer.from('first'));
      expect(await failureOf(put(at, Buffer.from('second')))).toMatchObject({ failure: 'exists', status: 412 });
      expect((await client.get(at)).body.toString()).toBe('first');
    });

    test('invariant 4: of 20 who put one key at the same moment, one wins', async () => {
      const at = key('race');
      const results = await Promise.allSettled(
        Array.from({ length: 20 }, (_, n) => put(at, Buffer.from(`body of ${n}`))),
      );
      const winners = results.flatMap(({ status }, n) => (status === 'fulfilled' ? [n] : []));
      expect(winners).toHaveLength(1);
      for (const result of results)
        if (result.status === 'rejected') expect(['exists', 'transient']).toContain(result.reason.failure);
      expect((await client.get(at)).body.toString()).toBe(`body of ${winners[0]}`);
    });

    test('invariant 3: bytes that are not those announced are refused as "changed", and nothing is stored', async () => {
      const at = key('torn');
      const call = store.put({
        key: at,
        body: Buffer.from('these bytes'),
        sha256: hashOf(Buffer.from('other bytes')),
        contentType: 'text/plain',
        metadata: {},
      });
      expect((await failureOf(call)).failure).toBe('changed');
      expect((await client.head(at)).status).toBe(404);
    });

    test('what was put is read back, from the start or from any byte, with its facts', async () => {
      const at = key('read back ü.mp4');
      const body = randomBytes(3 * mebibyte + 7);
      const metadata = { sha256: hashOf(body), path: 'alice/%E2%9C%93.mp4' };
      const { etag } = await put(at, body, metadata);
      for (const from of [0, 1, 1_500_000, body.length - 1]) {
        const found = await store.get(at, { from });
        expect(found).toMatchObject({ size: body.length, etag, metadata, contentType: 'image/png' });
        expect((await collect(found!.body)).equals(body.subarray(from))).toBe(true);
      }
      expect(await store.get(key('not there'))).toBeUndefined();
    });

    test('reading may end early, and the next read works', async () => {
      const at = key('left half-way');
      const body = randomBytes(6 * mebibyte);
      await put(at, body);
      for (let round = 0; round < 12; round += 1) {
        const found = await store.get(at);
        for await (const chunk of found!.body) {
          expect(chunk.equals(body.subarray(0, chunk.length))).toBe(true);
          break;
        }
      }
      expect((await collect((await store.get(at))!.body)).equals(body)).toBe(true);
    });

    test('an object of no bytes is read as such', async () => {
      const at = key('empty');
      await put(at, Buffer.alloc(0));
      const found = await store.get(at);
      expect(found?.size).toBe(0);
      expect(await collect(found!.body)).toHaveLength(0);
    });

    test('a link fetches the bytes without any key, and only until it expires', async () => {
      const at = key("linked/100% (it's) #1 + ü.png");
      const body = randomBytes(1000);
      await put(at, body);
      const reply = await fetch(await store.presign(at, 60));
      expect(reply.status).toBe(200);
      expect(Buffer.from(await reply.arrayBuffer()).equals(body)).toBe(true);

      const yesterday = createS3Store({ ...place, concurrency: 1, clock: { wall: () => Date.now() - 86_400_000 } });
      const late = await fetch(await yesterday.presign(at, 3600));
      yesterday.close();
      expect([400, 401, 403]).toContain(late.status);
      const other = (await store.presign(at, 60)).replace('linked', 'taken');
      expect((await fetch(other)).status).toBe(403);
    });

    test('a wrong signature is refused', async () => {
      const at = key('forged');
      const forger = createS3Client({ ...place, secretAccessKey: '0'.repeat(64) });
      expect((await forger.put(at, Buffer.from('x'))).status).toBe(403);
      expect((await client.head(at)).status).toBe(404);
      const wrong = createS3Store({ ...place, secretAccessKey: '0'.repeat(64), concurrency: 1 });
      const call = wrong.put({
        key: at,
        body: Buffer.from('x'),
        sha256: hashOf(Buffer.from('x')),
        contentType: 'text/plain',
        metadata: {},
      });
      expect(['SignatureDoesNotMatch', 'AccessDenied']).toContain((await failureOf(call)).code);
      wrong.close();
    });

    test('a bucket that is not there is a refusal', async () => {
      const wrong = createS3Store({ ...place, bucket: 'r2-sync-no-such-bucket', concurrency: 1 });
      const body = Buffer.from('x');
      const call = wrong.put({ key: 'x', body, sha256: hashOf(body), contentType: 'text/plain', metadata: {} });
      const failure = await failureOf(call);
      expect(failure.failure).toBe('refused');
      expect(failure.fix).toContain('r2-sync-no-such-bucket');
      wrong.close();
    });

    test.each(hostileNames)('a key with hostile characters goes and comes back: %j', async (hostile) => {
      const at = key(`hostile/${hostile}/${hostile}.png`);
      const body = Buffer.from(hostile);
      await put(at, body);
      expect((await client.get(at)).body.equals(body)).toBe(true);
      expect((await store.head(at))?.size).toBe(body.length);
      const listed: string[] = [];
      for await (const object of store.list(`${prefix}/hostile/${hostile}/`)) listed.push(object.key);
      expect(listed).toEqual([at]);
    });

    test('a list is complete, over pages, and keeps to its prefix', async () => {
      const names = ['a', 'b/1', 'b/2', 'c', 'd'].map((text) => key(`list/${text}`));
      await put(key('listing'), Buffer.from('beside the prefix'));
      for (const [n, at] of names.entries()) await put(at, Buffer.alloc(n));
      const expected = names.map((at, n) => ({ key: at, size: n }));
      const listed = [];
      for await (const object of store.list(`${prefix}/list/`)) listed.push(object);
      expect(listed.map(({ key: at, size }) => ({ key: at, size }))).toEqual(expected);
      for (const { key: at, etag, modifiedAt } of listed) {
        expect(etag).toBe((await store.head(at))?.etag);
        // Clocks of stores are their own; a real one is within minutes of ours, or we could sign nothing.
        expect(Math.abs(modifiedAt - Date.now())).toBeLessThan(15 * 60_000);
      }
      expect(await client.list(`${prefix}/list/`, 2)).toEqual(expected);
    });

    test('a large file becomes one object of the same bytes, by parts', async () => {
      const at = key('video.mp4');
      const body = randomBytes(17 * mebibyte + 12_345);
      const ids: string[] = [];
      const progress: number[] = [];
      const { etag } = await putParts(at, body, {
        metadata: { sha256: hashOf(body) },
        onUploadId: (id: string) => ids.push(id),
        onProgress: (bytes: number) => progress.push(bytes),
      });
      expect(ids).toHaveLength(1);
      expect(progress).toHaveLength(3);
      expect(progress.at(-1)).toBe(body.length);
      const fetched = await client.get(at);
      expect(hashOf(fetched.body)).toBe(hashOf(body));
      expect(fetched).toMatchObject({ contentType: 'video/mp4', metadata: { sha256: hashOf(body) }, etag });
    });

    test('a large file that can no longer be read stores nothing, leaves no upload behind, and its error comes out as it is', async () => {
      const at = key('failed.mp4');
      const broken = new Error('the file changed while it was read');
      let uploadId = '';
      const call = putParts(at, Buffer.alloc(20 * mebibyte), {
        onUploadId: (id: string) => {
          uploadId = id;
        },
        read: async (position: number, length: number) => {
          if (position > 0) throw broken;
          return Buffer.alloc(length);
        },
      });
      await expect(call).rejects.toBe(broken);
      expect((await client.head(at)).status).toBe(404);
      const query = `partNumber=1&uploadId=${encodeURIComponent(uploadId)}`;
      expect((await client.send('PUT', at, query, Buffer.from('late part'))).status).toBe(404);
      await store.abortUpload(at, uploadId);
    });

    test('invariant 3: a part whose bytes are not those that were hashed is refused, and nothing is stored', async () => {
      const at = key('changed.mp4');
      const body = randomBytes(17 * mebibyte);
      const changed = Buffer.from(body);
      changed[9 * mebibyte]! ^= 1;
      const read = async (position: number, length: number) => changed.subarray(position, position + length);
      expect((await failureOf(putParts(at, body, { read }))).failure).toBe('changed');
      expect((await client.head(at)).status).toBe(404);
    });

    test('invariant 4: dropping an upload without its id, which would be deleting the object, is not even asked for', async () => {
      const at = key('kept.mp4');
      await putParts(at, Buffer.alloc(9 * mebibyte));
      await expect(store.abortUpload(at, '')).rejects.toThrow(RangeError);
      expect((await client.head(at)).status).toBe(200);
    });

    test('invariant 4: completing an upload never replaces an object', async () => {
      const at = key('completed.mp4');
      const first = randomBytes(9 * mebibyte);
      await putParts(at, first);
      if (place.differences.completionReplaces) {
        await putParts(at, Buffer.alloc(9 * mebibyte));
        expect(hashOf((await client.get(at)).body)).not.toBe(hashOf(first));
      } else {
        expect((await failureOf(putParts(at, Buffer.alloc(9 * mebibyte)))).failure).toBe('exists');
        expect(hashOf((await client.get(at)).body)).toBe(hashOf(first));
      }
    });

    test.each([
      ['equal but the last are taken', [5, 5, 1]],
      ['unequal are refused', [6, 5, 1]],
    ])('parts that are %s', async (_, sizes) => {
      const at = key(`parts of ${sizes}`);
      const created = await (await client.send('POST', at, 'uploads=', Buffer.alloc(0))).text();
      const uploadId = encodeURIComponent(/<UploadId>(.*?)<\/UploadId>/.exec(created)?.[1] ?? '');
      const rows: string[] = [];
      for (const [n, size] of sizes.entries()) {
        const query = `partNumber=${n + 1}&uploadId=${uploadId}`;
        const reply = await client.send('PUT', at, query, Buffer.alloc(size * mebibyte));
        rows.push(`<Part><PartNumber>${n + 1}</PartNumber><ETag>${reply.headers.get('etag')}</ETag></Part>`);
      }
      const xml = `<CompleteMultipartUpload>${rows.join('')}</CompleteMultipartUpload>`;
      const reply = await (await client.send('POST', at, `uploadId=${uploadId}`, Buffer.from(xml))).text();
      const refusal = /<Code>(.*?)<\/Code>/.exec(reply)?.[1];
      expect(refusal).toBe(sizes[0] === 5 ? undefined : (place.differences.unequalParts ?? 'InvalidPart'));
      expect((await client.head(at)).status).toBe(sizes[0] === 5 ? 200 : 404);
      await store.abortUpload(at, decodeURIComponent(uploadId));
    });
  });
}

export function hashOf(body: Buffer): string {
  return createHash('sha256').update(body).digest('hex');
}

export async function collect(body: AsyncIterable<Buffer>): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of body) chunks.push(Buffer.from(chunk));
  return Buffer.concat(chunks);
}

/** What a multipart upload of these bytes is asked for with: size, hashes of the parts, and the bytes themselves. */
export function partsOf(body: Buffer): Pick<PutPartsRequest, 'size' | 'partHashes' | 'read'> {
  const piece = (position: number, length: number) => body.subarray(position, position + length);
  return {
    size: body.length,
    partHashes: [...cutIntoParts(body.length)].map(({ position, length }) => hashOf(piece(position, length))),
    read: async (position, length) => piece(position, length),
  };
}
