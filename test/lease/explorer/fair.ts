// From here on everything goes well: does it come to a good end?
import { edited, type Model } from './model.ts';
import { clockOf, isAlive, timing, type World } from './world.ts';

/** More than an agent has to do at one moment. */
const MANY = 30;
/** Long enough for several changes of the holder. */
const LONG = 10 * timing.dead;

/** What doesn't come to a good end; undefined where all does. */
export function fair(model: Model, world: World): string | undefined {
  for (const [index, agent] of world.agents.entries()) {
    if (!agent.alive) continue;
    const what = survives(model, world, index);
    if (what) return what;
  }
  return fight(model, world);
}

/** All others are gone for good, this one wants the folder: in good time it holds it, and uploads. */
function survives(model: Model, from: World, index: number): string | undefined {
  let world: World = { ...from, orphans: [] };
  for (const other of world.agents.keys())
    if (other !== index) world = edited(world, other, { alive: false, underway: undefined, flight: 0, upload: 'no' });
  const { seesDeath, samePod } = model.rules;
  let most = timing.dead;
  if (samePod && !isAlive(world, world.owner)) most = 2 * timing.beat;
  if (world.released || seesDeath) most = 0;
  const { mode } = world.agents[index]!.lease;
  // One whose claims came too late again and again leaves the folder to others for a while, and uploads without it.
  if ((mode.is === 'asking' || mode.is === 'claiming') && mode.unwon > 2) most = 2 * timing.dead;
  const start = world.t;
  for (;;) {
    world = settle(model, world, index);
    if (world.agents[index]!.lease.mode.is === 'holding') break;
    // One poll more.
    if (world.t - start > most)
      return from.released ? 'a folder that was given back is not taken' : 'a dead holder is not replaced';
    world = model.time(world);
  }
  if (world.budget.files === 0) return;
  for (let moves = 0; moves < 4; moves++) {
    let next = world;
    model.visit(world, (move, agent, to) => {
      if (agent === index && ['send', 'store', 'record'].includes(move)) next = to;
    });
    world = next;
  }
  return world.file.recorded ? undefined : 'a file is lost';
}

/** Nobody ever rests: in the end one of them keeps the folder. */
function fight(model: Model, from: World): string | undefined {
  let world: World = { ...from, orphans: [] };
  let before = 0;
  for (let units = 0; units < LONG; units++) {
    for (const [index, agent] of world.agents.entries()) if (agent.alive) world = settle(model, world, index);
    world = model.time(world);
    if (units === LONG / 2) before = world.top;
  }
  return world.top === before ? undefined : 'the agents fight';
}

/** All that this agent can do at this moment, without delay. */
function settle(model: Model, from: World, index: number): World {
  let world = edited(from, index, { suspended: false });
  for (let moves = 0; moves < MANY; moves++) {
    const { underway, lease } = world.agents[index]!;
    if (underway?.late) world = edited(world, index, { underway: undefined });
    else if (underway && !underway.reply) world = model.apply(world, index);
    else if (underway) world = model.reply(world, index);
    else if (!lease.wanted) world = model.send(world, index, { kind: 'wanted' });
    else {
      const at = model.reducer.wakeAt(lease, timing);
      if (at === undefined || at > clockOf(world, world.agents[index]!).mono) return world;
      world = model.send(world, index, { kind: 'tick' });
    }
  }
  return world;
}
