// What can happen next in the world, and what is broken by it.
import type { LeaseEvent } from '../../../src/lease/reducer.ts';
import { checkState, checkStep, mayUploadNow } from './checks.ts';
import { carryOut, forgetOld } from './volume.ts';
import {
  type Agent,
  type Budget,
  clockOf,
  firstWorld,
  newAgent,
  type Reducer,
  type Rules,
  timing,
  type World,
} from './world.ts';

const PLENTY: Budget = { whims: 9, faults: 9, timeouts: 9, crashes: 9, restarts: 9, steps: 9, suspends: 9, files: 0 };
/** Further than any time of a lease. */
const CLOCK_STEP = 1000;

export type Visit = (move: string, agent: number, next: World) => void;

export class Model {
  readonly rules: Rules;
  readonly reducer: Reducer;

  constructor(rules: Rules, reducer: Reducer) {
    this.rules = rules;
    this.reducer = reducer;
  }

  /** Where the search begins. */
  start(): World {
    const first = firstWorld(this.rules, this.reducer);
    const { budget } = first;
    let world: World = { ...first, budget: PLENTY };
    for (const move of this.rules.start ?? []) world = this.play(world, move);
    return { ...world, budget };
  }

  /** Makes one move, as a trace writes it: `reply 1`. */
  play(world: World, move: string): World {
    let found: World | undefined;
    this.visit(world, (name, agent, next) => {
      if (describeMove(name, agent) === move) found = next;
    });
    if (!found) throw new Error(`can't happen here: ${move}`);
    return found;
  }

  /** Everything that can happen next. */
  visit(world: World, visit: Visit): void {
    visit('time', -1, this.time(world));
    for (const index of world.orphans.keys()) visit('orphan', index, this.#orphan(world, index));
    for (const [index, agent] of world.agents.entries()) {
      if (agent.alive) this.#visitAgent(world, index, agent, visit);
      else if (world.budget.restarts > 0) visit('restart', index, this.#restart(world, index, agent));
    }
  }

  #visitAgent(world: World, index: number, agent: Agent, visit: Visit): void {
    const { budget } = world;
    const { underway, lease } = agent;
    const spend = (kind: keyof Budget) => spent(world, kind);
    if (underway && !underway.reply) {
      const ages = underway.effect.do === 'look' ? Math.max(1, world.beats.length) : 1;
      for (let old = 0; old < ages; old++) visit(APPLY[old]!, index, this.apply(world, index, old));
    }
    if (budget.crashes > 0) this.#visitCrash(spend('crashes'), index, agent, visit);
    if (agent.suspended) return visit('resume', index, edited(world, index, { suspended: false }));
    // One of the two clocks can be relied on.
    if (budget.suspends > 0 && agent.stepped === 0)
      visit('suspend', index, edited(spend('suspends'), index, { suspended: true }));
    const send = (move: string, event: LeaseEvent, from = world) => visit(move, index, this.send(from, index, event));
    if (this.#ticks(world, agent)) send('tick', { kind: 'tick' });
    if (underway?.late) {
      visit('return', index, edited(world, index, { underway: undefined }));
    } else if (underway) {
      if (underway.reply) visit('reply', index, this.reply(world, index));
      const failed: LeaseEvent = { kind: 'failed', refused: this.rules.refusals === true };
      // Whether it was done or not.
      if (budget.faults > 0) send('fail', failed, edited(spend('faults'), index, { underway: undefined }));
      if (budget.timeouts > 0) {
        const late = edited(spend('timeouts'), index, { underway: { ...underway, late: true } });
        send('time out', { kind: 'failed', refused: false }, late);
      }
    }
    if (!lease.wanted) send('wanted', { kind: 'wanted' });
    if (budget.whims > 0) {
      // Nothing is due: so nothing is on its way.
      const idle = edited(spend('whims'), index, { flight: 0 });
      if (lease.wanted && agent.upload === 'no') {
        send('unwanted', { kind: 'unwanted', brief: false }, idle);
        send('brief', { kind: 'unwanted', brief: true }, idle);
      }
      if (lease.mode.is !== 'away') send('yield', { kind: 'yield', after: timing.abort }, spend('whims'));
    }
    if (budget.steps > 0 && agent.frozen === 0) {
      for (const [move, by] of [
        ['forward', CLOCK_STEP],
        ['back', -CLOCK_STEP],
      ] as const) {
        const next = edited(spend('steps'), index, { stepped: agent.stepped + by });
        checkState(this, next);
        visit(move, index, next);
      }
    }
    // The agent drops the keeper of a folder that it doesn't want, whatever has not returned.
    if (underway?.late && !lease.running && lease.mode.is === 'away') {
      const orphans = [...world.orphans, { ...underway, process: agent.process }];
      visit(
        'forget',
        index,
        edited({ ...world, orphans }, index, { underway: undefined, lease: this.reducer.awayState }),
      );
    }
    this.#visitUpload(world, index, agent, visit);
  }

  /** At every point; what was sent to the volume may yet be done, or not. */
  #visitCrash(world: World, index: number, agent: Agent, visit: Visit): void {
    const { underway, process } = agent;
    const gone = edited(world, index, { alive: false, underway: undefined, suspended: false, flight: 0, upload: 'no' });
    visit('crash', index, gone);
    if (!underway || underway.reply || underway.effect.do === 'look') return;
    visit('crash late', index, { ...gone, orphans: [...world.orphans, { ...underway, process }] });
  }

  /** A store that makes an object only if there is none, and a ledger that says what was confirmed. */
  #visitUpload(world: World, index: number, agent: Agent, visit: Visit): void {
    const { file, budget } = world;
    // What is sent once may end long after the lease was lost: nothing relies on its end.
    const to = (upload: Agent['upload'], from = world) => edited(from, index, { upload });
    if (agent.upload === 'no') {
      if (budget.files > 0 && !file.recorded && agent.lease.wanted && mayUploadNow(this, world, agent))
        visit('send', index, to('sent'));
      return;
    }
    visit('abort', index, to('no'));
    const kept = file.objects > 0 ? file : { ...file, objects: 1 };
    if (agent.upload === 'sent') visit('store', index, to('stored', { ...world, file: kept }));
    else visit('record', index, to('no', { ...world, file: { ...file, recorded: true } }));
  }

  time(world: World): World {
    const agents = world.agents.map((agent) => {
      const frozen = agent.suspended ? agent.frozen + 1 : agent.frozen;
      const flight = mayUploadNow(this, world, agent) ? agent.flight : Math.max(0, agent.flight - 1);
      return { ...agent, frozen, flight };
    });
    const next = { ...world, t: world.t + 1, agents };
    forgetOld(next, this.rules);
    checkState(this, next);
    return next;
  }

  /** The operation is done on the volume; its reply comes later. */
  apply(world: World, index: number, old = 0): World {
    const next = edited(world, index, {});
    const agent = next.agents[index]!;
    const underway = agent.underway!;
    agent.underway = { ...underway, reply: carryOut(next, this.rules, agent.process, underway, old) };
    return next;
  }

  reply(world: World, index: number): World {
    return this.send(edited(world, index, { underway: undefined }), index, world.agents[index]!.underway!.reply!);
  }

  send(world: World, index: number, event: LeaseEvent): World {
    const next = edited(world, index, {});
    this.#step(next, next.agents[index]!, event);
    checkState(this, next);
    return next;
  }

  /** As the keeper does it. */
  #step(world: World, agent: Agent, event: LeaseEvent): void {
    const { step } = this.reducer;
    const now = clockOf(world, agent);
    const before = agent.lease;
    const { state, effects } = step(before, event, now, timing);
    agent.lease = state;
    checkStep(this, world, agent, event, before, effects);
    for (const effect of effects) {
      if (effect.do === 'tidy') {
        world.claims = world.claims.filter((epoch) => epoch >= effect.below);
        if (!world.claims.includes(world.top)) world.fault ??= 'the highest claim is removed';
      }
      if (effect.do === 'tidy' || effect.do === 'tell') continue;
      if (!agent.underway) {
        agent.underway = { effect, begun: now, late: false };
        if (effect.do === 'leave') agent.left = effect.epoch;
      } else if (agent.underway.late) this.#step(world, agent, { kind: 'failed', refused: false });
      else world.fault ??= 'two file operations at a time';
    }
  }

  /** Whether a tick would do anything. */
  #ticks(world: World, agent: Agent): boolean {
    const { state, effects } = this.reducer.step(agent.lease, { kind: 'tick' }, clockOf(world, agent), timing);
    return state !== agent.lease || effects.length > 0;
  }

  #orphan(world: World, index: number): World {
    const next = { ...world, orphans: world.orphans.filter((_, other) => other !== index) };
    const orphan = world.orphans[index]!;
    carryOut(next, this.rules, orphan.process, orphan);
    return next;
  }

  #restart(world: World, index: number, agent: Agent): World {
    const { frozen, stepped } = agent;
    const process = agent.process + world.agents.length;
    return edited(spent(world, 'restarts'), index, { ...newAgent(process, this.reducer.awayState), frozen, stepped });
  }
}

export function describeMove(name: string, agent: number): string {
  return agent < 0 ? name : `${name} ${agent}`;
}

/** By how old what is read of a beat is. */
const APPLY = ['do', 'do (old beat)', 'do (older beat)'];

/** A copy in which this agent is a copy, too. */
export function edited(world: World, index: number, changes: Partial<Agent>): World {
  const agents = world.agents.slice();
  agents[index] = { ...agents[index]!, ...changes };
  return { ...world, agents };
}

function spent(world: World, kind: keyof Budget): World {
  return { ...world, budget: { ...world.budget, [kind]: world.budget[kind] - 1 } };
}
