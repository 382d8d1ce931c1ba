// One conditional PutObject: the request that every small file needs, and the only one.
import { errorInReply, type Signed } from './signed-request.ts';
import type { PutRequest } from './store.ts';

/** Resolves with the reply's ETag, if it has one; throws what `Signed.send` throws. */
export async function putObject(signed: Signed, request: PutRequest): Promise<string | undefined> {
  const { key, body, sha256, contentType, metadata, signal } = request;
  const headers: Record<string, string> = {
    'content-length': String(body.length),
    'content-type': contentType,
    'if-none-match': '*',
  };
  for (const [name, value] of Object.entries(metadata)) headers[`x-amz-meta-${name}`] = value;
  // The hash that we have is signed instead of one of its own: the store refuses other bytes, and nothing is hashed twice.
  const reply = await signed.send({ method: 'PUT', key, headers, body, sha256, signal });
  if (reply.headers.etag) {
    reply.body.resume();
    return reply.headers.etag;
  }
  const refusal = await errorInReply(reply);
  if (refusal) throw refusal;
  return undefined;
}
