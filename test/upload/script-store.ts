// A store that answers from a script, for decisions that need no wire.
import { type FailureClass, type ObjectHead, type Store, StoreError } from '../../src/upload/store.ts';

export function failure(kind: FailureClass, code = 'Code'): StoreError {
  return new StoreError(kind, code, `the store answered ${code}`, 'do something');
}

/** Calls that a test doesn't give throw. */
export function scriptStore(calls: Partial<Store>): Store {
  const missing = (name: string) => () => {
    throw new Error(`unexpected call: ${name}`);
  };
  return {
    put: missing('put'),
    putParts: missing('putParts'),
    head: missing('head'),
    get: missing('get'),
    presign: missing('presign'),
    list: missing('list'),
    abortUpload: missing('abortUpload'),
    close: () => {},
    ...calls,
  };
}

export function headOf(size: number, sha256?: string): ObjectHead {
  return { size, etag: '"e"', metadata: sha256 === undefined ? {} : { sha256 }, contentType: 'image/png' };
}
