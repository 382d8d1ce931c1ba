// The board of the volume where there is one, and this machine's own where there isn't, or where the volume doesn't
// answer: that must hold nobody up, and not keep anybody from telling.
import type { Clock } from '../clock.ts';
import type { Board, BoardEntry, Claim } from './alerts.ts';
import type { AlertBoard } from './board.ts';
import { type Cause, kindOf } from './condition.ts';

const PATIENCE_MS = 3000;

export class AlertBoards {
  readonly #shared: () => AlertBoard | undefined;
  readonly #local: AlertBoard;
  readonly #clock: Clock;
  /** Those that owe an answer: they are asked nothing more until it is there. */
  readonly #silent = new Set<AlertBoard>();

  /** @param shared undefined while there is no volume */
  constructor(shared: () => AlertBoard | undefined, local: AlertBoard, clock: Clock) {
    this.#shared = shared;
    this.#local = local;
    this.#clock = clock;
  }

  /** `complete`: no board that there is was silent. Never rejects, nor do the others. */
  async read(isSeenHere: (id: string) => boolean): Promise<{ board: Board; complete: boolean }> {
    const board = new Map<string, BoardEntry>();
    let complete = true;
    for (const each of this.#boards()) {
      const entries = await this.#ask(each, (asked) => asked.read(isSeenHere));
      complete &&= entries !== undefined;
      for (const [id, entry] of entries ?? []) board.set(id, merge(board.get(id), entry));
    }
    return { board, complete };
  }

  /** Whether it is for us to tell: where nobody can be asked, it is. */
  async claim(claim: Claim): Promise<boolean> {
    if (claim.purpose === 'tell') return (await this.#first(claim.id, (board) => board.claim(claim))) ?? true;
    // On the board that has the note: it may have been told while there was no volume.
    const answers: (boolean | undefined)[] = [];
    for (const board of this.#boards(claim.id)) {
      const answer = await this.#ask(board, (asked) => asked.claim(claim));
      if (answer) return true;
      answers.push(answer);
    }
    return answers.every((answer) => answer === undefined);
  }

  async beat(claim: Claim): Promise<void> {
    await this.#first(claim.id, (board) => board.beat(claim));
  }

  async see(id: string): Promise<void> {
    await this.#first(id, (board) => board.see(id));
  }

  async mark(cause: Cause): Promise<void> {
    await this.#first(cause.id, (board) => board.mark(cause));
  }

  async leave(id: string): Promise<void> {
    for (const board of this.#boards(id)) await this.#ask(board, (asked) => asked.leave(id));
  }

  async clear(id: string): Promise<void> {
    for (const board of this.#boards(id)) await this.#ask(board, (asked) => asked.clear(id));
  }

  /** Settings are this machine's own affair. */
  #boards(id?: string): AlertBoard[] {
    const shared = id !== undefined && kindOf(id) === 'settings' ? undefined : this.#shared();
    return shared ? [shared, this.#local] : [this.#local];
  }

  /** What the first board says that can do it; undefined where none can. */
  async #first<T>(id: string, work: (board: AlertBoard) => Promise<T>): Promise<T | undefined> {
    for (const board of this.#boards(id)) {
      const answer = await this.#ask(board, async (asked) => ({ value: await work(asked) }));
      if (answer) return answer.value;
    }
    return undefined;
  }

  async #ask<T>(board: AlertBoard, work: (board: AlertBoard) => Promise<T>): Promise<T | undefined> {
    if (this.#silent.has(board)) return undefined;
    const waited = new AbortController();
    const answer = work(board).catch(() => undefined);
    const patience = this.#clock.sleep(PATIENCE_MS, waited.signal).then(() => {
      if (waited.signal.aborted) return undefined;
      this.#silent.add(board);
      void answer.then(() => this.#silent.delete(board));
      return undefined;
    });
    const first = await Promise.race([answer, patience]);
    waited.abort();
    return first;
  }
}

function merge(a: BoardEntry | undefined, b: BoardEntry): BoardEntry {
  if (!a) return b;
  const higher = (purpose: 'tell' | 'over') => {
    const [x, y] = [a.claims[purpose], b.claims[purpose]];
    const claim = (x?.n ?? 0) >= (y?.n ?? 0) ? x : y;
    return claim ? { [purpose]: claim } : {};
  };
  return {
    told: a.told ?? b.told,
    claims: { ...higher('tell'), ...higher('over') },
    others: [...a.others, ...b.others],
  };
}
