// Several pods and one board, all in memory: what alerts.ts decides is carried out at once, one look after the other.
import {
  type AlertEvent,
  type Alerts,
  alertTiming,
  type Board,
  type BoardEntry,
  type Claim,
  claimName,
  decide,
  type Effect,
  noAlerts,
  type Purpose,
  seenName,
} from '../../src/notify/alerts.ts';
import { type Cause, type Condition, makeCause } from '../../src/notify/condition.ts';

export const HOLD = 60_000;
const LOOK = 5000;
export const timing = alertTiming(HOLD, LOOK);

export const refused = makeCause('store', 'failing', 'AccessDenied key1', 'The store refuses us.');
export const volumeFull = makeCause('trouble', 'degraded', 'full', 'The volume is full.');
export const parked = (files: number) =>
  makeCause('parked', 'parked', 'alice\ntoo long', 'The name is too long.', files);

export function conditionOf(causes: readonly Cause[], change: Partial<Condition> = {}): Condition {
  return {
    state: 'ok',
    reasons: [],
    causes,
    folders: [],
    counts: { pending: 0, parked: 0 },
    seesAll: true,
    storeOpen: !causes.some(({ kind }) => kind === 'store'),
    confirmations: 0,
    ...change,
  };
}

export class World {
  now = 0;
  readonly sent: { pod: string; purpose: Purpose; texts: string[] }[] = [];
  readonly pods: Pod[] = [];
  /** Names on the board, with their beats; notes of what was told. */
  readonly files = new Map<string, number>();
  readonly notes = new Map<string, Cause>();

  pod(name: string): Pod {
    const pod = new Pod(this, name);
    this.pods.push(pod);
    return pod;
  }

  /** Everybody who lives looks, every few seconds, for so long. */
  pass(ms: number): void {
    for (const end = this.now + ms; this.now < end; this.now += LOOK) {
      for (const pod of this.pods) if (pod.alive) pod.look();
    }
  }

  told(purpose: Purpose): string[] {
    return this.sent.filter((message) => message.purpose === purpose).flatMap(({ texts }) => texts);
  }
}

export class Pod {
  alive = true;
  /** Whether messages of this pod arrive; 'never' neither arrives nor fails: it is on its way. */
  delivers: boolean | 'never' = true;
  causes: readonly Cause[] = [];
  change: Partial<Condition> = {};
  hasBoard = true;
  #alerts: Alerts = noAlerts;
  #counter = 0;
  readonly #world: World;
  readonly name: string;

  constructor(world: World, name: string) {
    this.#world = world;
    this.name = name;
  }

  look(): void {
    const board = this.hasBoard ? this.#readBoard() : new Map();
    const condition = conditionOf(this.causes, this.change);
    this.#apply({ kind: 'look', now: this.#world.now, condition, board, complete: this.hasBoard });
  }

  /** What a crash leaves: the board, and a new process that knows nothing. */
  restart(): void {
    this.#alerts = noAlerts;
    this.alive = true;
  }

  #apply(event: AlertEvent): void {
    const { alerts, effects } = decide(this.#alerts, event, timing);
    this.#alerts = alerts;
    const asked: Claim[] = [];
    const won: Claim[] = [];
    for (const effect of effects) {
      if (effect.do !== 'claim') this.#carryOut(effect);
      else {
        asked.push(effect.claim);
        const name = claimName(effect.claim);
        if (this.hasBoard && this.#world.files.has(name)) continue;
        won.push(effect.claim);
        if (this.hasBoard) this.#beat(name);
      }
    }
    if (asked.length > 0) this.#apply({ kind: 'claimed', now: this.#world.now, asked, won });
  }

  #carryOut(effect: Exclude<Effect, { do: 'claim' }>): void {
    const { files, notes, sent, now } = this.#world;
    if (effect.do === 'send') {
      if (this.delivers === 'never') return;
      if (this.delivers)
        sent.push({ pod: this.name, purpose: effect.purpose, texts: effect.causes.map(({ text }) => text) });
      this.#apply({ kind: 'sent', now, claims: effect.claims, delivered: this.delivers });
    }
    if (!this.hasBoard) return;
    if (effect.do === 'see') this.#beat(seenName(effect.id, this.name));
    if (effect.do === 'beat') this.#beat(claimName(effect.claim));
    if (effect.do === 'mark') notes.set(effect.cause.id, effect.cause);
    if (effect.do === 'leave') files.delete(seenName(effect.id, this.name));
    if (effect.do === 'clear') {
      notes.delete(effect.id);
      for (const name of [...files.keys()]) if (name.startsWith(effect.id)) files.delete(name);
    }
  }

  #beat(name: string): void {
    this.#counter += 1;
    this.#world.files.set(name, this.#counter);
  }

  #readBoard(): Board {
    const board = new Map<string, { -readonly [K in keyof BoardEntry]: BoardEntry[K] }>();
    const entryOf = (id: string) => {
      const entry = board.get(id) ?? { told: undefined, claims: {}, others: [] };
      board.set(id, entry);
      return entry;
    };
    for (const [id, cause] of this.#world.notes) entryOf(id).told = cause;
    for (const [name, beat] of this.#world.files) {
      const [id, kind, last] = name.split('.') as [string, string, string];
      const entry = entryOf(id);
      if (kind === 'seen' && last !== this.name) entry.others = [...entry.others, { member: last, beat: String(beat) }];
      if ((kind === 'tell' || kind === 'over') && Number(last) > (entry.claims[kind]?.n ?? 0))
        entry.claims[kind] = { n: Number(last), beat: String(beat) };
    }
    return board;
  }
}
