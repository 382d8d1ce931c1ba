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

/**
 * All objects below the prefixes with their facts, in the order of their keys, but those that `r2-sync probe` left.
 * What goes while this runs is left out. Throws StoreError where the store refuses, or doesn't answer for long.
 */
export async function* takeInventory(options: InventoryOptions): AsyncGenerator<BucketObject> {
  const { store, prefixes, isWanted = () => true, signal, patience = PATIENCE } = options;
  const wanted = async function* () {
    for await (const object of listObjects(store, prefixes, signal)) if (isWanted(object)) yield object;
  };
  const ask = async ({ key, size, modifiedAt }: ListedObject): Promise<BucketObject | undefined> => {
    try {
      const head = await patiently(() => store.head(key, signal), patience, signal);
      if (!head || isProbe(key, head.metadata)) return undefined;
      return { key, size: head.size, modifiedAt, ...readMetadata(head.metadata) };
    } catch (error) {
      const isItsOwn = error instanceof StoreError && !['transient', 'refused', 'aborted'].includes(error.failure);
      if (!isItsOwn) throw error;
      return { key, size, modifiedAt, ...readMetadata({}), rejected: error.message };
    }
  };
  for await (const object of mapParallel(wanted(), HEADS_AT_ONCE, ask)) if (object) yield object;
}
