// The S3 calls of the store double: what is stored, and what is answered.
import { createHash, type Hash, randomUUID } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import type { ReceivedBody } from './store-double-body.ts';
import { listing, xmlText } from './store-double-listing.ts';

export interface StoredObject {
  body: Buffer | undefined;
  size: number;
  sha256: string | undefined;
  etag: string;
  metadata: Record<string, string>;
  contentType: string;
  /** Epoch ms with fraction. */
  storedAt: number;
}

export interface Upload {
  bucket: string;
  key: string;
  metadata: Record<string, string>;
  contentType: string;
  parts: Map<number, { size: number; etag: string; body: Buffer | undefined }>;
  /** Hash of the parts so far in their order, for when their bytes aren't kept. */
  hash: Hash;
  nextToHash: number;
  waiting: Map<number, Buffer>;
}

export interface Reply {
  status: number;
  code?: string;
  message?: string;
  xml?: string;
  html?: string;
  body?: Buffer;
  headers?: Record<string, string>;
}

export type Operation = keyof typeof calls | 'Unknown';

interface Call {
  bucket: string;
  key: string;
  query: URLSearchParams;
  headers: IncomingHttpHeaders;
  received: ReceivedBody;
  /** Now: epoch ms with fraction. */
  at: number;
}

interface State {
  settings: { verify: boolean; discardBodies: boolean };
  buckets: Map<string, Map<string, StoredObject>>;
  uploads: Map<string, Upload>;
}

type Handler = (call: Call, objects: Map<string, StoredObject>, state: State) => Reply;

const minimumPart = 5 * 1024 * 1024;

export function operationOf(
  method: string,
  key: string,
  query: URLSearchParams,
  headers: IncomingHttpHeaders,
): Operation {
  if (key === '') {
    if (method === 'GET' && query.has('location')) return 'GetBucketLocation';
    if (method === 'GET' && query.has('uploads')) return 'ListMultipartUploads';
    if (method === 'GET') return query.get('list-type') === '2' ? 'ListObjectsV2' : 'ListObjects';
    return method === 'HEAD' ? 'HeadBucket' : method === 'PUT' ? 'CreateBucket' : 'Unknown';
  }
  if (method === 'POST' && query.has('uploads')) return 'CreateMultipartUpload';
  if (query.has('uploadId')) {
    if (method === 'PUT') return 'UploadPart';
    if (method === 'GET') return 'ListParts';
    return method === 'POST' ? 'CompleteMultipartUpload' : method === 'DELETE' ? 'AbortMultipartUpload' : 'Unknown';
  }
  if (method === 'PUT') return headers['x-amz-copy-source'] === undefined ? 'PutObject' : 'CopyObject';
  const plain: Record<string, Operation> = { GET: 'GetObject', HEAD: 'HeadObject', DELETE: 'DeleteObject' };
  return plain[method] ?? 'Unknown';
}

export function answer(state: State, call: Call & { operation: Operation }): Reply {
  if (call.operation === 'Unknown') return { status: 501, code: 'NotImplemented' };
  const objects = state.buckets.get(call.bucket);
  if (!objects) return { status: 404, code: 'NoSuchBucket', message: 'The specified bucket does not exist.' };
  const wrong = state.settings.verify ? wrongBytes(call) : undefined;
  return wrong ?? calls[call.operation](call, objects, state);
}

/** The bytes against what their sender said they are. */
function wrongBytes({ headers, received }: Call): Reply | undefined {
  const announced = String(headers['x-amz-content-sha256'] ?? '');
  if (/^[0-9a-f]{64}$/.test(announced) && announced !== received.sha256)
    return { status: 400, code: 'XAmzContentSHA256Mismatch', message: 'The provided hash does not match the bytes' };
  if (received.md5 !== undefined && headers['content-md5'] !== received.md5)
    return { status: 400, code: 'BadDigest', message: 'The Content-MD5 you specified did not match' };
  return undefined;
}

const calls = {
  HeadBucket: () => ({ status: 200 }),
  CreateBucket: () => ({ status: 200 }),
  GetBucketLocation: () => ({ status: 200, xml: '<LocationConstraint>auto</LocationConstraint>' }),

  PutObject(call, objects, state) {
    const taken = conflict(call, objects);
    if (taken) return taken;
    const { received, headers } = call;
    const sha256 = received.sha256 ?? announcedHash(headers);
    const body = state.settings.discardBodies ? undefined : received.body;
    const etag = etagOf(sha256, headers['content-md5']);
    objects.set(call.key, { body, size: received.bytes, sha256, etag, ...described(headers), storedAt: call.at });
    return { status: 200, headers: { ETag: etag } };
  },

  CopyObject(call, objects, state) {
    const [bucket = '', ...rest] = decodeURIComponent(String(call.headers['x-amz-copy-source']))
      .replace(/^\//, '')
      .split('/');
    const source = state.buckets.get(bucket)?.get(rest.join('/'));
    if (!source) return { status: 404, code: 'NoSuchKey' };
    const replace = call.headers['x-amz-metadata-directive'] === 'REPLACE';
    objects.set(call.key, { ...source, ...(replace ? described(call.headers) : {}), storedAt: call.at });
    return { status: 200, xml: `<CopyObjectResult><ETag>${xmlText(source.etag)}</ETag></CopyObjectResult>` };
  },

  GetObject({ key, headers }, objects) {
    const object = objects.get(key);
    if (!object) return { status: 404, code: 'NoSuchKey', message: 'The specified key does not exist.' };
    if (!object.body) return { status: 501, code: 'NotImplemented', message: 'this double keeps no bodies' };
    const range = /^bytes=(\d+)-(\d*)$/.exec(headers.range ?? '');
    if (!range) return { status: 200, body: object.body, headers: factsOf(object) };
    const from = Number(range[1]);
    if (from >= object.size) return { status: 416, code: 'InvalidRange', message: 'The range is not satisfiable' };
    const to = range[2] ? Math.min(Number(range[2]), object.size - 1) : object.size - 1;
    const headersOf = { ...factsOf(object), 'Content-Range': `bytes ${from}-${to}/${object.size}` };
    return { status: 206, body: object.body.subarray(from, to + 1), headers: headersOf };
  },

  HeadObject({ key }, objects) {
    const object = objects.get(key);
    if (!object) return { status: 404, code: 'NotFound' };
    return { status: 200, headers: { ...factsOf(object), 'Content-Length': String(object.size) } };
  },

  DeleteObject({ key }, objects) {
    objects.delete(key);
    return { status: 204 };
  },

  ListObjects: ({ query, bucket }, objects) => ({ status: 200, xml: listing(bucket, query, objects) }),
  ListObjectsV2: ({ query, bucket }, objects) => ({ status: 200, xml: listing(bucket, query, objects) }),

  CreateMultipartUpload(call, objects, state) {
    const taken = conflict(call, objects);
    if (taken) return taken;
    const { bucket, key } = call;
    const uploadId = randomUUID();
    const rest = { parts: new Map(), hash: createHash('sha256'), nextToHash: 1, waiting: new Map() };
    state.uploads.set(uploadId, { bucket, key, ...described(call.headers), ...rest });
    const ids = `<Bucket>${xmlText(bucket)}</Bucket><Key>${xmlText(key)}</Key><UploadId>${uploadId}</UploadId>`;
    return { status: 200, xml: `<InitiateMultipartUploadResult>${ids}</InitiateMultipartUploadResult>` };
  },

  UploadPart(call, _objects, state) {
    const upload = uploadOf(call, state);
    if (!upload) return noSuchUpload;
    const number = Number(call.query.get('partNumber'));
    if (!(number >= 1 && number <= 10_000)) return { status: 400, code: 'InvalidArgument' };
    const { bytes, sha256, body } = call.received;
    const etag = etagOf(sha256 ?? announcedHash(call.headers), call.headers['content-md5']);
    upload.parts.set(number, { size: bytes, etag, body: state.settings.discardBodies ? undefined : body });
    if (state.settings.discardBodies && state.settings.verify) hashInOrder(upload, number, body!);
    return { status: 200, headers: { ETag: etag } };
  },

  CompleteMultipartUpload(call, objects, state) {
    const upload = uploadOf(call, state);
    if (!upload) return noSuchUpload;
    const taken = conflict(call, objects);
    if (taken) return taken;
    const named = [...call.received.body!.toString().matchAll(/<PartNumber>(\d+)<\/PartNumber>/g)].map((m) =>
      Number(m[1]),
    );
    const parts = named.map((number) => upload.parts.get(number));
    if (parts.length === 0 || parts.includes(undefined)) return { status: 400, code: 'InvalidPart' };
    const whole = parts as { size: number; etag: string; body: Buffer | undefined }[];
    const size = whole[0]!.size;
    if (whole.some((part, at) => (at < whole.length - 1 ? part.size !== size : part.size > size)))
      return { status: 400, code: 'InvalidPart', message: 'All non-trailing parts must have the same length.' };
    if (whole.length > 1 && size < minimumPart) return { status: 400, code: 'EntityTooSmall' };
    const body = state.settings.discardBodies ? undefined : Buffer.concat(whole.map((part) => part.body!));
    const sha256 = state.settings.verify ? (body ? hashOf(body) : sequenceHash(upload)) : undefined;
    const etag = `${etagOf(sha256).slice(0, -1)}-${whole.length}"`;
    const total = whole.reduce((sum, part) => sum + part.size, 0);
    const { metadata, contentType } = upload;
    objects.set(call.key, { body, size: total, sha256, etag, metadata, contentType, storedAt: call.at });
    state.uploads.delete(call.query.get('uploadId')!);
    return {
      status: 200,
      xml: `<CompleteMultipartUploadResult><ETag>${xmlText(etag)}</ETag></CompleteMultipartUploadResult>`,
    };
  },

  AbortMultipartUpload(call, _objects, state) {
    if (!uploadOf(call, state)) return noSuchUpload;
    state.uploads.delete(call.query.get('uploadId')!);
    return { status: 204 };
  },

  ListMultipartUploads(_call, _objects, state) {
    const rows = [...state.uploads].map(
      ([id, { key }]) => `<Upload><Key>${xmlText(key)}</Key><UploadId>${id}</UploadId></Upload>`,
    );
    return { status: 200, xml: `<ListMultipartUploadsResult>${rows.join('')}</ListMultipartUploadsResult>` };
  },

  ListParts(call, _objects, state) {
    const upload = uploadOf(call, state);
    if (!upload) return noSuchUpload;
    const rows = [...upload.parts].map(
      ([n, { size, etag }]) =>
        `<Part><PartNumber>${n}</PartNumber><ETag>${xmlText(etag)}</ETag><Size>${size}</Size></Part>`,
    );
    return { status: 200, xml: `<ListPartsResult>${rows.join('')}</ListPartsResult>` };
  },
} satisfies Record<string, Handler>;

const noSuchUpload: Reply = { status: 404, code: 'NoSuchUpload', message: 'The specified upload does not exist.' };

function conflict({ headers, key }: Call, objects: Map<string, StoredObject>): Reply | undefined {
  if (headers['if-none-match'] !== '*' || !objects.has(key)) return undefined;
  return { status: 412, code: 'PreconditionFailed', message: 'At least one of the pre-conditions did not hold' };
}

function uploadOf({ query, key, bucket }: Call, state: State): Upload | undefined {
  const upload = state.uploads.get(query.get('uploadId') ?? '');
  return upload?.key === key && upload.bucket === bucket ? upload : undefined;
}

/** Parts come two at a time; those ahead of their turn wait, so that a gigabyte is hashed without being kept. */
function hashInOrder(upload: Upload, number: number, body: Buffer): void {
  upload.waiting.set(number, body);
  for (let next = upload.waiting.get(upload.nextToHash); next; next = upload.waiting.get(upload.nextToHash)) {
    upload.hash.update(next);
    upload.waiting.delete(upload.nextToHash);
    upload.nextToHash += 1;
  }
}

function sequenceHash(upload: Upload): string | undefined {
  // A part that was sent twice may have been hashed with its first bytes; it waits here for ever, and tells.
  return upload.waiting.size === 0 ? upload.hash.digest('hex') : undefined;
}

function hashOf(body: Buffer): string {
  return createHash('sha256').update(body).digest('hex');
}

function announcedHash(headers: IncomingHttpHeaders): string | undefined {
  const announced = String(headers['x-amz-content-sha256'] ?? '');
  return /^[0-9a-f]{64}$/.test(announced) ? announced : undefined;
}

/** The MD5 where the client sent it; else 40 digits, which no client takes for an MD5. */
function etagOf(sha256: string | undefined, md5?: string | string[] | undefined): string {
  if (typeof md5 === 'string') return `"${Buffer.from(md5, 'base64').toString('hex')}"`;
  return `"${(sha256 ?? randomUUID().replaceAll('-', '').padEnd(40, '0')).slice(0, 40)}"`;
}

function described(headers: IncomingHttpHeaders): { metadata: Record<string, string>; contentType: string } {
  const metadata: Record<string, string> = {};
  for (const [name, value] of Object.entries(headers))
    if (name.startsWith('x-amz-meta-')) metadata[name.slice('x-amz-meta-'.length)] = String(value);
  return { metadata, contentType: headers['content-type'] ?? 'application/octet-stream' };
}

function factsOf(object: StoredObject): Record<string, string> {
  const metadata = Object.entries(object.metadata).map(([name, value]) => [`x-amz-meta-${name}`, value]);
  return {
    ETag: object.etag,
    'Content-Type': object.contentType,
    'Last-Modified': new Date(object.storedAt).toUTCString(),
    'Accept-Ranges': 'bytes',
    ...Object.fromEntries(metadata),
  };
}
