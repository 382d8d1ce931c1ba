// The bytes of one file, on their way from the volume to the store. Small files are read once, by the worker, and what
// was judged and hashed is what is sent. Large ones are read twice: the whole and each part are hashed on the same bytes,
// and a part is sent under its hash, so that the store refuses what isn't what was hashed.
import { FileChangedError, hashFile, PartHasher } from '../object/hash.ts';
import { extensionOf, type RelPath } from '../paths.ts';
import { judgeFormat, type Verdict } from '../settle/formats/index.ts';
import { type Identity, sameIdentity } from '../settle/identity.ts';
import { currentIdentity, handleSource, openOutput } from '../settle/open-file.ts';
import { SMALL_BYTES } from '../upload/lanes.ts';
import { partBytes } from '../upload/parts.ts';
import type { VolumeFs } from '../volume/gate.ts';
import type { Volume } from '../volume/volume.ts';
import type { BufferPool } from './buffers.ts';

/** Slows down reading; gets bytes. */
type Pace = (bytes: number) => Promise<void>;

export interface Hashes {
  /** Of the whole file, hex. */
  sha256: string;
  /** Of each part of a large file, as `cutIntoParts` cuts it; a small one has none. */
  parts: readonly string[];
}

export interface Content {
  readonly verdict: Verdict;
  /** Rejects with FileChangedError if the file isn't as it was when it was opened. */
  hash(signal: AbortSignal, pace: Pace | undefined): Promise<Hashes>;
  /** The whole body of a small file; a large one has none. */
  readonly body: Buffer | undefined;
  /** So many bytes of a large file from `position` on. Rejects with FileChangedError like `hash`. */
  readPart(position: number, length: number, pace: Pace): Promise<Buffer>;
  /** Nobody reads from these bytes any more, which `readPart` gave. */
  releasePart(bytes: Buffer): void;
  /** Must be called at the end. `sent: false` if somebody may still be reading from the body. */
  release(sent: boolean): Promise<void>;
}

const READ_BYTES = 2 ** 20;

export interface ContentSource {
  /** Absolute, real path of the root. */
  root: string;
  fs: VolumeFs;
  volume: Volume;
  buffers: BufferPool;
}

/**
 * Opens a file that was seen with this identity. `changed` if it is another by now. Rejects with the system's error where
 * it can't be read.
 */
export async function openContent(
  source: ContentSource,
  path: RelPath,
  identity: Identity,
): Promise<Content | 'gone' | 'changed'> {
  return identity.size <= SMALL_BYTES ? readSmall(source, path, identity) : openLarge(source, path, identity);
}

async function readSmall({ root, volume, buffers }: ContentSource, path: RelPath, identity: Identity) {
  const buffer = buffers.take(identity.size);
  const result = await volume.ask('read', { root, path, identity, buffer }, [buffer]);
  if (result.is !== 'read') {
    buffers.give(result.buffer);
    return result.is;
  }
  return {
    verdict: result.verdict,
    hash: async () => ({ sha256: result.sha256, parts: [] }),
    body: Buffer.from(result.buffer, 0, identity.size),
    readPart: () => {
      throw new Error('a small file is sent whole');
    },
    releasePart: () => {},
    release: async (sent: boolean) => {
      if (sent) buffers.give(result.buffer);
    },
  } satisfies Content;
}

async function openLarge({ root, fs, buffers }: ContentSource, path: RelPath, identity: Identity) {
  const handle = await openOutput(fs, root, path);
  if (handle === 'gone' || handle === 'not a file') return 'gone';
  const isUnchanged = async () => sameIdentity(identity, await currentIdentity(handle));
  try {
    const verdict = await judgeFormat(extensionOf(path), handleSource(handle, identity.size));
    if (!(await isUnchanged())) {
      await handle.close();
      return 'changed';
    }
    return {
      verdict,
      hash: async (signal: AbortSignal, pace: Pace | undefined) => {
        const hasher = new PartHasher(partBytes(identity.size));
        const onBytes = (bytes: Buffer) => hasher.update(bytes);
        const sha256 = await hashFile(handle, identity.size, { signal, onBytes, ...(pace ? { onRead: pace } : {}) });
        if (!(await isUnchanged())) throw new FileChangedError(`${path} changed while it was read`);
        return { sha256, parts: hasher.end() };
      },
      body: undefined,
      readPart: async (position: number, length: number, pace: Pace) => {
        const part = Buffer.from(buffers.take(length), 0, length);
        for (let at = 0; at < length; ) {
          const { bytesRead } = await handle.read(part, at, Math.min(READ_BYTES, length - at), position + at);
          if (bytesRead === 0) throw new FileChangedError(`${path} became shorter while it was sent`);
          at += bytesRead;
          await pace(bytesRead);
        }
        // Sooner than the store says so, and where a store doesn't compare what it gets with what was signed.
        if (!(await isUnchanged())) throw new FileChangedError(`${path} changed while it was sent`);
        return part;
      },
      releasePart: ({ buffer }: Buffer) => buffers.give(buffer as ArrayBuffer),
      release: () => handle.close().catch(() => {}),
    } satisfies Content;
  } catch (error) {
    await handle.close().catch(() => {});
    throw error;
  }
}
