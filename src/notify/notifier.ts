// Looks how things are every few seconds, and carries out what alerts.ts decides.
import type { Clock } from '../clock.ts';
import type { WebhookFormat } from '../config/types.ts';
import { errorText } from '../errors.ts';
import type { Log } from '../log.ts';
import { type AlertEvent, type Alerts, alertTiming, type Claim, decide, type Effect, noAlerts } from './alerts.ts';
import type { AlertBoards } from './boards.ts';
import type { Condition } from './condition.ts';
import { Digest } from './digest.ts';
import type { StoredFact } from './fact.ts';
import { alertMessage, digestMessage, leftOutMessage, type Message, type Sender } from './message.ts';
import { Outbox, type Result } from './outbox.ts';
import { postMessage } from './post.ts';

export interface NotifierOptions {
  url: URL;
  format: WebhookFormat;
  /** How long trouble must stay before it is told, and stay away before that is: ms. */
  holdMs: number;
  /** 0: none. */
  digestMs: number;
  timezone: string;
  sender: Sender;
  boards: AlertBoards;
  clock: Clock;
  log: Log;
  /** Cheap: asked every few seconds. */
  condition: () => Condition;
  count: (result: Result) => void;
}

const LOOK_MS = 5000;
/** At the end of the agent nobody waits longer for messages. */
const FINISH_MS = 2000;
/** Signs of life at every so many looks. */
const SEE_EVERY = 4;

export class Notifier {
  readonly #options: NotifierOptions;
  readonly #outbox: Outbox;
  readonly #lookMs: number;
  readonly #digest: Digest | undefined;
  readonly #stop = new AbortController();
  #alerts: Alerts = noAlerts;
  #readAt = Number.NEGATIVE_INFINITY;
  #looks = 0;

  constructor(options: NotifierOptions) {
    const { url, format, clock, log, holdMs, digestMs, timezone, sender } = options;
    this.#options = options;
    this.#lookMs = Math.min(LOOK_MS, holdMs / 4);
    if (digestMs > 0) this.#digest = new Digest(digestMs, timezone, this.#now());
    this.#outbox = new Outbox({
      clock,
      log,
      where: url.hostname,
      post: (message, signal) => postMessage(url, format, message, { wall: clock.wall(), signal }),
      summary: (leftOut) => leftOutMessage(sender, this.#condition(), leftOut, this.#at()),
      count: options.count,
    });
  }

  /** Why messages don't arrive, for people; undefined while they do. */
  get trouble(): string | undefined {
    return this.#outbox.trouble;
  }

  noteStored(fact: StoredFact): void {
    this.#digest?.note(fact);
  }

  /** Until `finish`. */
  async run(): Promise<void> {
    const { clock } = this.#options;
    const { signal } = this.#stop;
    while (!signal.aborted) {
      await this.#look().catch((error: unknown) => this.#tellMistake(error));
      const digest = this.#digest?.take(this.#now());
      if (digest) this.#send(digestMessage(this.#options.sender, this.#condition(), digest, this.#at()));
      await clock.sleep(this.#lookMs, signal);
    }
  }

  /** Gives what waits one more attempt, for a moment. */
  async finish(): Promise<void> {
    this.#stop.abort();
    const digest = this.#digest?.take(this.#now(), true);
    if (digest) this.#send(digestMessage(this.#options.sender, this.#condition(), digest, this.#at()));
    await this.#outbox.finish(FINISH_MS);
  }

  async #look(): Promise<void> {
    const { holdMs, boards, clock } = this.#options;
    const condition = this.#condition();
    const idle = condition.causes.length === 0 && this.#alerts.tracked.size === 0;
    // What others left is looked for at ease.
    if (idle && clock.monotonic() - this.#readAt < holdMs) return;
    const seen = new Set(condition.causes.map(({ id }) => id));
    const { board, complete } = await boards.read((id) => seen.has(id));
    const now = clock.monotonic();
    this.#readAt = now;
    this.#looks += 1;
    await this.#apply({ kind: 'look', now, condition, board, complete });
  }

  async #apply(event: AlertEvent): Promise<void> {
    const { boards, holdMs, clock } = this.#options;
    const { alerts, effects } = decide(this.#alerts, event, alertTiming(holdMs, this.#lookMs));
    this.#alerts = alerts;
    const asked: Claim[] = [];
    const won: Claim[] = [];
    for (const effect of effects) {
      if (effect.do === 'claim') {
        asked.push(effect.claim);
        if (await boards.claim(effect.claim)) won.push(effect.claim);
      } else await this.#carryOut(effect);
    }
    if (asked.length > 0) await this.#apply({ kind: 'claimed', now: clock.monotonic(), asked, won });
  }

  async #carryOut(effect: Exclude<Effect, { do: 'claim' }>): Promise<void> {
    const { boards, sender } = this.#options;
    switch (effect.do) {
      case 'see':
        if (this.#looks % SEE_EVERY === 0 || this.#alerts.tracked.get(effect.id)?.told === false)
          await boards.see(effect.id);
        return;
      case 'beat':
        return boards.beat(effect.claim);
      case 'mark':
        return boards.mark(effect.cause);
      case 'leave':
        return boards.leave(effect.id);
      case 'clear':
        return boards.clear(effect.id);
      case 'send': {
        const { claims, purpose, causes } = effect;
        // Nobody waits for it: looks go on, and with them the signs of life.
        return this.#send(alertMessage(sender, this.#condition(), purpose, causes, this.#at()), claims);
      }
    }
  }

  #send(message: Message, claims: readonly Claim[] = []): void {
    const takeResult = async () => {
      const delivered = (await this.#outbox.send(message)) !== 'failed';
      if (claims.length > 0) await this.#apply({ kind: 'sent', now: this.#now().monotonic, claims, delivered });
    };
    void takeResult().catch((error: unknown) => this.#tellMistake(error));
  }

  /** That messages don't arrive can't be told by one. */
  #condition(): Condition {
    const condition = this.#options.condition();
    const { trouble } = this;
    if (trouble === undefined) return condition;
    const causes = condition.causes.filter(({ text }) => text !== trouble);
    const reasons = condition.reasons.filter((reason) => reason !== trouble);
    return {
      ...condition,
      causes,
      reasons,
      state: condition.state === 'failing' ? 'failing' : reasons.length > 0 ? 'degraded' : 'ok',
    };
  }

  /** Whatever is wrong here must not end the agent. */
  #tellMistake(error: unknown): void {
    this.#options.log.warn(`messages: something unexpected happened, uploads go on: ${errorText(error)}`);
  }

  #now(): { monotonic: number; wall: number } {
    const { clock } = this.#options;
    return { monotonic: clock.monotonic(), wall: clock.wall() };
  }

  #at(): string {
    return new Date(this.#options.clock.wall()).toISOString();
  }
}
