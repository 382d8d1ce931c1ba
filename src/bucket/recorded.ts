// What the ledger says is in the bucket, joined for comparing: files by path, objects by key, and beside each what was
// found of it. The agent's index keeps no keys; a line without one (only a file's time moved) means the object of the
// line before.
import PQueue from 'p-queue';
import type { Clock } from '../clock.ts';
import type { LedgerIo } from '../ledger/io.ts';
import type { LedgerFact } from '../ledger/ledger.ts';
import { type FolderLines, loadTarget, readFolder } from '../ledger/reader.ts';
import { describeTrouble } from '../ledger/trouble.ts';
import type { Log } from '../log.ts';
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

export interface RecordedObject {
  readonly key: string;
  /** Bytes. */
  size: number;
  /** Hex. */
  sha256: string;
  incomplete: boolean;
  bucket: InBucket;
  /** A file's last fact names it; without, it is an earlier version. */
  current: boolean;
}

export interface RecordedFile {
  readonly path: RelPath;
  /** Nanoseconds since 1970. */
  mtimeNs: bigint;
  object: RecordedObject;
  volume: OnVolume;
}

export interface RecordedOptions {
  targetDir: string;
  io: LedgerIo;
  clock: Clock;
  log: Log;
  /** Paths that are asked for. */
  inScope: (path: RelPath) => boolean;
  /** The key of a fact whose line names none, and that has no line before. */
  keyOf: (fact: LedgerFact) => string;
}

export class Recorded {
  readonly files = new Map<RelPath, RecordedFile>();
  readonly objects = new Map<string, RecordedObject>();
  /** What objects are taken for that aren't known yet. */
  #unseen: InBucket = 'missing';
  readonly #options: RecordedOptions;
  readonly #loaded = new Map<string, FolderLines>();

  constructor(options: RecordedOptions) {
    this.#options = options;
  }

  /** The bucket is being listed: what is recorded from now on may not be in the listing. */
  listingBegins(): void {
    this.#unseen = 'later';
  }

  /** Marks which objects are those of a file's last fact. To be called when all is known. */
  markCurrent(): void {
    for (const object of this.objects.values()) object.current = false;
    for (const { object } of this.files.values()) object.current = true;
  }

  /**
   * Reads the ledger, or what was added to it since the last reading; tells `onFact` the paths. Gives, for people, why a
   * part of it couldn't be read; undefined where all was. Never rejects.
   */
  async read(onFact: (path: RelPath) => void = () => {}): Promise<string | undefined> {
    const { targetDir } = this.#options;
    const request = {
      ...this.#options,
      take: (fact: LedgerFact) => {
        if (!this.#options.inScope(fact.path)) return false;
        onFact(fact.path);
        return this.#take(fact);
      },
    };
    const known = [...this.#loaded];
    let failure = await loadTarget({ ...request, loaded: this.#loaded });
    const queue = new PQueue({ concurrency: 4 });
    await queue.addAll(
      known.map(([name, before]) => async () => {
        const dir = `${targetDir}/${name}`;
        try {
          this.#loaded.set(name, await readFolder(request, dir, before));
        } catch (error) {
          failure ??= { error, at: dir };
        }
      }),
    );
    return failure && describeTrouble('read', failure.at, failure.error);
  }

  #take(fact: LedgerFact): boolean {
    const { path, size, sha256, incomplete, mtimeNs } = fact;
    const file = this.files.get(path);
    const before = file?.object.sha256 === sha256 ? file.object : undefined;
    const key = fact.key ?? before?.key ?? this.#options.keyOf(fact);
    const known = this.objects.get(key);
    const object = known ?? { key, size, sha256, incomplete, bucket: this.#unseen, current: false };
    if (known === undefined) this.objects.set(key, object);
    else Object.assign(known, { size, sha256, incomplete });
    if (file === undefined) this.files.set(path, { path, mtimeNs, object, volume: 'elsewhere' });
    // How the file is now was seen before this was recorded.
    else Object.assign(file, { mtimeNs, object, volume: 'elsewhere' satisfies OnVolume });
    return file !== undefined;
  }
}
