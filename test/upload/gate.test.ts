import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { backOffMs, type GateEvent, type GateState, gateAfter, openGate } from '../../src/upload/gate.ts';
import { type FailureClass, StoreError } from '../../src/upload/store.ts';

/** `status` null: no reply came. */
function failed(failure: FailureClass, status: number | null = 503, folder = 'a'): GateEvent {
  const error = new StoreError(failure, 'Code', 'it failed', 'do something', status ?? undefined);
  return { kind: 'failed', folder, error };
}

const stored: GateEvent = { kind: 'stored', folder: 'a' };

function stateAfter(...events: GateEvent[]): GateState {
  return events.reduce(gateAfter, openGate);
}

describe('a store that refuses us is not asked for every file', () => {
  test('one refusal closes the gate, and says whose file it was', () => {
    expect(stateAfter(failed('refused', 403, 'alice'))).toMatchObject({
      mode: 'closed',
      cause: 'refused',
      folder: 'alice',
      probes: 0,
    });
  });

  test('a wrong secret looks like a hiccup to the table, and is a refusal all the same', () => {
    expect(stateAfter(failed('transient', 403))).toMatchObject({ mode: 'closed', cause: 'refused' });
  });

  test('a hiccup closes nothing; many in a row without a success do', () => {
    const hiccups = (count: number) => stateAfter(...Array.from({ length: count }, () => failed('transient')));
    expect(hiccups(5).mode).toBe('open');
    expect(hiccups(6)).toMatchObject({ mode: 'closed', cause: 'unreachable' });
  });

  test('no reply at all counts more: a host that is not there shows within seconds', () => {
    const silence = failed('transient', null);
    expect(stateAfter(silence, silence).mode).toBe('open');
    expect(stateAfter(silence, silence, silence)).toMatchObject({ mode: 'closed', cause: 'unreachable' });
  });

  test('a success in between starts the count again, and opens a closed gate', () => {
    const hiccups = Array.from({ length: 5 }, () => failed('transient'));
    expect(stateAfter(...hiccups, stored, ...hiccups).mode).toBe('open');
    expect(stateAfter(failed('refused', 403), stored)).toEqual(openGate);
  });

  test('what concerns one file alone says nothing about the store', () => {
    const alone: FailureClass[] = ['changed', 'restart', 'exists', 'park', 'aborted'];
    for (const failure of alone) {
      expect(stateAfter(...Array.from({ length: 20 }, () => failed(failure)))).toEqual(openGate);
    }
  });

  test('an outage that turns out to be a refusal is one from then on', () => {
    const outage = Array.from({ length: 6 }, () => failed('transient'));
    expect(stateAfter(...outage, failed('refused', 403))).toMatchObject({ cause: 'refused', probes: 1 });
    expect(stateAfter(...outage, failed('refused', 403), failed('transient'))).toMatchObject({
      cause: 'refused',
      probes: 2,
    });
  });

  test('whatever happens, it is open after a success, and closed after a refusal', () => {
    const event = fc.constantFrom<GateEvent>(stored, failed('transient'), failed('refused', 403), failed('park'));
    fc.assert(
      fc.property(fc.array(event, { maxLength: 40 }), (events) => {
        expect(stateAfter(...events, stored)).toEqual(openGate);
        expect(stateAfter(...events, failed('refused', 403)).mode).toBe('closed');
      }),
    );
  });
});

describe('back-off', () => {
  test('is never at once, never more than a minute, and grows', () => {
    fc.assert(
      fc.property(fc.nat(1000), fc.double({ min: 0, max: 1, noNaN: true }), (attempt, random) => {
        const wait = backOffMs(attempt, random);
        expect(wait).toBeGreaterThanOrEqual(500);
        expect(wait).toBeLessThanOrEqual(60_000);
        expect(backOffMs(attempt + 1, random)).toBeGreaterThanOrEqual(wait);
      }),
    );
    expect([0, 1, 2, 5, 6, 100].map((attempt) => backOffMs(attempt, 1))).toEqual([
      1000, 2000, 4000, 32_000, 60_000, 60_000,
    ]);
  });

  test('spreads those that failed together', () => {
    const waits = new Set(Array.from({ length: 20 }, () => backOffMs(4)));
    expect(waits.size).toBeGreaterThan(15);
  });
});
