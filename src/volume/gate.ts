// The gate for the main thread's calls on the volume. A call on a volume that hangs never returns, and keeps one of the
// few threads that every file call and name look-up of the process needs. At most half of them can be lost here.
import type { FileHandle } from 'node:fs/promises';
import * as fs from 'node:fs/promises';
import PQueue from 'p-queue';
import type { Clock } from '../clock.ts';

/** The calls of node:fs/promises that are made on the volume. */
export type VolumeFs = Pick<
  typeof fs,
  | 'access'
  | 'chmod'
  | 'link'
  | 'lstat'
  | 'mkdir'
  | 'open'
  | 'readdir'
  | 'readFile'
  | 'readlink'
  | 'realpath'
  | 'rename'
  | 'rmdir'
  | 'stat'
  | 'statfs'
  | 'unlink'
  | 'writeFile'
>;

/** Half of UV_THREADPOOL_SIZE as main.ts sets it. */
const CALLS_AT_ONCE = 8;

/**
 * node:fs/promises for files on the volume, with at most 8 calls under way at a time. A process needs exactly one: two
 * could lose all threads between them.
 */
export class VolumeGate {
  /**
   * Each call waits for its turn, however long, and then gives what node:fs/promises gives. So does every method of a
   * FileHandle that was opened here, which is why such a handle makes no streams.
   */
  readonly fs: VolumeFs;
  readonly #clock: Clock;
  readonly #queue = new PQueue({ concurrency: CALLS_AT_ONCE });
  /** When each call under way began (monotonic ms), the oldest first. */
  readonly #underWay = new Set<{ since: number }>();
  /** When a call last returned: monotonic ms. */
  #answeredAt = Number.NEGATIVE_INFINITY;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.fs = gated<VolumeFs>(fs, (work) => this.#queue.add(() => this.#call(work)));
  }

  /** Milliseconds that the oldest call under way has been waiting for the volume; 0 while none is. */
  overdueMs(): number {
    const [oldest] = this.#underWay;
    return oldest ? this.#clock.monotonic() - oldest.since : 0;
  }

  /** The same for who must not hold up the others: at most so many of its calls wait or are under way at a time. */
  share(calls: number): VolumeFs {
    const queue = new PQueue({ concurrency: calls });
    return gated(this.fs, (work) => queue.add(work));
  }

  /**
   * Milliseconds for which calls have been under way and none has returned; 0 while none is. Less than `overdueMs` where
   * one file alone doesn't answer: MooseFS keeps a read waiting for half a minute that comes as its file is made.
   */
  silentMs(): number {
    return Math.min(this.overdueMs(), this.#clock.monotonic() - this.#answeredAt);
  }

  async #call(work: () => unknown): Promise<unknown> {
    const call = { since: this.#clock.monotonic() };
    this.#underWay.add(call);
    try {
      return await work();
    } finally {
      this.#underWay.delete(call);
      this.#answeredAt = this.#clock.monotonic();
    }
  }
}

/** Each call of the target, and of the files that it opens, is left to `run`. */
function gated<T extends object>(target: T, run: (work: () => unknown) => Promise<unknown>): T {
  return new Proxy(target, {
    get: (_, name) => {
      const value: unknown = Reflect.get(target, name);
      if (typeof value !== 'function') return value;
      return async (...args: unknown[]) => {
        const result = await run(() => value.apply(target, args));
        return name === 'open' ? gated(result as FileHandle, run) : result;
      };
    },
  });
}
