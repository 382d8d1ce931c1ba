// The bytes of one file, on their way from the volume to the store. Small files are read once, by the worker, and what
// was judged and hashed is what is sent; large ones are read twice, and hashed both times.
import { createHash } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import { FileChangedError, hashFile } from '../object/hash.ts';
import { extensionOf, type RelPath } from '../paths.ts';
import { judgeFormat, type Verdict } from '../settle/formats/index.ts';
import { type Identity, sameIdentity } from '../settle/identity.ts';
import { currentIdentity, handleSource, openOutput } from '../settle/open-file.ts';
import { SMALL_BYTES } from '../upload/lanes.ts';
import type { VolumeFs } from '../volume/gate.ts';
import type { Volume } from '../volume/volume.ts';
import type { BufferPool } from './buffers.ts';

export interface Content {
  readonly verdict: Verdict;
  /**
   * Hex. Rejects with FileChangedError if the file isn't as it was when it was opened.
   * @param pace slows down the reading of a large file; gets bytes
   */
  hash(signal: AbortSignal, pace: ((bytes: number) => Promise<void>) | undefined): Promise<string>;
  /** The whole body of a small file; a large one has none. */
  readonly body: Buffer | undefined;
  /** The bytes of a large file in order; ends in FileChangedError if they aren't those of `sha256`. */
  stream(sha256: string, pace: (bytes: number) => Promise<void>): AsyncIterable<Buffer>;
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
    hash: async () => result.sha256,
    body: Buffer.from(result.buffer, 0, identity.size),
    stream: () => {
      throw new Error('a small file is sent whole');
    },
    release: async (sent: boolean) => {
      if (sent) buffers.give(result.buffer);
    },
  } satisfies Content;
}

async function openLarge({ root, fs }: ContentSource, path: RelPath, identity: Identity) {
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
      hash: async (signal: AbortSignal, pace?: (bytes: number) => Promise<void>) => {
        const sha256 = await hashFile(handle, identity.size, { signal, ...(pace ? { onRead: pace } : {}) });
        if (!(await isUnchanged())) throw new FileChangedError(`${path} changed while it was read`);
        return sha256;
      },
      body: undefined,
      stream: (sha256: string, pace: (bytes: number) => Promise<void>) =>
        hashedStream(handle, identity.size, sha256, pace),
      release: () => handle.close().catch(() => {}),
    } satisfies Content;
  } catch (error) {
    await handle.close().catch(() => {});
    throw error;
  }
}

/** Every chunk is the same memory: who takes one copies it before asking for the next. */
async function* hashedStream(
  handle: FileHandle,
  size: number,
  sha256: string,
  pace: (bytes: number) => Promise<void>,
): AsyncGenerator<Buffer> {
  const digest = createHash('sha256');
  const chunk = Buffer.allocUnsafeSlow(READ_BYTES);
  for (let at = 0; at < size; ) {
    const { bytesRead } = await handle.read(chunk, 0, Math.min(READ_BYTES, size - at), at);
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
