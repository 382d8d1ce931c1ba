// Hugging Face, CivitAI and the storage behind them, as far as downloads notice: redirects to signed addresses on another
// port, ranges, tokens; and everything that goes wrong between there and here, on demand.
import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** What a host may do wrong with one file. Where a number of times is meant, it is right after that. */
export interface Faults {
  /** The hub answers with this status, `times` times. */
  hubStatus?: { status: number; times?: number; headers?: Record<string, string> };
  /** The storage answers with this status, `times` times. */
  storageStatus?: { status: number; times?: number; headers?: Record<string, string> };
  /** The storage cuts the connection after so many bytes, `times` times. */
  cutAfter?: { bytes: number; times?: number };
  /** Other bytes of the same size come, for `times` requests. */
  wrongBytes?: { times?: number };
  /** A web page comes, with status 200: from the hub or from the storage. */
  html?: 'hub' | 'storage';
  /** Bytes per second and connection. */
  slow?: number;
  /** Ranges are ignored, as some proxies do. */
  noRanges?: boolean;
}

export interface HostedFile extends Faults {
  bytes: Buffer;
  /** Small files come from the hub itself, with git's hash. */
  small?: boolean;
  /** Only who shows this token gets it. */
  token?: string;
}

export interface Seen {
  host: 'hub' | 'storage';
  method: string;
  path: string;
  authorization: string | undefined;
  range: string | undefined;
  /** Bytes of the body that were sent. */
  sent: number;
}

export interface ModelHost {
  /** For HF_ENDPOINT and CIVITAI_ENDPOINT. */
  readonly url: string;
  readonly storageUrl: string;
  /** By `owner/repo/path`, for Hugging Face. */
  readonly files: Map<string, HostedFile>;
  /** By number of the version, for CivitAI. */
  readonly versions: Map<string, HostedFile & { name: string }>;
  readonly seen: Seen[];
  /** Bytes of bodies that the storage sent. */
  sentBytes(): number;
  close(): Promise<void>;
}

export const commit = '0123456789abcdef0123456789abcdef01234567';
const signature = 'X-Amz-Signature=0a1b2c3d4e5f-signed';

export const sha256 = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');
export const gitHash = (bytes: Buffer) =>
  createHash('sha1').update(`blob ${bytes.length}\0`).update(bytes).digest('hex');

const page = '<!DOCTYPE html>\n<html><head><title>Sign in</title></head><body>Please sign in.</body></html>\n';

export async function startModelHost(): Promise<ModelHost> {
  const files = new Map<string, HostedFile>();
  const versions = new Map<string, HostedFile & { name: string }>();
  const seen: Seen[] = [];

  const note = (host: Seen['host'], request: IncomingMessage): Seen => {
    const { authorization, range } = request.headers;
    const entry = { host, method: request.method!, path: request.url!, authorization, range, sent: 0 };
    seen.push(entry);
    return entry;
  };

  const storage = createServer((request, response) => {
    const entry = note('storage', request);
    const url = new URL(request.url!, 'http://storage');
    const file = files.get(decodeURIComponent(url.pathname.slice(1))) ?? versions.get(url.pathname.slice(1));
    if (!file || !request.url!.includes(signature)) return answer(response, 403, 'no');
    serve(file, request, response, entry);
  });
  const hub = createServer((request, response) => {
    const entry = note('hub', request);
    const url = new URL(request.url!, 'http://hub');
    const path = decodeURIComponent(url.pathname).slice(1);
    if (path.startsWith('api/models/')) return answerApi(path.slice('api/models/'.length), url, request, response);
    if (path.startsWith('api/v1/model-versions/')) return answerVersion(path.split('/').at(-1)!, response);
    const version = /^api\/download\/models\/(\d+)$/.exec(path)?.[1];
    if (version !== undefined) return answerDownload(version, request, response);
    const [, repo, , name] = /^([^/]+\/[^/]+)\/resolve\/([^/]+)\/(.+)$/.exec(path) ?? [];
    const file = files.get(`${repo}/${name}`);
    if (refuse(file?.hubStatus, response)) return;
    if (file?.html === 'hub') return answer(response, 200, page, { 'content-type': 'text/html; charset=utf-8' });
    if (!file) return answer(response, 404, 'Entry not found', { 'x-error-code': 'EntryNotFound' });
    if (file.token && request.headers.authorization !== `Bearer ${file.token}`) {
      const code = request.headers.authorization ? 403 : 401;
      return answer(response, code, 'no', { 'x-error-code': 'GatedRepo' });
    }
    if (file.small) {
      response.setHeader('etag', `"${gitHash(file.bytes)}"`);
      response.setHeader('x-repo-commit', commit);
      return serve(file, request, response, entry);
    }
    answer(response, 302, 'Found', {
      location: `${urlOf(storage)}/${encodeURIComponent(`${repo}/${name}`)}?${signature}&x-id=GetObject`,
      'x-linked-size': `${file.bytes.length}`,
      'x-linked-etag': `"${sha256(file.bytes)}"`,
      'x-repo-commit': commit,
    });
  });

  function answerApi(path: string, url: URL, _request: IncomingMessage, response: ServerResponse) {
    const [owner, name, what] = path.split('/');
    const inside = [...files].filter(([key]) => key.startsWith(`${owner}/${name}/`));
    if (inside.length === 0) return answer(response, 404, '{"error":"Repository not found"}');
    if (what === 'revision') return answer(response, 200, JSON.stringify({ id: `${owner}/${name}`, sha: commit }));
    const entries = inside.map(([key, file]) => ({
      type: 'file',
      oid: gitHash(file.bytes),
      size: file.bytes.length,
      path: key.slice(`${owner}/${name}/`.length),
      ...(file.small ? {} : { lfs: { oid: sha256(file.bytes), size: file.bytes.length, pointerSize: 135 } }),
    }));
    // Two to a page, so that pages are followed.
    const from = Number(url.searchParams.get('cursor') ?? 0);
    const next = `${urlOf(hub)}${url.pathname}?recursive=true&cursor=${from + 2}`;
    const link: Record<string, string> = from + 2 < entries.length ? { link: `<${next}>; rel="next"` } : {};
    answer(response, 200, JSON.stringify([...entries.slice(from, from + 2), { type: 'directory', path: 'x' }]), link);
  }

  function answerVersion(version: string, response: ServerResponse) {
    const file = versions.get(version);
    if (!file) return answer(response, 404, '{"error":"No model"}');
    const main = {
      name: file.name,
      primary: true,
      sizeKB: file.bytes.length / 1024,
      hashes: { SHA256: sha256(file.bytes).toUpperCase() },
    };
    answer(response, 200, JSON.stringify({ id: Number(version), files: [{ name: 'training.zip' }, main] }));
  }

  function answerDownload(version: string, request: IncomingMessage, response: ServerResponse) {
    const file = versions.get(version);
    if (refuse(file?.hubStatus, response)) return;
    if (!file) return answer(response, 404, 'no');
    if (file.token && request.headers.authorization !== `Bearer ${file.token}`)
      return answer(response, 307, '', {
        location: `/login?returnUrl=%2Fmodel-versions%2F${version}&reason=download-auth`,
      });
    answer(response, 307, '', { location: `${urlOf(storage)}/${version}?${signature}` });
  }

  await Promise.all([listen(hub), listen(storage)]);
  return {
    url: urlOf(hub),
    storageUrl: urlOf(storage),
    files,
    versions,
    seen,
    sentBytes: () => seen.filter(({ host }) => host === 'storage').reduce((sum, { sent }) => sum + sent, 0),
    close: async () => {
      await Promise.all(
        [hub, storage].map((server) => {
          server.closeAllConnections();
          return new Promise((resolve) => server.close(resolve));
        }),
      );
    },
  };
}

/** Sends the bytes, or what stands in their place. */
function serve(file: HostedFile, request: IncomingMessage, response: ServerResponse, entry: Seen): void {
  if (refuse(file.storageStatus, response)) return;
  if (file.html === 'storage') return answer(response, 200, page, { 'content-type': 'text/html' });
  const range = file.noRanges ? null : /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '');
  const size = file.bytes.length;
  const from = Number(range?.[1] ?? 0);
  const to = Math.min(range?.[2] ? Number(range[2]) : size - 1, size - 1);
  let body = file.bytes.subarray(from, to + 1);
  if (takeTurn(file.wrongBytes)) body = Buffer.from(body.map((byte) => byte ^ 1));
  response.writeHead(range ? 206 : 200, {
    'content-type': 'application/octet-stream',
    'content-length': body.length,
    ...(file.noRanges ? {} : { 'accept-ranges': 'bytes' }),
    ...(range ? { 'content-range': `bytes ${from}-${to}/${size}` } : {}),
  });
  if (request.method === 'HEAD') return void response.end();
  const cut =
    file.cutAfter && body.length > file.cutAfter.bytes && takeTurn(file.cutAfter) ? file.cutAfter.bytes : null;
  void send(response, cut === null ? body : body.subarray(0, cut), file.slow, entry).then(() => {
    if (cut === null) response.end();
    else response.destroy();
  });
}

/** Piece by piece, so that what wasn't taken isn't counted. */
async function send(response: ServerResponse, body: Buffer, slow: number | undefined, entry: Seen): Promise<void> {
  const step = slow ? Math.max(1, Math.floor(slow / 20)) : 256 * 1024;
  for (let at = 0; at < body.length && !response.destroyed; at += step) {
    const piece = body.subarray(at, at + step);
    const flows = response.write(piece);
    entry.sent += piece.length;
    if (slow) await new Promise((resolve) => setTimeout(resolve, 50));
    else if (!flows && !response.destroyed) await drained(response);
  }
}

const drained = (response: ServerResponse) =>
  new Promise<void>((resolve) => {
    const done = () => {
      response.off('drain', done);
      response.off('close', done);
      resolve();
    };
    response.on('drain', done);
    response.on('close', done);
  });

function refuse(fault: Faults['hubStatus'], response: ServerResponse): boolean {
  if (!fault || !takeTurn(fault)) return false;
  answer(response, fault.status, 'no', fault.headers);
  return true;
}

/** Whether a fault is still to happen; counts it. */
function takeTurn(fault: { times?: number } | undefined): boolean {
  if (!fault || fault.times === 0) return false;
  if (fault.times !== undefined) fault.times -= 1;
  return true;
}

function answer(response: ServerResponse, status: number, body: string, headers: Record<string, string> = {}): void {
  response.writeHead(status, { 'content-length': Buffer.byteLength(body), ...headers });
  response.end(body);
}

const urlOf = (server: Server) => `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
const listen = (server: Server) => new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
