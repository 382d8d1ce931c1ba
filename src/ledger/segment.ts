// One file of lines: its name, how it is made, appended to and made to last. A segment has one writer, ever.
import { constants } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { errorCode } from '../errors.ts';
import { fsPath, printable } from '../paths.ts';
import { FILE_MODE, type LedgerIo, syncDirectory } from './io.ts';

/**
 * `ledger.<epoch>.jsonl` is the segment that a holder starts with. With a part more it is, in the order in which
 * names sort and lines count: `c…` what the holder compacted, the first segment itself, `r…` what it went on with.
 */
const NAME = /^ledger\.(\d{1,13})(?:\.[A-Za-z0-9-]{1,64})?\.jsonl$/;
/** Numbers from here on aren't ours: no claim and no segment of this agent has one. */
export const FOREIGN_EPOCH = 2 ** 40;

const { O_APPEND, O_CREAT, O_EXCL, O_NOFOLLOW, O_WRONLY } = constants;

export interface SegmentName {
  name: string;
  epoch: number;
}

export function segmentName(epoch: number, part?: string): string {
  return part === undefined ? `ledger.${epoch}.jsonl` : `ledger.${epoch}.${part}.jsonl`;
}

/** The segments in a folder's directory, oldest facts first; none where there is no such directory. */
export async function listSegments(io: LedgerIo, dir: string): Promise<SegmentName[]> {
  const segments: SegmentName[] = [];
  for (const name of await listNames(io, dir)) {
    const epoch = epochOfSegment(name);
    if (epoch !== undefined) segments.push({ name, epoch });
  }
  return segments.sort((a, b) => a.epoch - b.epoch || (a.name < b.name ? -1 : 1));
}

/** The epoch in the name of a segment; undefined for any other file. */
export function epochOfSegment(name: string): number | undefined {
  const epoch = Number(NAME.exec(name)?.[1] ?? FOREIGN_EPOCH);
  return epoch < FOREIGN_EPOCH ? epoch : undefined;
}

/** The names in a directory; none where there is no directory. */
export async function listNames(io: LedgerIo, dir: string): Promise<string[]> {
  try {
    return await io.readdir(fsPath(dir));
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return [];
    throw error;
  }
}

export class Segment {
  readonly #io: LedgerIo;
  readonly #path: string;
  #handle: FileHandle | undefined;

  private constructor(io: LedgerIo, path: string, handle: FileHandle) {
    this.#io = io;
    this.#path = path;
    this.#handle = handle;
  }

  /** Makes a segment whose name lasts. Rejects with `EEXIST` where the name is taken. */
  static async create(io: LedgerIo, dir: string, name: string): Promise<Segment> {
    const path = `${dir}/${name}`;
    const handle = await io.open(fsPath(path), O_WRONLY | O_APPEND | O_CREAT | O_EXCL | O_NOFOLLOW, FILE_MODE);
    const segment = new Segment(io, path, handle);
    try {
      await handle.chmod(FILE_MODE).catch(() => {});
      await syncDirectory(io, dir);
    } catch (error) {
      await segment.discard();
      throw error;
    }
    return segment;
  }

  /**
   * Appends lines and makes them last. Rejects with the system's error, or where the segment is gone (compacted, or
   * removed by someone). After a rejection nothing may be appended any more: the segment may end in half a line.
   */
  async append(lines: Buffer): Promise<void> {
    this.#handle ??= await this.#io.open(fsPath(this.#path), O_WRONLY | O_APPEND | O_NOFOLLOW);
    for (let done = 0; done < lines.length; ) {
      const { bytesWritten } = await this.#handle.write(lines, done, lines.length - done);
      if (bytesWritten === 0) throw new Error(`${printable(this.#path)} took no more bytes`);
      done += bytesWritten;
    }
    await this.#handle.datasync();
    // Looked at after the write: whoever removes a segment reads it once more after its name is gone.
    if ((await this.#handle.stat()).nlink === 0) throw new Error(`${printable(this.#path)} was removed`);
  }

  get isOpen(): boolean {
    return this.#handle !== undefined;
  }

  /** Gives the file handle back; `append` opens another one. */
  async close(): Promise<void> {
    const handle = this.#handle;
    this.#handle = undefined;
    // Everything that counts is synced: an error here says nothing.
    await handle?.close().catch(() => {});
  }

  /** Removes a segment that holds nothing that counts. */
  async discard(): Promise<void> {
    await this.close();
    await this.#io.unlink(fsPath(this.#path)).catch(() => {});
  }
}
