// Keeps the lease of one folder: carries out what the reducer wants, one file operation at a time, and tells it what
// came of it. An operation that takes longer than a beat counts as failed, and none is begun before it has returned.
import type { Clock } from '../clock.ts';
import type { LeaseFiles } from './files.ts';
import {
  awayState,
  type Effect,
  type Instant,
  type LeaseEvent,
  type LeaseState,
  mayUpload,
  step,
  wakeAt,
} from './reducer.ts';
import type { Timing } from './timing.ts';

export type LeaseChange = Effect & { do: 'tell' };
type FileEffect = Exclude<Effect, { do: 'tell' | 'tidy' }>;

export interface KeeperOptions {
  files: Pick<LeaseFiles, 'look' | 'claim' | 'beat' | 'tidy'>;
  timing: Timing;
  clock: Clock;
  onChange: (change: LeaseChange) => void;
  /** A look was taken, and somebody else has the folder. */
  onWaiting: () => void;
  /** Why a file operation failed. */
  onError: (error: unknown) => void;
}

export class Keeper {
  readonly #options: KeeperOptions;
  #state: LeaseState = awayState;
  #busy = false;
  /** Only the last of the timers counts. Not cancelled: that costs more than one that ends in nothing. */
  #timer = 0;

  constructor(options: KeeperOptions) {
    this.#options = options;
  }

  get state(): LeaseState {
    return this.#state;
  }

  /** Whether the folder may be uploaded at this moment: computed from the clock, whatever was told. */
  mayUpload(): boolean {
    return mayUpload(this.#state, this.#now(), this.#options.timing);
  }

  send(event: LeaseEvent): void {
    const { timing, clock, onChange } = this.#options;
    const now = this.#now();
    const next = step(this.#state, event, now, timing);
    this.#state = next.state;
    for (const effect of next.effects) {
      if (effect.do === 'tell') onChange(effect);
      else if (effect.do === 'tidy') void this.#options.files.tidy(effect.below).catch(() => {});
      else void this.#run(effect);
    }
    this.#timer += 1;
    const at = wakeAt(this.#state, timing);
    if (at === undefined) return;
    const timer = this.#timer;
    void clock.sleep(Math.max(0, at - now.mono)).then(() => {
      if (timer === this.#timer) this.send({ kind: 'tick' });
    });
  }

  /** Stops without a word: others will find us silent. */
  stop(): void {
    this.#state = awayState;
    this.#timer += 1;
  }

  async #run(effect: FileEffect): Promise<void> {
    const { timing, clock, onWaiting, onError } = this.#options;
    const hung: LeaseEvent = { kind: 'failed', refused: false };
    // Never in the same turn: the event before this one isn't done with.
    await Promise.resolve();
    if (this.#busy) return this.send(hung);
    this.#busy = true;
    let replied = false;
    const reply = (event: LeaseEvent) => {
      if (replied) return;
      replied = true;
      this.send(event);
    };
    // A claim is several calls, and is won as long as it is fresh when it is seen.
    void clock.sleep(effect.do === 'link' ? timing.stop : timing.beat).then(() => reply(hung));
    const event = await this.#do(effect).catch((error: unknown): LeaseEvent => {
      onError(error);
      return { kind: 'failed', refused: true };
    });
    this.#busy = false;
    // What was given up on may have been done all the same: the next look shows it. That the volume gave it up, too (a
    // chunk that is lost), is worth knowing, and so is a sign of life: it counts from when it began.
    if (replied && (event.kind === 'failed' || event.kind === 'beaten')) this.send(event);
    reply(event);
    if (event.kind === 'seen' && event.sight.claim?.ours === false) onWaiting();
  }

  async #do(effect: FileEffect): Promise<LeaseEvent> {
    const { files, clock, timing } = this.#options;
    const begun = this.#now();
    switch (effect.do) {
      case 'look':
        // Half of what it may take in all.
        return { kind: 'seen', begun, sight: await files.look(clock.sleep(timing.beat / 2)) };
      case 'link':
        return { kind: 'linked', links: await files.claim(effect.epoch, begun.wall) };
      case 'beat': {
        const { epoch, counter } = effect;
        return { kind: 'beaten', epoch, begun, highest: await files.beat(epoch, counter, begun.wall) };
      }
      case 'leave':
        await files.beat(effect.epoch, effect.counter, begun.wall, true);
        return { kind: 'left' };
    }
  }

  #now(): Instant {
    const { clock } = this.#options;
    return { mono: clock.monotonic(), wall: clock.wall() };
  }
}
