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
import { FileRows, type InBucket, ObjectRows } from './recorded-rows.ts';

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
  readonly objects = new ObjectRows();
  readonly files = new FileRows(this.objects);
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
    for (const object of this.objects.where(({ current }) => current)) object.current = false;
    for (const { object } of this.files.where(() => true)) object.current = true;
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
    const { path, mtimeNs } = fact;
    const before = fact.key === undefined ? this.files.get(path)?.object : undefined;
    const key = fact.key ?? (before?.sha256 === fact.sha256 ? before.key : this.#options.keyOf(fact));
    return this.files.set(path, mtimeNs, this.objects.set(key, fact, this.#unseen));
  }
}
