// Lists objects, a page of a thousand at a time. The SDK's parser for XML takes a third of a second for one page; what a
// listing holds needs no parser.
import type { Readable } from 'node:stream';
import type { Signed } from './signed-request.ts';
import type { ListedObject } from './store.ts';
import { element } from './xml.ts';

export interface ListPage {
  objects: ListedObject[];
  /** Where the next page begins; undefined after the last. */
  next: string | undefined;
}

/** A thousand keys of a kilobyte each, all of it escaped. */
const LONGEST_PAGE = 16 * 1024 * 1024;

/**
 * undefined: that was no listing, or one that says there is more and not where, so whatever answered isn't a store: what it
 * shows isn't all. Throws what `Signed.send` throws.
 */
export async function listPage(
  signed: Signed,
  prefix: string,
  token: string | undefined,
  signal?: AbortSignal,
): Promise<ListPage | undefined> {
  const query = { 'list-type': '2', prefix, ...(token === undefined ? {} : { 'continuation-token': token }) };
  const reply = await signed.send({ method: 'GET', query, signal });
  const text = await readPage(reply.body);
  const truncated = element(text, 'IsTruncated');
  const next = truncated === 'true' ? element(text, 'NextContinuationToken') : undefined;
  if (truncated === undefined || (truncated === 'true' && !next)) return undefined;
  const objects = text.split('<Contents>').slice(1).map(readRow);
  return { objects, next };
}

/** At most as much as a page can be. Throws what reading throws: half a page is none. */
async function readPage(body: Readable): Promise<string> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of body as AsyncIterable<Buffer>) {
    chunks.push(chunk);
    length += chunk.length;
    if (length > LONGEST_PAGE) break;
  }
  return Buffer.concat(chunks).toString('utf8');
}

function readRow(row: string): ListedObject {
  return {
    key: element(row, 'Key') ?? '',
    size: Number(element(row, 'Size') ?? 0),
    etag: element(row, 'ETag') ?? '',
    modifiedAt: Date.parse(element(row, 'LastModified') ?? '') || 0,
  };
}
