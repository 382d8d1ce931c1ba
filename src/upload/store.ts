// The store as the agent and the commands see it: a few calls. s3.ts is the real one; test/support has a fast double; one contract
// suite (test/upload/store.contract.ts) holds both to the same promises.

/** What an object is stored with. */
export interface ObjectFacts {
  key: string;
  contentType: string;
  /** User metadata, names in lower case, values ASCII. */
  metadata: Readonly<Record<string, string>>;
}

export interface PutRequest extends ObjectFacts {
  body: Buffer;
  /** SHA-256 of the body, hex. Signed as the payload hash: the store refuses other bytes. */
  sha256: string;
  signal?: AbortSignal;
}

export interface PutPartsRequest extends ObjectFacts {
  /** Total size in bytes. */
  size: number;
  /** SHA-256 of each part as `cutIntoParts(size)` cuts them, hex. Signed: the store refuses other bytes. */
  partHashes: readonly string[];
  /** So many bytes from `position` on, no fewer. Parts are asked for in order. An error aborts the upload: nothing is stored. */
  read: (position: number, length: number) => Promise<Buffer>;
  /** The store has these bytes: their memory may be used again. */
  onSent?: (bytes: Buffer) => void;
  signal?: AbortSignal;
  /** Waited for before each part, and before they become an object. If it rejects, the upload is aborted with its error. */
  permit?: () => Promise<void>;
  /** Called with the total of bytes that the store has confirmed. */
  onProgress?: (bytes: number) => void;
  /** Called once the store has opened the multipart upload. */
  onUploadId?: (uploadId: string) => void;
}

export interface ObjectHead {
  /** Bytes. */
  size: number;
  etag: string;
  metadata: Record<string, string>;
  contentType: string | undefined;
}

export interface GetOptions {
  /** The first byte that is wanted, for going on with what is there already. Not beyond the object's last. Default: 0. */
  from?: number;
  signal?: AbortSignal;
}

export interface ReadObject extends ObjectHead {
  /**
   * The bytes from `from` on; `size` is that of the whole object. To be iterated, once; ending the iteration early drops
   * the connection.
   * Throws StoreError: `transient` if the bytes end before the object does.
   */
  body: AsyncIterable<Buffer>;
}

export interface ListedObject {
  key: string;
  /** Bytes. */
  size: number;
  etag: string;
  /** When the store got it, wall ms; 0 where it doesn't say. */
  modifiedAt: number;
}

export interface Store {
  /** One PutObject that never replaces an object (`If-None-Match: *`). Throws StoreError; class `exists` if the key is taken. */
  put(request: PutRequest): Promise<{ etag: string }>;
  /** A multipart upload with equal parts, two at a time. Throws StoreError. */
  putParts(request: PutPartsRequest): Promise<{ etag: string }>;
  /** The object's facts, or undefined where there is none. Throws StoreError. */
  head(key: string, signal?: AbortSignal): Promise<ObjectHead | undefined>;
  /** The object's facts and bytes, or undefined where there is none. Throws StoreError. */
  get(key: string, options?: GetOptions): Promise<ReadObject | undefined>;
  /** A URL that lets whoever has it GET this object for so many seconds (S3: at most 7 days). Asks nobody. */
  presign(key: string, seconds: number): Promise<string>;
  /** Everything under a prefix, one page (1,000) a request. Throws StoreError. */
  list(prefix: string, signal?: AbortSignal): AsyncIterable<ListedObject>;
  /** Drops the parts of an unfinished upload. An upload that is gone is no error. */
  abortUpload(key: string, uploadId: string): Promise<void>;
  /** Closes connections. */
  close(): void;
}

/**
 * What a failure means for the file:
 * - `transient`: try again later, for ever;
 * - `changed`: the bytes sent weren't those announced, so the file changed: start it again;
 * - `restart`: the multipart upload is gone: start it again;
 * - `exists`: the key is taken: compare, then success;
 * - `refused`: the store refuses us or the bucket, not this file: probe;
 * - `park`: this file can't be stored as it is;
 * - `aborted`: we stopped it ourselves.
 */
export type FailureClass = 'transient' | 'changed' | 'restart' | 'exists' | 'refused' | 'park' | 'aborted';

export class StoreError extends Error {
  readonly failure: FailureClass;
  /** The store's or the system's code (`AccessDenied`, `ECONNRESET` …). */
  readonly code: string;
  /** HTTP status, undefined if no reply came. */
  readonly status: number | undefined;
  /** What to do about it, for people. */
  readonly fix: string;

  constructor(
    failure: FailureClass,
    code: string,
    message: string,
    fix: string,
    status?: number,
    options?: ErrorOptions,
  ) {
    super(message, options);
    this.name = 'StoreError';
    this.failure = failure;
    this.code = code;
    this.fix = fix;
    this.status = status;
  }
}
