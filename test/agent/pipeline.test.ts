// Memory that a socket may still be reading isn't used for the next file: its bytes would go out under a wrong name.
import { beforeEach, expect, test } from 'vitest';
import { BufferPool } from '../../src/agent/buffers.ts';
import { PendingTable } from '../../src/agent/pending.ts';
import { unconditional } from '../../src/agent/permit.ts';
import { type Outcome, Pipeline, type PipelineOptions } from '../../src/agent/pipeline.ts';
import { LedgerIndex } from '../../src/ledger/index.ts';
import type { Store } from '../../src/upload/store.ts';
import type { Volume } from '../../src/volume/volume.ts';
import { createFakeClock } from '../support/fake-clock.ts';
import { failure, headOf, scriptStore } from '../upload/script-store.ts';

const SIZE = 1000;
const SHA256 = 'ab'.repeat(32);

let pool: BufferPool;
/** What the file was read into. */
let used: ArrayBuffer | undefined;

beforeEach(() => {
  pool = new BufferPool(createFakeClock(), 4);
  used = undefined;
});

/** One small file, read by a volume that hands the same memory back, on its way to this store. */
function process(calls: Partial<Store>, signal = new AbortController().signal): Promise<Outcome> {
  const clock = createFakeClock();
  const volume = {
    ask: async (_: 'read', { buffer }: { buffer: ArrayBuffer }) => {
      used = buffer;
      return { is: 'read', verdict: 'whole', sha256: SHA256, buffer };
    },
  } as unknown as Volume;
  const pipeline = new Pipeline({
    config: { keyTemplate: '{path}-{hash}', timezone: 'UTC', quietSeconds: 0 },
    clock,
    source: { root: '/output', volume, buffers: pool },
    store: scriptStore({ head: async () => headOf(SIZE, SHA256), ...calls }),
    ledger: { index: new LedgerIndex(), trouble: undefined },
    bandwidth: { take: async () => {} },
    pod: 'pod',
    version: '1.2.3',
    onRetry: () => {},
  } as unknown as PipelineOptions);
  const file = new PendingTable(clock).add('a.png');
  const identity = { dev: 1n, ino: 2n, size: SIZE, mtimeNs: 3n, ctimeNs: 4n };
  return pipeline.process(file, { identity, writers: 'none' }, { ...unconditional, contested: false }, signal);
}

/** Whether the next file would get the memory of this one. */
function isGivenBack(): boolean {
  expect(used).toBeDefined();
  return pool.take(SIZE) === used;
}

/** A put that answers with each of these in turn. */
function answers(...errors: (Error | undefined)[]): Pick<Store, 'put'> {
  return {
    put: async () => {
      const error = errors.shift();
      if (error) throw error;
      return { etag: '"e"' };
    },
  };
}

test('a body that was taken whole is memory for the next file', async () => {
  expect(await process(answers(undefined))).toMatchObject({ kind: 'stored', already: false });
  expect(isGivenBack()).toBe(true);
});

test('not after an early 412, though the object is there', async () => {
  expect(await process(answers(failure('exists')))).toMatchObject({ kind: 'stored', already: true });
  expect(isGivenBack()).toBe(false);
});

test('not after a failed attempt, though the next one went through', async () => {
  const outcome = await process(answers(failure('transient'), undefined));
  expect(outcome).toMatchObject({ kind: 'stored', already: false });
  expect(isGivenBack()).toBe(false);
});

test.each(['refused', 'park', 'changed', 'aborted'] as const)('not after a failure (%s)', async (kind) => {
  expect(await process(answers(failure(kind)))).toMatchObject({ kind: 'failed' });
  expect(isGivenBack()).toBe(false);
});

test('a file that is stopped before anything was sent gives its memory back', async () => {
  const put = () => expect.unreachable();
  expect(await process({ put }, AbortSignal.abort())).toMatchObject({ kind: 'failed' });
  expect(isGivenBack()).toBe(true);
});
