// The scan: the truth about what is on the volume. A pass over a tree that hasn't changed costs one stat a directory;
// names that the ledger doesn't know are looked at, and nothing else, unless a directory moved and its listing doesn't
// say why.
import { createHash } from 'node:crypto';
import type { Clock } from '../clock.ts';
import { errorCode } from '../errors.ts';
import type { LedgerIndex } from '../ledger/index.ts';
import { STATE_DIRECTORY } from '../ledger/location.ts';
import { directoryOf, joinPath, type RelPath } from '../paths.ts';
import { type DirectoryListing, EntryKind, type FileStats } from '../volume/protocol.ts';
import type { Volume } from '../volume/volume.ts';
import type { Filter } from './filter.ts';

/** A file that isn't in the ledger as it is now. Times in nanoseconds, size in bytes. */
export interface Candidate {
  path: RelPath;
  size: number;
  mtimeNs: bigint;
  ctimeNs: bigint;
}

export interface ScannerOptions {
  volume: Volume;
  clock: Clock;
  filter: Filter;
  index: LedgerIndex;
  /** Absolute path of the root; all relative paths start there. */
  root: string;
  /** The output directory below the root: only this is scanned. */
  prefix: RelPath;
  onCandidate: (candidate: Candidate) => void;
}

/** Problems of a pass, by directory, for people. */
export interface PassResult {
  /**
   * `gone`: no output directory. `replaced`: another directory is in its place; everything must start again.
   * `unreadable`: what is in it is unknown; `problems` says why.
   */
  root: 'there' | 'gone' | 'replaced' | 'unreadable';
  problems: { path: RelPath; code: string }[];
  files: number;
}

interface DirectoryState {
  /** As the worker gave it; undefined before the first listing. */
  identity: string | undefined;
  /** When this identity was first seen: monotonic ms. */
  identitySince: number;
  /** When it was last listed, monotonic ms. */
  listedAt: number;
  fingerprint: string;
  files: number;
  skipped: Map<string, number>;
  children: ReadonlySet<RelPath>;
}

/** A listing, and what was so when it was asked for. */
interface Asked {
  listing: DirectoryListing;
  state: DirectoryState;
  /** Wall ms. */
  at: number;
  /** Since when there had been doubts about the directory: monotonic ms. */
  doubted: number | undefined;
}

/** Names in a directory, and what was seen of each. */
interface Looks {
  dir: RelPath;
  state: DirectoryState;
  names: readonly string[];
  stats: FileStats;
}

/** Times of a volume may be whole seconds: a listing this soon after a move is made once more. */
const YOUNG_MS = 3000;
/** A name stored this recently is stat'ed whenever its directory is listed: ComfyUI overwrites what it just wrote. */
const RECENT_MS = 10 * 60_000;
/** Names or directories in one question to the worker: a millisecond of work, for a picture may be waiting behind it. */
const BATCH = 128;

export class Scanner {
  readonly #options: ScannerOptions;
  readonly #directories = new Map<RelPath, DirectoryState>();
  /** Directories that have to be listed again, whether they move or not, and since when: monotonic ms. */
  readonly #doubted = new Map<RelPath, number>();
  #rootIdentity: string | undefined;

  constructor(options: ScannerOptions) {
    this.#options = options;
  }

  /** Files that the filter leaves alone, by reason. */
  skipped(): Record<string, number> {
    const total: Record<string, number> = {};
    for (const { skipped } of this.#directories.values()) {
      for (const [reason, count] of skipped) total[reason] = (total[reason] ?? 0) + count;
    }
    return total;
  }

  /** One pass. `full` compares every file with the ledger; otherwise only directories that moved are listed. */
  async pass(full: boolean): Promise<PassResult> {
    const { volume, root, prefix } = this.#options;
    const result: PassResult = { root: 'there', problems: [], files: 0 };
    const [top] = await volume.ask('statDirectories', { root, dirs: [prefix] });
    if (top === null || top === undefined) return { ...result, root: 'gone' };
    const inode = inodeOf(top);
    if (this.#rootIdentity !== undefined && !top.startsWith('?') && inode !== this.#rootIdentity) {
      return { ...result, root: 'replaced' };
    }
    if (!top.startsWith('?')) this.#rootIdentity ??= inode;
    if (!this.#directories.has(prefix)) this.#directories.set(prefix, newDirectory());
    // Those that moved last come first: the newest picture is most likely there.
    const known = [...this.#directories.entries()].sort((a, b) => b[1].identitySince - a[1].identitySince);
    for (let at = 0; at < known.length; at += BATCH) {
      const dirs = known.slice(at, at + BATCH).map(([dir]) => dir);
      const identities = await volume.ask('statDirectories', { root, dirs });
      for (const [nth, dir] of dirs.entries()) {
        const state = this.#directories.get(dir);
        if (!state) continue;
        const identity = identities[nth] ?? null;
        if (identity === null) this.#lose(dir);
        else if (identity.startsWith('?')) result.problems.push({ path: dir, code: identity.slice(1) });
        else if (full || this.#needsListing(dir, state, identity)) await this.#listTree(dir, full, result);
      }
    }
    for (const { files } of this.#directories.values()) result.files += files;
    if (result.problems.some(({ path }) => path === prefix)) result.root = 'unreadable';
    return result;
  }

  /** Looks into one directory now, and into those below it that aren't known yet. Not there: no error. */
  async scanDirectory(dir: RelPath): Promise<void> {
    if (!this.#options.filter.reachesDirectory(dir)) return;
    await this.#listTree(dir, false, { root: 'there', problems: [], files: 0 });
  }

  /** Whether a directory was listed before. */
  knows(dir: RelPath): boolean {
    return this.#directories.get(dir)?.identity !== undefined;
  }

  /**
   * What was there isn't any more: its directory is listed again by the next pass, whether it has moved or not. Whoever
   * deletes or renames moves it; but a volume that is away for a moment answers like this, too, and then all is back with
   * nothing moved.
   */
  doubt(path: RelPath): void {
    const { clock, prefix } = this.#options;
    let dir = path === prefix ? prefix : directoryOf(path);
    while (dir !== prefix && dir !== '' && !this.#directories.has(dir)) dir = directoryOf(dir);
    if (this.#directories.has(dir)) this.#doubted.set(dir, clock.monotonic());
  }

  /** Whether something wasn't where it was, and no listing has told since whether that is so. */
  get hasDoubts(): boolean {
    return this.#doubted.size > 0;
  }

  #needsListing(dir: RelPath, state: DirectoryState, identity: string): boolean {
    if (state.identity !== identity || this.#doubted.has(dir)) return true;
    return state.listedAt - state.identitySince < YOUNG_MS;
  }

  async #listTree(top: RelPath, full: boolean, result: PassResult): Promise<void> {
    const pending = [top];
    // The worker lists the next one while this one is compared.
    while (pending.length > 0) {
      for (const [dir, asked] of oneAhead(drain(pending), (next) => this.#ask(next, full))) {
        try {
          pending.push(...(await this.#takeListing(dir, await asked, full, result)));
        } catch (error) {
          const code = errorCode(error) ?? 'UNKNOWN';
          if (code === 'ENOENT' || code === 'ENOTDIR') this.#lose(dir);
          else result.problems.push({ path: dir, code });
        }
      }
    }
  }

  async #ask(dir: RelPath, full: boolean): Promise<Asked> {
    const { volume, root, clock } = this.#options;
    // Known from here on: one that can't be read is tried again, and named, by every pass.
    const state = this.#directories.get(dir) ?? newDirectory();
    this.#directories.set(dir, state);
    const asked = { state, at: clock.wall(), doubted: this.#doubted.get(dir) };
    // Where all files will be compared, the first of them come along.
    const stats = full || state.identity === undefined ? BATCH : 0;
    return { ...asked, listing: await volume.ask('list', { root, dir, stats }) };
  }

  /** Compares one directory, reports candidates, forgets what vanished; returns the directories in it that are new. */
  async #takeListing(dir: RelPath, asked: Asked, full: boolean, result: PassResult): Promise<RelPath[]> {
    const { volume, root, clock, filter, index } = this.#options;
    const { listing, state, doubted } = asked;
    if (listing.identity === null) {
      this.#lose(dir);
      return [];
    }
    const now = clock.monotonic();
    const moved = state.identity !== listing.identity;
    const fingerprint = fingerprintOf(listing.names);
    const unexplained = moved && state.identity !== undefined && state.fingerprint === fingerprint;
    // Another directory may have come here under the same name, with files of the same names.
    const first = state.identity === undefined || inodeOf(state.identity) !== inodeOf(listing.identity);
    if (moved) state.identitySince = now;
    Object.assign(state, { identity: listing.identity, listedAt: now, fingerprint });
    if (this.#doubted.get(dir) === doubted) this.#doubted.delete(dir);

    const newDirectories: RelPath[] = [];
    const children = new Set<RelPath>();
    /** Places in the listing. */
    const files: number[] = [];
    const skipped = new Map<string, number>();
    const names = new Set<string>();
    listing.names.forEach((name, at) => {
      const path = joinPath(dir, name);
      if (listing.kinds[at] === EntryKind.directory) {
        const reason = filter.skipDirectoryReason(path);
        if (reason === undefined) children.add(path);
        else if (name !== STATE_DIRECTORY) count(skipped, reason);
        if (reason === undefined && !this.#directories.has(path)) newDirectories.push(path);
      } else if (listing.kinds[at] === EntryKind.file) {
        names.add(name);
        const reason = filter.skipReason(path, 0);
        if (reason === undefined) files.push(at);
        else count(skipped, reason);
      } else if (!name.startsWith('.')) {
        count(skipped, 'symlink or special file');
      }
    });
    for (const child of state.children) if (!children.has(child)) this.#forgetTree(child);
    for (const name of index.names(dir)) {
      // A file that was stored while the listing was on its way isn't in it, and hasn't vanished.
      if (!names.has(name) && (index.storedAtIn(dir, name) ?? 0) < asked.at) index.delete(joinPath(dir, name));
    }
    state.children = children;
    state.files = files.length;
    state.skipped = skipped;

    const recent = clock.wall() - RECENT_MS;
    const wanted =
      full || unexplained || first
        ? files
        : files.filter((at) => (index.storedAtIn(dir, listing.names[at]!) ?? Number.POSITIVE_INFINITY) > recent);
    const looked = listing.stats.sizes.length;
    const along = wanted.filter((at) => at < looked);
    this.#compare({ dir, state, names: listing.names, stats: listing.stats }, along, result);
    const rest = wanted.filter((at) => at >= looked).map((at) => listing.names[at]!);
    const batches = Array.from({ length: Math.ceil(rest.length / BATCH) }, (_, nth) =>
      rest.slice(nth * BATCH, (nth + 1) * BATCH),
    );
    for (const [batch, more] of oneAhead(batches, (some) => volume.ask('statFiles', { root, dir, names: some })))
      this.#compare({ dir, state, names: batch, stats: await more }, [...batch.keys()], result);
    return newDirectories;
  }

  /** Reports those of the names, by their places, that the ledger doesn't know as they are. */
  #compare({ dir, state, names, stats }: Looks, places: readonly number[], result: PassResult): void {
    const { filter, index, onCandidate } = this.#options;
    if (stats.problem !== null && state.identity !== undefined) {
      result.problems.push({ path: dir, code: stats.problem });
      // So that the next pass looks again, whether the directory moves or not.
      state.identity = undefined;
    }
    for (const at of places) {
      const name = names[at]!;
      const size = stats.sizes[at]!;
      const mtimeNs = stats.mtimes[at]!;
      if (size < 0 || index.matchesIn(dir, name, size, mtimeNs)) continue;
      const path = joinPath(dir, name);
      const reason = filter.skipReason(path, size);
      if (reason !== undefined) count(state.skipped, reason);
      else onCandidate({ path, size, mtimeNs, ctimeNs: stats.ctimes[at]! });
    }
  }

  /**
   * A directory isn't where it was. Whether it has gone or the volume is away for a moment, the next listing of its parent
   * tells: until then the ledger's facts about it stand, for who has forgotten them sends all of it once more.
   */
  #lose(dir: RelPath): void {
    // Whether the output directory itself is there, the beginning of a pass tells.
    const isListed =
      dir === this.#options.prefix || this.#directories.get(directoryOf(dir))?.children.has(dir) === true;
    // A hint may name what was never a directory.
    if (isListed || this.knows(dir)) this.doubt(dir);
    if (!isListed) this.#forgetTree(dir);
  }

  /** The directory is gone: its names may be used again, so what the ledger said of them no longer counts. */
  #forgetTree(dir: RelPath): void {
    const state = this.#directories.get(dir);
    for (const child of state?.children ?? []) this.#forgetTree(child);
    this.#directories.delete(dir);
    this.#doubted.delete(dir);
    for (const name of this.#options.index.names(dir)) this.#options.index.delete(joinPath(dir, name));
  }
}

/** Each question with its answer, in order. The next one is asked before an answer is worked on: who asks must await it. */
function* oneAhead<Q, A>(questions: Iterable<Q>, ask: (question: Q) => Promise<A>): Generator<[Q, Promise<A>]> {
  let last: [Q, Promise<A>] | undefined;
  for (const question of questions) {
    const answer = ask(question);
    // Its error is met when its turn comes, if it comes.
    answer.catch(() => {});
    if (last) yield last;
    last = [question, answer];
  }
  if (last) yield last;
}

/** Takes the last one, again and again, also of those that are added meanwhile. */
function* drain<T>(stack: T[]): Generator<T> {
  while (stack.length > 0) yield stack.pop()!;
}

/** `dev:ino` of an identity. */
function inodeOf(identity: string): string {
  return identity.split(':', 2).join(':');
}

function newDirectory(): DirectoryState {
  return {
    identity: undefined,
    identitySince: 0,
    listedAt: 0,
    fingerprint: '',
    files: 0,
    skipped: new Map(),
    children: new Set(),
  };
}

function count(counts: Map<string, number>, reason: string): void {
  counts.set(reason, (counts.get(reason) ?? 0) + 1);
}

/** Changes with the set of names, whatever their order. */
function fingerprintOf(names: readonly string[]): string {
  return createHash('sha1').update(names.toSorted().join('/')).digest('base64');
}
