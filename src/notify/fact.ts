// A file that was just stored, as those want to know it who do something about it.
import type { RelPath } from '../paths.ts';

export interface StoredFact {
  /** Absolute: what the path is relative to. */
  root: string;
  path: RelPath;
  folder: string;
  key: string;
  /** Hex. */
  sha256: string;
  /** Bytes. */
  size: number;
  mtimeNs: bigint;
  /** Seconds from the writer's last touch to the store's confirmation. */
  seconds: number;
  /** Wall ms. */
  storedAt: number;
}
