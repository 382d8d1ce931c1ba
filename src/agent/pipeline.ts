// The way of one file, once it is its turn: read, judge, hash, store. Everything that decides is in the stages; this is
// the order in which they are asked, and the order is what makes invariant 3 hold. The file was seen with an identity,
// then no writer was seen; it is read now, and if it has the same identity after reading, what was read is what its last
// writer left. The bytes that are judged are those that are hashed and sent.
import type { Clock } from '../clock.ts';
import type { Config } from '../config/types.ts';
import type { Ledger, LedgerFact } from '../ledger/ledger.ts';
import { FileChangedError } from '../object/hash.ts';
import { objectKey } from '../object/key.ts';
import { contentTypeOf, objectMetadata } from '../object/metadata.ts';
import type { Identity } from '../settle/identity.ts';
import { type Decision, decideSettled } from '../settle/settle.ts';
import type { Bandwidth } from '../upload/bandwidth.ts';
import { type Ensured, ensureStored } from '../upload/ensure.ts';
import type { ExistingObjects } from '../upload/existing.ts';
import { SMALL_BYTES } from '../upload/lanes.ts';
import type { MultipartJournal } from '../upload/multipart-journal.ts';
import { type Store, StoreError } from '../upload/store.ts';
import { type Content, type ContentSource, type Hashes, openContent } from './content.ts';
import { type PendingFile, type Seen, WHY_SPARED } from './pending.ts';
import type { Permit } from './permit.ts';

export interface PipelineOptions {
  config: Config;
  clock: Clock;
  source: ContentSource;
  store: Store;
  ledger: Ledger;
  bandwidth: Bandwidth;
  /** Bounds how fast a backlog is read. */
  backlogReads: Bandwidth;
  existing: ExistingObjects;
  journal: MultipartJournal;
  pod: string;
  version: string;
  onRetry: () => void;
  /** The store has confirmed some more of a large file. */
  onProgress: (file: PendingFile, bytes: number) => void;
}

export interface Stored {
  kind: 'stored';
  key: string;
  sha256: string;
  identity: Identity;
  /** Wall ms: when it was read. */
  readAt: number;
  already: boolean;
  incomplete: boolean;
}

export type Outcome =
  | Stored
  /** The ledger has these bytes under this path already; `fact` says so under the file's time, where that has moved. */
  | { kind: 'unchanged'; fact: LedgerFact | undefined }
  | { kind: 'unsettled'; decision: Decision & { settled: false } }
  /** It moved while it was looked at: start again. */
  | { kind: 'changed' }
  | { kind: 'gone' }
  | { kind: 'failed'; error: StoreError }
  | { kind: 'unreadable'; error: unknown };

/** Attempts to send a content, and those that ended in its being stored. */
interface Puts {
  begun: number;
  done: number;
}

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

  /** Takes a file as it was seen to the store. Never rejects. */
  async process(file: PendingFile, seen: Seen, permit: Permit, signal: AbortSignal): Promise<Outcome> {
    const { source, backlogReads } = this.#options;
    let content: Content | undefined;
    const puts: Puts = { begun: 0, done: 0 };
    try {
      const pace = file.existing ? (bytes: number) => backlogReads.take(bytes, signal) : undefined;
      if (seen.identity.size <= SMALL_BYTES) await pace?.(seen.identity.size);
      const opened = await openContent(source, file.path, seen.identity);
      if (typeof opened === 'string') return { kind: opened };
      content = opened;
      return await this.#judgeAndStore(file, seen, content, { puts, pace, permit }, signal);
    } catch (error) {
      if (error instanceof StoreError) return { kind: 'failed', error };
      if (error instanceof FileChangedError) return { kind: 'changed' };
      if (signal.aborted) return { kind: 'failed', error: aborted(error) };
      return { kind: 'unreadable', error };
    } finally {
      // A store may answer before it has read everything: then a socket may still be reading from the body.
      await content?.release(puts.begun === puts.done);
    }
  }

  async #judgeAndStore(
    file: PendingFile,
    seen: Seen,
    content: Content,
    { puts, pace, permit }: { puts: Puts; pace: ((bytes: number) => Promise<void>) | undefined; permit: Permit },
    signal: AbortSignal,
  ): Promise<Outcome> {
    const { clock, config, ledger } = this.#options;
    const { identity } = seen;
    const readAt = clock.wall();
    const decision = decideSettled({
      size: identity.size,
      writers: seen.writers,
      verdict: content.verdict,
      heardOpen: file.heardOpen,
      quietMs: clock.monotonic() - file.changedAt,
      quietLimitMs: config.quietSeconds * 1000,
    });
    if (!decision.settled) return { kind: 'unsettled', decision };
    const { incomplete } = decision;
    const { sha256, parts } = await content.hash(signal, pace);
    const known = ledger.index.get(file.path);
    if (known?.sha256 === sha256 && known.incomplete === incomplete) {
      const { mtimeNs } = identity;
      const moved = known.mtimeNs !== mtimeNs;
      return { kind: 'unchanged', fact: moved ? { ...known, path: file.path, mtimeNs, key: undefined } : undefined };
    }
    const waitMs = file.sparedUntil - readAt;
    if (waitMs > 0) return { kind: 'unsettled', decision: { settled: false, waitMs, why: WHY_SPARED, until: 'quiet' } };
    const ensured = await this.#store(file, identity, content, { sha256, parts, incomplete, puts, permit }, signal);
    return { kind: 'stored', ...ensured, sha256, identity, readAt, incomplete };
  }

  async #store(
    file: PendingFile,
    { size, mtimeNs }: Identity,
    content: Content,
    facts: Hashes & { incomplete: boolean; puts: Puts; permit: Permit },
    signal: AbortSignal,
  ): Promise<Ensured> {
    const { config, store, ledger, existing, onRetry } = this.#options;
    const { path } = file;
    const { sha256, parts, permit } = facts;
    permit.check();
    const keyFor = (wide: boolean) =>
      objectKey(
        config.keyTemplate,
        config.timezone,
        { path, mtimeNs, sha256 },
        { wide: wide || file.repair?.wide === true },
      );
    if (file.existing && (await existing.has(file.folder, keyFor(false), size, signal))) {
      return { key: keyFor(false), already: true };
    }
    const { pod, version } = this.#options;
    const metadata = objectMetadata({ path, mtimeNs, sha256, pod, agent: version, incomplete: facts.incomplete });
    const object = { contentType: contentTypeOf(path), metadata };
    const ensured = await ensureStored({
      head: (objectKey) => {
        permit.check();
        return store.head(objectKey, signal);
      },
      size,
      sha256,
      keyFor,
      send: async (key) => {
        facts.puts.begun += 1;
        const reply = await this.#send(file, size, content, { key, ...object }, { sha256, parts, permit }, signal);
        facts.puts.done += 1;
        return reply;
      },
      // Large files are dear to send in vain; without a ledger the bucket is the only memory.
      headFirst: content.body === undefined || ledger.trouble !== undefined || permit.contested,
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

  async #send(
    file: PendingFile,
    size: number,
    content: Content,
    object: { key: string; contentType: string; metadata: Record<string, string> },
    { sha256, parts, permit }: Hashes & { permit: Permit },
    signal: AbortSignal,
  ): Promise<{ etag: string }> {
    const { store, bandwidth, journal } = this.#options;
    const { body } = content;
    if (body) {
      await bandwidth.take(size, signal);
      permit.check();
      return store.put({ ...object, body, sha256, signal: AbortSignal.any([signal, permit.ending]) });
    }
    return journal.during(object.key, (onUploadId) =>
      store.putParts({
        ...object,
        size,
        partHashes: parts,
        read: (position, length) => content.readPart(position, length, (bytes) => bandwidth.take(bytes, signal)),
        onSent: (bytes) => content.releasePart(bytes),
        signal,
        onUploadId,
        permit: () => permit.regain(signal),
        onProgress: (bytes) => {
          const more = bytes - file.sent;
          file.sent = bytes;
          this.#options.onProgress(file, more);
        },
      }),
    );
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
}

function aborted(cause: unknown): StoreError {
  return new StoreError('aborted', 'Aborted', 'the upload was stopped', '', undefined, { cause });
}
