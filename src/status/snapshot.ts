// The one picture of the agent's state that page, API, metrics and commands show (design, section 12).
import type { Leases, LeaseView } from '../lease/leases.ts';

/** What a pending file waits for: the states of src/agent/pending.ts that need nobody's help. */
export const pendingStates = ['settling', 'leasing', 'due', 'working', 'waiting', 'recording'] as const;

/** Why a file is parked: the store refuses its folder, takes no such file, or the volume gives no access to it. */
export const stuckReasons = ['refused', 'unstorable', 'unreadable'] as const;

export interface FolderStatus {
  folder: string;
  lease: LeaseView;
  files: number;
  stored: number;
  pending: number;
  parked: number;
  incomplete: number;
  /** ISO 8601. */
  lastStoredAt: string | null;
  oldestPendingSeconds: number | null;
}

export interface StoredFile {
  path: string;
  /** The path's bytes, percent-encoded but for its slashes: what `/media` takes. */
  encodedPath: string;
  key: string;
  /** Content hash, hex. */
  sha256: string;
  /** Stored as it was, for its writer never finished it. */
  incomplete: boolean;
  bytes: number;
  /** Seconds from the writer's last touch to the store's confirmation. */
  seconds: number;
  /** ISO 8601. */
  at: string;
}

export interface ParkedFile {
  path: string;
  reason: string;
  fix: string;
  /** ISO 8601. */
  since: string;
}

export interface Snapshot {
  version: string;
  pod: string;
  uptimeSeconds: number;
  /** ISO 8601. */
  startedAt: string;
  state: 'ok' | 'degraded' | 'failing';
  reasons: string[];
  safeToStop: boolean;
  etaSeconds: number | null;
  /** How long a pod must be silent before another one takes its folders; null where leases are off. */
  leaseSeconds: number | null;
  store: { endpoint: string; bucket: string; reachable: boolean | null; lastError: string | null };
  totals: {
    storedFiles: number;
    storedBytes: number;
    pendingFiles: number;
    pendingBytes: number;
    parkedFiles: number;
    /** Those of the pending files that other pods have made. */
    foreignFiles: number;
    pendingBy: Record<(typeof pendingStates)[number], number>;
    parkedBy: Record<(typeof stuckReasons)[number], number>;
    retries: number;
    alreadyStored: number;
    leases: Leases['counts'];
  };
  volume: {
    /** For how long it hasn't answered; 0 while it does. */
    silentSeconds: number;
    /** The last look over the whole output directory: when it ended (ISO 8601), and how long it took. */
    lastScan: { at: string; seconds: number } | null;
    /** Bytes that may still be written, bytes in all, and whether that is less than R2_LOW_SPACE_MB says. */
    space: { free: number; total: number; low: boolean } | null;
  };
  folders: FolderStatus[];
  /** Newest first. */
  recent: StoredFile[];
  parked: ParkedFile[];
  /** Files that the filter leaves alone, by extension ('' for none) or rule. */
  skipped: Record<string, number>;
  /** What is on its way, first files only: those that are being uploaded come first. */
  pending: WaitingFile[];
}

export interface WaitingFile {
  path: string;
  bytes: number;
  /** What it waits for, in words. */
  state: string;
  /** Since it was noticed. */
  seconds: number;
  /** When it was noticed. ISO 8601. */
  since: string;
  /** It is its turn. */
  uploading: boolean;
  /** Bytes that the store has confirmed so far, of a file that is sent in parts. */
  sent: number;
}
