// Delivers messages one after the other, tries again, and never lets them become a flood. Whoever sends doesn't wait.
import type { Clock } from '../clock.ts';
import type { Log } from '../log.ts';
import type { Message } from './message.ts';
import type { Outcome } from './post.ts';

export type Result = 'delivered' | 'failed' | 'left_out';

export interface OutboxOptions {
  clock: Clock;
  log: Log;
  /** Where messages go, for people: no more than a host. */
  where: string;
  post: (message: Message, signal: AbortSignal) => Promise<Outcome>;
  /** Says how many were left out, and how things are now. */
  summary: (leftOut: number) => Message;
  count: (result: Result) => void;
}

/** More than this in that time, and the rest is told by one message. A digest comes at its own pace. */
const LIMIT = { messages: 10, ms: 10 * 60_000 };
const UNLIMITED: ReadonlySet<Message['event']> = new Set(['digest', 'left-out', 'test']);
/** More can't wait. */
const MOST_WAITING = 20;
const ATTEMPTS = 10;
const BACK_OFF = { first: 1000, last: 5 * 60_000 };

interface Waiting {
  message: Message;
  done: (result: Result) => void;
}

export class Outbox {
  readonly #options: OutboxOptions;
  readonly #waiting: Waiting[] = [];
  /** Monotonic ms of the messages that count. */
  #taken: number[] = [];
  #leftOut = 0;
  #working: Promise<void> | undefined;
  /** The end is near: one attempt each, no waiting. */
  readonly #hurry = new AbortController();
  readonly #stop = new AbortController();
  #trouble: string | undefined;

  constructor(options: OutboxOptions) {
    this.#options = options;
  }

  /** Why messages don't arrive, for people; undefined while they do. */
  get trouble(): string | undefined {
    if (this.#trouble === undefined) return undefined;
    return `Messages to ${this.#options.where} (R2_WEBHOOK_URL) don't arrive: it ${this.#trouble}. Uploads go on. Try it with: r2-sync notify`;
  }

  /** Resolves with what came of it, which may take an hour; never rejects. Left out counts as told: a summary follows. */
  send(message: Message): Promise<Result> {
    const { clock, count } = this.#options;
    const finish = (result: Result): Result => {
      count(result);
      return result;
    };
    const now = clock.monotonic();
    if (!UNLIMITED.has(message.event)) {
      this.#taken = this.#taken.filter((at) => now - at < LIMIT.ms);
      if (this.#taken.length >= LIMIT.messages) {
        this.#leaveOut(now);
        return Promise.resolve(finish('left_out'));
      }
      this.#taken.push(now);
    }
    if (this.#waiting.length >= MOST_WAITING) return Promise.resolve(finish('failed'));
    return new Promise((resolve) => {
      this.#waiting.push({ message, done: (result) => resolve(finish(result)) });
      this.#working ??= this.#work();
    });
  }

  /** Gives what waits one attempt each, for at most `ms` in all. Nothing is sent afterwards. */
  async finish(ms: number): Promise<void> {
    this.#hurry.abort();
    await Promise.race([this.#working, this.#options.clock.sleep(ms)]);
    this.#stop.abort();
  }

  #leaveOut(now: number): void {
    const { clock, summary } = this.#options;
    this.#leftOut += 1;
    if (this.#leftOut > 1) return;
    void clock.sleep(this.#taken[0]! + LIMIT.ms - now, this.#hurry.signal).then(() => {
      const told = summary(this.#leftOut);
      this.#leftOut = 0;
      if (!this.#stop.signal.aborted) void this.send(told);
    });
  }

  async #work(): Promise<void> {
    for (let next = this.#waiting[0]; next; next = this.#waiting[0]) {
      const result = this.#stop.signal.aborted ? 'failed' : await this.#deliver(next.message);
      this.#waiting.shift();
      next.done(result);
    }
    this.#working = undefined;
  }

  async #deliver(message: Message): Promise<Result> {
    const { clock, log, where, post } = this.#options;
    for (let attempt = 1; ; attempt += 1) {
      const outcome = await post(message, this.#stop.signal);
      if (outcome.is === 'delivered') {
        if (this.#trouble !== undefined) log.info(`messages to ${where} arrive again`);
        this.#trouble = undefined;
        return 'delivered';
      }
      const last = outcome.is === 'refused' || attempt >= ATTEMPTS || this.#hurry.signal.aborted;
      if (outcome.problem !== this.#trouble || last)
        log.warn(
          `a message (${message.event}) can't be delivered: ${where} ${outcome.problem}${last ? '' : '; it is tried again'}`,
        );
      this.#trouble = outcome.problem;
      if (last) return 'failed';
      const backOff = Math.min(BACK_OFF.first * 2 ** (attempt - 1), BACK_OFF.last);
      await clock.sleep(Math.max(outcome.afterMs, backOff), this.#hurry.signal);
    }
  }
}
