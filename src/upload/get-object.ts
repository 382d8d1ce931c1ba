// Reads an object: its facts by HEAD, its bytes by GET, from any offset. Decides what counts as the whole of it.
import type { Readable } from 'node:stream';
import type { Signed, SignedReply } from './signed-request.ts';
import { type GetOptions, type ObjectHead, type ReadObject, StoreError } from './store.ts';

const META = 'x-amz-meta-';

/** undefined: there was no ETag, so whatever answered isn't a store. Throws what `Signed.send` throws. */
export async function headObject(signed: Signed, key: string, signal?: AbortSignal): Promise<ObjectHead | undefined> {
  const reply = await signed.send({ method: 'HEAD', key, signal });
  reply.body.resume();
  return describe(reply, Number(reply.headers['content-length'] ?? 0));
}

/** As `headObject`, with the bytes from `from` on. Iterating them throws what `failureOf` makes of an error. */
export async function getObject(
  signed: Signed,
  key: string,
  { from = 0, signal }: GetOptions,
  failureOf: (error: unknown) => StoreError,
): Promise<ReadObject | undefined> {
  const headers = from > 0 ? { range: `bytes=${from}-` } : {};
  const reply = await signed.send({ method: 'GET', key, headers, signal });
  const range = /^bytes (\d+)-\d+\/(\d+)$/.exec(reply.headers['content-range'] ?? '');
  const begins = reply.status === 206 && range ? Number(range[1]) : 0;
  const size = reply.status === 206 && range ? Number(range[2]) : Number(reply.headers['content-length'] ?? 0);
  const head = describe(reply, size);
  // A store that ignores the range sends everything: what came before `from` is passed over.
  if (head && begins <= from) return { ...head, body: new Body(reply.body, from - begins, size - begins, failureOf) };
  reply.body.destroy();
  return undefined;
}

/** Chunks of up to 64 KiB that wait for their reader before the connection has to. */
const CHUNKS_AHEAD = 16;

function shortBody(missing: number): StoreError {
  const message = `the object's bytes ended ${missing} bytes before its end`;
  return new StoreError('transient', 'IncompleteBody', message, 'nothing to do: it is tried again');
}

/**
 * The bytes of a reply behind the first `skip`, as they come in. By events and not as the stream's own iterator, which
 * takes half as much time again as everything else that happens to a chunk.
 */
class Body implements AsyncIterableIterator<Buffer> {
  readonly #reply: Readable;
  readonly #failureOf: (error: unknown) => StoreError;
  readonly #chunks: Buffer[] = [];
  #skip: number;
  /** Bytes that must still come. */
  #missing: number;
  #waiting: (() => void) | undefined;
  #ended = false;
  #error: unknown;

  constructor(reply: Readable, skip: number, length: number, failureOf: (error: unknown) => StoreError) {
    this.#reply = reply;
    this.#skip = skip;
    this.#missing = length;
    this.#failureOf = failureOf;
  }

  [Symbol.asyncIterator](): this {
    const wake = () => {
      this.#waiting?.();
      this.#waiting = undefined;
    };
    const end = (error?: unknown) => {
      this.#ended = true;
      this.#error ??= error;
      wake();
    };
    this.#reply.on('data', (chunk: Buffer) => {
      this.#missing -= chunk.length;
      const wanted = this.#skip > 0 ? chunk.subarray(this.#skip) : chunk;
      this.#skip = Math.max(0, this.#skip - chunk.length);
      if (wanted.length > 0) this.#chunks.push(wanted);
      if (this.#chunks.length >= CHUNKS_AHEAD) this.#reply.pause();
      wake();
    });
    this.#reply.on('end', () => end()).on('error', end);
    this.#reply.on('close', () => end());
    return this;
  }

  async next(): Promise<IteratorResult<Buffer, undefined>> {
    while (this.#chunks.length === 0 && !this.#ended) {
      this.#reply.resume();
      await new Promise<void>((resolve) => {
        this.#waiting = resolve;
      });
    }
    const chunk = this.#chunks.shift();
    if (chunk) return { done: false, value: chunk };
    if (this.#error !== undefined) throw this.#failureOf(this.#error);
    if (this.#missing !== 0) throw shortBody(this.#missing);
    return { done: true, value: undefined };
  }

  async return(): Promise<IteratorResult<Buffer, undefined>> {
    this.#reply.destroy();
    return { done: true, value: undefined };
  }
}

function describe({ headers }: SignedReply, size: number): ObjectHead | undefined {
  if (!headers.etag) return undefined;
  const metadata: Record<string, string> = {};
  for (const [name, value] of Object.entries(headers))
    if (name.startsWith(META)) metadata[name.slice(META.length)] = value;
  return { size, etag: headers.etag, metadata, contentType: headers['content-type'] };
}
