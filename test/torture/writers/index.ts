// The writers of the torture: everything that ComfyUI, ffmpeg, VHS, other tools and people do to an output directory,
// at random and at once, with a shelf that knows what they finished.
import { setTimeout as sleep } from 'node:timers/promises';
import type { Random } from '../random.ts';
import { changes, emptied } from './changes.ts';
import { Claims } from './claims.ts';
import { Hand } from './hand.ts';
import type { Kind } from './kind.ts';
import { oddities } from './oddities.ts';
import { programs } from './programs.ts';
import type { Shelf } from './shelf.ts';
import { trees } from './trees.ts';

export { Shelf, type Version } from './shelf.ts';

export interface WriterWorld {
  /** How many pods. */
  pods: number;
  /** The output directory as pod n (from 0) sees it. */
  output(pod: number): string;
  random: Random;
  shelf: Shelf;
  /** Aborted: what is open is finished without pauses, whole, and nothing else is begun. */
  signal: AbortSignal;
  /** Gets a line for the history, such as `comfyui: alice/ComfyUI_00012_.png written`. */
  say(line: string): void;
  /** Called just before a version is written whole: may put a foreign object in its way. */
  announce(version: { path: string; body: Buffer; mtimeMs: number }): void;
}

export const KINDS: readonly Kind[] = [...programs, ...changes, ...trees, ...oddities];

const ROUNDS_AT_ONCE = 32;
const SLOW_ROUNDS_AT_ONCE = 10;
/** Beyond these a user makes room, so that a run may last for hours. */
const MOST_FILES = 4000;
const MOST_BYTES = 600e6;
const ROOM_CHECK_ROUNDS = 40;

/**
 * Runs all kinds of writers until the signal is aborted; resolves when every file is closed. A volume that fails is
 * survived: what it made of a file is looked up when it answers again. Every kind has its turn once before the second
 * round of any.
 */
export async function runWriters(world: WriterWorld, options: { filesPerSecond: number }): Promise<void> {
  const { signal, shelf, random } = world;
  const plan = random.fork('plan');
  const claims = new Claims();
  const open = new Map<Promise<void>, Kind>();
  // Those that change files come when there are some.
  const first = [...shuffle(plan, [...changes, ...oddities]), ...shuffle(plan, [...programs, ...trees])];
  const begun = performance.now();
  const before = shelf.versions.length;
  let rounds = 0;
  let crowded = false;
  let failure: { error: unknown } | undefined;
  while (!signal.aborted && !failure) {
    const slow = [...open.values()].filter((kind) => kind.slow).length;
    const ahead = Math.max(shelf.versions.length - before, rounds) / options.filesPerSecond;
    const early = ahead * 1000 - (performance.now() - begun);
    if (open.size >= ROUNDS_AT_ONCE) await Promise.race(open.keys());
    else if (early > 0) await sleep(early, undefined, { signal }).catch(() => {});
    else {
      if (rounds % ROOM_CHECK_ROUNDS === 0) crowded = isCrowded(shelf);
      const kind = first.pop() ?? (crowded && plan.chance(0.3) ? emptied : draw(plan, slow < SLOW_ROUNDS_AT_ONCE));
      rounds += 1;
      const hand = new Hand(world, claims, kind.name, random.fork(`${kind.name} ${rounds}`));
      const round = kind
        .round(hand)
        .catch((error: unknown) => {
          failure ??= { error };
        })
        .finally(() => {
          hand.letGo();
          open.delete(round);
        });
      open.set(round, kind);
    }
  }
  await Promise.all(open.keys());
  if (failure) throw failure.error;
}

function draw(plan: Random, slowToo: boolean): Kind {
  const kinds = KINDS.filter(({ slow }) => slowToo || !slow);
  let left = plan.next() * kinds.reduce((sum, { share }) => sum + share, 0);
  for (const kind of kinds) {
    left -= kind.share;
    if (left < 0) return kind;
  }
  return kinds[0]!;
}

function shuffle(plan: Random, kinds: readonly Kind[]): Kind[] {
  const left = [...kinds];
  return kinds.map(() => left.splice(plan.between(0, left.length - 1), 1)[0]!);
}

function isCrowded(shelf: Shelf): boolean {
  const present = shelf.present();
  return present.length > MOST_FILES || present.reduce((sum, { bytes }) => sum + bytes, 0) > MOST_BYTES;
}
