// How long a command that reads the bucket bears with the store: a hiccup is waited out, an outage isn't.
import pRetry from 'p-retry';
import { type FailureClass, StoreError } from '../upload/store.ts';

export interface Patience {
  /** How often something is asked again. */
  retries: number;
  /** The first pause, ms; each one is twice as long as the one before, and up to twice that by chance. */
  firstPauseMs: number;
}

/** About 25 seconds in all. */
export const PATIENCE: Patience = { retries: 5, firstPauseMs: 500 };

/** A token's new rights may take a minute to be known everywhere: one more look. */
const RETRIES: Partial<Record<FailureClass, number>> = { transient: Number.POSITIVE_INFINITY, refused: 1 };

/** Throws what the last attempt threw. */
export function patiently<T>(attempt: () => Promise<T>, patience: Patience, signal?: AbortSignal): Promise<T> {
  return pRetry(attempt, {
    retries: patience.retries,
    minTimeout: patience.firstPauseMs,
    factor: 2,
    randomize: true,
    ...(signal ? { signal } : {}),
    shouldRetry: ({ error, attemptNumber }) =>
      error instanceof StoreError && attemptNumber <= (RETRIES[error.failure] ?? 0),
  });
}
