// A snapshot to change in tests, and plain HTTP requests that may carry any header.
import { request } from 'node:http';
import { pino } from 'pino';
import type { LeaseView } from '../../src/lease/leases.ts';
import type { Log } from '../../src/log.ts';
import type { FolderStatus, Snapshot, StoredFile, WaitingFile } from '../../src/status/snapshot.ts';

/** The moment at which the sample was taken. */
export const sampleNow = Date.parse('2026-11-20T12:00:00.000Z');

/** 212 files stored, nothing left. */
export function sampleSnapshot(change: Partial<Snapshot> = {}): Snapshot {
  return {
    version: '0.1.0',
    pod: 'a1b2c3d4',
    uptimeSeconds: 7500,
    startedAt: '2026-11-20T09:55:00.000Z',
    state: 'ok',
    reasons: [],
    safeToStop: true,
    etaSeconds: null,
    leaseSeconds: 45,
    store: { endpoint: 'https://acct.r2.example', bucket: 'runpod', reachable: true, lastError: null },
    totals: {
      storedFiles: 212,
      storedBytes: 424_000_000,
      pendingFiles: 0,
      pendingBytes: 0,
      parkedFiles: 0,
      foreignFiles: 0,
      pendingBy: { settling: 0, leasing: 0, due: 0, working: 0, waiting: 0, recording: 0 },
      parkedBy: { refused: 0, unstorable: 0, unreadable: 0 },
      retries: 4,
      alreadyStored: 7,
      leases: { free: 2, released: 1, silent: 0, dead: 0, lost: 0 },
    },
    volume: {
      silentSeconds: 0,
      lastScan: { at: '2026-11-20T11:59:50.000Z', seconds: 0.02 },
      space: { free: 70e9, total: 100e9, low: false },
    },
    folders: [
      sampleFolder({ folder: 'alice', files: 200, stored: 200, lastStoredAt: '2026-11-20T11:59:57.000Z' }),
      sampleFolder({ folder: '.', files: 12, stored: 12, lastStoredAt: '2026-11-20T11:00:00.000Z' }),
    ],
    recent: [sampleStored()],
    parked: [],
    skipped: {},
    pending: [],
    ...change,
  };
}

export function sampleFolder(change: Partial<FolderStatus> = {}): FolderStatus {
  return {
    folder: 'alice',
    lease: heldBy('a1b2c3d4', { state: 'mine', host: 'gpu-1' }),
    files: 0,
    stored: 0,
    pending: 0,
    parked: 0,
    incomplete: 0,
    lastStoredAt: null,
    oldestPendingSeconds: null,
    ...change,
  };
}

export function sampleStored(change: Partial<StoredFile> = {}): StoredFile {
  return {
    path: 'alice/ComfyUI_00001_.png',
    encodedPath: 'alice/ComfyUI_00001_.png',
    key: 'outputs/alice/2026-11-20/ComfyUI_00001_-9f86d081884c7d65.png',
    sha256: '9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08',
    incomplete: false,
    bytes: 2_000_000,
    seconds: 0.14,
    at: '2026-11-20T11:59:57.000Z',
    ...change,
  };
}

/** A file that waits for its turn. */
export function sampleWaiting(change: Partial<WaitingFile> = {}): WaitingFile {
  return {
    path: 'alice/next.png',
    bytes: 1_000_000,
    state: 'waits for its turn',
    seconds: 2,
    since: '2026-11-20T11:59:58.000Z',
    uploading: false,
    sent: 0,
    ...change,
  };
}

/** The lease of a folder that somebody has: another pod, unless said otherwise, seen 3 s ago. */
export function heldBy(holder: string | null, change: Partial<LeaseView> = {}): LeaseView {
  const since = '2026-11-20T11:00:00.000Z';
  return { state: 'theirs', holder, host: 'gpu-2', epoch: 4, since, silentSeconds: 3, ...change };
}

/** The sample's totals, changed. */
export function sampleTotals(change: Partial<Snapshot['totals']>): { totals: Snapshot['totals'] } {
  return { totals: { ...sampleSnapshot().totals, ...change } };
}

export interface Reply {
  status: number;
  headers: Record<string, string | string[] | undefined>;
  body: string;
  /** As it came over the wire: bytes. */
  length: number;
}

/** One request, any Host header, no redirects followed. */
export function ask(url: string, options: { method?: string; headers?: Record<string, string> } = {}): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const call = request(url, { agent: false, ...options }, (reply) => {
      const chunks: Buffer[] = [];
      reply.on('data', (chunk: Buffer) => chunks.push(chunk));
      reply.on('error', reject);
      reply.on('end', () => {
        const { statusCode: status = 0, headers } = reply;
        const raw = Buffer.concat(chunks);
        resolve({ status, headers, body: raw.toString(), length: raw.length });
      });
    });
    call.on('error', reject);
    call.end();
  });
}

/** A log whose lines can be read. */
export function listLog(): { log: Log; lines: string[] } {
  const lines: string[] = [];
  return { log: pino({ level: 'info' }, { write: (line: string) => void lines.push(JSON.parse(line).msg) }), lines };
}
