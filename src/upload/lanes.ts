// The order of uploads. Three lanes by size, so that a video of gigabytes never stands before a picture; within a lane
// newest first, because that is the one somebody is waiting for, and every fourth turn takes the oldest, so that
// nothing waits for ever.
import PQueue, { type Queue, type QueueAddOptions } from 'p-queue';

type Run = () => Promise<unknown>;
type Options = QueueAddOptions & { priority?: number };

/** Upper size of each lane in bytes; small files are read into memory whole. */
export const SMALL_BYTES = 8 * 2 ** 20;
const MEDIUM_BYTES = 256 * 2 ** 20;

/** A queue for p-queue: `priority` is the file's age key (bigger is newer). */
class NewestFirst implements Queue<Run, Options> {
  /** Ascending by priority. */
  readonly #items: { priority: number; run: Run }[] = [];
  #turn = 0;

  get size(): number {
    return this.#items.length;
  }

  enqueue(run: Run, options?: Partial<Options>): void {
    const priority = options?.priority ?? 0;
    let low = 0;
    let high = this.#items.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#items[middle]!.priority <= priority) low = middle + 1;
      else high = middle;
    }
    this.#items.splice(low, 0, { priority, run });
  }

  dequeue(): Run | undefined {
    this.#turn = (this.#turn + 1) % 4;
    return (this.#turn === 0 ? this.#items.shift() : this.#items.pop())?.run;
  }

  filter(options: Readonly<Partial<Options>>): Run[] {
    return this.#items.filter(({ priority }) => priority === options.priority).map(({ run }) => run);
  }

  // p-queue's interface has these for tasks with an id; ours have none.
  setPriority(): void {}
  remove(): void {}
}

export class Lanes {
  readonly #small: PQueue<NewestFirst, Options>;
  readonly #medium = new PQueue<NewestFirst, Options>({ concurrency: 1, queueClass: NewestFirst });
  readonly #large = new PQueue<NewestFirst, Options>({ concurrency: 1, queueClass: NewestFirst });

  /** @param concurrency small files at a time (R2_CONCURRENCY) */
  constructor(concurrency: number) {
    this.#small = new PQueue({ concurrency, queueClass: NewestFirst });
  }

  /** Runs `job` when the turn of a file of `size` bytes and of this mtime comes. The job must not reject. */
  add(size: number, mtimeNs: bigint, job: Run): void {
    const lane = size <= SMALL_BYTES ? this.#small : size <= MEDIUM_BYTES ? this.#medium : this.#large;
    void lane.add(job, { priority: Number(mtimeNs / 1_000_000n) });
  }

  pause(): void {
    for (const lane of this.#all()) lane.pause();
  }

  resume(): void {
    for (const lane of this.#all()) lane.start();
  }

  /** Forgets what hasn't begun. */
  clear(): void {
    for (const lane of this.#all()) lane.clear();
  }

  #all(): PQueue<NewestFirst, Options>[] {
    return [this.#small, this.#medium, this.#large];
  }
}
