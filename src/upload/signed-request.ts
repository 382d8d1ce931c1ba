// One request to the bucket, signed and sent by the SDK's own signer and HTTP handler, without the client in between: its
// layers of options took half a millisecond of CPU for each object, as much as sending 2 MB. Used for what is needed once
// for every object (PUT, HEAD, GET) and for LIST. Links are signed here too.
import { createHash, createHmac } from 'node:crypto';
import type { Readable } from 'node:stream';
import { HttpRequest, type HttpResponse } from '@smithy/core/protocols';
import type { NodeHttpHandler } from '@smithy/node-http-handler';
import { SignatureV4 } from '@smithy/signature-v4';
import { element } from './xml.ts';

export interface SignedRequestOptions {
  /** Without the bucket. May have a path. */
  endpoint: string;
  bucket: string;
  credentials: { accessKeyId: string; secretAccessKey: string; sessionToken?: string };
  requestHandler: NodeHttpHandler;
  /** Wall ms. */
  now: () => number;
}

export interface SignedRequest {
  method: 'GET' | 'HEAD' | 'PUT';
  /** Without it the request is to the bucket. */
  key?: string;
  query?: Readonly<Record<string, string>>;
  headers?: Readonly<Record<string, string>>;
  body?: Buffer;
  /** SHA-256 of the body, hex; it is signed, and the store refuses other bytes. Default: that of no body. */
  sha256?: string;
  signal?: AbortSignal | undefined;
}

/** A reply of the 200s. Its body must be read or destroyed: the connection is in use until then. */
export interface SignedReply {
  headers: Record<string, string>;
  status: number;
  body: Readable;
}

/** As the SDK's errors are, for `toStoreError`. */
interface Refusal {
  name: string;
  message: string;
  $metadata: { httpStatusCode: number };
  $response: { statusCode: number; headers: Record<string, string> };
}

export interface Signed {
  /** Throws what the handler throws, or the store's refusal as the SDK would. */
  send(request: SignedRequest): Promise<SignedReply>;
  /** A URL that lets anybody GET the object for so many seconds. Asks nobody. */
  presign(key: string, seconds: number): Promise<string>;
}

const HASH_OF_NOTHING = createHash('sha256').digest('hex');
/** An error reply longer than this isn't S3's. */
const LONGEST_REPLY = 64 * 1024;
/** Stores take a request that is signed up to 15 minutes off; a reply to HEAD has no body to say that it was more. */
const SKEW_MS = 5 * 60_000;

export function createSigned(options: SignedRequestOptions): Signed {
  const { bucket, credentials, requestHandler, now } = options;
  const { protocol, hostname, port, host, pathname } = new URL(options.endpoint);
  const address = { protocol, hostname, ...(port === '' ? {} : { port: Number(port) }) };
  const base = `${pathname.replace(/\/+$/, '')}/${escapeSegment(bucket)}`;
  const signer = new SignatureV4({
    service: 's3',
    region: 'auto',
    credentials,
    sha256: Sha256,
    uriEscapePath: false,
    applyChecksum: false,
  });
  const pathOf = (key?: string) =>
    key === undefined ? base : `${base}/${key.split('/').map(escapeSegment).join('/')}`;
  /** The store's clock minus ours, learned from the reply to a request that was signed at a wrong time. */
  let skewMs = 0;

  const sign = async ({ method, key, query = {}, headers = {}, body, sha256 = HASH_OF_NOTHING }: SignedRequest) => {
    const unsigned = new HttpRequest({
      ...address,
      method,
      path: pathOf(key),
      query: { ...query },
      headers: { host, ...headers, 'x-amz-content-sha256': sha256 },
      ...(body === undefined ? {} : { body }),
    });
    return (await signer.sign(unsigned, { signingDate: new Date(now() + skewMs) })) as HttpRequest;
  };

  return {
    async send(request) {
      const signed = await sign(request);
      const { response } = await requestHandler.handle(signed, request.signal ? { abortSignal: request.signal } : {});
      const { statusCode: status, headers } = response;
      const body = response.body as Readable;
      if (status >= 200 && status < 300) return { status, headers, body };
      const refusal = describeRefusal(response, await readBeginning(body));
      const off = Date.parse(headers.date ?? '') - now();
      const tooSkewed = refusal.name === 'RequestTimeTooSkewed' || (status === 403 && Math.abs(off) > SKEW_MS);
      if (tooSkewed && !Number.isNaN(off)) skewMs = off;
      throw refusal;
    },

    async presign(key, seconds) {
      // Becomes part of the query, as all of x-amz does: whoever opens the link sends no such header.
      const headers = { host, 'X-Amz-Content-Sha256': 'UNSIGNED-PAYLOAD' };
      const unsigned = new HttpRequest({ ...address, method: 'GET', path: pathOf(key), headers });
      const options = { expiresIn: seconds, signingDate: new Date(now() + skewMs) };
      const { path, query } = (await signer.presign(unsigned, options)) as HttpRequest;
      const fields = Object.entries(query).map(([name, value]) => `${name}=${escapeSegment(String(value))}`);
      return `${protocol}//${host}${path}?${fields.join('&')}`;
    },
  };
}

/**
 * The error that stands in a reply, or undefined: S3 answers some late failures with 200 and an error in the body. Such
 * an error is one to try again.
 */
export async function errorInReply({ headers, body }: SignedReply): Promise<Refusal | undefined> {
  const said = await readBeginning(body);
  return said.includes('<Error>') ? describeRefusal({ statusCode: 503, headers }, said) : undefined;
}

/** The beginning of a reply; a proxy's page may be long. */
async function readBeginning(reply: AsyncIterable<Buffer>): Promise<string> {
  let said = '';
  try {
    for await (const chunk of reply) {
      said += chunk;
      if (said.length >= LONGEST_REPLY) break;
    }
  } catch {
    // What came before the connection was cut will do.
  }
  return said;
}

function describeRefusal({ statusCode, headers }: Pick<HttpResponse, 'statusCode' | 'headers'>, body: string): Refusal {
  return {
    name: element(body, 'Code') || 'Unknown',
    message: element(body, 'Message') ?? '',
    $metadata: { httpStatusCode: statusCode },
    $response: { statusCode, headers },
  };
}

/** One segment of a path, as S3's signatures want it. */
function escapeSegment(segment: string): string {
  return encodeURIComponent(segment).replace(/[!'()*]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`);
}

/** What the signer hashes with. */
class Sha256 {
  readonly #hash;

  constructor(secret?: string | ArrayBuffer | ArrayBufferView) {
    this.#hash = secret === undefined ? createHash('sha256') : createHmac('sha256', toBuffer(secret));
  }

  update(data: string | ArrayBuffer | ArrayBufferView): void {
    this.#hash.update(toBuffer(data));
  }

  async digest(): Promise<Uint8Array> {
    return this.#hash.digest();
  }

  reset(): void {}
}

function toBuffer(data: string | ArrayBuffer | ArrayBufferView): Buffer {
  if (typeof data === 'string') return Buffer.from(data, 'utf8');
  return ArrayBuffer.isView(data) ? Buffer.from(data.buffer, data.byteOffset, data.byteLength) : Buffer.from(data);
}
