// The board: where pods that share a volume tell each other what was told. Names and times carry it all, for a volume
// that is full still takes an empty file: `<id>.tell.<n>` and `<id>.over.<n>` are claims, made once by whoever comes
// first; `<id>.seen.<member>` says who sees it; `<id>.told` that it was told. A beat is the modification time of such a
// file, set to a number that counts up, so that no clock matters.
import { createHash, randomInt } from 'node:crypto';
import { constants } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { errorCode } from '../errors.ts';
import { FILE_MODE, type LedgerIo, makeDirectory, readSmall, requireOneName } from '../ledger/io.ts';
import { listNames } from '../ledger/segment.ts';
import { fsPath, printable } from '../paths.ts';
import { type BoardEntry, type Claim, claimName, seenName } from './alerts.ts';
import { type Cause, kindOf } from './condition.ts';

const { O_CREAT, O_EXCL, O_NOFOLLOW, O_NONBLOCK, O_WRONLY } = constants;

/** In a target's directory: no folder's directory can have this name. */
const DIRECTORY = '~alerts';
const NAME = /^([a-z]+-[0-9a-f]{16})\.(?:(told)|(tell|over)\.([1-9]\d{0,8})|seen\.([\w-]{1,64}))$/;
/** Far more causes than anybody has; a directory full of rubbish is not read to its end. */
const MOST_NAMES = 2000;
/** More than any note takes. */
const READ_BYTES = 4096;
const TEXT_LENGTH = 1000;
const SEVERITIES: ReadonlySet<unknown> = new Set(['failing', 'degraded', 'parked']);

export class AlertBoard {
  readonly #io: LedgerIo;
  readonly #dir: string;
  readonly #member: string;
  readonly #make: () => Promise<unknown>;
  #counter = randomInt(1, 2 ** 29);

  private constructor(io: LedgerIo, dir: string, member: string, make: () => Promise<unknown>) {
    this.#io = io;
    this.#dir = dir;
    this.#member = member;
    this.#make = make;
  }

  /** That of all pods which share a target's directory. */
  static shared(io: LedgerIo, targetDir: string, member: string): AlertBoard {
    const dir = join(targetDir, DIRECTORY);
    return new AlertBoard(io, dir, member, () => makeDirectory(io, dir));
  }

  /** This machine's own, for what concerns it alone and for times without a volume. */
  static local(io: LedgerIo, runDir: string, member: string): AlertBoard {
    const dir = join(runDir, 'alerts');
    // The directory of settings files: nobody else may write there.
    return new AlertBoard(io, dir, member, () => mkdir(dir, { recursive: true, mode: 0o700 }));
  }

  /** @param isSeenHere of such causes nobody needs to know who else sees them. Rejects with the system's error. */
  async read(isSeenHere: (id: string) => boolean): Promise<Map<string, BoardEntry>> {
    const entries = new Map<string, { -readonly [K in keyof BoardEntry]: BoardEntry[K] }>();
    const others = new Map<string, string[]>();
    for (const name of (await listNames(this.#io, this.#dir)).slice(0, MOST_NAMES)) {
      const [, id, told, purpose, n, member] = NAME.exec(name) ?? [];
      if (id === undefined || kindOf(id) === undefined) continue;
      const entry = entries.get(id) ?? { told: undefined, claims: {}, others: [] };
      entries.set(id, entry);
      if (told) entry.told = await this.#readNote(name);
      else if (purpose === 'tell' || purpose === 'over') {
        if (Number(n) > (entry.claims[purpose]?.n ?? 0)) entry.claims[purpose] = { n: Number(n), beat: '' };
      } else if (member !== undefined && member !== this.#member && !isSeenHere(id)) {
        others.set(id, [...(others.get(id) ?? []), member]);
      }
    }
    for (const [id, entry] of entries) {
      for (const purpose of ['tell', 'over'] as const) {
        const claim = entry.claims[purpose];
        if (claim) claim.beat = await this.#readBeat(claimName({ id, purpose, n: claim.n }));
      }
      entry.others = await Promise.all(
        (others.get(id) ?? []).map(async (member) => ({ member, beat: await this.#readBeat(seenName(id, member)) })),
      );
    }
    return entries;
  }

  /** Whether the claim is ours now: false where somebody was first. Rejects with the system's error. */
  async claim(claim: Claim): Promise<boolean> {
    await this.#make();
    try {
      await this.#touch(claimName(claim), O_EXCL);
    } catch (error) {
      if (errorCode(error) === 'EEXIST') return false;
      throw error;
    }
    if (claim.purpose === 'tell') return true;
    // Whoever was first may have told it, and cleared the board, since we looked.
    if ((await listNames(this.#io, this.#dir)).includes(`${claim.id}.told`)) return true;
    await this.#remove(claimName(claim));
    return false;
  }

  /** A sign of life: who has claimed this still tries to tell it. */
  async beat(claim: Claim): Promise<void> {
    await this.#touch(claimName(claim));
  }

  /** A sign of life: this pod sees the trouble. */
  async see(id: string): Promise<void> {
    await this.#make();
    await this.#touch(seenName(id, this.#member));
  }

  async leave(id: string): Promise<void> {
    await this.#remove(seenName(id, this.#member));
  }

  /** It was told. The note's words are for whoever tells that it is over; where they have no room the name must do. */
  async mark({ id, severity, text }: Cause): Promise<void> {
    await this.#make();
    const handle = await this.#io.open(
      this.#path(`${id}.told`),
      O_WRONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK,
      FILE_MODE,
    );
    try {
      await requireOneName(handle);
      await handle.truncate();
      await handle.chmod(FILE_MODE).catch(() => {});
      await handle
        .write(`${JSON.stringify({ v: 1, severity, text: text.slice(0, TEXT_LENGTH) })}\n`, 0)
        .catch(() => {});
    } finally {
      await handle.close();
    }
  }

  /** Removes all about a cause: the note first, so that what is left says nothing any more. */
  async clear(id: string): Promise<void> {
    const rank = (name: string) => (name.endsWith('.told') ? 0 : name.includes('.over.') ? 2 : 1);
    const names = (await listNames(this.#io, this.#dir)).filter((name) => NAME.exec(name)?.[1] === id);
    for (const name of names.sort((a, b) => rank(a) - rank(b))) await this.#remove(name);
  }

  async #touch(name: string, exclusive = 0): Promise<void> {
    const flags = O_WRONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK | exclusive;
    const handle = await this.#io.open(this.#path(name), flags, FILE_MODE);
    try {
      await requireOneName(handle);
      this.#counter += 1;
      await handle.utimes(this.#counter, this.#counter);
    } finally {
      await handle.close();
    }
  }

  async #readBeat(name: string): Promise<string> {
    try {
      return String((await this.#io.lstat(this.#path(name))).mtimeMs);
    } catch {
      return '';
    }
  }

  /** What another pod wrote is shown to people, so it is taken with care. */
  async #readNote(name: string): Promise<BoardEntry['told']> {
    try {
      const { severity, text } = JSON.parse(await readSmall(this.#io, this.#path(name), READ_BYTES));
      if (SEVERITIES.has(severity) && typeof text === 'string')
        return { severity, text: printable(text.slice(0, TEXT_LENGTH)) };
    } catch {
      // The name alone says that it was told.
    }
    return { severity: 'degraded', text: '' };
  }

  #remove(name: string): Promise<void> {
    return this.#io.unlink(this.#path(name)).catch(() => {});
  }

  #path(name: string): string | Buffer {
    return fsPath(`${this.#dir}/${name}`);
  }
}

/** What makes a pod the same after a restart of its agent, and different from others on its machine. */
export function memberName(pod: string, runDir: string): string {
  return `${pod.replace(/[^\w-]/g, '').slice(0, 32)}-${createHash('sha256').update(runDir).digest('hex').slice(0, 8)}`;
}
