// A fast S3 store in this process, for speed and for faults: it does what R2 does for the calls that the agent and its
// contenders make, checks signatures and payload hashes, keeps a log of requests, and fails on command.
// What it has in common with miniflare and with R2 itself is held by test/upload/store.contract.ts.
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { type ReceivedBody, receiveBody } from './store-double-body.ts';
import {
  answer,
  type Operation,
  operationOf,
  type Reply,
  type StoredObject,
  type Upload,
} from './store-double-calls.ts';
import { checkSignature } from './store-double-signature.ts';

/** All of it may be changed while the double runs (`double.settings.latencyMs = 50`). */
export interface DoubleSettings {
  accessKeyId: string;
  secretAccessKey: string;
  sessionToken: string | undefined;
  /**
   * Hash every body, whoever sends it, and refuse bytes that differ from the announced hash (default). Without it an
   * object's sha256 is what the client announced, or undefined.
   */
  verify: boolean;
  /** Check SigV4 signatures (default). */
  checkSignatures: boolean;
  /** Forget bytes, keep size and sha256: for benches with gigabytes. */
  discardBodies: boolean;
  /** Added before every reply. */
  latencyMs: number;
  /** Share of requests that end in 503, 0 to 1. */
  errorRate: number;
  /** Credentials that may touch only keys with this prefix. */
  allowedPrefix: string | undefined;
  /** The store's clock minus ours. */
  clockOffsetMs: number;
}

export interface StoreDoubleOptions extends Partial<DoubleSettings> {
  /** 0, the default, takes a free one. */
  port?: number;
  /** Default: `runpod`. */
  buckets?: readonly string[];
  /** Speak TLS. */
  tls?: { key: string; cert: string };
}

export type Fault =
  /** An error reply, as S3 XML, or as a page of HTML where `html` is given. Nothing is stored. */
  | { status: number; code?: string; message?: string; html?: string; headers?: Record<string, string> }
  /** The connection is reset as soon as the request's headers are there. */
  | 'reset'
  /** The connection is reset in the middle of the body. */
  | 'reset-mid-body'
  /** The body is read, no reply ever comes. */
  | 'hang'
  /** The body isn't read, no reply ever comes. */
  | 'stall'
  /** All is done as asked, but the connection is reset instead of a reply. */
  | 'commit-and-drop-reply'
  /** A web server that isn't S3: 200, a page, no ETag. Nothing is stored. */
  | 'html-200'
  /** Done as asked, but the reply has no ETag. */
  | 'no-etag'
  /** The connection is reset in the middle of the reply's body. */
  | 'reset-mid-reply'
  /** Half of the reply's body, then silence. */
  | 'hang-mid-reply'
  /** Done as if it had not said If-None-Match. */
  | 'unconditional'
  | { delayMs: number }
  /** No reply before that, then all is done as asked. */
  | { until: Promise<unknown> }
  /** The body is read at this rate. */
  | { bytesPerSecond: number };

export interface FaultRequest {
  method: string;
  operation: Operation;
  bucket: string;
  key: string;
  query: URLSearchParams;
  headers: IncomingMessage['headers'];
}

export interface LoggedRequest {
  method: string;
  operation: Operation;
  bucket: string;
  key: string;
  query: string;
  /** 0: no reply was sent. */
  status: number;
  /** Of the body. */
  bytes: number;
  /** Epoch ms with fraction, on a clock that doesn't step: the request's headers were there. */
  startedAt: number;
  /** … and the reply was given. */
  at: number;
}

export interface StoreDouble {
  endpoint: string;
  settings: DoubleSettings;
  /** By bucket name. Tests may add and remove buckets and objects. */
  buckets: Map<string, Map<string, StoredObject>>;
  /** The first bucket's objects. */
  objects: Map<string, StoredObject>;
  /** Unfinished multipart uploads by id. */
  uploads: Map<string, Upload>;
  /** In the order in which they ended. */
  requests: LoggedRequest[];
  /** Asked for every request; what it returns is done to that request. */
  fault: ((request: FaultRequest) => Fault | undefined) | undefined;
  /** Called when a request was done and nothing of its reply is sent yet. */
  done: ((request: FaultRequest, status: number) => void) | undefined;
  /** Forgets requests, objects and uploads. */
  reset(): void;
  close(): Promise<void>;
}

export async function startStoreDouble(options: StoreDoubleOptions = {}): Promise<StoreDouble> {
  const { port = 0, buckets = ['runpod'], tls, ...given } = options;
  const double: StoreDouble = {
    endpoint: '',
    settings: {
      accessKeyId: 'double-access-key-id-00000000000',
      secretAccessKey: 'double-secret-access-key-0000000000000000000000000000000000000000',
      sessionToken: undefined,
      verify: true,
      checkSignatures: true,
      discardBodies: false,
      latencyMs: 0,
      errorRate: 0,
      allowedPrefix: undefined,
      clockOffsetMs: 0,
      ...given,
    },
    buckets: new Map(buckets.map((name) => [name, new Map()])),
    get objects() {
      return [...double.buckets.values()][0]!;
    },
    uploads: new Map(),
    requests: [],
    fault: undefined,
    done: undefined,
    reset() {
      for (const objects of double.buckets.values()) objects.clear();
      double.uploads.clear();
      double.requests.length = 0;
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
  const listen = (request: IncomingMessage, response: ServerResponse) => {
    serve(double, request, response).catch(() => request.socket.destroy());
  };
  const timeouts = { keepAliveTimeout: 120_000, requestTimeout: 0 };
  const server = tls ? createTlsServer({ ...timeouts, ...tls }, listen) : createServer(timeouts, listen);
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', resolve);
  });
  double.endpoint = `${tls ? 'https' : 'http'}://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return double;
}

async function serve(double: StoreDouble, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const [path = '/', search = ''] = splitOnce(request.url ?? '/', '?');
  if (path.startsWith('/-/')) return inspect(double, path, new URLSearchParams(search), response);
  const startedAt = now();
  const method = request.method ?? 'GET';
  const query = new URLSearchParams(search);
  const [bucket = '', key = ''] = splitOnce(path.slice(1), '/').map(decodeURIComponent);
  const operation = operationOf(method, key, query, request.headers);
  const asked: FaultRequest = { method, operation, bucket, key, query, headers: request.headers };
  const entry: LoggedRequest = { method, operation, bucket, key, query: search, status: 0, bytes: 0, startedAt, at: 0 };
  const finish = (reply?: Reply) => {
    entry.at = now();
    double.requests.push(entry);
    if (!reply) return void request.socket.resetAndDestroy();
    entry.status = reply.status;
    send(double, method, response, reply);
  };
  const fault = double.fault?.(asked) ?? randomFault(double.settings);
  if (fault === 'reset') return finish();
  if (fault === 'stall') return request.on('error', () => finish()) && undefined;
  let received: ReceivedBody;
  try {
    received = await receiveBody(request, {
      hash: double.settings.verify,
      keep: !double.settings.discardBodies || operation === 'UploadPart' || operation === 'CompleteMultipartUpload',
      bytesPerSecond: typeof fault === 'object' && 'bytesPerSecond' in fault ? fault.bytesPerSecond : undefined,
      resetAfter: fault === 'reset-mid-body' ? Number(request.headers['content-length'] ?? 0) / 4 : undefined,
    });
  } catch {
    return finish();
  }
  entry.bytes = received.bytes;
  const delay = double.settings.latencyMs + (typeof fault === 'object' && 'delayMs' in fault ? fault.delayMs : 0);
  if (delay > 0) await new Promise((resolve) => setTimeout(resolve, delay));
  if (typeof fault === 'object' && 'until' in fault) await fault.until;
  if (fault === 'hang') return request.socket.once('close', () => finish()) && undefined;
  if (fault === 'html-200') return finish({ status: 200, html: '<html><body>It works!</body></html>' });
  if (typeof fault === 'object' && 'status' in fault) return finish(fault);
  const refused = refusal(double, asked, path, search);
  if (fault === 'unconditional') delete asked.headers['if-none-match'];
  const reply = refused ?? answer(double, { ...asked, received, at: now() });
  double.done?.(asked, reply.status);
  if (fault === 'commit-and-drop-reply') return finish();
  if (fault === 'no-etag') delete reply.headers?.ETag;
  if ((fault === 'reset-mid-reply' || fault === 'hang-mid-reply') && reply.body)
    return sendHalf(response, reply, fault === 'reset-mid-reply' ? finish : () => {});
  finish(reply);
}

/** The reply's head and half of its body, then whatever `after` does. */
function sendHalf(response: ServerResponse, { status, headers, body = Buffer.alloc(0) }: Reply, after: () => void) {
  response.writeHead(status, { ...headers, 'Content-Length': body.length });
  response.write(body.subarray(0, body.length / 2), () => after());
}

/** What everybody must pass before a call is looked at. */
function refusal(double: StoreDouble, asked: FaultRequest, path: string, query: string): Reply | undefined {
  const { settings } = double;
  const { method, headers, key } = asked;
  if (settings.checkSignatures) {
    const wrong = checkSignature({ method, path, query, headers }, settings, Date.now() + settings.clockOffsetMs);
    if (wrong) return wrong;
  }
  const scope = key === '' ? (asked.query.get('prefix') ?? '') : key;
  if (settings.allowedPrefix !== undefined && !scope.startsWith(settings.allowedPrefix))
    return { status: 403, code: 'AccessDenied', message: 'Access Denied' };
  return undefined;
}

function send(double: StoreDouble, method: string, response: ServerResponse, reply: Reply): void {
  const { settings } = double;
  const error = `<Error><Code>${reply.code}</Code><Message>${reply.message ?? reply.code}</Message></Error>`;
  const text = reply.xml ?? (reply.code === undefined ? undefined : error);
  const body =
    reply.body ?? reply.html ?? (text === undefined ? '' : `<?xml version="1.0" encoding="UTF-8"?>\n${text}`);
  const type = reply.html === undefined ? 'application/xml' : 'text/html';
  if (settings.clockOffsetMs !== 0)
    response.setHeader('Date', new Date(Date.now() + settings.clockOffsetMs).toUTCString());
  response.writeHead(reply.status, {
    ...(body.length > 0 ? { 'Content-Type': type } : {}),
    ...(reply.status === 204 ? {} : { 'Content-Length': Buffer.byteLength(body) }),
    ...reply.headers,
  });
  response.end(method === 'HEAD' ? undefined : body);
}

/** For benches in other processes: what happened and what is there, as JSON. */
function inspect(double: StoreDouble, path: string, query: URLSearchParams, response: ServerResponse): void {
  const all = () =>
    [...double.objects].map(([key, { size, sha256, metadata, storedAt }]) => ({
      key,
      size,
      sha256,
      metadata,
      storedAt,
    }));
  const pages: Record<string, () => unknown> = {
    '/-/log': () => double.requests.slice(Number(query.get('from') ?? 0)),
    '/-/objects': all,
    '/-/count': () => ({ requests: double.requests.length, objects: double.objects.size }),
    '/-/uploads': () => [...double.uploads].map(([uploadId, { key, parts }]) => ({ uploadId, key, parts: parts.size })),
    '/-/reset': () => double.reset(),
  };
  const page = pages[path];
  response.writeHead(page ? 200 : 404, { 'Content-Type': 'application/json' });
  response.end(JSON.stringify(page?.() ?? null));
}

function randomFault(settings: DoubleSettings): Fault | undefined {
  if (settings.errorRate === 0 || Math.random() >= settings.errorRate) return undefined;
  return { status: 503, code: 'ServiceUnavailable', message: 'Please try again' };
}

function splitOnce(text: string, separator: string): string[] {
  const at = text.indexOf(separator);
  return at === -1 ? [text] : [text.slice(0, at), text.slice(at + 1)];
}

/** Epoch ms with fraction that never step. */
function now(): number {
  return performance.timeOrigin + performance.now();
}
