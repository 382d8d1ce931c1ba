// A backlog of files older than the agent (a first start on an old volume, a lost ledger) is compared with one LIST of
// its folder instead of being sent and refused file by file.
import type { Log } from '../log.ts';
import type { Store } from './store.ts';

/** A LIST isn't worth it for fewer files. */
const WORTH_A_LIST = 20;
/** Objects that are kept in mind; beyond, the conditional PUT decides. */
const MOST_OBJECTS = 500_000;

export interface ExistingObjectsOptions {
  store: Store;
  log: Log;
  keyTemplate: string;
  /** How many files of the folder are older than the agent and not in the ledger. */
  backlogOf: (folder: string) => number;
}

export class ExistingObjects {
  readonly #options: ExistingObjectsOptions;
  /** By prefix: folders whose names can't be part of a prefix share one. */
  readonly #listings = new Map<string, Promise<ReadonlyMap<string, number>>>();
  readonly #worthIt = new Map<string, boolean>();
  #objects = 0;

  constructor(options: ExistingObjectsOptions) {
    this.#options = options;
  }

  /** Whether the bucket has this key with this size, by a LIST made since the backlog began. False proves nothing. */
  async has(folder: string, key: string, size: number, signal: AbortSignal): Promise<boolean> {
    const worthIt = this.#worthIt.get(folder) ?? this.#options.backlogOf(folder) >= WORTH_A_LIST;
    this.#worthIt.set(folder, worthIt);
    if (!worthIt) return false;
    const prefix = folderPrefix(this.#options.keyTemplate, folder);
    let listing = this.#listings.get(prefix);
    if (!listing) {
      listing = this.#list(prefix, signal);
      this.#listings.set(prefix, listing);
    }
    return (await listing).get(key) === size;
  }

  /** Forgets the listings: the backlog is done. */
  clear(): void {
    this.#listings.clear();
    this.#worthIt.clear();
    this.#objects = 0;
  }

  async #list(prefix: string, signal: AbortSignal): Promise<ReadonlyMap<string, number>> {
    const { store, log } = this.#options;
    const found = new Map<string, number>();
    try {
      for await (const { key, size } of store.list(prefix, signal)) {
        found.set(key, size);
        this.#objects += 1;
        if (this.#objects >= MOST_OBJECTS) break;
      }
    } catch (error) {
      // A token that may not LIST is a good token: the conditional PUT decides file by file.
      log.debug({ prefix, error }, 'LIST failed; files older than the agent are sent and compared one by one');
    }
    return found;
  }
}

/** The longest prefix that all keys of a folder surely have. */
export function folderPrefix(keyTemplate: string, folder: string): string {
  const literal = keyTemplate.slice(0, keyTemplate.indexOf('{'));
  const plain = /^[\w .-]{1,60}$/.test(folder) && folder !== '.';
  return plain && keyTemplate.startsWith(`${literal}{path}/`) ? `${literal}${folder}/` : literal;
}
