// A stream as a multipart upload: either all of it becomes an object, or nothing does. Decides part sizes, what stops the
// parts on their way, and which of several errors is the one to tell.
// Not lib-storage's Upload: it makes a new buffer for every part and leaves it to the garbage collector (a file of 1 GiB
// took 800 MB of memory), doesn't stop parts on their way, and tells the clean-up's error instead of the first.
import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  type S3Client,
  UploadPartCommand,
} from '@aws-sdk/client-s3';
import { type FailureContext, notS3, toStoreError } from './failures.ts';
import { type PutStreamRequest, StoreError } from './store.ts';

/** More parts of one upload at a time have failed on R2 with 500. */
export const partsAtOnce = 2;
const mebibyte = 1024 * 1024;
const minPartSize = 8 * mebibyte;
/** R2 and S3 take no more. */
const maxParts = 10_000;

/**
 * Returns once the object is there. Throws the body's own error if the body failed, else a StoreError; by then the parts
 * are dropped, unless the store couldn't be asked to. Holds `partsAtOnce` parts in memory; a buffer that the body gave may
 * be used again when it is asked for the next.
 */
export async function uploadParts(
  client: S3Client,
  request: PutStreamRequest,
  about: FailureContext,
): Promise<{ etag: string }> {
  const { signal, contentType, metadata } = request;
  const object = { Bucket: about.bucket, Key: request.key };
  const stop = new AbortController();
  const stopNow = () => stop.abort();
  signal?.addEventListener('abort', stopNow, { once: true });
  const options = { abortSignal: stop.signal };
  const body = new PartReader(request, stop.signal);
  let uploadId: string | undefined;
  try {
    signal?.throwIfAborted();
    const described = { ...object, ContentType: contentType, Metadata: { ...metadata } };
    ({ UploadId: uploadId } = await client.send(new CreateMultipartUploadCommand(described), options));
    if (uploadId === undefined) throw notS3(about);
    request.onUploadId?.(uploadId);
    const upload = { ...object, UploadId: uploadId };

    const parts: { PartNumber: number; ETag: string }[] = [];
    let confirmed = 0;
    const sendParts = async () => {
      const buffer = Buffer.allocUnsafeSlow(Math.min(partSizeOf(request.size), request.size));
      for (let part = await body.next(buffer); part !== undefined; part = await body.next(buffer)) {
        await request.permit?.();
        const input = { ...upload, PartNumber: part.number, Body: part.bytes };
        const { ETag } = await client.send(new UploadPartCommand(input), options);
        if (!ETag) throw notS3(about);
        parts.push({ PartNumber: part.number, ETag });
        confirmed += part.bytes.length;
        request.onProgress?.(confirmed);
      }
    };
    const senders = Array.from({ length: partsAtOnce }, sendParts);
    await Promise.all(senders).catch(async (error: unknown) => {
      // The first error is the one to tell; the others follow from it.
      stop.abort();
      await Promise.allSettled(senders);
      throw error;
    });

    const Parts = parts.sort((a, b) => a.PartNumber - b.PartNumber);
    await request.permit?.();
    const completion = { ...upload, MultipartUpload: { Parts }, IfNoneMatch: '*' };
    const { ETag: etag } = await client.send(new CompleteMultipartUploadCommand(completion), options);
    if (!etag) throw notS3(about);
    return { etag };
  } catch (error) {
    // What can't be dropped now is dropped later, by whoever finds its recorded id, or by the bucket's own rule.
    if (uploadId !== undefined)
      await client.send(new AbortMultipartUploadCommand({ ...object, UploadId: uploadId })).catch(() => undefined);
    throw error instanceof BodyError ? error.cause : toStoreError(error, about);
  } finally {
    signal?.removeEventListener('abort', stopNow);
    body.close();
  }
}

/** Equal parts of whole MiB, as few as may be. */
function partSizeOf(size: number): number {
  return Math.max(minPartSize, Math.ceil(size / maxParts / mebibyte) * mebibyte);
}

/** Tells an error of the body, which the caller wants back as it is, from all others. */
class BodyError extends Error {}

/** Cuts the body into parts, which must be as many bytes in all as was announced. */
class PartReader {
  readonly #iterator: AsyncIterator<Buffer>;
  readonly #request: PutStreamRequest;
  readonly #stopped: Promise<never>;
  #rest: Buffer = Buffer.alloc(0);
  #bytes = 0;
  #parts = 0;
  #turn: Promise<unknown> = Promise.resolve();

  constructor(request: PutStreamRequest, signal: AbortSignal) {
    this.#request = request;
    this.#iterator = request.body[Symbol.asyncIterator]();
    this.#stopped = new Promise((_, reject) => {
      signal.addEventListener('abort', () => reject(signal.reason), { once: true });
    });
    this.#stopped.catch(() => {});
  }

  /** Fills the buffer with the next part; undefined at the end. One call waits for the other. */
  next(buffer: Buffer): Promise<{ number: number; bytes: Buffer } | undefined> {
    const part = this.#turn.then(() => this.#fill(buffer));
    this.#turn = part;
    return part;
  }

  /** Lets the body clean up. Isn't waited for: a read from a volume that hangs may never end. */
  close(): void {
    void this.#iterator.return?.().then(undefined, () => {});
  }

  async #fill(buffer: Buffer): Promise<{ number: number; bytes: Buffer } | undefined> {
    let filled = 0;
    while (filled < buffer.length) {
      if (this.#rest.length === 0) {
        const read = this.#iterator.next().catch((error: unknown) => {
          throw new BodyError('the body failed', { cause: error });
        });
        const { value, done } = await Promise.race([read, this.#stopped]);
        if (done) break;
        this.#rest = value;
      }
      const copied = this.#rest.copy(buffer, filled);
      this.#rest = this.#rest.subarray(copied);
      filled += copied;
    }
    this.#bytes += filled;
    const { key, size } = this.#request;
    if (this.#bytes > size || (filled < buffer.length && this.#bytes < size)) {
      const message = `${key}: ${this.#bytes} bytes came where ${size} were announced`;
      throw new StoreError('changed', 'SizeChanged', message, 'nothing to do: the agent starts the file again');
    }
    if (filled === 0) return undefined;
    this.#parts += 1;
    return { number: this.#parts, bytes: buffer.subarray(0, filled) };
  }
}
