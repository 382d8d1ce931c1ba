// A folder's writing end: which segment gets the lines, and when a new one is due.
import { randomBytes } from 'node:crypto';
import { errorCode } from '../errors.ts';
import { type LedgerIo, makeDirectory } from './io.ts';
import { FOREIGN_EPOCH, listSegments, Segment, segmentName } from './segment.ts';

/** Claims that may be lost to others in a row before something must be wrong. */
const CLAIMS = 100;

export class FolderWriter {
  readonly dir: string;
  readonly #io: LedgerIo;
  /** Of the lease; without one the writer takes a number of its own. */
  #given: number | undefined;
  #epoch: number | undefined;
  #segment: Segment | undefined;
  /** Segments that this writer went on with, so that their names sort in order. */
  #followers = 0;

  constructor(io: LedgerIo, dir: string) {
    this.#io = io;
    this.dir = dir;
  }

  /** What is appended from now on goes to a segment of this epoch. */
  adopt(epoch: number): void {
    this.#given = epoch;
  }

  /** The epoch that what is recorded now belongs to; 0 while there is none. */
  get current(): number {
    return this.#given ?? this.#epoch ?? 0;
  }

  /** The epoch of the last line; undefined before the first. */
  get epoch(): number | undefined {
    return this.#epoch;
  }

  get isOpen(): boolean {
    return this.#segment?.isOpen === true;
  }

  /**
   * Appends lines and makes them last. Where the segment fails or was removed, a new one gets them. Rejects with the
   * system's error where that fails too; the lines then count as not written.
   */
  async append(lines: string): Promise<void> {
    const bytes = Buffer.from(lines);
    if (this.#given !== undefined && this.#given !== this.#epoch) {
      await this.#segment?.close();
      this.#segment = undefined;
      this.#epoch = undefined;
    }
    const segment = this.#segment;
    if (segment !== undefined) {
      try {
        return await segment.append(bytes);
      } catch {
        // It may end in half a line, and what a failed fsync left in it nobody knows: it is never appended to again.
        this.#segment = undefined;
        await segment.close();
      }
    }
    const isClaim = this.#epoch === undefined;
    const fresh = await this.#create();
    try {
      await fresh.append(bytes);
      this.#segment = fresh;
    } catch (error) {
      // It holds nothing that counts; on a full volume one such file a try would pile up.
      await fresh.discard();
      if (isClaim) this.#epoch = undefined;
      throw error;
    }
  }

  /** Gives the file handle back. The next append opens another one. */
  async release(): Promise<void> {
    await this.#segment?.close();
  }

  async #create(): Promise<Segment> {
    await makeDirectory(this.#io, this.dir);
    if (this.#epoch !== undefined) return this.#follow(this.#epoch);
    if (this.#given !== undefined) return this.#begin(this.#given);
    return this.#claim();
  }

  /** The first segment of an epoch that is ours. */
  async #begin(epoch: number): Promise<Segment> {
    this.#epoch = epoch;
    try {
      return await Segment.create(this.#io, this.dir, segmentName(epoch));
    } catch (error) {
      // Somebody without a lease took the number.
      if (errorCode(error) !== 'EEXIST') throw error;
      return this.#follow(epoch);
    }
  }

  /** One more segment of an epoch. */
  #follow(epoch: number): Promise<Segment> {
    const number = String(this.#followers++).padStart(6, '0');
    const part = `r${number}-${randomBytes(4).toString('hex')}`;
    return Segment.create(this.#io, this.dir, segmentName(epoch, part));
  }

  /** Takes the next free epoch. */
  async #claim(): Promise<Segment> {
    for (let claim = 1; ; claim++) {
      const highest = (await listSegments(this.#io, this.dir)).at(-1)?.epoch ?? 0;
      // Past the last number there is none to take.
      if (highest + 1 >= FOREIGN_EPOCH) {
        this.#epoch = highest;
        return this.#follow(highest);
      }
      try {
        const segment = await Segment.create(this.#io, this.dir, segmentName(highest + 1));
        this.#epoch = highest + 1;
        return segment;
      } catch (error) {
        if (errorCode(error) !== 'EEXIST' || claim === CLAIMS) throw error;
      }
    }
  }
}
