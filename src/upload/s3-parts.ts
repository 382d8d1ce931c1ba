// A large file as a multipart upload: either all of it becomes an object, or nothing does. Decides what stops the parts on
// their way, and which of several errors is the one to tell.
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
import { cutIntoParts } from './parts.ts';
import type { PutPartsRequest } from './store.ts';

/** More parts of one upload at a time have failed on R2 with 500. */
export const partsAtOnce = 2;

/**
 * Returns once the object is there. Throws the reading's own error if that failed, else a StoreError; by then the parts
 * are dropped, unless the store couldn't be asked to. `partsAtOnce` parts are in memory at a time.
 */
export async function uploadParts(
  client: S3Client,
  request: PutPartsRequest,
  about: FailureContext,
): Promise<{ etag: string }> {
  const { signal, contentType, metadata } = request;
  const object = { Bucket: about.bucket, Key: request.key };
  const stop = new AbortController();
  const stopNow = () => stop.abort();
  signal?.addEventListener('abort', stopNow, { once: true });
  const options = { abortSignal: stop.signal };
  const read = createReader(request, stop.signal);
  let uploadId: string | undefined;
  try {
    signal?.throwIfAborted();
    const described = { ...object, ContentType: contentType, Metadata: { ...metadata } };
    ({ UploadId: uploadId } = await client.send(new CreateMultipartUploadCommand(described), options));
    if (uploadId === undefined) throw notS3(about);
    request.onUploadId?.(uploadId);
    const upload = { ...object, UploadId: uploadId };

    const cut = cutIntoParts(request.size);
    const parts: { PartNumber: number; ETag: string }[] = [];
    let confirmed = 0;
    const sendParts = async () => {
      // All senders take from the same cut; where one fails, it ends for all of them.
      for (const { number, position, length } of cut) {
        const bytes = await read(position, length);
        await request.permit?.();
        const command = new UploadPartCommand({ ...upload, PartNumber: number, Body: bytes });
        signWith(command, request.partHashes[number - 1]!);
        const { ETag } = await client.send(command, options);
        if (!ETag) throw notS3(about);
        parts.push({ PartNumber: number, ETag });
        request.onSent?.(bytes);
        confirmed += length;
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
    throw error instanceof ReadError ? error.cause : toStoreError(error, about);
  } finally {
    signal?.removeEventListener('abort', stopNow);
  }
}

/** The hash that we have becomes the signed one: the store refuses other bytes, and the SDK doesn't hash them again. */
function signWith(command: UploadPartCommand, sha256: string): void {
  command.middlewareStack.add(
    (next) => (args) => {
      (args.request as { headers: Record<string, string> }).headers['x-amz-content-sha256'] = sha256;
      return next(args);
    },
    { step: 'build', name: 'signWithKnownHash' },
  );
}

/** Tells an error of the reading, which the caller wants back as it is, from all others. */
class ReadError extends Error {}

/** Reads for the request until it is stopped; a read from a volume that hangs isn't waited for then. */
function createReader(request: PutPartsRequest, signal: AbortSignal): PutPartsRequest['read'] {
  const stopped = new Promise<never>((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason), { once: true });
  });
  stopped.catch(() => {});
  return (position, length) => {
    const reading = request.read(position, length).catch((error: unknown) => {
      throw new ReadError('the reading failed', { cause: error });
    });
    return Promise.race([reading, stopped]);
  };
}
