// Single steps of the lease, where they say something that the explorer doesn't.
import { describe, expect, it } from 'vitest';
import {
  awayState,
  FOREIGN_EPOCH,
  type Holder,
  type Instant,
  type LeaseEvent,
  type LeaseState,
  mayUpload,
  type Sight,
  step,
  wakeAt,
} from '../../src/lease/reducer.ts';
import { leaseTiming, shortestLeaseSeconds } from '../../src/lease/timing.ts';

const timing = leaseTiming(45);
const SECOND = 1000;
const nothing: Sight = { top: 0, claim: undefined };
const holder: Holder = { pod: 'a1b2c3', host: 'gpu-7', since: '2026-01-02T03:04:05.000Z' };

/** One agent on a clock that the test sets. */
class Agent {
  state: LeaseState = awayState;
  seconds = 0;

  get now(): Instant {
    return { mono: this.seconds * SECOND, wall: this.seconds * SECOND };
  }

  /** Gives what is to be done. */
  send(event: LeaseEvent) {
    const { state, effects } = step(this.state, event, this.now, timing);
    this.state = state;
    return effects;
  }

  sees(sight: Sight) {
    return this.send({ kind: 'seen', begun: this.now, sight });
  }

  /** Waits for the time that it asked for. */
  wake() {
    this.seconds = wakeAt(this.state, timing)! / SECOND;
    return this.send({ kind: 'tick' });
  }

  get may(): boolean {
    return mayUpload(this.state, this.now, timing);
  }
}

function claimOf(epoch: number, facts: Partial<NonNullable<Sight['claim']>> = {}): Sight {
  const claim = { epoch, ours: false, holder, died: false, samePod: false, beat: 'one', released: false, ...facts };
  return { top: epoch, claim };
}

function makeHolder(): Agent {
  const agent = new Agent();
  agent.send({ kind: 'wanted' });
  agent.sees(nothing);
  agent.send({ kind: 'linked', links: 2 });
  agent.sees(claimOf(1, { ours: true }));
  agent.send({ kind: 'beaten', epoch: 1, begun: agent.now, highest: 1 });
  return agent;
}

describe('invariant 5: who has made the link, and only who has, goes on to confirm it', () => {
  it.each([
    ['a link count of 2', 2],
    ['a file made where no link can be', 'exclusive'],
  ] as const)('%s', (_, links) => {
    const agent = new Agent();
    expect(agent.send({ kind: 'wanted' })).toEqual([{ do: 'look' }]);
    expect(agent.sees(nothing)).toEqual([{ do: 'link', epoch: 1 }]);
    expect(agent.send({ kind: 'linked', links })).toEqual([{ do: 'look' }]);
    expect(agent.may).toBe(false);
    expect(agent.sees(claimOf(1, { ours: true }))).toEqual([
      { do: 'tell', change: 'gained', epoch: 1, how: 'free', from: undefined },
      { do: 'tidy', below: 0 },
      { do: 'beat', epoch: 1, counter: 1 },
    ]);
    expect(agent.may).toBe(true);
  });

  it.each([0, 1, 3])('a link count of %i: asks again a beat later', (links) => {
    const agent = new Agent();
    agent.send({ kind: 'wanted' });
    agent.sees(nothing);
    expect(agent.send({ kind: 'linked', links })).toEqual([]);
    expect(agent.wake()).toEqual([{ do: 'look' }]);
    expect(agent.seconds).toBe(5);
  });
});

describe('a take-over says from whom, and how', () => {
  it.each([
    ['released', { released: true }, 0],
    ['dead', { died: true, samePod: true }, 0],
    ['silent', { samePod: true }, 10],
    ['silent', {}, 45],
    ['silent', { beat: undefined, holder: undefined }, 45],
  ] as const)('%s: %o after %i s', (how, facts, seconds) => {
    const agent = new Agent();
    agent.send({ kind: 'wanted' });
    let effects = agent.sees(claimOf(7, facts));
    while (effects.length === 0) {
      agent.wake();
      effects = agent.sees(claimOf(7, facts));
    }
    expect(agent.seconds).toBe(seconds);
    expect(effects).toEqual([{ do: 'link', epoch: 8 }]);
    agent.send({ kind: 'linked', links: 2 });
    const from = 'holder' in facts ? facts.holder : holder;
    expect(agent.sees(claimOf(8, { ours: true }))[0]).toEqual({ do: 'tell', change: 'gained', epoch: 8, how, from });
  });
});

describe('numbers only grow, and stay ours', () => {
  it('the next one is above every segment of the ledger, too', () => {
    const agent = new Agent();
    agent.send({ kind: 'wanted' });
    expect(agent.sees({ ...claimOf(3, { released: true }), top: 9 })).toEqual([{ do: 'link', epoch: 10 }]);
  });

  it('where no number is left, files go without a lease', () => {
    const agent = new Agent();
    agent.send({ kind: 'wanted' });
    const last = { top: FOREIGN_EPOCH - 1, claim: undefined };
    expect(agent.sees(last)).toEqual([]);
    for (let looks = 0; looks < 2; looks++) {
      expect(agent.may).toBe(false);
      expect(agent.wake()).toEqual([{ do: 'look' }]);
      expect(agent.sees(last)).toEqual(looks === 1 ? [{ do: 'tell', change: 'without' }] : []);
    }
    expect(agent.may).toBe(true);
  });
});

describe('a state directory that can not be used stops no upload', () => {
  it('claims that always come too late: without a lease after a few, and others get their turn', () => {
    const agent = new Agent();
    agent.send({ kind: 'wanted' });
    agent.sees(nothing);
    for (let epoch = 1; epoch <= 3; epoch++) {
      agent.send({ kind: 'failed', refused: false });
      expect(agent.may).toBe(false);
      agent.wake();
      expect(agent.sees(claimOf(epoch, { ours: true }))).toEqual([{ do: 'link', epoch: epoch + 1 }]);
    }
    agent.send({ kind: 'failed', refused: false });
    agent.wake();
    expect(agent.sees(claimOf(4, { ours: true }))).toEqual([{ do: 'tell', change: 'without' }]);
    expect(agent.may).toBe(true);
    // From now on it makes no claim for so long that another pod may take its last one for silent.
    const until = agent.now.mono + 2 * timing.dead;
    let effects = agent.wake();
    while (agent.now.mono < until) {
      expect(effects).toEqual([{ do: 'look' }]);
      expect(agent.sees(claimOf(4, { ours: true }))).toEqual([]);
      effects = agent.wake();
    }
    expect(agent.sees(claimOf(4, { ours: true }))).toEqual([{ do: 'link', epoch: 5 }]);
    agent.send({ kind: 'failed', refused: false });
    agent.wake();
    agent.sees(claimOf(6));
    expect(agent.may).toBe(false);
  });

  it('three refusals: without a lease, until somebody is seen to have it', () => {
    const agent = new Agent();
    agent.send({ kind: 'wanted' });
    const refused = { kind: 'failed', refused: true } as const;
    expect([agent.send(refused), agent.wake(), agent.send(refused), agent.wake()].flat()).toEqual([
      { do: 'look' },
      { do: 'look' },
    ]);
    expect(agent.may).toBe(false);
    expect(agent.send(refused)).toEqual([{ do: 'tell', change: 'without' }]);
    expect(agent.may).toBe(true);
    agent.wake();
    // Told once.
    expect(agent.send(refused)).toEqual([]);
    agent.wake();
    agent.sees(claimOf(1));
    expect(agent.may).toBe(false);
  });

  it('one that does not answer is no reason', () => {
    const agent = new Agent();
    agent.send({ kind: 'wanted' });
    for (let looks = 0; looks < 5; looks++) {
      agent.send({ kind: 'failed', refused: false });
      agent.wake();
    }
    expect(agent.may).toBe(false);
  });
});

describe('a holder shows a sign of life every 5 s', () => {
  it('each with another counter; one that failed is tried again after a second', () => {
    const agent = makeHolder();
    expect(agent.wake()).toEqual([{ do: 'beat', epoch: 1, counter: 2 }]);
    expect(agent.seconds).toBe(5);
    agent.send({ kind: 'failed', refused: true });
    expect(agent.wake()).toEqual([{ do: 'beat', epoch: 1, counter: 3 }]);
    expect(agent.seconds).toBe(6);
  });

  it('and holds no more 20 s after the last one that succeeded', () => {
    const agent = makeHolder();
    agent.seconds = 20;
    expect(agent.may).toBe(true);
    agent.seconds = 20.001;
    expect(agent.may).toBe(false);
    expect(agent.send({ kind: 'tick' })).toEqual([{ do: 'tell', change: 'lost', epoch: 1, highest: 1 }]);
  });
});

describe('a folder in which nothing is due is given back', () => {
  /** Beats until something else is to be done. */
  function keep(agent: Agent) {
    for (;;) {
      const effects = agent.wake();
      const beat = effects[0];
      if (beat?.do !== 'beat') return effects;
      agent.send({ kind: 'beaten', epoch: 1, begun: agent.now, highest: 1 });
    }
  }

  it('after 30 s', () => {
    const agent = makeHolder();
    agent.send({ kind: 'unwanted', brief: false });
    expect(keep(agent)).toEqual([{ do: 'leave', epoch: 1, counter: 7 }]);
    expect(agent.seconds).toBe(30);
    expect(agent.send({ kind: 'left' })).toEqual([{ do: 'tell', change: 'released', epoch: 1 }]);
    expect(wakeAt(agent.state, timing)).toBeUndefined();
  });

  it('30 s after the last time that something was due', () => {
    const agent = makeHolder();
    agent.send({ kind: 'unwanted', brief: false });
    agent.wake();
    agent.send({ kind: 'beaten', epoch: 1, begun: agent.now, highest: 1 });
    agent.send({ kind: 'wanted' });
    agent.send({ kind: 'unwanted', brief: false });
    keep(agent);
    expect(agent.seconds).toBe(35);
  });

  it('and not later for being said again', () => {
    const agent = makeHolder();
    agent.send({ kind: 'unwanted', brief: false });
    agent.wake();
    agent.send({ kind: 'unwanted', brief: false });
    agent.send({ kind: 'beaten', epoch: 1, begun: agent.now, highest: 1 });
    keep(agent);
    expect(agent.seconds).toBe(30);
  });

  it('at once where it was not made here', () => {
    const agent = makeHolder();
    expect(agent.send({ kind: 'unwanted', brief: true })).toEqual([{ do: 'leave', epoch: 1, counter: 2 }]);
  });
});

describe('the times follow from R2_LEASE_SECONDS', () => {
  it('45 s as the documentation has them', () => {
    const seconds = Object.entries(timing).map(([name, ms]) => [name, ms / SECOND]);
    expect(Object.fromEntries(seconds)).toEqual({
      dead: 45,
      beat: 5,
      stop: 20,
      abort: 5,
      gap: 10,
      idle: 30,
      stall: 60,
    });
  });

  it('the shortest that is taken leaves a holder the time to stop', () => {
    const slack = (seconds: number) => {
      const { dead, stop, abort } = leaseTiming(seconds);
      return dead - 1.25 * (stop + Math.max(abort, 2 * SECOND));
    };
    expect(slack(shortestLeaseSeconds)).toBeGreaterThanOrEqual(-1e-6);
    expect(slack(shortestLeaseSeconds * 0.99)).toBeLessThan(0);
  });
});
