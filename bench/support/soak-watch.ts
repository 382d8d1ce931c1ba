// What became of the soak's files, told by the store alone.
import type { SoakWriter } from './soak-writer.ts';
import type { DoubleStore } from './store.ts';

/** Follows the store's log, a piece at a time: asking for all of it each minute would itself grow with the hours. */
export class StoreWatch {
  readonly #store: DoubleStore;
  readonly #writer: SoakWriter;
  readonly #made = new Map<string, number>();
  #from = 0;
  #torn = 0;

  constructor(store: DoubleStore, writer: SoakWriter) {
    this.#store = store;
    this.#writer = writer;
  }

  /** What is new since the last call: requests, and milliseconds from close to stored; and how many files are on their way. */
  async read(): Promise<{ requests: number; delays: number[]; waiting: number }> {
    const fresh = await this.#store.requests(this.#from);
    this.#from += fresh.length;
    const delays: number[] = [];
    for (const { operation, status, key, at, bytes } of fresh) {
      if (status !== 200 || (operation !== 'PutObject' && operation !== 'CompleteMultipartUpload')) continue;
      this.#made.set(key, (this.#made.get(key) ?? 0) + 1);
      const file = this.#writer.take(key);
      if (file === undefined) continue;
      delays.push(at - file.closedAt);
      if (operation === 'PutObject' && bytes !== file.size) this.#torn += 1;
    }
    return { requests: fresh.length, delays, waiting: this.#writer.waiting };
  }

  verdict(): { lost: number; twice: number; torn: number } {
    const twice = [...this.#made.values()].reduce((sum, times) => sum + times - 1, 0);
    return { lost: this.#writer.waiting, twice, torn: this.#torn };
  }
}
