// The way of one file, once it is its turn: open, judge, hash, store. Everything that decides is in the stages; this is
// the order in which they are asked, and the order is what makes invariant 3 hold: writers are looked for between two
// looks at the file's identity, and the bytes that are judged are those that are hashed and sent.

import { createHash } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import type { Clock } from '../clock.ts';
import type { Config } from '../config/types.ts';
import type { Ledger } from '../ledger/ledger.ts';
import { FileChangedError, hashBuffer, hashFile } from '../object/hash.ts';
import { objectKey } from '../object/key.ts';
import { contentTypeOf, objectMetadata } from '../object/metadata.ts';
import { extensionOf } from '../paths.ts';
import { bufferSource, judgeFormat, type Verdict } from '../settle/formats/index.ts';
import { currentIdentity, handleSource, type Identity, openOutput, sameIdentity } from '../settle/open-file.ts';
import { type Decision, decideSettled, type Writers } from '../settle/settle.ts';
import type { WriterCheck } from '../settle/writers.ts';
import type { Bandwidth } from '../upload/bandwidth.ts';
import { type Ensured, ensureStored } from '../upload/ensure.ts';
import type { ExistingObjects } from '../upload/existing.ts';
import { SMALL_BYTES } from '../upload/lanes.ts';
import type { MultipartJournal } from '../upload/multipart-journal.ts';
import { type Store, StoreError } from '../upload/store.ts';
import type { PendingFile, PendingTable } from './pending.ts';

export interface PipelineOptions {
  config: Config;
  clock: Clock;
  /** Absolute, real path of the root. */
  root: string;
  store: Store;
  ledger: Ledger;
  table: PendingTable;
  writers: WriterCheck;
  bandwidth: Bandwidth;
  /** Bounds how fast a backlog is read. */
  backlogReads: Bandwidth;
  existing: ExistingObjects;
  journal: MultipartJournal;
  /** The output directory is on a file system that other machines may write. */
  networkVolume: boolean;
  pod: string;
  version: string;
  onRetry: () => void;
}

export interface Stored {
  kind: 'stored';
  key: string;
  sha256: string;
  identity: Identity;
  already: boolean;
  incomplete: boolean;
  /** Somebody touched the file while it was sent: what is stored is whole, but it isn't the last version. */
  changedSince: boolean;
}

export type Outcome =
  | Stored
  /** The ledger has these bytes under this path already. */
  | { kind: 'unchanged' }
  | { kind: 'unsettled'; decision: Decision & { settled: false }; writersOpen: boolean }
  /** It moved while it was looked at: start again. */
  | { kind: 'changed' }
  | { kind: 'gone' }
  | { kind: 'failed'; error: StoreError }
  | { kind: 'unreadable'; error: unknown };

const READ_BYTES = 2 ** 20;

export class Pipeline {
  readonly #options: PipelineOptions;
  /** The first object after a start, or after `failing`, is confirmed by one HEAD; all wait for that one. */
  #confirmed: Promise<void> | undefined;

  constructor(options: PipelineOptions) {
    this.#options = options;
  }

  /** The next object is confirmed by a HEAD. */
  doubtStore(): void {
    this.#confirmed = undefined;
  }

  /** Whether writers of this file could be seen in /proc, if there are any. */
  writersInSight(file: PendingFile): boolean {
    return this.#options.config.writers === 'local' && (file.local || !this.#options.networkVolume);
  }

  async process(file: PendingFile, signal: AbortSignal): Promise<Outcome> {
    let opened: Awaited<ReturnType<typeof openOutput>>;
    try {
      opened = await openOutput(this.#options.root, file.path);
    } catch (error) {
      return { kind: 'unreadable', error };
    }
    if (typeof opened === 'string') return { kind: 'gone' };
    const { handle, identity } = opened;
    try {
      return await this.#judgeAndStore(file, handle, identity, signal);
    } catch (error) {
      if (error instanceof StoreError) return { kind: 'failed', error };
      if (error instanceof FileChangedError) return { kind: 'changed' };
      if (signal.aborted) return { kind: 'failed', error: aborted(error) };
      return { kind: 'unreadable', error };
    } finally {
      await handle.close().catch(() => {});
    }
  }

  async #judgeAndStore(
    file: PendingFile,
    handle: FileHandle,
    identity: Identity,
    signal: AbortSignal,
  ): Promise<Outcome> {
    const { table, clock, config } = this.#options;
    const small = identity.size <= SMALL_BYTES;
    if (small !== file.size <= SMALL_BYTES && file.mtimeNs !== 0n) {
      table.observe(file, identity.size, identity.mtimeNs);
      return { kind: 'changed' };
    }
    table.observe(file, identity.size, identity.mtimeNs);
    const evidence = (writers: Writers, verdict: Verdict) => ({
      size: identity.size,
      writers,
      verdict,
      heardOpen: file.heardOpen,
      quietMs: clock.monotonic() - file.changedAt,
      quietLimitMs: config.quietSeconds * 1000,
    });
    // Reading a file that is being written would be for nothing: ask first where there is reason to think so.
    if (file.suspect && (await this.#writersOf(file, identity)) === 'open') {
      return unsettled(decideSettled(evidence('open', 'unknown')), true);
    }
    if (file.existing) await this.#options.backlogReads.take(identity.size, signal);
    const [content, writers] = await Promise.all([
      small ? readAndJudge(handle, file, identity.size) : judgeInPlace(handle, file, identity.size),
      this.#writersOf(file, identity),
    ]);
    if (!sameIdentity(identity, await currentIdentity(handle))) return { kind: 'changed' };
    const decision = decideSettled(evidence(writers, content.verdict));
    if (!decision.settled) return unsettled(decision, writers === 'open');

    let sha256: string;
    if (content.body) {
      sha256 = hashBuffer(content.body);
    } else {
      sha256 = await hashFile(handle, identity.size, { signal });
      if (!sameIdentity(identity, await currentIdentity(handle))) return { kind: 'changed' };
    }
    const known = this.#options.ledger.index.get(file.path);
    if (known?.sha256 === sha256 && known.incomplete === decision.incomplete) {
      // In memory alone: a restart hashes it once more, and needs no request either.
      this.#options.ledger.index.set({ ...known, path: file.path, mtimeNs: identity.mtimeNs });
      return { kind: 'unchanged' };
    }
    const ensured = await this.#store(
      file,
      handle,
      identity,
      { sha256, body: content.body, incomplete: decision.incomplete },
      signal,
    );
    const changedSince = !sameIdentity(identity, await currentIdentity(handle));
    return { kind: 'stored', ...ensured, sha256, identity, incomplete: decision.incomplete, changedSince };
  }

  async #store(
    file: PendingFile,
    handle: FileHandle,
    identity: Identity,
    content: { sha256: string; body: Buffer | undefined; incomplete: boolean },
    signal: AbortSignal,
  ): Promise<Ensured> {
    const { config, store, ledger, bandwidth, journal, existing, pod, version, onRetry } = this.#options;
    const { sha256, body } = content;
    const { size, mtimeNs } = identity;
    const keyFor = (wide: boolean) =>
      objectKey(config.keyTemplate, config.timezone, { path: file.path, mtimeNs, sha256 }, { wide });
    if (file.existing && (await existing.has(file.folder, keyFor(false), size, signal))) {
      return { key: keyFor(false), already: true };
    }
    const facts = {
      contentType: contentTypeOf(file.path),
      metadata: objectMetadata({
        path: file.path,
        mtimeNs,
        sha256,
        pod,
        agent: version,
        incomplete: content.incomplete,
      }),
    };
    const send = async (key: string) => {
      if (body) {
        await bandwidth.take(size, signal);
        return store.put({ key, ...facts, body, sha256, signal });
      }
      return journal.during(key, (onUploadId) =>
        store.putStream({
          key,
          ...facts,
          size,
          body: hashedStream(handle, size, sha256, (bytes) => bandwidth.take(bytes, signal)),
          signal,
          onUploadId,
          onProgress: (bytes) => {
            file.sent = bytes;
          },
        }),
      );
    };
    const ensured = await ensureStored({
      store,
      size,
      sha256,
      keyFor,
      send,
      // Large files are dear to send in vain; without a ledger the bucket is the only memory.
      headFirst: body === undefined || ledger.trouble !== undefined,
      signal,
      onRetry,
    });
    // Where the object was there already, a HEAD has just shown it.
    if (!ensured.already) {
      this.#confirmed ??= this.#confirm(ensured.key, size, sha256, signal);
      await this.#confirmed;
    }
    return ensured;
  }

  async #confirm(key: string, size: number, sha256: string, signal: AbortSignal): Promise<void> {
    try {
      const head = await this.#options.store.head(key, signal);
      if (head?.size === size && head.metadata.sha256 === sha256) return;
      throw new StoreError(
        'refused',
        'NotStored',
        `the store said that it has ${key}, but a HEAD doesn't find it as it was sent`,
        'Check that R2_ENDPOINT is an S3 endpoint of Cloudflare R2, not a web server or a cache in front of one.',
      );
    } catch (error) {
      this.#confirmed = undefined;
      throw error;
    }
  }

  #writersOf(file: PendingFile, { dev, ino }: Identity): Promise<Writers> {
    return this.writersInSight(file) ? this.#options.writers.writersOf(`${dev}:${ino}`) : Promise.resolve('unseen');
  }
}

function unsettled(decision: Decision, writersOpen: boolean): Outcome {
  if (decision.settled) throw new Error('a file with an open writer was judged settled');
  return { kind: 'unsettled', decision, writersOpen };
}

function aborted(cause: unknown): StoreError {
  return new StoreError('aborted', 'Aborted', 'the upload was stopped', '', undefined, { cause });
}

/** Reads a small file whole; one that ends early has changed. */
async function readAndJudge(handle: FileHandle, file: PendingFile, size: number) {
  const body = Buffer.allocUnsafeSlow(size);
  for (let at = 0; at < size; ) {
    const { bytesRead } = await handle.read(body, at, size - at, at);
    if (bytesRead === 0) throw new FileChangedError(`${file.path} became shorter while it was read`);
    at += bytesRead;
  }
  return { body, verdict: await judgeFormat(extensionOf(file.path), bufferSource(body)) };
}

async function judgeInPlace(handle: FileHandle, file: PendingFile, size: number) {
  return { body: undefined, verdict: await judgeFormat(extensionOf(file.path), handleSource(handle, size)) };
}

/** The file's bytes, hashed once more on the way: ends in FileChangedError if they aren't those of `sha256`. */
async function* hashedStream(
  handle: FileHandle,
  size: number,
  sha256: string,
  pace: (bytes: number) => Promise<void>,
): AsyncGenerator<Buffer> {
  const digest = createHash('sha256');
  for (let at = 0; at < size; ) {
    const chunk = Buffer.allocUnsafeSlow(Math.min(READ_BYTES, size - at));
    const { bytesRead } = await handle.read(chunk, 0, chunk.length, at);
    if (bytesRead === 0) throw new FileChangedError('the file became shorter while it was sent');
    const bytes = chunk.subarray(0, bytesRead);
    digest.update(bytes);
    await pace(bytesRead);
    at += bytesRead;
    // The last bytes only go out when the whole is known to be right.
    if (at === size && digest.digest('hex') !== sha256)
      throw new FileChangedError('the file changed while it was sent');
    yield bytes;
  }
}
