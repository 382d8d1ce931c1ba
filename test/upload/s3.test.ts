import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { getCACertificates, setDefaultCACertificates } from 'node:tls';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { createS3Store, type S3StoreOptions } from '../../src/upload/s3.ts';
import { type PutPartsRequest, type Store, StoreError } from '../../src/upload/store.ts';
import { type Fault, type FaultRequest, type StoreDouble, startStoreDouble } from '../support/store-double.ts';
import { testCertificate } from '../support/test-certificate.ts';
import { collect, hashOf, partsOf } from './store.contract.ts';

const mebibyte = 1024 * 1024;
let double: StoreDouble;
const stores: Store[] = [];
const trusted = getCACertificates();

beforeEach(async () => {
  double = await startStoreDouble();
});

afterEach(async () => {
  vi.unstubAllEnvs();
  setDefaultCACertificates(trusted);
  for (const store of stores.splice(0)) store.close();
  await double.close();
});

function open(more: Partial<S3StoreOptions> = {}): Store {
  const { accessKeyId, secretAccessKey } = double.settings;
  const place = { endpoint: double.endpoint, bucket: 'runpod', accessKeyId, secretAccessKey, concurrency: 4 };
  const store = createS3Store({ ...place, ...more });
  stores.push(store);
  return store;
}

function put(store: Store, key: string, body = Buffer.from('a picture'), signal?: AbortSignal) {
  const rest = { contentType: 'image/png', metadata: {}, ...(signal ? { signal } : {}) };
  return store.put({ key, body, sha256: hashOf(body), ...rest });
}

function putParts(store: Store, body: Buffer, more: Partial<PutPartsRequest> = {}) {
  const facts = { key: 'video.mp4', contentType: 'video/mp4', metadata: {} };
  return store.putParts({ ...facts, ...partsOf(body), ...more });
}

/** Fails the nth request (0 is the first) of an operation. */
function failOn(operation: string, fault: Fault, nth = 0) {
  let seen = 0;
  double.fault = (request: FaultRequest) => {
    if (request.operation !== operation) return undefined;
    seen += 1;
    return seen - 1 === nth ? fault : undefined;
  };
}

function sent(operation?: string) {
  return double.requests.filter((request) => operation === undefined || request.operation === operation);
}

async function failureOf(call: Promise<unknown>): Promise<StoreError> {
  const error = await call.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(StoreError);
  return error as StoreError;
}

test('every request that the store saw is counted with its reply: repeated ones, and those without a reply too', async () => {
  const counted: string[] = [];
  const store = open({ onRequest: (operation, code) => counted.push(`${operation} ${code}`) });
  failOn('UploadPart', { status: 503, code: 'SlowDown' });
  await put(store, 'picture.png');
  await failureOf(put(store, 'picture.png'));
  await putParts(store, Buffer.alloc(6 * mebibyte, 1), { onUploadId: (id) => void store.abortUpload('other', id) });
  await store.head('no such object');
  await (await store.get('picture.png'))!.body[Symbol.asyncIterator]().next();
  for await (const _ of store.list('')) break;
  double.fault = () => 'reset';
  await failureOf(store.head('picture.png'));
  const seen = double.requests.map(({ operation, status }) => `${operation} ${status || 'none'}`);
  expect(counted.sort()).toEqual(seen.sort());
  expect(new Set(counted)).toEqual(
    new Set([
      'PutObject 200',
      'PutObject 412',
      'CreateMultipartUpload 200',
      'UploadPart 503',
      'UploadPart 200',
      'CompleteMultipartUpload 200',
      'AbortMultipartUpload 404',
      'HeadObject 404',
      'GetObject 200',
      'ListObjectsV2 200',
      'HeadObject none',
    ]),
  );
});

describe('a small file', () => {
  test('is one request, with our hash as the signed one, and nothing that R2 does not know', async () => {
    const headers: FaultRequest['headers'][] = [];
    double.fault = (request) => void headers.push(request.headers);
    const body = Buffer.alloc(3 * mebibyte, 7);
    await put(open(), 'a.png', body);
    expect(sent()).toHaveLength(1);
    expect(headers[0]).toMatchObject({
      'x-amz-content-sha256': hashOf(body),
      'if-none-match': '*',
      'content-type': 'image/png',
      'content-length': String(body.length),
    });
    expect(Object.keys(headers[0]!).filter((name) => /checksum|expect|trailer|content-encoding/.test(name))).toEqual(
      [],
    );
  });

  test('is hashed by nobody but its caller: an announced hash is signed as it is', async () => {
    double.settings.verify = false;
    const sha256 = 'ab'.repeat(32);
    await open().put({ key: 'a', body: Buffer.from('x'), sha256, contentType: 'image/png', metadata: {} });
    expect(double.objects.get('a')?.sha256).toBe(sha256);
  });

  test('is not tried again below us: a hidden retry turns our own success into "exists"', async () => {
    failOn('PutObject', 'commit-and-drop-reply');
    const store = open();
    expect(await failureOf(put(store, 'a.png'))).toMatchObject({ failure: 'transient', code: 'ECONNRESET' });
    expect(sent()).toHaveLength(1);
    expect((await failureOf(put(store, 'a.png'))).failure).toBe('exists');
  });

  test.each<[string, Fault, object]>([
    ['busy', { status: 503, code: 'SlowDown' }, { failure: 'transient', code: 'SlowDown', status: 503 }],
    ['cut in the middle', 'reset-mid-body', { failure: 'transient', code: 'ECONNRESET' }],
    ['silent', 'hang', { failure: 'transient', code: 'TimeoutError' }],
    ['a proxy with a page', { status: 502, html: '<html>Bad gateway</html>' }, { failure: 'transient', status: 502 }],
    ['a login page', { status: 403, html: '<html>Log in</html>' }, { failure: 'refused', status: 403 }],
    ['a web server', 'html-200', { failure: 'refused', code: 'NotS3' }],
    ['a reply without an ETag', 'no-etag', { failure: 'refused', code: 'NotS3' }],
    ['an error in a 200', { status: 200, code: 'InternalError' }, { failure: 'transient', code: 'InternalError' }],
  ])('invariant 1: it is not stored when the store is %s', async (_, fault, expected) => {
    double.fault = () => fault;
    expect(await failureOf(put(open({ idleTimeoutMs: 500 }), 'a.png', Buffer.alloc(mebibyte)))).toMatchObject(expected);
  });

  test.each(['http', 'https'])(
    'goes on over %s while the uplink is slow: only silence is a failure',
    async (scheme) => {
      if (scheme === 'https') {
        await double.close();
        setDefaultCACertificates([testCertificate.cert]);
        double = await startStoreDouble({ tls: testCertificate });
      }
      // Takes three times the time-out; what the kernel holds back after the last write takes a fifth of it.
      double.fault = () => ({ bytesPerSecond: 8 * mebibyte });
      const body = Buffer.alloc(24 * mebibyte);
      await put(open({ idleTimeoutMs: 1000 }), 'a.png', body);
      expect(double.objects.get('a.png')?.size).toBe(body.length);
    },
  );

  test('goes nowhere over a certificate that nobody trusts, and says so', async () => {
    await double.close();
    setDefaultCACertificates([]);
    double = await startStoreDouble({ tls: testCertificate });
    const failure = await failureOf(put(open(), 'a.png'));
    expect(failure).toMatchObject({ failure: 'transient', code: 'DEPTH_ZERO_SELF_SIGNED_CERT' });
    expect(failure.fix).toContain('NODE_EXTRA_CA_CERTS');
  });

  test('fails as transient when the store stops reading in the middle', async () => {
    double.fault = () => 'stall';
    const failure = await failureOf(put(open({ idleTimeoutMs: 300 }), 'a.png', Buffer.alloc(24 * mebibyte)));
    expect(failure).toMatchObject({ failure: 'transient', code: 'TimeoutError' });
  });

  test('can be stopped', async () => {
    const stop = new AbortController();
    double.fault = () => {
      stop.abort();
      return 'hang';
    };
    expect((await failureOf(put(open(), 'a.png', Buffer.from('x'), stop.signal))).failure).toBe('aborted');
  });
});

describe('reading an object', () => {
  async function read(store: Store, key: string, signal?: AbortSignal): Promise<Buffer | undefined> {
    const found = await store.get(key, signal ? { signal } : {});
    return found && collect(found.body);
  }

  test.each<[string, Fault, object]>([
    ['is cut in the middle', 'reset-mid-reply', { failure: 'transient', code: 'ECONNRESET' }],
    ['goes silent in the middle', 'hang-mid-reply', { failure: 'transient', code: 'TimeoutError' }],
    ['is busy', { status: 503, code: 'SlowDown' }, { failure: 'transient', code: 'SlowDown', status: 503 }],
    ['refuses', { status: 403, code: 'AccessDenied' }, { failure: 'refused', code: 'AccessDenied' }],
    ['has no such bucket', { status: 404, code: 'NoSuchBucket' }, { failure: 'refused', code: 'NoSuchBucket' }],
    ['is a web server', 'html-200', { failure: 'refused', code: 'NotS3' }],
  ])('fails when the store %s, and never gives a part for the whole', async (_, fault, expected) => {
    const store = open({ idleTimeoutMs: 300 });
    const body = Buffer.alloc(4 * mebibyte, 5);
    await put(store, 'a.png', body);
    failOn('GetObject', fault);
    expect(await failureOf(read(store, 'a.png'))).toMatchObject(expected);
    expect((await read(store, 'a.png'))?.equals(body)).toBe(true);
  });

  test('works over TLS as well, over one connection after the other, and for a reader that takes its time', async () => {
    await double.close();
    setDefaultCACertificates([testCertificate.cert]);
    double = await startStoreDouble({ tls: testCertificate });
    const store = open();
    const body = Buffer.from(Array.from({ length: 3_000_000 }, (_, n) => n % 253));
    await put(store, 'a.png', body);
    for (let round = 0; round < 3; round += 1) {
      const pieces: Buffer[] = [];
      for await (const piece of (await store.get('a.png'))!.body) {
        pieces.push(Buffer.from(piece));
        // Whatever else the process has to do comes in between.
        await new Promise((resolve) => setImmediate(resolve));
      }
      expect(Buffer.concat(pieces).equals(body)).toBe(true);
      expect((await store.head('a.png'))?.size).toBe(body.length);
    }
  });

  test('a refusal that comes in chunks, over a connection that stays open, is one at once', async () => {
    const server = createServer((_, reply) => {
      reply.writeHead(403, { 'content-type': 'application/xml' });
      reply.write('<Error><Code>AccessDenied</Code>');
      reply.end('<Message>Access Denied</Message></Error>');
    }).listen(0, '127.0.0.1');
    server.keepAliveTimeout = 60_000;
    await once(server, 'listening');
    const endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    // Whoever waits for the connection to end meets this.
    const store = open({ endpoint, idleTimeoutMs: 20_000 });
    expect(await failureOf(read(store, 'a.png'))).toMatchObject({ failure: 'refused', code: 'AccessDenied' });
    server.closeAllConnections();
    server.close();
  }, 15_000);

  test('can be stopped in the middle', async () => {
    const store = open();
    await put(store, 'a.png', Buffer.alloc(4 * mebibyte));
    const stop = new AbortController();
    failOn('GetObject', 'hang-mid-reply');
    const found = await store.get('a.png', { signal: stop.signal });
    const reading = (async () => {
      for await (const _ of found!.body) stop.abort();
    })();
    expect((await failureOf(reading)).failure).toBe('aborted');
  });

  test('a link tells the key id, as S3 wants it, and never the secret', async () => {
    const url = await open({ sessionToken: 'session-token-value' }).presign('a.png', 60);
    expect(url).toContain(double.settings.accessKeyId);
    expect(url).not.toContain(double.settings.secretAccessKey);
    expect(new URL(url).searchParams.get('X-Amz-Expires')).toBe('60');
  });
});

describe('a large file', () => {
  test('goes in equal parts of 8 MiB, each with its hash as the signed one, and the completion never replaces', async () => {
    const headers: FaultRequest['headers'][] = [];
    const signed: unknown[] = [];
    double.fault = (request) => {
      if (request.operation === 'UploadPart') signed.push(request.headers['x-amz-content-sha256']);
      if (request.operation === 'CompleteMultipartUpload') headers.push(request.headers);
      return undefined;
    };
    const body = Buffer.alloc(20 * mebibyte, 3);
    await putParts(open(), body);
    expect(
      sent('UploadPart')
        .map(({ bytes }) => bytes / mebibyte)
        .sort(),
    ).toEqual([4, 8, 8]);
    expect(signed.sort()).toEqual([...partsOf(body).partHashes].sort());
    expect(headers[0]).toMatchObject({ 'if-none-match': '*' });
    expect(double.objects.get('video.mp4')?.sha256).toBe(hashOf(body));
  });

  test('of 100 GiB has larger parts, so that 10,000 are enough', async () => {
    const enough = new Error('enough');
    const sizes: number[] = [];
    const partCame = new Promise<void>((resolve) => {
      double.fault = ({ operation, headers }) => {
        if (operation === 'UploadPart') sizes.push(Number(headers['content-length']));
        if (sizes.length > 0) resolve();
        return undefined;
      };
    });
    const read = async (position: number, length: number) => {
      if (position === 0) return Buffer.alloc(length);
      await partCame;
      throw enough;
    };
    const request = { size: 100 * 1024 * mebibyte, partHashes: [hashOf(Buffer.alloc(11 * mebibyte))], read };
    await expect(putParts(open(), Buffer.alloc(0), request)).rejects.toBe(enough);
    expect(sizes).toEqual([11 * mebibyte]);
  });

  test('is read no further ahead than two parts, however large it is', async () => {
    const size = 64 * mebibyte;
    const body = Buffer.alloc(size);
    let asked = 0;
    let confirmed = 0;
    let ahead = 0;
    const read = async (position: number, length: number) => {
      asked += length;
      ahead = Math.max(ahead, asked - confirmed);
      return body.subarray(position, position + length);
    };
    const onProgress = (bytes: number) => {
      confirmed = bytes;
    };
    await putParts(open(), body, { read, onProgress });
    expect(confirmed).toBe(size);
    expect(ahead).toBeLessThanOrEqual(16 * mebibyte);
  });

  test('gets over a part that fails', async () => {
    failOn('UploadPart', { status: 500, code: 'InternalError' }, 1);
    const body = Buffer.alloc(17 * mebibyte, 9);
    await putParts(open(), body);
    expect(sent('UploadPart')).toHaveLength(4);
    expect(double.objects.get('video.mp4')?.sha256).toBe(hashOf(body));
  });

  test.each<[string, string, Fault, object]>([
    ['refuses it', 'CreateMultipartUpload', { status: 403, code: 'AccessDenied' }, { failure: 'refused' }],
    ['is a web server', 'CreateMultipartUpload', 'html-200', { failure: 'refused', code: 'NotS3' }],
    ['refuses a part', 'UploadPart', { status: 403, code: 'AccessDenied' }, { failure: 'refused' }],
    ['gives a part no ETag', 'UploadPart', 'no-etag', { failure: 'refused', code: 'NotS3' }],
    ['forgot the upload', 'UploadPart', { status: 404, code: 'NoSuchUpload' }, { failure: 'restart' }],
    ['got other bytes', 'UploadPart', { status: 400, code: 'XAmzContentSHA256Mismatch' }, { failure: 'changed' }],
    ['has it already', 'CompleteMultipartUpload', { status: 412, code: 'PreconditionFailed' }, { failure: 'exists' }],
  ])(
    'invariant 1: it is not stored and leaves nothing behind when the store %s',
    async (_, operation, fault, expected) => {
      failOn(operation, fault);
      expect(await failureOf(putParts(open(), Buffer.alloc(33 * mebibyte)))).toMatchObject(expected);
      expect(double.objects.size).toBe(0);
      expect(double.uploads.size).toBe(0);
    },
  );

  test('that fails does not wait for a part that hangs', async () => {
    double.fault = ({ operation, query }) => {
      if (operation !== 'UploadPart') return undefined;
      return query.get('partNumber') === '1' ? 'hang' : { status: 403, code: 'AccessDenied' };
    };
    expect((await failureOf(putParts(open(), Buffer.alloc(17 * mebibyte)))).failure).toBe('refused');
    expect(double.uploads.size).toBe(0);
  });

  test('tells the first error, even when cleaning up fails too', async () => {
    double.fault = ({ operation }) => {
      if (operation === 'UploadPart') return { status: 403, code: 'AccessDenied' };
      return operation === 'AbortMultipartUpload' ? { status: 400, code: 'Nonsense' } : undefined;
    };
    expect((await failureOf(putParts(open(), Buffer.alloc(20 * mebibyte)))).code).toBe('AccessDenied');
  });

  test('invariant 3: its own error comes out as it is, before completion', async () => {
    const changed = Object.assign(new Error('it changed'), { name: 'FileChangedError' });
    const read = async (position: number, length: number) => {
      if (position > 8 * mebibyte) throw changed;
      return Buffer.alloc(length);
    };
    const call = putParts(open(), Buffer.alloc(20 * mebibyte), { read });
    await expect(call).rejects.toBe(changed);
    expect(sent('CompleteMultipartUpload')).toEqual([]);
    expect(double.uploads.size).toBe(0);
  });

  test('invariant 3: a part that is not what was hashed is never completed', async () => {
    const read = async (position: number, length: number) => Buffer.alloc(length, position > 0 ? 1 : 0);
    const failure = await failureOf(putParts(open(), Buffer.alloc(20 * mebibyte), { read }));
    expect(failure).toMatchObject({ failure: 'changed', code: 'XAmzContentSHA256Mismatch' });
    expect(sent('CompleteMultipartUpload')).toEqual([]);
    expect(double.uploads.size).toBe(0);
  });

  test('stops at once with its parts on their way, and leaves nothing behind', async () => {
    const stop = new AbortController();
    double.fault = ({ operation }) => {
      if (operation !== 'UploadPart') return undefined;
      stop.abort();
      return 'hang';
    };
    const call = putParts(open(), Buffer.alloc(33 * mebibyte), { signal: stop.signal });
    expect((await failureOf(call)).failure).toBe('aborted');
    expect(double.uploads.size).toBe(0);
  });

  test('stops even while it waits for a volume that hangs', async () => {
    const stop = new AbortController();
    const read = () => new Promise<never>(() => stop.abort());
    const call = putParts(open(), Buffer.alloc(20 * mebibyte), { read, signal: stop.signal });
    expect((await failureOf(call)).failure).toBe('aborted');
    expect(double.uploads.size).toBe(0);
  });

  test('that was stopped before it began asks nothing of the store', async () => {
    const call = putParts(open(), Buffer.alloc(9 * mebibyte), { signal: AbortSignal.abort() });
    expect((await failureOf(call)).failure).toBe('aborted');
    expect(sent()).toEqual([]);
  });

  test('whose completion got lost is found to be there by the next try', async () => {
    failOn('CompleteMultipartUpload', 'commit-and-drop-reply');
    const store = open();
    expect((await failureOf(putParts(store, Buffer.alloc(9 * mebibyte)))).failure).toBe('restart');
    expect((await store.head('video.mp4'))?.size).toBe(9 * mebibyte);
  });
});

describe('the store', () => {
  test('invariant 8: no failure tells a secret, a signature or a header', async () => {
    const secretAccessKey = 'a-secret-that-must-not-show';
    const sessionToken = 'a-token-that-must-not-show';
    const call = put(open({ secretAccessKey, sessionToken }), 'a.png');
    const failure = await failureOf(call);
    expect(failure.code).toBe('SignatureDoesNotMatch');
    const text = JSON.stringify({ ...failure, message: failure.message, stack: failure.stack, cause: failure.cause });
    expect(text).not.toMatch(/must-not-show|AWS4|Signature=|authorization/i);
  });

  test('is asked with the session token', async () => {
    double.settings.sessionToken = 'token';
    expect((await failureOf(put(open(), 'a.png'))).failure).toBe('refused');
    await put(open({ sessionToken: 'token' }), 'a.png');
    expect(double.objects.has('a.png')).toBe(true);
  });

  test('refuses what lies beyond the prefix of its credentials', async () => {
    double.settings.allowedPrefix = 'outputs/alice/';
    const store = open();
    await put(store, 'outputs/alice/a.png');
    expect(await failureOf(put(store, 'outputs/bob/a.png'))).toMatchObject({ failure: 'refused', status: 403 });
    expect(await failureOf(store.head('outputs/bob/a.png'))).toMatchObject({ failure: 'refused', status: 403 });
  });

  test('lists by pages of 1,000', async () => {
    const body = Buffer.alloc(0);
    for (let n = 0; n < 2001; n += 1) {
      const rest = { body, sha256: undefined, etag: '"x"', metadata: {}, contentType: 'image/png', storedAt: 0 };
      double.objects.set(`outputs/${String(n).padStart(5, '0')}`, { size: n, ...rest });
    }
    const sizes: number[] = [];
    for await (const { size } of open().list('outputs/')) sizes.push(size);
    expect(sizes).toEqual(Array.from({ length: 2001 }, (_, n) => n));
    expect(sent('ListObjectsV2')).toHaveLength(3);
  });

  test('that is a web server has no list', async () => {
    double.fault = () => 'html-200';
    const list = open().list('outputs/')[Symbol.asyncIterator]();
    expect((await failureOf(list.next() as Promise<unknown>)).code).toBe('NotS3');
  });

  test('that says there is more and not where has no list: what it shows isn’t all', async () => {
    const page =
      '<ListBucketResult><IsTruncated>true</IsTruncated><Contents><Key>a</Key></Contents></ListBucketResult>';
    const server = createServer((_, reply) => reply.end(page)).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const store = open({ endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}` });
    const listAll = async () => {
      for await (const _ of store.list(''));
    };
    expect((await failureOf(listAll())).code).toBe('NotS3');
    server.closeAllConnections();
    server.close();
  });

  test('says how wrong our clock is', async () => {
    double.settings.clockOffsetMs = 3 * 3_600_000;
    const failure = await failureOf(put(open(), 'a.png'));
    expect(failure).toMatchObject({ failure: 'refused', code: 'RequestTimeTooSkewed' });
    expect(failure.fix).toContain("3 h behind the store's");
  });

  test('that cannot be reached is transient, by name', async () => {
    const { endpoint } = double;
    await double.close();
    const failure = await failureOf(put(open({ endpoint }), 'a.png'));
    expect(failure).toMatchObject({ failure: 'transient', code: 'ECONNREFUSED' });
    expect(failure.message).toContain(new URL(endpoint).host);
  });

  test('takes nothing from AWS_* variables that a pod may have for other tools', async () => {
    vi.stubEnv('AWS_REQUEST_CHECKSUM_CALCULATION', 'when_supported');
    vi.stubEnv('AWS_ENDPOINT_URL_S3', 'http://127.0.0.1:1');
    vi.stubEnv('AWS_REGION', 'us-east-1');
    vi.stubEnv('AWS_MAX_ATTEMPTS', '7');
    vi.stubEnv('AWS_PROFILE', 'not-there');
    let authorization = '';
    double.fault = (request) => {
      authorization = request.headers.authorization ?? '';
      return undefined;
    };
    await put(open(), 'a.png');
    expect(authorization).toContain('/auto/s3/aws4_request');
  });
});
