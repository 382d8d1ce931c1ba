// Time as a parameter: the agent's decisions take it from here, so that tests can move it.

export interface Clock {
  /** Milliseconds on a clock that never steps; only differences mean anything. */
  monotonic(): number;
  /** Milliseconds since 1970 by the machine's wall clock, which may step. */
  wall(): number;
  /** Resolves after `ms` milliseconds, or at once when the signal is aborted. Never rejects. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

export const systemClock: Clock = {
  monotonic: () => performance.now(),
  wall: () => Date.now(),
  sleep: (ms, signal) =>
    new Promise((resolve) => {
      if (signal?.aborted) return resolve();
      const done = () => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', done);
        resolve();
      };
      const timer = setTimeout(done, ms);
      signal?.addEventListener('abort', done, { once: true });
    }),
};
