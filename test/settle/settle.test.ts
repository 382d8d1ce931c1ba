import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type Decision,
  decideSettled,
  type Evidence,
  INCOMPLETE_AFTER_MS,
  quietNeeded,
} from '../../src/settle/settle.ts';

const SECOND = 1000;
const MINUTE = 60 * SECOND;

const evidence = fc.record<Evidence>({
  size: fc.oneof(fc.constant(0), fc.nat(), fc.maxSafeNat()),
  writers: fc.constantFrom('none', 'open', 'unseen'),
  heardOpen: fc.boolean(),
  verdict: fc.constantFrom('whole', 'torn', 'unknown'),
  quietMs: fc.oneof(
    fc.double({ min: 0, max: 2 * 60 * MINUTE, noNaN: true }),
    // The limits themselves.
    fc.constantFrom(0, 5 * SECOND, 20 * SECOND, 10 * MINUTE, 60 * MINUTE, 365 * 24 * 60 * MINUTE),
  ),
  quietLimitMs: fc.constantFrom(100, 5 * SECOND, 600 * SECOND),
});

function decide(given: Partial<Evidence>): Decision {
  return decideSettled({
    size: 1000,
    writers: 'none',
    heardOpen: false,
    verdict: 'whole',
    quietMs: 0,
    quietLimitMs: 5 * SECOND,
    ...given,
  });
}

describe('invariant 3: a file is settled only when its writer is done with it', () => {
  it('never while a writer has it open, whatever else speaks for it', () => {
    fc.assert(
      fc.property(evidence, (given) => {
        expect(decideSettled({ ...given, writers: 'open' })).toMatchObject({ settled: false, until: 'closed' });
      }),
    );
  });

  it('a torn file never goes as a complete one', () => {
    fc.assert(
      fc.property(evidence, (given) => {
        const decision = decideSettled({ ...given, verdict: 'torn' });
        expect(decision.settled && !decision.incomplete).toBe(false);
      }),
    );
  });

  it('only a torn file is ever marked incomplete', () => {
    fc.assert(
      fc.property(evidence, (given) => {
        const decision = decideSettled(given);
        if (decision.settled && decision.incomplete) expect(given.verdict).toBe('torn');
      }),
    );
  });

  it('an empty file is never settled, and shown once it is quiet', () => {
    fc.assert(
      fc.property(evidence, (given) => {
        const decision = decideSettled({ ...given, size: 0 });
        expect(decision.settled).toBe(false);
        const left = given.writers !== 'open' && given.quietMs >= given.quietLimitMs;
        expect(!decision.settled && decision.empty === true).toBe(left);
      }),
    );
  });

  it('who knows less waits longer: an unseen writer never makes a file settled earlier', () => {
    fc.assert(
      fc.property(evidence, (given) => {
        const blind = decideSettled({ ...given, writers: 'unseen' });
        if (blind.settled) expect(decideSettled({ ...given, writers: 'none' }).settled).toBe(true);
      }),
    );
  });

  it('half a FLAC never leaves while its unseen writer is known to have it open', () => {
    const given = { writers: 'unseen', verdict: 'unknown', heardOpen: true } as const;
    expect(decide({ ...given, quietMs: 59 * MINUTE })).toMatchObject({ settled: false, until: 'closed' });
    // By then its writer has crashed.
    expect(decide({ ...given, quietMs: 60 * MINUTE })).toEqual({ settled: true, incomplete: false });
    expect(decide({ ...given, heardOpen: false, quietMs: 20 * SECOND })).toEqual({ settled: true, incomplete: false });
  });
});

describe('invariant 2: a finished file is settled in the end', () => {
  it('more quiet never un-settles', () => {
    fc.assert(
      fc.property(evidence, fc.double({ min: 0, max: 120 * MINUTE, noNaN: true }), (given, more) => {
        if (!decideSettled(given).settled) return;
        expect(decideSettled({ ...given, quietMs: given.quietMs + more }).settled).toBe(true);
      }),
    );
  });

  it('the wait is finite, and not below zero', () => {
    fc.assert(
      fc.property(evidence, (given) => {
        const decision = decideSettled(given);
        if (decision.settled) return;
        expect(Number.isFinite(decision.waitMs)).toBe(true);
        expect(decision.waitMs).toBeGreaterThanOrEqual(0);
        expect(decision.why).not.toBe('');
      }),
    );
  });

  it('without a writer, a file that stays as it is settles after finitely many looks', () => {
    fc.assert(
      fc.property(evidence, (given) => {
        if (given.writers === 'open' || given.size === 0) return;
        let { quietMs } = given;
        for (let look = 0; look < 2000; look += 1) {
          const decision = decideSettled({ ...given, quietMs });
          if (decision.settled) return;
          // Timers may end late by a little.
          quietMs += decision.waitMs + 1;
        }
        throw new Error('never settled');
      }),
      { numRuns: 50 },
    );
  });
});

describe('how long is quiet enough', () => {
  it.each([
    // Writers in sight, format tells → seconds of quiet with R2_QUIET_SECONDS=5.
    [true, true, 0],
    [true, false, 5],
    [false, true, 5],
    [false, false, 20],
  ])('writers in sight %s, the format tells %s: %d s', (seen, tells, seconds) => {
    const needed = seconds * SECOND;
    expect(quietNeeded(seen, tells, 5 * SECOND)).toBe(needed);
    const given = { writers: seen ? 'none' : 'unseen', verdict: tells ? 'whole' : 'unknown' } as const;
    expect(decide({ ...given, quietMs: needed })).toEqual({ settled: true, incomplete: false });
    if (needed > 0) {
      const wait = { settled: false, until: 'quiet', waitMs: 1 };
      expect(decide({ ...given, quietMs: needed - 1 })).toMatchObject(wait);
    }
  });

  it.each([
    ['none', 10 * MINUTE],
    ['unseen', 60 * MINUTE],
  ] as const)('a torn file whose writers are %s goes as incomplete after %d ms, once', (writers, limit) => {
    expect(INCOMPLETE_AFTER_MS[writers === 'none' ? 'writersSeen' : 'writersUnseen']).toBe(limit);
    expect(decide({ writers, verdict: 'torn', quietMs: limit - 1 })).toMatchObject({ settled: false, until: 'whole' });
    expect(decide({ writers, verdict: 'torn', quietMs: limit })).toEqual({ settled: true, incomplete: true });
  });
});
