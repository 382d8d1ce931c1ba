// What is explored, each by itself: all at once would go no deeper than a few moves.
import type { Rules } from './world.ts';

export interface Configuration extends Rules {
  /** The search ends after so many. */
  states: number;
}

/** An agent wants the folder, looks, claims, confirms and shows its first sign of life. */
const takes = (agent: number) => [`wanted ${agent}`, ...four(agent)];
/** It was paused for too long, notices, and takes the next epoch. */
const takesAgain = (agent: number) => ['time', 'time', 'time', `tick ${agent}`, `tick ${agent}`, ...four(agent)];
const four = (agent: number) => Array.from({ length: 4 }, () => [`do ${agent}`, `reply ${agent}`]).flat();
const looks = (agent: number) => [`wanted ${agent}`, `do ${agent}`, `reply ${agent}`];
const held = [...takes(0), ...looks(1)];

export const configurations = {
  'two agents, paused at any point': { agents: 2, budget: {}, states: 200_000 },
  'one holds, one waits': { agents: 2, budget: {}, start: held, states: 100_000 },
  'one was paused while the other took the folder again and again': {
    agents: 2,
    budget: {},
    start: ['wanted 1', 'do 1', ...takes(0), ...takesAgain(0)],
    states: 50_000,
  },
  'work ends, or can not be done': { agents: 2, budget: { whims: 2 }, states: 100_000 },
  'one holds, and gives back': { agents: 2, budget: { whims: 1 }, start: held, states: 100_000 },
  'operations fail, done or not': { agents: 2, budget: { faults: 2, whims: 1 }, states: 100_000 },
  'operations hang and are done later': { agents: 2, budget: { timeouts: 2, whims: 1 }, states: 100_000 },
  'an operation of a forgotten keeper is done late': {
    agents: 2,
    budget: {},
    start: [...looks(0), 'time out 0', 'unwanted 0', 'forget 0', 'wanted 0', 'do 0'],
    states: 200_000,
  },
  'crashes and new starts': { agents: 2, budget: { crashes: 2, restarts: 1 }, states: 100_000 },
  'a holder crashes': { agents: 2, budget: { crashes: 1, restarts: 1 }, start: held, states: 100_000 },
  'who is gone is known to be gone': {
    agents: 2,
    budget: { crashes: 1, restarts: 1 },
    seesDeath: true,
    samePod: 'gone',
    states: 50_000,
  },
  'who is gone was of the same pod': {
    agents: 2,
    budget: { crashes: 1, restarts: 1 },
    samePod: 'gone',
    states: 50_000,
  },
  'a wall clock steps': { agents: 2, budget: { steps: 1 }, start: held, states: 100_000 },
  'a machine is suspended': { agents: 2, budget: { suspends: 1 }, start: held, states: 100_000 },
  'clocks step and machines are suspended': { agents: 2, budget: { steps: 1, suspends: 1 }, states: 100_000 },
  'the directory refuses': { agents: 2, budget: { faults: 4 }, refusals: true, states: 50_000 },
  'three agents': { agents: 3, budget: {}, states: 100_000 },
  'one holds, two wait': { agents: 3, budget: {}, start: [...held, ...looks(2)], states: 100_000 },
  'three agents in trouble': {
    agents: 3,
    budget: { whims: 1, faults: 1, timeouts: 1, crashes: 1, restarts: 1 },
    start: [...held, ...looks(2)],
    states: 100_000,
  },
  'reads of any age': { agents: 2, budget: { files: 1 }, anyAge: true, overlaps: true, start: held, states: 100_000 },
  'two pods of one id': {
    agents: 2,
    budget: { files: 1 },
    samePod: 'always',
    overlaps: true,
    start: held,
    states: 100_000,
  },
} satisfies Record<string, Configuration>;

/** For walks that go anywhere. */
export const everything: Rules = {
  agents: 3,
  budget: { whims: 9, faults: 9, timeouts: 9, crashes: 2, restarts: 2, steps: 2, suspends: 2 },
};

export type ConfigurationName = keyof typeof configurations;
