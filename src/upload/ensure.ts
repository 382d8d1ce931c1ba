// Makes sure that a content is in the store under its key: put once, compare where the key is taken, a few quick
// retries. What takes longer is the pending list's business, so that a failing file never holds a slot.
import pRetry from 'p-retry';
import { type ObjectHead, StoreError } from './store.ts';

export interface EnsureRequest {
  /** One attempt to ask for what is under this key. */
  head: (key: string) => Promise<ObjectHead | undefined>;
  /** Bytes. */
  size: number;
  /** Hex. */
  sha256: string;
  /** The key; `wide` asks for the one with the full hash. */
  keyFor: (wide: boolean) => string;
  /** One attempt to send the content to this key. */
  send: (key: string) => Promise<{ etag: string }>;
  /** Ask whether the object is there before sending: for what is dear to send, or likely there. */
  headFirst: boolean;
  signal: AbortSignal;
  onRetry: (error: StoreError) => void;
}

export interface Ensured {
  key: string;
  /** The store had these bytes already (or a reply of ours was lost). */
  already: boolean;
}

/** Quick attempts before the file gives its slot back. */
const QUICK_RETRIES = 2;
/** A key that is taken and then isn't: somebody deletes. Not for ever. */
const VANISHING_ATTEMPTS = 3;

/** Throws StoreError. */
export async function ensureStored(request: EnsureRequest): Promise<Ensured> {
  for (const wide of [false, true]) {
    const key = request.keyFor(wide);
    const ensured = await ensureUnder(key, request);
    if (ensured) return ensured;
  }
  throw new StoreError(
    'park',
    'KeyTaken',
    `the bucket holds other bytes under ${request.keyFor(true)}`,
    'Another program wrote to this key. Change R2_KEY_TEMPLATE, or move that object away.',
  );
}

/** undefined: the key holds something else. */
async function ensureUnder(key: string, request: EnsureRequest): Promise<Ensured | undefined> {
  const { send } = request;
  if (request.headFirst) {
    const head = await retry(request, () => request.head(key));
    if (head) return isSame(head, request) ? { key, already: true } : undefined;
  }
  for (let attempt = 0; ; attempt += 1) {
    try {
      await retry(request, () => send(key));
      return { key, already: false };
    } catch (error) {
      if (!(error instanceof StoreError && error.failure === 'exists') || attempt >= VANISHING_ATTEMPTS) throw error;
    }
    const head = await retry(request, () => request.head(key));
    if (head) return isSame(head, request) ? { key, already: true } : undefined;
  }
}

function isSame(head: ObjectHead, { size, sha256 }: EnsureRequest): boolean {
  return head.size === size && head.metadata.sha256 === sha256;
}

function retry<T>(request: EnsureRequest, attempt: () => Promise<T>): Promise<T> {
  return pRetry(attempt, {
    retries: QUICK_RETRIES,
    minTimeout: 100,
    factor: 3,
    randomize: true,
    signal: request.signal,
    shouldRetry: ({ error }) => error instanceof StoreError && error.failure === 'transient',
    onFailedAttempt: ({ error, retriesLeft }) => {
      if (retriesLeft > 0 && error instanceof StoreError && error.failure === 'transient') request.onRetry(error);
    },
  });
}
