// The bytes of objects, read back and hashed: a few at a time, each again where the connection breaks.
import { createHash } from 'node:crypto';
import PQueue from 'p-queue';
import { readMetadata } from '../object/metadata.ts';
import { type Store, StoreError } from '../upload/store.ts';
import type { ForeignObject, Progress, ReadBack } from './findings.ts';
import { PATIENCE, patiently } from './patience.ts';
import type { RecordedObject } from './recorded-rows.ts';

const READS_AT_ONCE = 8;

/**
 * Reads objects and marks those of the ledger that don't hold what it says. Gives those of the others that aren't what
 * their own metadata says, or of which nobody can tell. Throws StoreError where the store refuses.
 */
export async function readBack(
  { store, onProgress }: { store: Store; onProgress: (progress: Progress) => void },
  recorded: readonly RecordedObject[],
  foreign: readonly ForeignObject[],
): Promise<ReadBack> {
  const others: ReadBack = { damaged: [], unread: [], unhashed: [] };
  const totalBytes = [...recorded, ...foreign].reduce((sum, { size }) => sum + size, 0);
  const total = recorded.length + foreign.length;
  const queue = new PQueue({ concurrency: READS_AT_ONCE });
  let bytes = 0;
  let done = 0;
  let refusal: unknown;
  const onRead = (read: number) => {
    bytes += read;
    onProgress({ what: 'reading the bucket', done, total, bytes, totalBytes });
  };
  const hash = async (key: string, expected: string | undefined) => {
    try {
      return await hashObject(store, key, expected, onRead);
    } catch (error) {
      if (error instanceof StoreError && error.failure === 'refused') refusal = error;
      return 'unread';
    } finally {
      done += 1;
    }
  };
  const add = async (work: () => Promise<void>) => {
    await queue.onSizeLessThan(READS_AT_ONCE);
    if (refusal === undefined) void queue.add(work);
  };
  for (const object of recorded) {
    await add(async () => {
      const found = await hash(object.key, object.sha256);
      if (found === 'gone') object.bucket = 'missing';
      else if (found !== 'right') object.bucket = found === 'wrong' ? 'bytes' : 'unread';
    });
  }
  for (const object of foreign) {
    await add(async () => {
      const found = await hash(object.key, undefined);
      if (found === 'wrong') others.damaged.push(object);
      else if (found === 'unread' || found === 'unhashed') others[found].push(object);
    });
  }
  await queue.onIdle();
  if (refusal !== undefined) throw refusal;
  return others;
}

/** @param expected hex; undefined: what its metadata says */
async function hashObject(
  store: Store,
  key: string,
  expected: string | undefined,
  onRead: (bytes: number) => void,
): Promise<'right' | 'wrong' | 'gone' | 'unhashed'> {
  const attempt = async () => {
    const reply = await store.get(key);
    if (!reply) return 'gone';
    const wanted = expected ?? readMetadata(reply.metadata).sha256;
    const digest = createHash('sha256');
    for await (const chunk of reply.body) {
      // To stop here drops the connection.
      if (wanted === undefined) break;
      digest.update(chunk);
      onRead(chunk.length);
    }
    if (wanted === undefined) return 'unhashed';
    return digest.digest('hex') === wanted ? 'right' : 'wrong';
  };
  return await patiently(attempt, PATIENCE);
}
