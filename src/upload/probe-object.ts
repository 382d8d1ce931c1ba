// Small objects that only try the bucket. Their bytes and their keys are always the same, so a bucket holds one of each,
// however many pods ask and however often: nothing is ever deleted there.
import type { Config } from '../config/types.ts';
import { hashBuffer } from '../object/hash.ts';
import { objectKey } from '../object/key.ts';
import { contentTypeOf } from '../object/metadata.ts';
import { PROBE_MARK, PROBE_NAME } from '../object/probe.ts';
import { version } from '../version.ts';
import { type Ensured, ensureStored } from './ensure.ts';
import type { PutRequest, Store, StoreError } from './store.ts';

export interface ProbeObject {
  /** Begins as `PROBE_NAME` does: in a listing `isProbe` knows all of them by that. */
  name: string;
  bytes: Buffer;
}

/** May this pod write? */
export const probeObject: ProbeObject = {
  name: PROBE_NAME,
  bytes: Buffer.from('r2-sync wrote this to see whether it may write here. You may delete it.\n'),
};

/** Asking again changes nothing about these. */
const FINAL: ReadonlySet<StoreError['failure']> = new Set(['refused', 'park']);

/** Whether the store refuses us; else it doesn't answer as it should. */
export function isRefusal({ failure, code }: StoreError): boolean {
  return FINAL.has(failure) || code === 'SignatureDoesNotMatch';
}

/** Where the object lies. `folder`: of the output directory; '' is the root. `wide`: where other bytes have its key. */
export function probeKey({ keyTemplate, timezone }: Config, folder: string, object: ProbeObject, wide = false): string {
  // No day: the object of today and that of last year are one.
  const template = keyTemplate.replaceAll('{date}', 'probe');
  const path = folder === '' ? object.name : `${folder}/${object.name}`;
  return objectKey(template, timezone, { path, mtimeNs: 0n, sha256: hashBuffer(object.bytes) }, { wide });
}

/** The request that puts it under this key, once. */
export function probePut({ name, bytes }: ProbeObject, key: string, signal: AbortSignal): PutRequest {
  const sha256 = hashBuffer(bytes);
  const metadata = { ...PROBE_MARK, sha256, agent: version };
  return { key, body: bytes, sha256, contentType: contentTypeOf(name), metadata, signal };
}

/** Puts it unless it is there. Throws StoreError. */
export async function ensureProbe(
  store: Store,
  config: Config,
  folder: string,
  object: ProbeObject,
  signal: AbortSignal,
): Promise<Ensured> {
  return await ensureStored({
    head: (key) => store.head(key, signal),
    size: object.bytes.length,
    sha256: hashBuffer(object.bytes),
    keyFor: (wide) => probeKey(config, folder, object, wide),
    send: (key) => store.put(probePut(object, key, signal)),
    headFirst: false,
    signal,
    onRetry: () => {},
  });
}
