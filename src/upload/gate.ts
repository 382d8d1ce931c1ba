// Decides whether the store is worth asking. A store that refuses us, or doesn't answer, gets one probe with back-off
// instead of a request for every file. Pure: (state, outcome) → state.
import type { StoreError } from './store.ts';

export type GateState =
  | { mode: 'open' /** Transient failures in a row, over all files. */; failures: number }
  | {
      mode: 'closed';
      cause: 'refused' | 'unreachable';
      error: StoreError;
      /** Whose file was refused: if another folder's file goes through, only this folder is parked. */
      folder: string;
      /** Probes that failed since it closed. */
      probes: number;
    };

export type GateEvent = { kind: 'stored'; folder: string } | { kind: 'failed'; error: StoreError; folder: string };

export const openGate: GateState = { mode: 'open', failures: 0 };

/** So many transient failures without one success mean the store, not the file … */
const UNREACHABLE_AFTER = 6;
/** … and one without any reply says as much as two with one. */
const NO_REPLY_WEIGHT = 2;

export function gateAfter(state: GateState, event: GateEvent): GateState {
  if (event.kind === 'stored') return openGate;
  const { error, folder } = event;
  const counts = error.failure === 'refused' || error.failure === 'transient';
  if (!counts) return state;
  // A wrong secret looks like a hiccup of the store, so it is tried a few times; by now it has been.
  const refuses = error.failure === 'refused' || error.status === 403;
  if (state.mode === 'closed') {
    return { ...state, cause: refuses ? 'refused' : state.cause, error, probes: state.probes + 1 };
  }
  if (refuses) return { mode: 'closed', cause: 'refused', error, folder, probes: 0 };
  const failures = state.failures + (error.status === undefined ? NO_REPLY_WEIGHT : 1);
  if (failures < UNREACHABLE_AFTER) return { mode: 'open', failures };
  return { mode: 'closed', cause: 'unreachable', error, folder, probes: 0 };
}

/**
 * Milliseconds until the next attempt: exponential with full jitter, never more than a minute. The lower half is cut
 * off so that an attempt never follows at once.
 * @param attempt 0 for the first retry
 * @param random 0 to 1
 */
export function backOffMs(attempt: number, random = Math.random()): number {
  const ceiling = Math.min(60_000, 1000 * 2 ** Math.min(attempt, 16));
  return ceiling / 2 + (random * ceiling) / 2;
}
