// What is in the bucket, and what it says about itself: a LIST names the objects, a HEAD each tells where they came from.
// Whoever may write to the bucket may have written any of it, so a name is believed only where it leads to an output.

import { type ReadMetadata, readMetadata } from '../object/metadata.ts';
import { isProbe } from '../object/probe.ts';
import { folderPrefix } from '../upload/existing.ts';
import { type ListedObject, type Store, StoreError } from '../upload/store.ts';
import { mapParallel } from './parallel.ts';
import { PATIENCE, type Patience, patiently } from './patience.ts';

/** An object with its facts. `path` is undefined where it has none that can be believed; then `rejected` may say why. */
export interface BucketObject extends ReadMetadata {
  key: string;
  /** Bytes. */
  size: number;
  /** When the store got it, wall ms. */
  modifiedAt: number;
}

export interface InventoryOptions {
  store: Store;
  /** From `prefixesOf`. */
  prefixes: readonly string[];
  /** Which of the listed objects are worth a HEAD. Default: all. */
  isWanted?: (object: ListedObject) => boolean;
  signal?: AbortSignal;
  patience?: Patience;
}

const HEADS_AT_ONCE = 32;

/**
 * The prefixes below which all keys of these folders lie (no folders: all keys of the template). None is part of another.
 * Other folders' keys may lie there as well, for not every folder's name can be part of a prefix.
 */
export function prefixesOf(keyTemplate: string, folders: readonly string[] = []): string[] {
  const all =
    folders.length === 0 ? [folderPrefix(keyTemplate, '.')] : folders.map((at) => folderPrefix(keyTemplate, at));
  const sorted = [...new Set(all)].sort();
  return sorted.filter((prefix) => !sorted.some((other) => other !== prefix && prefix.startsWith(other)));
}

/** All objects below the prefixes, one request for a thousand names. Throws StoreError. */
export async function* listObjects(
  store: Store,
  prefixes: readonly string[],
  signal?: AbortSignal,
): AsyncGenerator<ListedObject> {
  for (const prefix of prefixes) yield* store.list(prefix, signal);
}

/** Statuses of 4xx that are about us, not about the one object that was asked for; and 403, which may be either. */
const ABOUT_US: ReadonlySet<number> = new Set([401, 403, 408, 429]);

const GONE = "the bucket lists it, but answers that it isn't there: it may have been deleted meanwhile";
const ODD_KEY = 'its key holds “.” or “..” as a name: such an object is not asked for';

/** What asking for one object gave. */
interface Answer {
  /** Undefined where it is none of ours. */
  object: BucketObject | undefined;
  /** The store's 403: about this object, or about us. */
  refusal?: StoreError;
}

/**
 * All objects below the prefixes with their facts, in the order of their keys, but those that `r2-sync probe` left. What
 * the store doesn't tell the facts of is rejected with its reason; those that it refuses come last, for only where others
 * are given is that about them. Throws StoreError where the store refuses all, or doesn't answer for long.
 */
export async function* takeInventory(options: InventoryOptions): AsyncGenerator<BucketObject> {
  const { store, prefixes, isWanted = () => true, signal, patience = PATIENCE } = options;
  const wanted = async function* () {
    for await (const object of listObjects(store, prefixes, signal)) if (isWanted(object)) yield object;
  };
  let isLetIn = false;
  const ask = async ({ key, size, modifiedAt }: ListedObject): Promise<Answer> => {
    const reject = (rejected: string) => ({ key, size, modifiedAt, ...readMetadata({}), rejected });
    // On the way such a key becomes another one.
    if (key.split('/').some((name) => name === '.' || name === '..')) return { object: reject(ODD_KEY) };
    try {
      const head = await patiently(() => store.head(key, signal).catch(ownFailure), patience, signal);
      if (typeof head === 'string') return { object: reject(head) };
      if (!head) return { object: reject(GONE) };
      isLetIn = true;
      if (isProbe(key, head.metadata)) return { object: undefined };
      return { object: { key, size: head.size, modifiedAt, ...readMetadata(head.metadata) } };
    } catch (error) {
      if (!(error instanceof StoreError && error.status === 403)) throw error;
      return { object: reject(error.message), refusal: error };
    }
  };
  const refused: { object: BucketObject; refusal: StoreError }[] = [];
  for await (const { object, refusal } of mapParallel(wanted(), HEADS_AT_ONCE, ask)) {
    if (object && refusal) refused.push({ object, refusal });
    else if (object) yield object;
    if (!isLetIn && refused.length >= HEADS_AT_ONCE) break;
  }
  if (!isLetIn && refused[0]) throw refused[0].refusal;
  for (const { object } of refused) yield object;
}

/** Why the store gives nothing of this one object, which asking again doesn't change. Throws what is about more than it. */
function ownFailure(error: unknown): string {
  const { status = 0, failure, message } = error instanceof StoreError ? error : ({} as Partial<StoreError>);
  const isAboutIt = (status >= 400 && status < 500 && !ABOUT_US.has(status)) || failure === 'park';
  if (message === undefined || !isAboutIt) throw error;
  return message;
}
