// What makes a file the same file, and where it stays the same no matter how often one looks.
import type { BigIntStats } from 'node:fs';

/** Times in nanoseconds. */
export interface Identity {
  dev: bigint;
  ino: bigint;
  /** Bytes. */
  size: number;
  mtimeNs: bigint;
  ctimeNs: bigint;
}

export function identityOf(stat: BigIntStats): Identity {
  return { dev: stat.dev, ino: stat.ino, size: Number(stat.size), mtimeNs: stat.mtimeNs, ctimeNs: stat.ctimeNs };
}

/** MooseFS has whole-second times and caches them for one more: within this a rewrite may leave no trace. */
export const BLURRED_TIMES_MS = 2500;

/** Whether this time is of a file system that keeps whole seconds. One in a billion others looks like it. */
export function isWholeSecond(timeNs: bigint): boolean {
  return timeNs % 1_000_000_000n === 0n;
}

/**
 * Whether both may be one version of a file, seen through times that are blurred: another pod's cache shows the time of
 * a write before the last one, with the last one's size.
 */
export function mayBeOneVersion(a: Pick<Identity, 'size' | 'mtimeNs'>, b: Pick<Identity, 'size' | 'mtimeNs'>): boolean {
  const apartNs = a.mtimeNs > b.mtimeNs ? a.mtimeNs - b.mtimeNs : b.mtimeNs - a.mtimeNs;
  const blurred = isWholeSecond(a.mtimeNs) && isWholeSecond(b.mtimeNs);
  return a.size === b.size && blurred && apartNs <= BigInt(BLURRED_TIMES_MS) * 1_000_000n;
}

export function sameIdentity(a: Identity, b: Identity): boolean {
  return a.size === b.size && a.mtimeNs === b.mtimeNs && a.ctimeNs === b.ctimeNs && a.ino === b.ino && a.dev === b.dev;
}
