// The pending list: every file that is on the volume and not in the ledger, with what it waits for. Derived from the
// volume alone, never stored, so it can't be lost.
import type { Clock } from '../clock.ts';
import { folderOf, type RelPath } from '../paths.ts';
import type { Identity } from '../settle/identity.ts';
import type { Writers } from '../settle/settle.ts';

/**
 * - `settling`: not finished, or not known to be; looked at again when its timer ends;
 * - `leasing`: finished as far as we know, waits for its folder to be ours;
 * - `due`: waits for its turn;
 * - `working`: its turn: read, judged, uploaded;
 * - `waiting`: the store didn't take it; tried again when its timer ends;
 * - `recording`: in the store, on its way to the ledger;
 * - `parked`: can't be uploaded until something outside changes;
 * - `unreadable`: the volume doesn't let us read it;
 * - `empty`: nothing in it and nobody writes: shown and left.
 */
export type PendingState =
  | 'settling'
  | 'leasing'
  | 'due'
  | 'working'
  | 'waiting'
  | 'recording'
  | 'parked'
  | 'unreadable'
  | 'empty';

/** A file as it was looked at, and whether it had a writer at a moment after that look. */
export interface Seen {
  identity: Identity;
  writers: Writers;
}

export interface PendingFile {
  readonly path: RelPath;
  readonly folder: string;
  /** Bytes; as last seen. */
  size: number;
  /** Bytes that the store has confirmed while it is sent in parts. */
  sent: number;
  mtimeNs: bigint;
  state: PendingState;
  /** For people: why it isn't uploaded yet. */
  why: string;
  /** For people: what to do about it; only for those that wait for somebody. */
  fix: string;
  /** Monotonic ms: first noticed, last change of size, mtime or by a hint, last looked at. */
  readonly since: number;
  changedAt: number;
  lookedAt: number;
  /** Wall ms: when it was first parked, or couldn't be read, as it is now; 0 if it never was. */
  stuckSince: number;
  /** A hint of this machine named it, so its writer is here. */
  local: boolean;
  /** Another pod's, as far as we know: that pod, and the volume, answer for it. */
  foreign: boolean;
  /** Created as far as hints say, and not closed. */
  heardOpen: boolean;
  /** What it waits for while it is settling. */
  until: 'closed' | 'whole' | 'quiet';
  /** As it was when it became due; what is read must be the same. */
  seen: Seen | undefined;
  /** It was closed again since it was stored: only its hash can tell whether it is new. */
  rehash: boolean;
  /** Wall ms: until then it is only compared with what was stored, and not sent if it is new. */
  sparedUntil: number;
  /** Older than the agent on this volume: part of a backlog. */
  existing: boolean;
  /**
   * The ledger had it, but the bucket doesn't have it as the ledger says: it is sent again whatever it is otherwise,
   * and with `wide` under the key with the whole hash, for what its own key holds can't be trusted.
   */
  repair: { wide: boolean } | undefined;
  /** Grows with every hint: an outcome that began under an older one is looked at again. */
  stamp: number;
  /** The stamp that it had when its turn began whose bytes are in the bucket; meant only while it is `recording`. */
  storedStamp: number;
  /** Failed attempts since it last changed. */
  attempts: number;
  /** How often in a row the volume has not let us read it. */
  readFailures: number;
  timer: AbortController | undefined;
}

/** Why a path that is rewritten all the time waits. */
export const WHY_SPARED = 'it was uploaded less than a minute ago and has changed since';

/** It is read, sent or recorded right now: what is learned about it meanwhile waits. */
export function isBusy(file: PendingFile): boolean {
  return file.state === 'working' || file.state === 'recording';
}

/** States that wait for something outside and don't keep anybody from stopping with a clear answer. */
const STUCK: ReadonlySet<PendingState> = new Set(['parked', 'unreadable']);

export class PendingTable {
  readonly #files = new Map<RelPath, PendingFile>();
  readonly #clock: Clock;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get(path: RelPath): PendingFile | undefined {
    return this.#files.get(path);
  }

  add(path: RelPath): PendingFile {
    const now = this.#clock.monotonic();
    const file: PendingFile = {
      path,
      folder: folderOf(path),
      size: 0,
      sent: 0,
      mtimeNs: 0n,
      state: 'settling',
      why: 'just noticed',
      fix: '',
      since: now,
      changedAt: now,
      lookedAt: Number.NEGATIVE_INFINITY,
      stuckSince: 0,
      local: false,
      foreign: false,
      heardOpen: false,
      until: 'quiet',
      seen: undefined,
      rehash: false,
      sparedUntil: 0,
      existing: false,
      repair: undefined,
      stamp: 0,
      storedStamp: 0,
      attempts: 0,
      readFailures: 0,
      timer: undefined,
    };
    this.#files.set(path, file);
    return file;
  }

  drop(file: PendingFile): void {
    file.timer?.abort();
    file.timer = undefined;
    if (this.#files.get(file.path) === file) this.#files.delete(file.path);
  }

  /** Whether this very entry is still in the list. */
  has(file: PendingFile): boolean {
    return this.#files.get(file.path) === file;
  }

  /** Calls `then` after `ms`, unless another timer is set for the file or it is dropped before. */
  setTimer(file: PendingFile, ms: number, then: () => void): void {
    file.timer?.abort();
    const timer = new AbortController();
    file.timer = timer;
    void this.#clock.sleep(ms, timer.signal).then(() => {
      if (timer.signal.aborted) return;
      file.timer = undefined;
      then();
    });
  }

  /** Takes note of the file as it is now: a change begins its quiet time anew. */
  observe(file: PendingFile, size: number, mtimeNs: bigint): void {
    if (file.size === size && file.mtimeNs === mtimeNs) return;
    if (file.mtimeNs !== 0n) {
      file.changedAt = this.#clock.monotonic();
      file.stuckSince = 0;
      file.attempts = 0;
      file.readFailures = 0;
    }
    file.size = size;
    file.mtimeNs = mtimeNs;
  }

  all(): IterableIterator<PendingFile> {
    return this.#files.values();
  }

  /** Files that will be uploaded without anybody's help; `parked` ones and empty ones are not among them. */
  *pending(): Iterable<PendingFile> {
    for (const file of this.#files.values()) {
      if (!STUCK.has(file.state) && file.state !== 'empty') yield file;
    }
  }

  /** Whether there is a pending one that counts. */
  hasPending(counts: (file: PendingFile) => boolean = () => true): boolean {
    for (const file of this.pending()) if (counts(file)) return true;
    return false;
  }

  *stuck(): Iterable<PendingFile> {
    for (const file of this.#files.values()) if (STUCK.has(file.state)) yield file;
  }

  clear(): void {
    for (const file of [...this.#files.values()]) this.drop(file);
  }
}
