// What is known to be in the bucket, in memory: small enough for hundreds of thousands of files. Names live in one
// map per directory, everything else in typed columns.
import { directoryOf, folderOf, nameOf, type RelPath } from '../paths.ts';

/** What the ledger knows about a path. */
export interface Known {
  /** Bytes. */
  size: number;
  /** Nanoseconds since 1970. */
  mtimeNs: bigint;
  /** Content hash, hex. */
  sha256: string;
  /** Wall clock, milliseconds. */
  storedAt: number;
  /** The object holds a file that its writer never finished. */
  incomplete: boolean;
}

/** The sums of one folder. `lastStoredAt` in milliseconds, wall clock. */
interface FolderFacts {
  readonly folder: string;
  files: number;
  bytes: number;
  incomplete: number;
  lastStoredAt: number;
}

interface Directory {
  readonly names: Map<string, number>;
  readonly totals: FolderFacts;
}

const HASH_BYTES = 32;
const FIRST_CAPACITY = 1024;
const GROWTH = 1.5;
/** Times are kept modulo 2^64 ns; what is read back lies between 1895 and 2479, more than common file systems can say. */
const OLDEST_NS = -(2n ** 61n);

export class LedgerIndex {
  #directories = new Map<RelPath, Directory>();
  #folders = new Map<string, FolderFacts>();
  #count = 0;
  /** Slots never used yet start here; those that were deleted wait in `#free`. */
  #top = 0;
  #free: number[] = [];
  #capacity = 0;
  #size = new Float64Array(0);
  #mtimeNs = new BigInt64Array(0);
  #storedAt = new Float64Array(0);
  #hash = Buffer.alloc(0);
  #incomplete = new Uint8Array(0);

  /** How many files are known. */
  get size(): number {
    return this.#count;
  }

  get(path: RelPath): Known | undefined {
    const slot = this.#slot(directoryOf(path), nameOf(path));
    if (slot === undefined) return undefined;
    const mtimeNs = this.#mtimeNs[slot]!;
    return {
      size: this.#size[slot]!,
      mtimeNs: mtimeNs < OLDEST_NS ? mtimeNs + 2n ** 64n : mtimeNs,
      sha256: this.#hash.toString('hex', slot * HASH_BYTES, (slot + 1) * HASH_BYTES),
      storedAt: this.#storedAt[slot]!,
      incomplete: this.#incomplete[slot] === 1,
    };
  }

  /** Whether the path is known with exactly this size and time. */
  matches(path: RelPath, size: number, mtimeNs: bigint): boolean {
    return this.matchesIn(directoryOf(path), nameOf(path), size, mtimeNs);
  }

  /** The same for who has directory and name apart. For the scan: cheap, and makes no objects and no strings. */
  matchesIn(dir: RelPath, name: string, size: number, mtimeNs: bigint): boolean {
    const slot = this.#slot(dir, name);
    return slot !== undefined && this.#size[slot] === size && this.#mtimeNs[slot] === BigInt.asIntN(64, mtimeNs);
  }

  /** When the path was stored (wall clock, milliseconds), undefined if it isn't known. */
  storedAt(path: RelPath): number | undefined {
    return this.storedAtIn(directoryOf(path), nameOf(path));
  }

  /** The same for who has directory and name apart. */
  storedAtIn(dir: RelPath, name: string): number | undefined {
    const slot = this.#slot(dir, name);
    return slot === undefined ? undefined : this.#storedAt[slot];
  }

  /** Remembers a fact in place of what was known about its path. Says what that changed. */
  set(fact: Known & { path: RelPath }): 'none' | 'added' | 'replaced' {
    const directory = this.#directory(fact.path);
    const name = nameOf(fact.path);
    const known = directory.names.get(name);
    if (known !== undefined && this.#isSame(known, fact)) return 'none';
    const slot = known ?? this.#takeSlot();
    if (known === undefined) directory.names.set(detach(name), slot);
    else this.#subtract(directory.totals, known);
    this.#size[slot] = fact.size;
    this.#mtimeNs[slot] = fact.mtimeNs;
    this.#storedAt[slot] = fact.storedAt;
    this.#incomplete[slot] = fact.incomplete ? 1 : 0;
    this.#hash.write(fact.sha256, slot * HASH_BYTES, HASH_BYTES, 'hex');
    const { totals } = directory;
    totals.files += 1;
    totals.bytes += fact.size;
    totals.incomplete += fact.incomplete ? 1 : 0;
    totals.lastStoredAt = Math.max(totals.lastStoredAt, fact.storedAt);
    return known === undefined ? 'added' : 'replaced';
  }

  /** Forgets a path: the file is gone, and its name may be used again. */
  delete(path: RelPath): void {
    const dir = directoryOf(path);
    const directory = this.#directories.get(dir);
    const name = nameOf(path);
    const slot = directory?.names.get(name);
    if (directory === undefined || slot === undefined) return;
    directory.names.delete(name);
    this.#subtract(directory.totals, slot);
    this.#free.push(slot);
    this.#count -= 1;
    if (directory.names.size === 0) this.#directories.delete(dir);
    if (directory.totals.files === 0) this.#folders.delete(directory.totals.folder);
  }

  /** The names known directly in a directory. */
  names(dir: RelPath): Iterable<string> {
    return this.#directories.get(dir)?.names.keys() ?? [];
  }

  /** The folders in which a file is known. The rows are live: read them, don't keep them. */
  folders(): Iterable<Readonly<FolderFacts>> {
    return this.#folders.values();
  }

  #isSame(slot: number, { size, mtimeNs, storedAt, incomplete, sha256 }: Known): boolean {
    return (
      this.#size[slot] === size &&
      this.#mtimeNs[slot] === BigInt.asIntN(64, mtimeNs) &&
      this.#storedAt[slot] === storedAt &&
      this.#incomplete[slot] === (incomplete ? 1 : 0) &&
      this.#hash.toString('hex', slot * HASH_BYTES, (slot + 1) * HASH_BYTES) === sha256
    );
  }

  #slot(dir: RelPath, name: string): number | undefined {
    return this.#directories.get(dir)?.names.get(name);
  }

  #directory(path: RelPath): Directory {
    const dir = directoryOf(path);
    const known = this.#directories.get(dir);
    if (known !== undefined) return known;
    const folder = detach(folderOf(path));
    let totals = this.#folders.get(folder);
    if (totals === undefined) {
      totals = { folder, files: 0, bytes: 0, incomplete: 0, lastStoredAt: 0 };
      this.#folders.set(folder, totals);
    }
    const made: Directory = { names: new Map(), totals };
    this.#directories.set(detach(dir), made);
    return made;
  }

  #subtract(totals: FolderFacts, slot: number): void {
    totals.files -= 1;
    totals.bytes -= this.#size[slot]!;
    totals.incomplete -= this.#incomplete[slot]!;
  }

  #takeSlot(): number {
    this.#count += 1;
    const free = this.#free.pop();
    if (free !== undefined) return free;
    if (this.#top === this.#capacity) this.#grow();
    return this.#top++;
  }

  #grow(): void {
    this.#capacity = Math.max(FIRST_CAPACITY, Math.ceil(this.#capacity * GROWTH));
    this.#size = copyInto(new Float64Array(this.#capacity), this.#size);
    this.#mtimeNs = copyInto(new BigInt64Array(this.#capacity), this.#mtimeNs);
    this.#storedAt = copyInto(new Float64Array(this.#capacity), this.#storedAt);
    this.#incomplete = copyInto(new Uint8Array(this.#capacity), this.#incomplete);
    this.#hash = copyInto(Buffer.alloc(this.#capacity * HASH_BYTES), this.#hash);
  }
}

function copyInto<T extends { set(source: T): void }>(target: T, source: T): T {
  target.set(source);
  return target;
}

const scratch = Buffer.alloc(1024);

/** A copy that stands alone: a part cut from a longer string would keep all of it in memory. */
export function detach(text: string): string {
  if (text.length <= scratch.length) {
    const copy = scratch.toString('latin1', 0, scratch.write(text, 'latin1'));
    if (copy === text) return copy;
  }
  return JSON.parse(JSON.stringify(text)) as string;
}
