// Files and objects in columns, for hundreds of thousands of them: a row is made when it is asked for, and writes through.
import { detach } from '../ledger/index.ts';
import type { RelPath } from '../paths.ts';

/**
 * What was found of an object: `size` another size, `bytes` other bytes of the right size, `unread` its bytes couldn't be
 * read, `later` recorded after the bucket was listed, so nothing was looked for.
 */
export type InBucket = 'missing' | 'there' | 'size' | 'bytes' | 'unread' | 'later';

/**
 * What was found of a file: `damaged` other bytes under the same size and time, `elsewhere` not asked for, or the volume
 * didn't tell.
 */
export type OnVolume = 'elsewhere' | 'same' | 'changed' | 'gone' | 'damaged';

const HASH_BYTES = 32;
const FIRST_CAPACITY = 1024;
const GROWTH = 1.5;

interface ObjectColumns {
  readonly key: string[];
  readonly size: number[];
  readonly incomplete: boolean[];
  readonly bucket: InBucket[];
  readonly current: boolean[];
  hash: Buffer;
}

export class RecordedObject {
  readonly #columns: ObjectColumns;
  readonly #slot: number;

  constructor(columns: ObjectColumns, slot: number) {
    this.#columns = columns;
    this.#slot = slot;
  }

  get key(): string {
    return this.#columns.key[this.#slot]!;
  }

  /** Bytes. */
  get size(): number {
    return this.#columns.size[this.#slot]!;
  }

  /** Hex. */
  get sha256(): string {
    return this.#columns.hash.toString('hex', this.#slot * HASH_BYTES, (this.#slot + 1) * HASH_BYTES);
  }

  get incomplete(): boolean {
    return this.#columns.incomplete[this.#slot]!;
  }

  get bucket(): InBucket {
    return this.#columns.bucket[this.#slot]!;
  }

  set bucket(found: InBucket) {
    this.#columns.bucket[this.#slot] = found;
  }

  /** A file's last fact names it; without, it is an earlier version. */
  get current(): boolean {
    return this.#columns.current[this.#slot]!;
  }

  set current(is: boolean) {
    this.#columns.current[this.#slot] = is;
  }
}

export class ObjectRows {
  readonly #slots = new Map<string, number>();
  readonly #columns: ObjectColumns = {
    key: [],
    size: [],
    incomplete: [],
    bucket: [],
    current: [],
    hash: Buffer.alloc(0),
  };

  /** Gives its slot; what is found of a new one is `bucket`. */
  set(key: string, fact: { size: number; sha256: string; incomplete: boolean }, bucket: InBucket): number {
    const columns = this.#columns;
    let slot = this.#slots.get(key);
    if (slot === undefined) {
      const own = detach(key);
      slot = columns.key.push(own) - 1;
      this.#slots.set(own, slot);
      columns.bucket.push(bucket);
      columns.current.push(false);
      if (columns.hash.length === slot * HASH_BYTES) {
        const hash = Buffer.alloc(Math.max(FIRST_CAPACITY, Math.ceil(slot * GROWTH)) * HASH_BYTES);
        hash.set(columns.hash);
        columns.hash = hash;
      }
    }
    columns.size[slot] = fact.size;
    columns.incomplete[slot] = fact.incomplete;
    columns.hash.write(fact.sha256, slot * HASH_BYTES, HASH_BYTES, 'hex');
    return slot;
  }

  get(key: string): RecordedObject | undefined {
    const slot = this.#slots.get(key);
    return slot === undefined ? undefined : this.at(slot);
  }

  at(slot: number): RecordedObject {
    return new RecordedObject(this.#columns, slot);
  }

  keys(): Iterable<string> {
    return this.#columns.key;
  }

  /** Those that are wanted. */
  *where(wanted: (object: RecordedObject) => boolean): Generator<RecordedObject> {
    for (let slot = 0; slot < this.#columns.key.length; slot += 1) {
      const object = this.at(slot);
      if (wanted(object)) yield object;
    }
  }
}

interface FileColumns {
  readonly path: RelPath[];
  readonly object: number[];
  readonly volume: OnVolume[];
  mtime: BigInt64Array;
}

export class RecordedFile {
  readonly #columns: FileColumns;
  readonly #objects: ObjectRows;
  readonly #slot: number;

  constructor(columns: FileColumns, objects: ObjectRows, slot: number) {
    this.#columns = columns;
    this.#objects = objects;
    this.#slot = slot;
  }

  get path(): RelPath {
    return this.#columns.path[this.#slot]!;
  }

  /** Nanoseconds since 1970, modulo 2^64 as file systems have them. */
  get mtimeNs(): bigint {
    return this.#columns.mtime[this.#slot]!;
  }

  get object(): RecordedObject {
    return this.#objects.at(this.#columns.object[this.#slot]!);
  }

  get volume(): OnVolume {
    return this.#columns.volume[this.#slot]!;
  }

  set volume(found: OnVolume) {
    this.#columns.volume[this.#slot] = found;
  }
}

export class FileRows {
  readonly #objects: ObjectRows;
  readonly #slots = new Map<RelPath, number>();
  readonly #columns: FileColumns = { path: [], object: [], volume: [], mtime: new BigInt64Array(0) };

  constructor(objects: ObjectRows) {
    this.#objects = objects;
  }

  get size(): number {
    return this.#columns.path.length;
  }

  /** Says whether the path was known. How it is on the volume is open again. */
  set(path: RelPath, mtimeNs: bigint, object: number): boolean {
    const columns = this.#columns;
    let slot = this.#slots.get(path);
    const isKnown = slot !== undefined;
    if (slot === undefined) {
      const own = detach(path);
      slot = columns.path.push(own) - 1;
      this.#slots.set(own, slot);
    }
    if (columns.mtime.length === slot) {
      const mtime = new BigInt64Array(Math.max(FIRST_CAPACITY, Math.ceil(slot * GROWTH)));
      mtime.set(columns.mtime);
      columns.mtime = mtime;
    }
    columns.mtime[slot] = mtimeNs;
    columns.object[slot] = object;
    columns.volume[slot] = 'elsewhere';
    return isKnown;
  }

  get(path: RelPath): RecordedFile | undefined {
    const slot = this.#slots.get(path);
    return slot === undefined ? undefined : this.#at(slot);
  }

  /** Those that are wanted. */
  *where(wanted: (file: RecordedFile) => boolean): Generator<RecordedFile> {
    for (let slot = 0; slot < this.#columns.path.length; slot += 1) {
      const file = this.#at(slot);
      if (wanted(file)) yield file;
    }
  }

  #at(slot: number): RecordedFile {
    return new RecordedFile(this.#columns, this.#objects, slot);
  }
}
