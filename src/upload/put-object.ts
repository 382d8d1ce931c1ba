// One conditional PutObject, signed and sent by the SDK's own signer and HTTP handler, without the client in between. It
// is the request that every small file needs, and the client's layers of options took as much CPU as sending 2 MB.
import { createHash, createHmac } from 'node:crypto';
import type { Readable } from 'node:stream';
import { HttpRequest, type HttpResponse } from '@smithy/core/protocols';
import type { NodeHttpHandler } from '@smithy/node-http-handler';
import { SignatureV4 } from '@smithy/signature-v4';
import type { PutRequest } from './store.ts';

export interface PutObjectOptions {
  /** Without the bucket. May have a path. */
  endpoint: string;
  bucket: string;
  credentials: { accessKeyId: string; secretAccessKey: string; sessionToken?: string };
  requestHandler: NodeHttpHandler;
  /** Wall ms. */
  now: () => number;
}

/** As the SDK's errors are, for `toStoreError`. */
interface Refusal {
  name: string;
  message: string;
  $metadata: { httpStatusCode: number };
  $response: { statusCode: number; headers: Record<string, string> };
}

/** An error reply longer than this isn't S3's. */
const LONGEST_REPLY = 64 * 1024;

/** Resolves with the reply's ETag, if it has one; throws what the handler throws, or the store's refusal as the SDK would. */
export function createPutObject(options: PutObjectOptions): (request: PutRequest) => Promise<string | undefined> {
  const { bucket, credentials, requestHandler, now } = options;
  const { protocol, hostname, port, host, pathname } = new URL(options.endpoint);
  const signer = new SignatureV4({
    service: 's3',
    region: 'auto',
    credentials,
    sha256: Sha256,
    uriEscapePath: false,
    applyChecksum: false,
  });
  /** The store's clock minus ours, learned from the reply to a request that was signed at a wrong time. */
  let skewMs = 0;

  return async ({ key, body, sha256, contentType, metadata, signal }) => {
    const headers: Record<string, string> = {
      host,
      'content-length': String(body.length),
      'content-type': contentType,
      'if-none-match': '*',
      // Signed instead of a hash of its own: the store refuses other bytes, and nothing is hashed twice.
      'x-amz-content-sha256': sha256,
    };
    for (const [name, value] of Object.entries(metadata)) headers[`x-amz-meta-${name}`] = value;
    const path = [pathname.replace(/\/+$/, ''), escapeSegment(bucket), ...key.split('/').map(escapeSegment)].join('/');
    const address = { protocol, hostname, ...(port === '' ? {} : { port: Number(port) }) };
    const unsigned = new HttpRequest({ ...address, method: 'PUT', path, headers, body });
    const signed = (await signer.sign(unsigned, { signingDate: new Date(now() + skewMs) })) as HttpRequest;
    const { response } = await requestHandler.handle(signed, signal ? { abortSignal: signal } : {});
    const reply = response.body as Readable;
    const answered = response.statusCode >= 200 && response.statusCode < 300;
    if (answered && response.headers.etag) {
      reply.resume();
      return response.headers.etag;
    }
    const said = await readReply(reply);
    if (answered && !said.includes('<Error>')) return undefined;
    // An error in a 200, as S3 has it for what went wrong late, is one to try again.
    const refusal = describeRefusal(answered ? { ...response, statusCode: 503 } : response, said);
    const date = Date.parse(response.headers.date ?? '');
    if (refusal.name === 'RequestTimeTooSkewed' && !Number.isNaN(date)) skewMs = date - now();
    throw refusal;
  };
}

/** The beginning of a reply; a proxy's page may be long. */
async function readReply(reply: Readable): Promise<string> {
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
  const element = (tag: string) => new RegExp(`<${tag}>([^<]*)</${tag}>`).exec(body)?.[1] ?? '';
  return {
    name: element('Code') || 'Unknown',
    message: unescapeXml(element('Message')),
    $metadata: { httpStatusCode: statusCode },
    $response: { statusCode, headers },
  };
}

function unescapeXml(text: string): string {
  const characters: Record<string, string> = { lt: '<', gt: '>', quot: '"', apos: "'", amp: '&' };
  return text.replace(/&(lt|gt|quot|apos|amp);/g, (_, name: string) => characters[name]!);
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
