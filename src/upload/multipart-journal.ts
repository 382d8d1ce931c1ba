// Unfinished multipart uploads cost money until somebody aborts them. Each is noted in the state directory while it
// runs; what a dead process left is aborted at the next start, and nothing that may still be alive is touched.

import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import * as z from 'zod/mini';
import type { Clock } from '../clock.ts';
import { errorText } from '../errors.ts';
import { makeDirectory, readSmall } from '../ledger/io.ts';
import type { Log } from '../log.ts';
import { isObjectKey } from '../object/key.ts';
import { printable } from '../paths.ts';
import { identifyProcess, isProcessIdentity, isProvablyDead, type ProcessIdentity } from '../process-identity.ts';
import type { VolumeFs } from '../volume/gate.ts';
import type { Store } from './store.ts';

const noteShape = z.object({
  v: z.literal(1),
  key: z.string().check(z.refine(isObjectKey)),
  /** Without it, the request that drops an upload would be the one that deletes the object. */
  uploadId: z.string().check(z.minLength(1)),
  /** ISO 8601. */
  at: z.string(),
  process: z.custom<ProcessIdentity>(isProcessIdentity),
});

type Note = z.infer<typeof noteShape>;

/** More than any note takes. */
const READ_BYTES = 16 * 1024;

/** However sure its process seems to be alive, nothing uploads for longer. */
const TOO_OLD_MS = 24 * 3600_000;

export interface MultipartJournalOptions {
  /** `<root>/.r2-sync/<target>` */
  targetDir: string;
  fs: VolumeFs;
  store: Store;
  clock: Clock;
  log: Log;
  pod: string;
}

export class MultipartJournal {
  readonly #options: MultipartJournalOptions;
  readonly #dir: string;

  constructor(options: MultipartJournalOptions) {
    this.#options = options;
    // No folder's directory can have this name: '~' stands only in names that were cut.
    this.#dir = join(options.targetDir, '~uploads');
  }

  /** Runs one upload; its id is noted as long as parts may be left. */
  async during<T>(key: string, upload: (onUploadId: (uploadId: string) => void) => Promise<T>): Promise<T> {
    const file = join(this.#dir, `${randomUUID()}.json`);
    let noted: { uploadId: string; written: Promise<void> } | undefined;
    const remove = async () => {
      await noted?.written;
      await this.#options.fs.unlink(file).catch(() => {});
    };
    try {
      const result = await upload((uploadId) => {
        noted = { uploadId, written: this.#note(file, key, uploadId) };
      });
      await remove();
      return result;
    } catch (error) {
      // The store has tried, but doesn't say whether it could; where we can't either, the note stays. Nobody waits for that.
      if (noted) void this.#options.store.abortUpload(key, noted.uploadId).then(remove, () => {});
      throw error;
    }
  }

  /** Aborts what processes left that are provably dead, or what is older than 24 hours. Never rejects. */
  async cleanUp(): Promise<void> {
    const { fs, store, clock, log } = this.#options;
    for (const name of await fs.readdir(this.#dir).catch(() => [])) {
      const file = join(this.#dir, name);
      try {
        const note = await this.#read(file);
        if (note === undefined) continue;
        const old = clock.wall() - Date.parse(note.at) > TOO_OLD_MS;
        if (!old && !isProvablyDead(note.process)) continue;
        await store.abortUpload(note.key, note.uploadId);
        await fs.unlink(file);
        const key = printable(note.key);
        log.info({ key }, `dropped the parts of an upload that was cut off: ${key}`);
      } catch (error) {
        log.debug(
          { file, error: errorText(error) },
          'an unfinished upload could not be cleaned up; it is tried again at the next start',
        );
      }
    }
  }

  /** Undefined where it is none of this version. Whoever may write on the volume may have put anything there. */
  async #read(file: string): Promise<Note | undefined> {
    return noteShape.safeParse(JSON.parse(await readSmall(this.#options.fs, file, READ_BYTES))).data;
  }

  async #note(file: string, key: string, uploadId: string): Promise<void> {
    const { fs, clock, pod } = this.#options;
    const note: Note = { v: 1, key, uploadId, at: new Date(clock.wall()).toISOString(), process: identifyProcess(pod) };
    try {
      await makeDirectory(fs, this.#dir);
      // Whole or not at all: a torn note would never be cleaned up.
      await fs.writeFile(`${file}.tmp`, JSON.stringify(note), { mode: 0o666 });
      // The umask took bits away; another pod may run as another user.
      await fs.chmod(`${file}.tmp`, 0o666);
      await fs.rename(`${file}.tmp`, file);
    } catch {
      // A volume that takes no notes: the bucket drops unfinished uploads by itself after seven days.
    }
  }
}
