import { describe, expect, test } from 'vitest';
import { toStoreError } from '../../src/upload/failures.ts';
import { type FailureClass, StoreError } from '../../src/upload/store.ts';

const about = { bucket: 'pictures', endpoint: 'https://acc.r2.cloudflarestorage.com', key: 'outputs/a.png' };

/** An error as the SDK throws it when a reply came. */
function reply(status: number, code = 'UnknownError', message = 'UnknownError', date?: string): Error {
  const error = Object.assign(new Error(message), { name: code, Code: code, $metadata: { httpStatusCode: status } });
  const headers = date === undefined ? {} : { date };
  return Object.defineProperty(error, '$response', { value: { statusCode: status, headers } });
}

/** An error as Node throws it when none came. */
function silence(code: string | undefined, name = 'Error', message = 'socket'): Error {
  return Object.assign(new Error(message), { name }, code === undefined ? {} : { code });
}

describe('what the store says decides what becomes of the file', () => {
  const rows: [FailureClass, number, string][] = [
    ['transient', 429, 'TooManyRequests'],
    ['transient', 500, 'InternalError'],
    ['transient', 503, 'ServiceUnavailable'],
    ['transient', 503, 'SlowDown'],
    ['transient', 400, 'ClientDisconnect'],
    ['transient', 400, 'IncompleteBody'],
    ['transient', 400, 'RequestTimeout'],
    ['transient', 403, 'SignatureDoesNotMatch'],
    ['transient', 400, 'SomethingNew'],
    ['transient', 501, 'NotImplemented'],
    ['changed', 400, 'BadDigest'],
    ['changed', 400, 'XAmzContentSHA256Mismatch'],
    ['restart', 404, 'NoSuchUpload'],
    ['restart', 400, 'InvalidPart'],
    ['exists', 412, 'PreconditionFailed'],
    ['exists', 409, 'ConditionalRequestConflict'],
    ['refused', 401, 'Unauthorized'],
    ['refused', 403, 'AccessDenied'],
    ['refused', 403, 'InvalidAccessKeyId'],
    ['refused', 403, 'ExpiredToken'],
    ['refused', 403, 'RequestTimeTooSkewed'],
    ['refused', 404, 'NoSuchBucket'],
    ['park', 400, 'EntityTooLarge'],
    ['park', 400, 'MetadataTooLarge'],
    ['park', 400, 'InvalidObjectName'],
    ['park', 400, 'KeyTooLongError'],
    ['park', 403, 'ObjectLockedByBucketPolicy'],
  ];
  test.each(rows)('%s: %i %s', (failure, status, code) => {
    const error = toStoreError(reply(status, code, 'because'), about);
    expect(error).toMatchObject({ failure, code, status });
    expect(error.message).toBe(`the store answered ${code} (${status}) for outputs/a.png: because`);
    expect(error.fix).not.toBe('');
  });

  test('an access key of the wrong length, which R2 calls InvalidArgument, is a refusal', () => {
    const message = 'Credential access key has length 20, should be 32';
    expect(toStoreError(reply(400, 'InvalidArgument', message), about).failure).toBe('refused');
    expect(toStoreError(reply(400, 'InvalidArgument', 'part number'), about).failure).toBe('transient');
  });
});

describe('a reply that is not from S3 is judged by its status', () => {
  const rows: [FailureClass, number][] = [
    ['transient', 400],
    ['refused', 401],
    ['refused', 403],
    ['refused', 404],
    ['refused', 405],
    ['transient', 408],
    ['park', 413],
    ['transient', 429],
    ['transient', 500],
    ['transient', 502],
    ['transient', 504],
    ['transient', 520],
    ['refused', 307],
    ['refused', 301],
  ];
  test.each(rows)('%s: %i', (failure, status) => {
    const error = toStoreError(reply(status), about);
    expect(error).toMatchObject({ failure, status });
    expect(error.message).toMatch(`the store answered ${status} for outputs/a.png and gave no reason`);
  });

  // A HEAD has no body, so a wrong secret looks like this.
  test.each([
    [401, 'the secret key is wrong, or the token may not use bucket "pictures"'],
    [403, 'the secret key is wrong, or the token may not use bucket "pictures"'],
    [404, 'there is no bucket "pictures" at this endpoint'],
  ])('%i: what it most likely means is said, and what to do', (status, guess) => {
    const error = toStoreError(reply(status), about);
    expect(error.message).toMatch(`and gave no reason: most likely ${guess}`);
    expect(error.fix).toMatch(status === 404 ? /R2_BUCKET/ : /R2_ACCESS_KEY and R2_SECRET_KEY/);
  });

  test('403 from a store whose clock differs by more than 5 minutes: the clock is named, and how wrong it is', () => {
    const date = 'Fri, 20 Nov 2026 12:00:00 GMT';
    const at = (minutes: number) => ({ ...about, now: () => Date.parse(date) + minutes * 60_000 });
    const refusal = reply(403, undefined, undefined, date);
    expect(toStoreError(refusal, at(20))).toMatchObject({
      failure: 'refused',
      code: 'RequestTimeTooSkewed',
      message: "the store answered 403 for outputs/a.png and gave no reason: most likely it is this machine's clock",
      fix: expect.stringContaining("it is 20 min ahead of the store's"),
    });
    expect(toStoreError(refusal, at(4)).code).toBe('AccessDenied');
  });

  test('200 with something else than an S3 reply is no store', () => {
    const error = toStoreError(reply(200, 'SyntaxError', 'Unexpected token <'), about);
    expect(error).toMatchObject({ failure: 'refused', code: 'NotS3', status: 200 });
    expect(error.message).toBe(`something answers at ${about.endpoint}, but it isn't an S3 store`);
  });
});

describe('no reply at all is transient, and says in words what is wrong', () => {
  const rows: [string | undefined, string, RegExp][] = [
    ['ECONNREFUSED', 'Error', /nothing listens there/],
    // The SDK names every one of Node's connection errors TimeoutError.
    ['ECONNRESET', 'TimeoutError', /the connection was cut/],
    ['EPIPE', 'TimeoutError', /the connection was cut/],
    ['ETIMEDOUT', 'TimeoutError', /no answer in time/],
    [undefined, 'TimeoutError', /no answer in time/],
    ['ENOTFOUND', 'Error', /no host of that name/],
    ['EAI_AGAIN', 'Error', /name server/],
    ['EPROTO', 'Error', /TLS/],
    ['CERT_HAS_EXPIRED', 'Error', /certificate has expired/],
    ['DEPTH_ZERO_SELF_SIGNED_CERT', 'Error', /self-signed certificate/],
    ['ESOMETHINGNEW', 'Error', /self-signed certificate/],
  ];
  test.each(rows)('%s %s', (code, name, words) => {
    const error = toStoreError(silence(code, name, 'self-signed certificate'), about);
    expect(error).toMatchObject({ failure: 'transient', code: code ?? name, status: undefined });
    expect(error.message).toMatch(/^can't reach acc\.r2\.cloudflarestorage\.com: /);
    expect(error.message).toMatch(words);
  });

  test('a mistake of our own is not blamed on the network', () => {
    const error = toStoreError(new TypeError('x is not a function'), about);
    expect(error.failure).toBe('transient');
    expect(error.message).toBe('outputs/a.png could not be sent: x is not a function (TypeError)');
  });
});

test('invariant 8: no message tells a signature or an authorization header', () => {
  const echo =
    'Authorization: AWS4-HMAC-SHA256 Credential=AKIDSECRET/20261120/auto/s3/aws4_request, Signature=0123456789abcdef';
  for (const error of [
    reply(403, 'SignatureDoesNotMatch', echo),
    reply(502, 'X', echo),
    silence('EPIPE', 'Error', echo),
  ]) {
    const { message, fix, cause } = toStoreError(error, about);
    expect(`${message} ${fix}`).not.toMatch(/AKIDSECRET|0123456789abcdef|AWS4-HMAC/);
    expect(cause).toBeUndefined();
  }
});

test('invariant 10: a refusal names bucket, keys and the endpoint of a jurisdiction, and how to change settings on a pod', () => {
  for (const error of [reply(403, 'AccessDenied', 'no'), reply(404, 'NoSuchBucket', 'no')]) {
    const { fix } = toStoreError(error, about);
    for (const part of ['"pictures"', '.eu.', '.fedramp.', 'r2-sync config set']) expect(fix).toContain(part);
  }
  expect(toStoreError(reply(403, 'AccessDenied'), about).fix).toMatch(/R2_ACCESS_KEY.*R2_SECRET_KEY/);
});

test('names from a bucket can’t act on a terminal: neither a key nor what the store says of it', () => {
  const hostile = { ...about, key: 'outputs/\u001b[2J\u009b31m\u202e.png' };
  const errors = [
    reply(403),
    reply(400, 'SomethingNew', 'no \u001b[2J\u009b31m\u202e key'),
    reply(400, 'Odd\u009bCode', 'no'),
    new TypeError('x\u009b'),
    silence('ESOMETHINGNEW', 'Error', '\u009b31m'),
  ];
  for (const error of errors)
    expect(toStoreError(error, hostile).message).not.toMatch(/[\u0000-\u001f\u007f-\u009f\u202e]/);
  expect(toStoreError(reply(403), hostile).message).toContain('outputs/\\u001b[2J\\u009b31m\\u202e.png');
});

test("a wrong clock is told by the store's own date", () => {
  const now = () => Date.parse('2026-11-20T10:00:00Z');
  const late = reply(403, 'RequestTimeTooSkewed', 'no', 'Fri, 20 Nov 2026 13:00:00 GMT');
  expect(toStoreError(late, { ...about, now }).fix).toBe("set this machine's clock: it is 3 h behind the store's");
  const early = reply(403, 'SignatureDoesNotMatch', 'no', 'Fri, 20 Nov 2026 09:40:00 GMT');
  expect(toStoreError(early, { ...about, now }).fix).toBe(
    "set this machine's clock: it is 20 min ahead of the store's",
  );
  const right = reply(403, 'SignatureDoesNotMatch', 'no', 'Fri, 20 Nov 2026 10:00:01 GMT');
  expect(toStoreError(right, { ...about, now }).fix).toContain('R2_SECRET_KEY');
});

test('what we stopped ourselves is "aborted", whatever it looks like', () => {
  const signal = AbortSignal.abort();
  expect(toStoreError(silence('ECONNRESET'), { ...about, signal }).failure).toBe('aborted');
});

test('an error that is classified already stays as it is', () => {
  const error = new StoreError('park', 'Own', 'own', 'own');
  expect(toStoreError(error, about)).toBe(error);
});
