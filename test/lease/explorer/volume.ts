// What file operations do to the volume, and what they answer. Each happens at one instant.
import type { LeaseEvent, Sight } from '../../../src/lease/reducer.ts';
import { isAlive, type Rules, STALENESS, type Underway, type World } from './world.ts';

/** Does it: changes the world, which must be a copy. @param age which of the beats that may be read; 0 is the newest */
export function carryOut(
  world: World,
  rules: Rules,
  process: number,
  { effect, begun }: Underway,
  age = 0,
): LeaseEvent {
  switch (effect.do) {
    case 'look':
      return { kind: 'seen', begun, sight: sightOf(world, rules, process, age) };
    case 'link': {
      const { epoch } = effect;
      if (world.claims.includes(epoch)) return { kind: 'linked', links: 1 };
      world.claims = [...world.claims, epoch];
      if (epoch > world.top) Object.assign(world, { top: epoch, owner: process, released: false, beats: [firstBeat] });
      return { kind: 'linked', links: 2 };
    }
    case 'beat':
      write(world, effect.epoch, effect.counter, false);
      return { kind: 'beaten', epoch: effect.epoch, begun, highest: world.top };
    case 'leave':
      write(world, effect.epoch, effect.counter, true);
      return { kind: 'left' };
  }
}

/** No beat yet. */
const firstBeat = { counter: 0, until: Infinity };

/** Nobody reads the beats of an epoch that isn't the highest. */
function write(world: World, epoch: number, counter: number, released: boolean): void {
  if (epoch !== world.top) return;
  const older = world.beats.map((beat) => ({ ...beat, until: Math.min(beat.until, world.t) }));
  world.beats = [...older, { counter, until: Infinity }].slice(-3);
  world.released = released;
}

/** Forgets beats that nobody can read any more. */
export function forgetOld(world: World, rules: Rules): void {
  if (!rules.anyAge && world.beats.some(({ until }) => world.t - until > STALENESS))
    world.beats = world.beats.filter(({ until }) => world.t - until <= STALENESS);
}

function sightOf(world: World, rules: Rules, process: number, age: number): Sight {
  const { top, owner, beats, released } = world;
  if (top === 0) return { top, claim: undefined };
  const ours = owner === process;
  const gone = !isAlive(world, owner);
  const { counter } = beats.at(-1 - age)!;
  return {
    top,
    claim: {
      epoch: top,
      ours,
      holder: undefined,
      died: gone && rules.seesDeath === true,
      samePod: !ours && (rules.samePod === 'always' || (gone && rules.samePod === 'gone')),
      beat: counter === 0 ? undefined : String(counter),
      released: released && age === 0,
    },
  };
}
