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

export function sameIdentity(a: Identity, b: Identity): boolean {
  return a.size === b.size && a.mtimeNs === b.mtimeNs && a.ctimeNs === b.ctimeNs && a.ino === b.ino && a.dev === b.dev;
}
