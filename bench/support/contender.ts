// What the rows know of a contender, whoever it is.
import type { Snapshot } from '../../src/status/snapshot.ts';
import type { Child } from './children.ts';

export type ContenderId = 'boto3' | 'agent' | 'agent-plain' | 'rclone' | 's5cmd' | 'old-loop' | 'floor';

/** Where a contender works: the directory that it watches and the store that it fills. */
export interface Stage {
  dir: string;
  /** A directory of its own outside `dir`. */
  scratch: string;
  endpoint: string;
  bucket: string;
  accessKey: string;
  secretKey: string;
}

export interface Running {
  child: Child;
  /** Resolves once it would notice a new file. Rejects if it ends or takes too long. */
  ready(): Promise<void>;
  /** Where the agent's status page is, with a slash at the end. Others have none. */
  url?: string;
  /** What the agent's status API says; undefined while it doesn't answer. Others have none. */
  status?(): Promise<Snapshot | undefined>;
}

export interface Contender {
  id: ContenderId;
  /** Column heading. */
  name: string;
  /** Why it can't run here, undefined if it can. Installs what it needs where that is possible. */
  missing(): Promise<string | undefined>;
  /** `pauseSeconds` is the pause between two passes, for those that work in passes. */
  start(stage: Stage, pauseSeconds: number): Promise<Running>;
}

/** How long a contender may take until it is ready. */
export const READY_LIMIT_MS = 60_000;
