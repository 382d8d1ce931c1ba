// Reads an object: its facts by HEAD, its bytes by GET, from any offset. Decides what counts as the whole of it.
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
  if (head && begins <= from) return { ...head, body: readBody(reply.body, from - begins, size - begins, failureOf) };
  reply.body.destroy();
  return undefined;
}

async function* readBody(
  reply: AsyncIterable<Buffer>,
  skip: number,
  length: number,
  failureOf: (error: unknown) => StoreError,
): AsyncGenerator<Buffer> {
  let read = 0;
  try {
    for await (const piece of reply) {
      const before = read;
      read += piece.length;
      if (read > skip) yield before >= skip ? piece : piece.subarray(skip - before);
    }
  } catch (error) {
    throw failureOf(error);
  }
  if (read === length) return;
  const message = `the object's bytes ended ${length - read} bytes before its end`;
  throw new StoreError('transient', 'IncompleteBody', message, 'nothing to do: it is tried again');
}

function describe({ headers }: Pick<SignedReply, 'headers'>, size: number): ObjectHead | undefined {
  if (!headers.etag) return undefined;
  const metadata: Record<string, string> = {};
  for (const [name, value] of Object.entries(headers))
    if (name.startsWith(META)) metadata[name.slice(META.length)] = value;
  return { size, etag: headers.etag, metadata, contentType: headers['content-type'] };
}
