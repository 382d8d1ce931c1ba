// The store of a torture: the store double, with an eye on everything that is written to it. Only the objects' facts are
// kept, so that hours of it fit into memory.
import { createHash } from 'node:crypto';
import { objectKey } from '../../src/object/key.ts';
import { decodeName } from '../../src/paths.ts';
import { percentDecode } from '../support/percent.ts';
import {
  type Fault,
  type FaultRequest,
  type LoggedRequest,
  type StoreDouble,
  startStoreDouble,
} from '../support/store-double.ts';
import type { StoredObject } from '../support/store-double-calls.ts';

/** What has been written under a key. */
export interface Committed {
  key: string;
  /** Of the bytes that came, hex. */
  sha256: string;
  bytes: number;
  /** As the agent said: undefined where it left it out. */
  path: string | undefined;
  incomplete: boolean;
}

/** The calls that an upload is made of. */
const UPLOADING: ReadonlySet<string> = new Set([
  'PutObject',
  'HeadObject',
  'CreateMultipartUpload',
  'UploadPart',
  'CompleteMultipartUpload',
]);
const SENDING: ReadonlySet<string> = new Set(['PutObject', 'CreateMultipartUpload']);

export interface StoreWatch {
  /** What is done to this request. */
  fault(pod: number, request: FaultRequest): Fault | undefined;
  /** The object is there, the reply isn't sent yet. */
  committed(key: string): void;
}

export class TortureStore {
  readonly double: StoreDouble;
  /** By key: everything that the agents wrote. */
  readonly committed = new Map<string, Committed>();
  /** Invariants 3 and 4, broken: in words. */
  readonly wrongs: string[] = [];
  /** Requests of all kinds, and of those that carry a file or begin to. */
  requests = 0;
  sends = 0;
  /** Bodies that came for a key that was there already. */
  repeats = 0;
  /** Uploads in parts of which their agent may not have heard that they have begun. */
  unheardOf = 0;
  /** Keys of each pod that are in force; without an entry, any. */
  readonly #keys = new Map<number, string>();
  readonly #inFlight: { pod: number; operation: string; key: string }[] = [];
  readonly #refusals = new Map<number, () => void>();
  readonly #foreign = new Set<string>();
  /** R2_KEY_TEMPLATE of all agents. */
  readonly template: string;
  watch: StoreWatch | undefined;

  private constructor(double: StoreDouble, template: string) {
    this.double = double;
    this.template = template;
    const store = this;
    double.buckets.set(
      'runpod',
      new (class extends Map<string, StoredObject> {
        override set(key: string, object: StoredObject): this {
          store.#take(key, object);
          return super.set(key, { ...object, body: undefined });
        }
      })(),
    );
    double.fault = (request) => this.#decide(request);
    double.requests.push = (request) => this.#answered(request);
  }

  static async start(template: string): Promise<TortureStore> {
    // Who asks is told by the access key; signatures are another test's business.
    return new TortureStore(await startStoreDouble({ checkSignatures: false }), template);
  }

  /** The access key with which a pod begins. */
  accessKey(pod: number, generation: number): string {
    return `torture-pod-${pod}-generation-${generation}`;
  }

  /** From now on only this key of the pod is good. */
  expire(pod: number, inForce: string): void {
    this.#keys.set(pod, inForce);
  }

  /** Calls back when a request of the pod comes with a key that is too old; the function it gives ends that. */
  onExpired(pod: number, hear: () => void): () => void {
    this.#refusals.set(pod, hear);
    return () => this.#refusals.delete(pod);
  }

  /** How many uploading requests of a pod have begun and not been answered. */
  inFlight(pod: number): number {
    return this.#inFlight.filter((request) => request.pod === pod).length;
  }

  /** Somebody else's object, with other bytes, under the key that the agent would take. */
  putForeign({ path, body, mtimeMs }: { path: string; body: Buffer; mtimeMs: number }): void {
    const hash = createHash('sha256').update(body).digest('hex');
    const mtimeNs = BigInt(Math.round(mtimeMs)) * 1_000_000n;
    const key = objectKey(this.template, 'UTC', { path, sha256: hash, mtimeNs });
    if (this.double.objects.has(key)) return;
    this.#foreign.add(key);
    const sha256 = 'f'.repeat(64);
    const facts = { body: undefined, size: 7, sha256, etag: '"foreign"', metadata: {}, contentType: 'image/png' };
    this.double.objects.set(key, { ...facts, storedAt: Date.now() });
  }

  #decide(request: FaultRequest): Fault | undefined {
    const credential = /Credential=torture-pod-(\d+)-generation-(\d+)\//.exec(String(request.headers.authorization));
    const pod = Number(credential?.[1] ?? -1);
    this.requests += 1;
    if (SENDING.has(request.operation)) {
      this.sends += 1;
      if (this.double.objects.has(request.key)) this.repeats += 1;
    }
    if (!UPLOADING.has(request.operation)) return undefined;
    this.#inFlight.push({ pod, operation: request.operation, key: request.key });
    const inForce = this.#keys.get(pod);
    const given = credential && this.accessKey(pod, Number(credential[2]));
    const expired = inForce !== undefined && given !== inForce;
    const fault = this.watch?.fault(pod, request);
    if (expired) this.#refusals.get(pod)?.();
    else if (request.operation === 'CreateMultipartUpload' && mayGoUnheard(fault)) this.unheardOf += 1;
    return expired ? { status: 403, code: 'ExpiredToken', message: 'The provided token has expired.' } : fault;
  }

  /** In place of the double's log, which would grow for hours. */
  #answered({ operation, key }: LoggedRequest): number {
    const at = this.#inFlight.findIndex((request) => request.operation === operation && request.key === key);
    if (at !== -1) this.#inFlight.splice(at, 1);
    return 0;
  }

  #take(key: string, object: StoredObject): void {
    if (this.#foreign.has(key)) {
      if (object.etag !== '"foreign"') this.wrongs.push(`invariant 4: the foreign object ${key} was overwritten`);
      return;
    }
    const { sha256, size, metadata } = object;
    if (sha256 === undefined) throw new Error(`the double doesn't know the hash of ${key}`);
    const before = this.committed.get(key);
    if (before && before.sha256 !== sha256)
      this.wrongs.push(`invariant 4: ${key} was written twice, with ${before.sha256} and with ${sha256}`);
    if (!key.includes(sha256.slice(0, 16)))
      this.wrongs.push(`invariant 3: the bytes of ${key} have the hash ${sha256}, which isn't in the key`);
    if (metadata.sha256 !== sha256)
      this.wrongs.push(
        `invariant 3: the bytes of ${key} have the hash ${sha256}, its metadata says ${metadata.sha256}`,
      );
    this.committed.set(key, {
      key,
      sha256,
      bytes: size,
      path: metadata.path === undefined ? undefined : decodeName(percentDecode(metadata.path)),
      incomplete: metadata.incomplete !== undefined,
    });
    this.watch?.committed(key);
  }
}

/** Whether the store does what it was asked, and the agent may not hear of it (or not before it gives up). */
function mayGoUnheard(fault: Fault | undefined): boolean {
  return fault === 'commit-and-drop-reply' || (typeof fault === 'object' && !('status' in fault));
}
