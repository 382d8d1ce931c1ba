// Puts files into the store double as the agent would have stored them, without sending them.
import { objectKey } from '../../src/object/key.ts';
import { objectMetadata } from '../../src/object/metadata.ts';
import { hashOf } from '../upload/store.contract.ts';
import type { StoreDouble } from './store-double.ts';

export interface StoredFile {
  path: string;
  body: Buffer;
  /** Nanoseconds since 1970. */
  mtimeNs: bigint;
  incomplete?: boolean;
}

const TEMPLATE = 'outputs/{path}/{date}/{name}-{hash16}{ext}';

/** Gives the object's key. `changes` replaces its metadata, `undefined` takes one away. */
export function putStored(
  double: StoreDouble,
  { path, body, mtimeNs, incomplete = false }: StoredFile,
  changes: Record<string, string | undefined> = {},
): string {
  const sha256 = hashOf(body);
  const key = objectKey(TEMPLATE, 'UTC', { path, mtimeNs, sha256 });
  const metadata = {
    ...objectMetadata({ path, mtimeNs, sha256, pod: '0123456789ab', agent: '0', incomplete }),
    ...changes,
  };
  putForeign(
    double,
    key,
    body,
    Object.fromEntries(Object.entries(metadata).filter((entry) => entry[1] !== undefined)) as Record<string, string>,
  );
  return key;
}

/** An object as any program might have stored it. */
export function putForeign(
  double: StoreDouble,
  key: string,
  body: Buffer,
  metadata: Record<string, string> = {},
): void {
  const facts = { size: body.length, sha256: hashOf(body), etag: `"${hashOf(body).slice(0, 40)}"` };
  double.objects.set(key, { body, ...facts, metadata, contentType: 'image/png', storedAt: Date.now() });
}
