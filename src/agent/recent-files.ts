// What was stored last, from the ledger: so that a start doesn't leave the page without its pictures.
import type { LedgerFact } from '../ledger/ledger.ts';
import { percentEncode, printable } from '../paths.ts';
import type { StoredFile } from '../status/snapshot.ts';

/** As many as the page shows. */
export const RECENT_FILES = 50;

/** The newest of the facts that pass by while a ledger is loaded. */
export class NewestFacts {
  #facts: LedgerFact[] = [];
  /** Wall ms: what is older isn't among the newest. */
  #since = Number.NEGATIVE_INFINITY;

  offer(fact: LedgerFact): void {
    if (fact.key === undefined || fact.storedAt < this.#since) return;
    this.#facts.push(fact);
    // Now and then, not for each of a hundred thousand.
    if (this.#facts.length >= 10 * RECENT_FILES) this.#cut();
  }

  /** Newest first. */
  list(): LedgerFact[] {
    this.#cut();
    return this.#facts;
  }

  #cut(): void {
    this.#facts = this.#facts.sort((a, b) => b.storedAt - a.storedAt).slice(0, RECENT_FILES);
    if (this.#facts.length === RECENT_FILES) this.#since = this.#facts.at(-1)!.storedAt;
  }
}

/** @param seconds from the writer's last touch to the store's confirmation; by the file's time unless it is known better */
export function storedFileOf(
  fact: LedgerFact & { key: string },
  seconds = (fact.storedAt - Number(fact.mtimeNs / 1_000_000n)) / 1000,
): StoredFile {
  const { path, key, sha256, incomplete, size, storedAt } = fact;
  return {
    path: printable(path),
    encodedPath: percentEncode(path),
    key,
    sha256,
    incomplete,
    bytes: size,
    seconds: Math.max(0, seconds),
    at: new Date(storedAt).toISOString(),
  };
}
