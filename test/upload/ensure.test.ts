// Invariants 1 and 4 where they are decided: what counts as stored, and what is never overwritten.
import { describe, expect, test } from 'vitest';
import { type EnsureRequest, ensureStored } from '../../src/upload/ensure.ts';
import { type ObjectHead, StoreError } from '../../src/upload/store.ts';
import { failure, headOf } from './script-store.ts';

const same = headOf(10, 'abc');
const other = headOf(10, 'def');

type Step = 'ok' | StoreError;

/** `sends` and `heads` are answered in turn; what is asked for beyond fails the test. */
function script(
  sends: Step[],
  heads: (ObjectHead | undefined | StoreError)[] = [],
  change: Partial<EnsureRequest> = {},
) {
  const asked: string[] = [];
  const retries: StoreError[] = [];
  const request: EnsureRequest = {
    head: async (key) => {
      asked.push(`HEAD ${key}`);
      if (heads.length === 0) throw new Error(`unexpected HEAD ${key}`);
      const head = heads.shift();
      if (head instanceof StoreError) throw head;
      return head;
    },
    size: 10,
    sha256: 'abc',
    keyFor: (wide) => (wide ? 'wide' : 'key'),
    send: async (key) => {
      asked.push(`PUT ${key}`);
      const step = sends.shift();
      if (step === undefined) throw new Error(`unexpected PUT ${key}`);
      if (step !== 'ok') throw step;
      return { etag: '"e"' };
    },
    headFirst: false,
    signal: new AbortController().signal,
    onRetry: (error) => retries.push(error),
    ...change,
  };
  return { asked, retries, result: ensureStored(request) };
}

describe('ensureStored', () => {
  test('a new file is one request', async () => {
    const { result, asked } = script(['ok']);
    expect(await result).toEqual({ key: 'key', already: false });
    expect(asked).toEqual(['PUT key']);
  });

  test('a key that holds the same bytes is success: a reply of ours may have been lost', async () => {
    const { result, asked } = script([failure('exists')], [same]);
    expect(await result).toEqual({ key: 'key', already: true });
    expect(asked).toEqual(['PUT key', 'HEAD key']);
  });

  test.for<[string, ObjectHead]>([
    ['other bytes', other],
    ['another size', headOf(11, 'abc')],
    ['no hash to compare', headOf(10)],
  ])('a key that holds %s is left alone, and the full hash goes into the key', async ([, head]) => {
    const { result, asked } = script([failure('exists'), 'ok'], [head]);
    expect(await result).toEqual({ key: 'wide', already: false });
    expect(asked).toEqual(['PUT key', 'HEAD key', 'PUT wide']);
  });

  test('both keys taken: parked, with what to do', async () => {
    const { result } = script([failure('exists'), failure('exists')], [other, other]);
    await expect(result).rejects.toMatchObject({
      failure: 'park',
      code: 'KeyTaken',
      fix: expect.stringMatching(/R2_KEY_TEMPLATE/),
    });
  });

  test('a key that is taken and then is not (somebody deletes) is tried again, but not for ever', async () => {
    const again = script([failure('exists'), 'ok'], [undefined]);
    expect(await again.result).toEqual({ key: 'key', already: false });
    const forever = script(
      Array.from({ length: 4 }, () => failure('exists')),
      [undefined, undefined, undefined],
    );
    await expect(forever.result).rejects.toMatchObject({ failure: 'exists' });
  });

  test('asked to look first, it sends nothing that is there already', async () => {
    const there = script([], [same], { headFirst: true });
    expect(await there.result).toEqual({ key: 'key', already: true });
    expect(there.asked).toEqual(['HEAD key']);
    const absent = script(['ok'], [undefined], { headFirst: true });
    expect(await absent.result).toEqual({ key: 'key', already: false });
    const taken = script(['ok'], [other, undefined], { headFirst: true });
    expect(await taken.result).toEqual({ key: 'wide', already: false });
    expect(taken.asked).toEqual(['HEAD key', 'HEAD wide', 'PUT wide']);
  });

  test('a hiccup is tried again at once, twice; then the file gives its slot back', async () => {
    const hiccup = failure('transient', 'InternalError');
    const saved = script([hiccup, hiccup, 'ok']);
    expect(await saved.result).toEqual({ key: 'key', already: false });
    expect(saved.retries).toEqual([hiccup, hiccup]);
    const lost = script([hiccup, hiccup, hiccup]);
    await expect(lost.result).rejects.toBe(hiccup);
    expect(lost.asked).toHaveLength(3);
    const inHead = script([failure('exists')], [hiccup, same]);
    expect(await inHead.result).toEqual({ key: 'key', already: true });
  });

  test.for(['refused', 'park', 'changed', 'restart', 'aborted'] as const)(
    '%s is not tried again here',
    async (kind) => {
      const { result, asked, retries } = script([failure(kind)]);
      await expect(result).rejects.toMatchObject({ failure: kind });
      expect(asked).toEqual(['PUT key']);
      expect(retries).toEqual([]);
    },
  );

  test('an error that is none of the store (a file that changed) comes out as it is', async () => {
    const error = new Error('the file changed');
    const { result } = script([], [], { send: () => Promise.reject(error) });
    await expect(result).rejects.toBe(error);
  });

  test('stopped while it waits to try again, it stops', async () => {
    const stop = new AbortController();
    const { result, asked } = script([failure('transient'), 'ok'], [], {
      signal: stop.signal,
      onRetry: () => stop.abort(new Error('stopped')),
    });
    await expect(result).rejects.toThrow();
    expect(asked).toHaveLength(1);
  });
});
