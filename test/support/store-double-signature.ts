// Checks AWS Signature Version 4 the way a store does, for the store double. Written from the specification and shared
// with nothing in src, so that a mistake in the agent's signing can't hide in its own test.
import { createHash, createHmac } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';

interface Credentials {
  accessKeyId: string;
  secretAccessKey: string;
  sessionToken?: string | undefined;
}

interface Refusal {
  status: number;
  code: string;
  message: string;
}

const authorizationForm =
  /^AWS4-HMAC-SHA256 Credential=([^/]+)\/(\d{8})\/([^/]+)\/s3\/aws4_request, ?SignedHeaders=([^,]+), ?Signature=([0-9a-f]{64})$/;

interface SignedCall {
  method: string;
  path: string;
  query: string;
  headers: IncomingHttpHeaders;
}

interface Claims {
  keyId: string;
  day: string;
  region: string;
  signedHeaders: string;
  signature: string;
  date: string;
  sessionToken: string | undefined;
  payload: string;
  /** What of the query is signed. */
  query: string;
  /** How long after its date the request is taken. */
  validMs: number;
  /** The code for one that comes later. */
  late: string;
}

/** Why the request is refused, or undefined if its signature is right. `now`: the store's clock, epoch ms. */
export function checkSignature(request: SignedCall, credentials: Credentials, now: number): Refusal | undefined {
  const claims = request.query.includes('X-Amz-Signature=') ? claimsOfLink(request.query) : claimsOfHeaders(request);
  if (!claims) return { status: 403, code: 'AccessDenied', message: 'no AWS4-HMAC-SHA256 authorization' };
  const { keyId, day, region, signedHeaders, signature, date, sessionToken, payload, query } = claims;
  if (keyId !== credentials.accessKeyId) return { status: 401, code: 'Unauthorized', message: 'Unauthorized' };
  if (credentials.sessionToken !== undefined && sessionToken !== credentials.sessionToken)
    return { status: 403, code: 'ExpiredToken', message: 'the session token is not ours' };
  const age = now - parseAmzDate(date);
  if (!(age >= -15 * 60_000 && age <= claims.validMs))
    return { status: 403, code: claims.late, message: 'the request time is too far from the store time' };
  const canonical = [
    request.method,
    canonicalPath(request.path),
    canonicalQuery(query),
    ...signedHeaders.split(';').map((name) => `${name}:${header(request.headers, name).trim().replace(/ +/g, ' ')}`),
    '',
    signedHeaders,
    payload,
  ].join('\n');
  const scope = `${day}/${region}/s3/aws4_request`;
  // Node hands out header values as latin1, one character a byte; everything else here is ASCII.
  const digest = createHash('sha256').update(canonical, 'latin1').digest('hex');
  const expected = createHmac('sha256', signingKey(credentials.secretAccessKey, day, region))
    .update(`AWS4-HMAC-SHA256\n${date}\n${scope}\n${digest}`)
    .digest('hex');
  if (expected === signature) return undefined;
  return { status: 403, code: 'SignatureDoesNotMatch', message: 'The request signature we calculated does not match' };
}

function claimsOfHeaders({ headers, query }: SignedCall): Claims | undefined {
  const match = authorizationForm.exec(headers.authorization ?? '');
  if (!match) return undefined;
  const [, keyId = '', day = '', region = '', signedHeaders = '', signature = ''] = match;
  return {
    keyId,
    day,
    region,
    signedHeaders,
    signature,
    date: header(headers, 'x-amz-date'),
    sessionToken: header(headers, 'x-amz-security-token'),
    payload: header(headers, 'x-amz-content-sha256'),
    query,
    validMs: 15 * 60_000,
    late: 'RequestTimeTooSkewed',
  };
}

/** Of a presigned URL: everything stands in the query. */
function claimsOfLink(query: string): Claims | undefined {
  const fields = new URLSearchParams(query);
  const field = (name: string) => fields.get(name) ?? '';
  const [keyId = '', day = '', region = '', service, end] = field('X-Amz-Credential').split('/');
  const expires = Number(field('X-Amz-Expires'));
  const known = field('X-Amz-Algorithm') === 'AWS4-HMAC-SHA256' && service === 's3' && end === 'aws4_request';
  if (!known || !(expires >= 1 && expires <= 604_800)) return undefined;
  return {
    keyId,
    day,
    region,
    signedHeaders: field('X-Amz-SignedHeaders'),
    signature: field('X-Amz-Signature'),
    date: field('X-Amz-Date'),
    sessionToken: fields.get('X-Amz-Security-Token') ?? undefined,
    payload: 'UNSIGNED-PAYLOAD',
    query: query
      .split('&')
      .filter((pair) => !pair.startsWith('X-Amz-Signature='))
      .join('&'),
    validMs: expires * 1000,
    late: 'ExpiredRequest',
  };
}

const signingKeys = new Map<string, Buffer>();

function signingKey(secret: string, day: string, region: string): Buffer {
  const name = `${secret}/${day}/${region}`;
  let key = signingKeys.get(name);
  if (!key) {
    key = [day, region, 's3', 'aws4_request'].reduce(
      (previous: Buffer, part) => createHmac('sha256', previous).update(part).digest(),
      Buffer.from(`AWS4${secret}`),
    );
    signingKeys.set(name, key);
  }
  return key;
}

function header(headers: IncomingHttpHeaders, name: string): string {
  const value = headers[name];
  return Array.isArray(value) ? value.join(',') : (value ?? '');
}

/** Epoch ms of `20261120T101500Z`, NaN if it has another form. */
function parseAmzDate(text: string): number {
  return Date.parse(text.replace(/^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/, '$1-$2-$3T$4:$5:$6Z'));
}

function encode(text: string): string {
  return encodeURIComponent(text).replace(/[!'()*]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`);
}

function canonicalPath(path: string): string {
  return path
    .split('/')
    .map((part) => encode(decodeURIComponent(part)))
    .join('/');
}

function canonicalQuery(query: string): string {
  if (query === '') return '';
  return query
    .split('&')
    .map((pair) => {
      const at = pair.indexOf('=');
      const [name, value] = at === -1 ? [pair, ''] : [pair.slice(0, at), pair.slice(at + 1)];
      return [encode(decodeURIComponent(name)), encode(decodeURIComponent(value))] as const;
    })
    .sort(([a, x], [b, y]) => (a < b ? -1 : a > b ? 1 : x < y ? -1 : x > y ? 1 : 0))
    .map(([name, value]) => `${name}=${value}`)
    .join('&');
}
