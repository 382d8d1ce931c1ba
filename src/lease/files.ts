// The lease's files in a folder's directory: claims that are made once and never changed, beats that are overwritten in
// place. Every call is one step of the protocol; what it means is the reducer's business.
import { randomUUID } from 'node:crypto';
import { constants } from 'node:fs';
import { errorCode } from '../errors.ts';
import { FILE_MODE, type LedgerIo, makeDirectory, requireOneName } from '../ledger/io.ts';
import { epochOfSegment, FOREIGN_EPOCH, listNames } from '../ledger/segment.ts';
import { fsPath } from '../paths.ts';
import { isProvablyDead } from '../process-identity.ts';
import { type Claim, encodeBeat, encodeClaim, parseBeat, parseClaim } from './format.ts';
import type { Sight } from './reducer.ts';

const { O_CREAT, O_EXCL, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, O_WRONLY } = constants;

/** More than any claim or beat takes. */
const READ_BYTES = 4096;
/** What file systems answer that make no hard links. */
const NO_LINKS: ReadonlySet<string | undefined> = new Set(['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK']);

export class LeaseFiles {
  readonly #io: LedgerIo;
  readonly #dir: string;
  readonly #self: Omit<Claim, 'epoch' | 'since'>;
  /** The highest claim that was read: it never changes. */
  #known: Claim | undefined;
  /** What is being read, by name. */
  readonly #readings = new Map<string, Promise<string | undefined>>();

  /** @param dir the folder's directory in the state; made when the first claim is */
  constructor(io: LedgerIo, dir: string, self: Omit<Claim, 'epoch' | 'since'>) {
    this.#io = io;
    this.#dir = dir;
    this.#self = self;
  }

  /**
   * Rejects with the system's error, as all of these do. A beat that can't be read before `patience` is over is none, and a
   * claim is nobody's that is known: MooseFS may take minutes for a file whose writer has lost its connection or whose chunk
   * is lost, and meanwhile nobody would have the folder.
   */
  async look(patience?: Promise<unknown>): Promise<Sight> {
    const names = await listNames(this.#io, this.#dir);
    const epoch = highestClaim(names);
    const top = Math.max(epoch, ...names.flatMap((name) => epochOfSegment(name) ?? []));
    if (epoch === 0) return { top, claim: undefined };
    const parse = (text: string | undefined) => parseClaim(text, epoch);
    const inTime = (text: Promise<string | undefined>) =>
      patience ? Promise.race([text, patience.then(() => undefined)]) : text;
    // Side by side: a claim that takes long must not hide that its holder lives.
    const [claim, beat] = await Promise.all([
      this.#known?.epoch === epoch ? this.#known : inTime(this.#read(`lease.${epoch}.json`)).then(parse),
      inTime(this.#read(`beat.${epoch}.json`)),
    ]);
    this.#known = claim;
    const ours = claim?.nonce === this.#self.nonce;
    const { process } = this.#self;
    const samePod = claim?.process.pod === process.pod;
    return {
      top,
      claim: {
        epoch,
        ours,
        holder: claim && { pod: claim.process.pod, host: claim.host, since: claim.since },
        died: !ours && samePod && isProvablyDead(claim.process),
        samePod,
        beat,
        released: parseBeat(beat, epoch)?.released === true,
      },
    };
  }

  /** Tries to claim an epoch, which only one ever can. @param wall ms, for people */
  async claim(epoch: number, wall: number): Promise<number | 'exclusive'> {
    await makeDirectory(this.#io, this.#dir);
    const claim = encodeClaim({ ...this.#self, epoch, since: new Date(wall).toISOString() });
    const target = this.#path(`lease.${epoch}.json`);
    const temporary = this.#path(`claim.${randomUUID()}.tmp`);
    try {
      await this.#create(temporary, claim);
      const refusal = await this.#io.link(temporary, target).catch((error: unknown) => error);
      if (NO_LINKS.has(errorCode(refusal))) return await this.#claimExclusively(target, claim);
      // The reply to a link that was made may be lost: the count knows.
      const { nlink } = await this.#io.stat(temporary);
      if (nlink !== 2 && refusal && errorCode(refusal) !== 'EEXIST') throw refusal;
      return nlink;
    } finally {
      await this.#io.unlink(temporary).catch(() => {});
    }
  }

  /** Shows that the holder lives, and looks whether somebody else has claimed. Gives the highest claim. */
  async beat(epoch: number, counter: number, wall: number, released = false): Promise<number> {
    const path = this.#path(`beat.${epoch}.json`);
    // In place and of one length: a new file each time would fill the trash of the volume.
    const handle = await this.#io.open(path, O_WRONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK, FILE_MODE);
    try {
      await requireOneName(handle);
      if (counter === 1) await handle.chmod(FILE_MODE).catch(() => {});
      await handle.write(encodeBeat({ epoch, counter, released, at: new Date(wall).toISOString() }), 0);
    } finally {
      await handle.close();
    }
    return highestClaim(await listNames(this.#io, this.#dir));
  }

  /** Removes claims and beats of epochs below this. */
  async tidy(below: number): Promise<void> {
    for (const name of await listNames(this.#io, this.#dir)) {
      const epoch = epochOf('lease', name) ?? epochOf('beat', name);
      if (epoch !== undefined && epoch < below) await this.#io.unlink(this.#path(name)).catch(() => {});
    }
  }

  /** One reading of a file at a time, however often it is asked for: each takes one of the few places of calls on the volume. */
  #read(name: string): Promise<string | undefined> {
    const running = this.#readings.get(name);
    if (running) return running;
    const reading = readLeaseFile(this.#io, this.#path(name));
    this.#readings.set(name, reading);
    const end = () => this.#readings.delete(name);
    reading.then(end, end);
    return reading;
  }

  /** Whole and lasting, or an error. */
  async #create(path: string | Buffer, text: string): Promise<void> {
    const handle = await this.#io.open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, FILE_MODE);
    try {
      await handle.chmod(FILE_MODE).catch(() => {});
      await handle.writeFile(text);
      await handle.sync();
    } catch (error) {
      // Half a claim would be waited out like a silent pod.
      await this.#io.unlink(path).catch(() => {});
      throw error;
    } finally {
      await handle.close();
    }
  }

  /** Where hard links are refused: who makes the file has won. It may be read while it is still empty. */
  async #claimExclusively(path: string | Buffer, text: string): Promise<number | 'exclusive'> {
    try {
      await this.#create(path, text);
      return 'exclusive';
    } catch (error) {
      if (errorCode(error) === 'EEXIST') return 0;
      throw error;
    }
  }

  #path(name: string): string | Buffer {
    return fsPath(`${this.#dir}/${name}`);
  }
}

/** The highest epoch that is claimed; 0 for none. */
export function highestClaim(names: readonly string[]): number {
  return Math.max(0, ...names.flatMap((name) => epochOf('lease', name) ?? []));
}

/** Undefined where there is no such file, or it is none that we could read. Rejects where the volume has an error. */
export async function readLeaseFile(io: LedgerIo, path: string | Buffer): Promise<string | undefined> {
  let handle: Awaited<ReturnType<LedgerIo['open']>>;
  try {
    handle = await io.open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  } catch (error) {
    if (errorCode(error) === 'EIO' || errorCode(error) === 'ESTALE') throw error;
    return undefined;
  }
  try {
    const buffer = Buffer.alloc(READ_BYTES);
    const { bytesRead } = await handle.read(buffer, 0, READ_BYTES, 0);
    return buffer.toString('utf8', 0, bytesRead);
  } catch (error) {
    // A directory, or a pipe.
    if (errorCode(error) === 'EISDIR' || errorCode(error) === 'ESPIPE') return undefined;
    throw error;
  } finally {
    await handle.close();
  }
}

/** The epoch in the name of a claim or a beat. Numbers that can't be ours are foreign files. */
export function epochOf(kind: 'lease' | 'beat', name: string): number | undefined {
  const digits = new RegExp(`^${kind}\\.([1-9]\\d{0,12})\\.json$`).exec(name)?.[1];
  const epoch = Number(digits ?? FOREIGN_EPOCH);
  return epoch < FOREIGN_EPOCH ? epoch : undefined;
}
