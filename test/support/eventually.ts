import { vi } from 'vitest';

/** Tries until it doesn't throw, for as long as a machine with other work may take: vitest's own limit is a second. */
export function eventually<T>(wish: () => T | Promise<T>, options: { timeout?: number; interval?: number } = {}) {
  return vi.waitFor(wish, { timeout: 30_000, ...options });
}
