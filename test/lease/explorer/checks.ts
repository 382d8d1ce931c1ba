// What must hold in every state and on every path. The first thing that doesn't is the world's fault.
import type { Effect, LeaseEvent, LeaseState } from '../../../src/lease/reducer.ts';
import type { Model } from './model.ts';
import { type Agent, clockOf, timing, type World } from './world.ts';

export function mayUploadNow({ reducer }: Model, world: World, agent: Agent): boolean {
  return agent.alive && reducer.mayUpload(agent.lease, clockOf(world, agent), timing);
}

/** Checks one step of an agent, and notes what later checks need. Called before its effects are carried out. */
export function checkStep(
  { rules }: Model,
  world: World,
  agent: Agent,
  event: LeaseEvent,
  before: LeaseState,
  effects: readonly Effect[],
): void {
  const broken = (what: string) => {
    world.fault ??= what;
  };
  const { mode, wanted, running } = agent.lease;
  if (event.kind === 'seen') watch(world, agent, event);
  if (mode.is === 'claiming' && mode.how === 'silent' && before.mode.is !== 'claiming') {
    const { firstEnd, lastBegin, samePod } = agent.chain!;
    if (lastBegin - firstEnd < (samePod ? 2 * timing.beat : timing.dead))
      broken('taken before it was silent for long enough');
  }
  if (mode.is !== 'asking') agent.chain = undefined;
  if (event.kind === 'beaten' && mode.is === 'holding' && mode.epoch === event.epoch && event.highest !== event.epoch)
    broken('holds on although its beat saw a higher claim');
  for (const effect of effects) {
    if (effect.do !== 'tell' || effect.change === 'without') continue;
    const { epoch, change } = effect;
    if (change === 'released' && agent.left !== epoch && !agent.underway)
      broken('gives back without a word on the volume');
    if (change !== 'gained') {
      agent.over = Math.max(agent.over, epoch);
      continue;
    }
    if (world.gained.includes(epoch)) broken('two winners of an epoch');
    if (epoch <= agent.gained || (!rules.overlaps && epoch <= Math.max(...world.gained, 0)))
      broken('an epoch is gained that is lower than one before it');
    world.gained = [...world.gained, epoch];
    agent.gained = epoch;
  }
  if (mode.is === 'claiming' && !running) broken('claims and waits for nothing');
  if (mode.is === 'asking' && !wanted) broken('asks for a folder that it does not want');
}

/** Looks that show the same, and whether the observer was blind between them: known apart from the reducer. */
function watch(world: World, agent: Agent, { begun, sight }: LeaseEvent & { kind: 'seen' }): void {
  const { mono } = clockOf(world, agent);
  const before = agent.chain;
  if (!sight.claim) return;
  const { epoch, beat, samePod } = sight.claim;
  const unbroken = before?.epoch === epoch && before.beat === beat && begun.mono - before.lastEnd <= timing.gap;
  const firstEnd = unbroken ? before.firstEnd : mono;
  agent.chain = { epoch, beat, samePod, firstEnd, lastBegin: begun.mono, lastEnd: mono };
}

/** Checks a state. What it notes of an agent is the same in every world that shares the agent. */
export function checkState(model: Model, world: World): void {
  let uploaders = 0;
  for (const agent of world.agents) {
    const { mode, wanted } = agent.lease;
    const may = mayUploadNow(model, world, agent);
    if (mode.is === 'holding') {
      if (!may) agent.over = Math.max(agent.over, mode.epoch);
      else if (mode.epoch <= agent.over) world.fault ??= 'uploads again under an epoch that was lost';
      else if (wanted) agent.flight = timing.abort;
    }
    const without = (mode.is === 'asking' || mode.is === 'claiming') && mode.without;
    if ((may && !without) || agent.flight > 0) uploaders++;
    if (agent.alive && !agent.suspended) checkAlarm(model, world, agent);
  }
  if (uploaders > 1 && !model.rules.overlaps) world.fault ??= 'two agents upload';
  if (world.file.recorded && world.file.objects !== 1)
    world.fault ??= 'a file counts as stored that is not there, or twice';
}

/** The reducer wakes when there is something to do, and only then. */
function checkAlarm({ reducer }: Model, world: World, agent: Agent): void {
  const now = clockOf(world, agent);
  const at = reducer.wakeAt(agent.lease, timing);
  const due = at !== undefined && at <= now.mono;
  let { lease } = agent;
  let acts = 0;
  for (; acts < 4; acts++) {
    const { state, effects } = reducer.step(lease, { kind: 'tick' }, now, timing);
    if (state === lease && effects.length === 0) break;
    lease = state;
  }
  const next = reducer.wakeAt(lease, timing);
  if (acts === 4 || (next !== undefined && next <= now.mono)) world.fault ??= 'wakes again and again';
  const jumped = agent.frozen > 0 || agent.stepped !== 0;
  if (acts > 0 && !due && !jumped) world.fault ??= 'sleeps although there is something to do';
}
