// A small S3 client on aws4fetch, for tests and for the demo: it shares no code with src, so it can say whether what the
// agent stored is really there.
import { AwsClient } from 'aws4fetch';

export interface S3Place {
  endpoint: string;
  bucket: string;
  accessKeyId: string;
  secretAccessKey: string;
  sessionToken?: string | undefined;
}

export interface FetchedObject {
  status: number;
  body: Buffer;
  size: number;
  etag: string | undefined;
  contentType: string | undefined;
  metadata: Record<string, string>;
}

export interface S3Client {
  get(key: string): Promise<FetchedObject>;
  head(key: string): Promise<FetchedObject>;
  /** Keys under a prefix, all pages of `pageSize` (1,000). */
  list(prefix: string, pageSize?: number): Promise<{ key: string; size: number }[]>;
  put(key: string, body: Buffer, headers?: Record<string, string>): Promise<FetchedObject>;
  delete(key: string): Promise<void>;
  /** Any request: `query` as it goes over the wire. */
  send(method: string, key: string, query?: string, body?: Buffer, headers?: Record<string, string>): Promise<Response>;
}

export function createS3Client(place: S3Place): S3Client {
  const { accessKeyId, secretAccessKey, sessionToken } = place;
  const aws = new AwsClient({
    accessKeyId,
    secretAccessKey,
    ...(sessionToken === undefined ? {} : { sessionToken }),
    region: 'auto',
    service: 's3',
    retries: 0,
  });
  const base = `${place.endpoint.replace(/\/$/, '')}/${place.bucket}`;

  const send: S3Client['send'] = async (method, key, query = '', body = undefined, headers = {}) => {
    const path = key === '' ? '' : `/${key.split('/').map(encodePart).join('/')}`;
    // aws4fetch signs UNSIGNED-PAYLOAD for S3 unless told; an empty body is left out, as fetch refuses one on GET and HEAD.
    const init = { method, headers, ...(body === undefined ? {} : { body: new Uint8Array(body) }) };
    return fetch(await aws.sign(`${base}${path}${query === '' ? '' : `?${query}`}`, init));
  };

  return {
    send,
    get: async (key) => describe(await send('GET', key)),
    head: async (key) => describe(await send('HEAD', key)),
    put: async (key, body, headers) => describe(await send('PUT', key, '', body, headers)),
    async delete(key) {
      await (await send('DELETE', key)).arrayBuffer();
    },
    async list(prefix, pageSize = 1000) {
      const found: { key: string; size: number }[] = [];
      for (let token: string | undefined = ''; token !== undefined; ) {
        const page: string = token === '' ? '' : `continuation-token=${encodePart(token)}&`;
        const query = `${page}list-type=2&max-keys=${pageSize}&prefix=${encodePart(prefix)}`;
        const reply = await send('GET', '', query);
        const xml = await reply.text();
        if (reply.status !== 200) throw new Error(`LIST answered ${reply.status}: ${xml}`);
        for (const [, row = ''] of xml.matchAll(/<Contents>(.*?)<\/Contents>/gs))
          found.push({ key: element(row, 'Key') ?? '', size: Number(element(row, 'Size')) });
        token = element(xml, 'NextContinuationToken');
      }
      return found;
    },
  };
}

async function describe(response: Response): Promise<FetchedObject> {
  const body = Buffer.from(await response.arrayBuffer());
  const metadata: Record<string, string> = {};
  for (const [name, value] of response.headers)
    if (name.startsWith('x-amz-meta-')) metadata[name.slice('x-amz-meta-'.length)] = value;
  return {
    status: response.status,
    body,
    size: Number(response.headers.get('content-length') ?? body.length),
    etag: response.headers.get('etag') ?? undefined,
    contentType: response.headers.get('content-type') ?? undefined,
    metadata,
  };
}

function encodePart(text: string): string {
  return encodeURIComponent(text).replace(/[!'()*]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`);
}

/** The text of the first element of that name. */
function element(xml: string, name: string): string | undefined {
  const text = new RegExp(`<${name}>(.*?)</${name}>`, 's').exec(xml)?.[1];
  return text
    ?.replace(/&#(x?)([0-9a-f]+);/gi, (_, hex, digits) => String.fromCodePoint(Number.parseInt(digits, hex ? 16 : 10)))
    .replace(/&(lt|gt|quot|apos);/g, (_, word) => ({ lt: '<', gt: '>', quot: '"', apos: "'" })[word as string]!)
    .replaceAll('&amp;', '&');
}
