// Runs R2_ON_STORED for each file that this pod stored: a few at a time, none for long, and never in the way of uploads.
// At most once for each: what waits when the agent ends isn't made up for.
import type { Clock } from '../clock.ts';
import type { Log } from '../log.ts';
import { printable } from '../paths.ts';
import { number } from '../status/words.ts';
import type { StoredFact } from './fact.ts';
import { type HookResult, runHook } from './hook-process.ts';

export interface HooksOptions {
  command: readonly string[];
  seconds: number;
  bucket: string;
  clock: Clock;
  log: Log;
  count: (result: HookResult['is'] | 'dropped') => void;
}

const AT_ONCE = 2;
const MOST_WAITING = 1000;
/** Killed processes are waited for so long. */
const KILL_MS = 1000;
/** How long it is shown that some were left out. */
const SHOW_DROPPED_MS = 10 * 60_000;

export class Hooks {
  readonly #options: HooksOptions;
  readonly #waiting: StoredFact[] = [];
  readonly #stop = new AbortController();
  readonly #running = new Set<Promise<void>>();
  #dropped = 0;
  #droppedAt = Number.NEGATIVE_INFINITY;

  constructor(options: HooksOptions) {
    this.#options = options;
  }

  /** For people; undefined while it keeps up. */
  get trouble(): string | undefined {
    if (this.#options.clock.monotonic() - this.#droppedAt > SHOW_DROPPED_MS) return undefined;
    const runs = this.#dropped === 1 ? 'run was' : 'runs were';
    return `The program of R2_ON_STORED is slower than files are stored: ${number(this.#dropped)} ${runs} left out. The files are in the bucket. Make it faster, or let it note the files and work through them later.`;
  }

  /** Returns at once. */
  run(fact: StoredFact): void {
    if (this.#stop.signal.aborted || this.#waiting.length >= MOST_WAITING) this.#drop(1);
    else this.#waiting.push(fact);
    this.#next();
  }

  /** Lets what waits and what runs go on until `deadline` (monotonic ms), then ends it. */
  async finish(deadline: number): Promise<void> {
    const { clock } = this.#options;
    while (this.#running.size > 0 && clock.monotonic() < deadline)
      await Promise.race([...this.#running, clock.sleep(deadline - clock.monotonic())]);
    this.#stop.abort();
    this.#drop(this.#waiting.splice(0).length);
    // One that waits for a volume that hangs can't even be killed.
    await Promise.race([Promise.all(this.#running), clock.sleep(KILL_MS)]);
  }

  #next(): void {
    while (this.#running.size < AT_ONCE && !this.#stop.signal.aborted) {
      const fact = this.#waiting.shift();
      if (!fact) return;
      const run = this.#runOne(fact).finally(() => {
        this.#running.delete(run);
        this.#next();
      });
      this.#running.add(run);
    }
  }

  async #runOne(fact: StoredFact): Promise<void> {
    const { command, seconds, bucket, log, count } = this.#options;
    const { is, problem } = await runHook(command, fact, { bucket, seconds, stop: this.#stop.signal });
    count(is);
    const path = printable(fact.path);
    if (is === 'done') log.debug({ path }, `R2_ON_STORED has run for ${path}`);
    else log.warn({ path, result: is }, `R2_ON_STORED ${problem} (for ${path}, which is in the bucket)`);
  }

  #drop(runs: number): void {
    const { clock, log, count } = this.#options;
    if (runs === 0) return;
    if (this.#stop.signal.aborted) log.warn(`R2_ON_STORED isn't run for ${number(runs)} more, as the agent stops`);
    else {
      if (this.trouble === undefined) log.warn("R2_ON_STORED can't keep up: runs are left out");
      this.#dropped += runs;
      this.#droppedAt = clock.monotonic();
    }
    for (let run = 0; run < runs; run += 1) count('dropped');
  }
}
