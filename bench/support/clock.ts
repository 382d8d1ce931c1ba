// One clock for all processes of a run: epoch milliseconds with their fraction.

/** Epoch milliseconds, comparable with the store double's `storedAt`. */
export function now(): number {
  return performance.timeOrigin + performance.now();
}

/** Waits `ms` milliseconds; at once for what isn't positive. */
export function pause(ms: number): Promise<void> {
  return ms > 0 ? new Promise((resolve) => setTimeout(resolve, ms)) : Promise.resolve();
}

/** Asks `question` every `everyMs` until it gives something but undefined; undefined after `limitMs`. */
export async function poll<T>(
  question: () => Promise<T | undefined>,
  everyMs: number,
  limitMs: number,
): Promise<T | undefined> {
  const end = now() + limitMs;
  for (;;) {
    const answer = await question();
    if (answer !== undefined || now() >= end) return answer;
    await pause(everyMs);
  }
}
