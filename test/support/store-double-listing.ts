// Lists of the store double: prefix, delimiter, pages, in the order of bytes as S3 has it.
import type { StoredObject } from './store-double-calls.ts';

const HIGH = /[\ud800-\uffff]/;

/** One page of ListObjects (`marker`) or ListObjectsV2 (`continuation-token`, `start-after`). */
export function listing(bucket: string, query: URLSearchParams, objects: ReadonlyMap<string, StoredObject>): string {
  const prefix = query.get('prefix') ?? '';
  const delimiter = query.get('delimiter') ?? '';
  const limit = Math.min(Number(query.get('max-keys') ?? 1000), 1000);
  const after = query.get('continuation-token') ?? query.get('start-after') ?? query.get('marker') ?? '';
  const show = query.get('encoding-type') === 'url' ? (key: string) => encodeURIComponent(key) : xmlText;
  // Only the next page is wanted: what is before it needn't be put in order.
  const wanted = [...objects.keys()].filter(
    (key) => key.startsWith(prefix) && (after === '' || byBytes(key, after) >= 0 || key.startsWith(after)),
  );
  const keys = wanted.some((key) => HIGH.test(key)) ? wanted.sort(byBytes) : wanted.sort();
  const rows: string[] = [];
  const groups = new Set<string>();
  let last = '';
  let truncated = false;
  for (const key of keys) {
    if (
      after !== '' &&
      (byBytes(key, after) <= 0 || (delimiter !== '' && after.endsWith(delimiter) && key.startsWith(after)))
    )
      continue;
    const cut = delimiter === '' ? -1 : key.indexOf(delimiter, prefix.length);
    const group = cut === -1 ? undefined : key.slice(0, cut + delimiter.length);
    if (group !== undefined && groups.has(group)) continue;
    if (rows.length + groups.size >= limit) {
      truncated = true;
      break;
    }
    last = group ?? key;
    if (group !== undefined) groups.add(group);
    else rows.push(row(show(key), objects.get(key)!));
  }
  const prefixes = [...groups].map((group) => `<CommonPrefixes><Prefix>${show(group)}</Prefix></CommonPrefixes>`);
  const next = `<NextContinuationToken>${xmlText(last)}</NextContinuationToken><NextMarker>${show(last)}</NextMarker>`;
  const head = `<Name>${xmlText(bucket)}</Name><Prefix>${show(prefix)}</Prefix><KeyCount>${rows.length + groups.size}</KeyCount>`;
  const paging = `<MaxKeys>${limit}</MaxKeys><IsTruncated>${truncated}</IsTruncated>${truncated ? next : ''}`;
  const encoding = query.get('encoding-type') === 'url' ? '<EncodingType>url</EncodingType>' : '';
  const all = `${head}${paging}${encoding}${rows.join('')}${prefixes.join('')}`;
  return `<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">${all}</ListBucketResult>`;
}

function row(key: string, object: StoredObject): string {
  const modified = new Date(object.storedAt).toISOString();
  return `<Contents><Key>${key}</Key><LastModified>${modified}</LastModified><ETag>${xmlText(object.etag)}</ETag><Size>${object.size}</Size><StorageClass>STANDARD</StorageClass></Contents>`;
}

function byBytes(a: string, b: string): number {
  // Without surrogates, the order of UTF-16 is that of the bytes of UTF-8.
  if (!HIGH.test(a) && !HIGH.test(b)) return a < b ? -1 : a > b ? 1 : 0;
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}

/** Text as it stands in XML. */
export function xmlText(text: string): string {
  const names: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' };
  return text.replace(/[&<>"\r\n]/g, (char) => names[char] ?? `&#${char.charCodeAt(0)};`);
}
