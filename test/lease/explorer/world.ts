// The world of the explorer: some agents, each with the reducer's own state and two clocks, and one volume.
import type { Effect, Instant, LeaseEvent, LeaseState } from '../../../src/lease/reducer.ts';
import type { Timing } from '../../../src/lease/timing.ts';

/** The module under test, or a mutant of it. */
export type Reducer = Pick<
  typeof import('../../../src/lease/reducer.ts'),
  'awayState' | 'mayUpload' | 'step' | 'wakeAt'
>;

/**
 * One unit of time is the least that makes a difference. The lease lasts as short as it may:
 * dead ≥ 1.25 × (stop + max(abort, staleness)).
 */
export const timing: Timing = { dead: 4, beat: 1, stop: 2, abort: 1, gap: 2, idle: 1, stall: 9 };
/** So old may be what is read of a beat, at most. */
export const STALENESS = 1;

/** How often each thing may go wrong, or be asked for from outside, on one path. */
export interface Budget {
  /** Nothing is due any more; or the agent can't upload. */
  whims: number;
  /** A file operation fails, whether it was done or not. */
  faults: number;
  /** An operation takes longer than the keeper waits. */
  timeouts: number;
  crashes: number;
  restarts: number;
  /** Of a wall clock. */
  steps: number;
  /** Of a machine. */
  suspends: number;
  /** A file is uploaded: 1 where that is modelled. */
  files: number;
}

export interface Rules {
  agents: number;
  budget: Partial<Budget>;
  /** What is read of a beat may be as old as it likes. */
  anyAge?: boolean;
  /** Who looks learns for sure that a holder's process is gone. */
  seesDeath?: boolean;
  /** A claim says that it is of the same pod: if its process is gone, or always, though two pods have one id. */
  samePod?: 'gone' | 'always';
  /** A fault is a refusal, which leads to uploads without a lease. */
  refusals?: boolean;
  /** Two may upload at a time for a while: something that the lease relies on doesn't hold. */
  overlaps?: boolean;
  /** Moves that lead to where the search begins. */
  start?: readonly string[];
}

export type FileEffect = Exclude<Effect, { do: 'tell' | 'tidy' }>;

export interface Underway {
  effect: FileEffect;
  begun: Instant;
  /** It was done on the volume. */
  reply?: LeaseEvent;
  /** The keeper waits no more for it. */
  late: boolean;
}

/** Looks of one agent that showed the same, on its own monotonic clock: what the checks know by themselves. */
export interface Chain {
  epoch: number;
  beat: string | undefined;
  samePod: boolean;
  firstEnd: number;
  lastBegin: number;
  lastEnd: number;
}

export interface Agent {
  /** Its process: every start has a new one. */
  process: number;
  alive: boolean;
  lease: LeaseState;
  underway: Underway | undefined;
  /** How far its clocks are off the world's. */
  frozen: number;
  stepped: number;
  suspended: boolean;
  /** For so long what it sent may go on. */
  flight: number;
  /** Epochs up to here have ended for it. */
  over: number;
  gained: number;
  /** The epoch that it last tried to give back. */
  left: number;
  chain: Chain | undefined;
  /** How far its upload of the file is. */
  upload: 'no' | 'sent' | 'stored';
}

export interface World {
  t: number;
  /** The highest epoch that was ever claimed, and the process that has it. */
  top: number;
  owner: number;
  /** Claims that are there. */
  claims: readonly number[];
  /** What may be read of the beat of the highest claim, the newest last; `until` is when it was overwritten. */
  beats: readonly { counter: number; until: number }[];
  released: boolean;
  agents: readonly Agent[];
  /** Operations of processes that are gone, or of keepers that are forgotten: they may yet be done. */
  orphans: readonly (Underway & { process: number })[];
  /** Epochs that were gained. */
  gained: readonly number[];
  budget: Budget;
  /** Objects in the store, and whether the ledger has the file. */
  file: { objects: number; recorded: boolean };
  /** What is broken. */
  fault: string | undefined;
}

export function firstWorld(rules: Rules, { awayState }: Reducer): World {
  const agents = Array.from({ length: rules.agents }, (_, index) => newAgent(index, awayState));
  const none = { whims: 0, faults: 0, timeouts: 0, crashes: 0, restarts: 0, steps: 0, suspends: 0, files: 0 };
  return {
    t: 0,
    top: 0,
    owner: -1,
    claims: [],
    beats: [],
    released: false,
    agents,
    orphans: [],
    gained: [],
    budget: { ...none, ...rules.budget },
    file: { objects: 0, recorded: false },
    fault: undefined,
  };
}

export function newAgent(process: number, lease: LeaseState): Agent {
  return {
    process,
    alive: true,
    lease,
    underway: undefined,
    frozen: 0,
    stepped: 0,
    suspended: false,
    flight: 0,
    over: 0,
    gained: 0,
    left: 0,
    chain: undefined,
    upload: 'no',
  };
}

export function clockOf(world: World, agent: Agent): Instant {
  return { mono: world.t - agent.frozen, wall: world.t + agent.stepped };
}

/** Whether somebody runs with this process. */
export function isAlive(world: World, process: number): boolean {
  return world.agents.some((agent) => agent.alive && agent.process === process);
}
