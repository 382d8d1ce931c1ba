import { vi } from 'vitest';

/**
 * Tries until it doesn't throw, for as long as a machine with other work may take: vitest's own limit is a second. A
 * condition that comes costs nothing by that; only one that never comes takes all of it.
 */
export function eventually<T>(wish: () => T | Promise<T>, options: { timeout?: number; interval?: number } = {}) {
  return vi.waitFor(wish, { timeout: 60_000, ...options });
}
