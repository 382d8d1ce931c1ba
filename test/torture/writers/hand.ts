// The hand that writes: what every kind of writer does to the volume goes through here, so that the shelf tells the
// truth about it, two writers never mean the same path, and a volume that fails is survived.
import { hash } from 'node:crypto';
import * as fs from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { errorCode } from '../../../src/errors.ts';
import { directoryOf, extensionOf, fsPath, joinPath, nameOf, type RelPath } from '../../../src/paths.ts';
import type { Random } from '../random.ts';
import { TELLING_FORMATS } from './bodies.ts';
import type { Claims } from './claims.ts';
import type { WriterWorld } from './index.ts';
import { FOLDERS } from './names.ts';
import { readBack } from './read-back.ts';
import type { Version } from './shelf.ts';
import { type Manner, piecesOf, type Stroke, strike } from './strokes.ts';

/** Who write into one directory at a time, with the same stem, and some to spare. */
const MOST_AT_ONCE = 100;
/** What another pod has just done isn't to be seen yet: attributes are cached for a second, names may be as well. */
const SEEN_BY_ALL_MS = 4000;

export class Hand {
  readonly random: Random;
  readonly signal: AbortSignal;
  readonly #world: WriterWorld;
  readonly #claims: Claims;
  readonly #kind: string;
  readonly #pod: number;
  readonly #mine = new Set<RelPath>();

  constructor(world: WriterWorld, claims: Claims, kind: string, random: Random) {
    this.#world = world;
    this.#claims = claims;
    this.#kind = kind;
    this.random = random;
    this.signal = world.signal;
    this.#pod = random.between(0, world.pods - 1);
  }

  /** The end of a round: others may have what it claimed. */
  letGo(): void {
    for (const path of this.#mine) this.#claims.give(path);
    this.#mine.clear();
  }

  /** A seed for bytes that no other file has. */
  seed(): number {
    return this.random.between(1, 2 ** 31);
  }

  /** Where it writes: mostly in the folder of its own pod. */
  folder(): RelPath {
    const own = FOLDERS[this.#pod % FOLDERS.length]!;
    return this.random.chance(0.6) ? own : this.random.pick(FOLDERS);
  }

  async pause(fromMs: number, toMs: number): Promise<void> {
    await sleep(this.random.between(fromMs, toMs), undefined, { signal: this.signal }).catch(() => {});
  }

  /** Claims a path or a directory for this round; false if another round means it, or something in it. */
  claim(path: RelPath): boolean {
    if (this.#mine.has(path)) return true;
    if (!this.#claims.take(path)) return false;
    this.#mine.add(path);
    return true;
  }

  /**
   * Claims the next number in a directory, as ComfyUI finds it: the highest there is, and one more. undefined where the
   * directory is somebody else's for the moment.
   */
  async next(dir: RelPath, stem: string, end: string): Promise<RelPath | undefined> {
    const names = await fs.readdir(this.#absolute(dir)).catch(() => []);
    const numbers = names
      .filter((name) => name.startsWith(stem))
      .map((name) => Number.parseInt(name.slice(stem.length), 10));
    const highest = Math.max(0, ...numbers.filter((number) => number > 0));
    for (let number = highest + 1; number <= highest + MOST_AT_ONCE; number += 1) {
      const path = joinPath(dir, `${stem}${String(number).padStart(5, '0')}${end}`);
      if (!this.#world.shelf.at(path) && this.claim(path)) return path;
    }
    return undefined;
  }

  /** Claims a version that is there and that this pod can see; undefined if there is none that will do. */
  pick(willDo: (version: Version) => boolean = () => true): Version | undefined {
    const seen = performance.now() - SEEN_BY_ALL_MS;
    const found = this.#world.shelf
      .present()
      .filter((version) => (version.pod === this.#pod || version.finishedAt < seen) && willDo(version));
    for (let tries = 0; tries < 10 && found.length > 0; tries += 1) {
      const version = this.random.pick(found);
      if (this.claim(version.path)) return version;
    }
    return undefined;
  }

  /** Writes a whole file. Its directory is made right before. */
  async write(path: RelPath, body: Buffer, manner: Manner = {}): Promise<void> {
    this.#announce(path, body, manner.mtime);
    await this.#attempt([path], body, async () => {
      await this.makeDirectory(directoryOf(path));
      // Over something longer, or half of something, the rest of that would stay.
      const there = this.at(path);
      const isBase = there !== undefined && !there.torn && there.bytes <= body.length;
      const inPlace = manner.over === 'in place' && isBase;
      this.#world.shelf.leave(path);
      const strokes = manner.over === 'in place' && !inPlace ? undefined : manner.strokes;
      await this.#strike(path, strokes ?? piecesOf(body), { ...manner, over: inPlace ? 'in place' : 'truncate' });
      await this.#finish(path, body, false);
    });
    this.#say(path, 'written');
  }

  /** Writes what a program had written when it crashed. */
  async writeTorn(path: RelPath, body: Buffer, manner: Manner = {}): Promise<void> {
    await this.#attempt([path], undefined, async () => {
      await this.makeDirectory(directoryOf(path));
      this.#world.shelf.leave(path);
      await this.#strike(path, piecesOf(body), manner);
      await this.#finish(path, body, true);
    });
    this.#say(path, 'left torn');
  }

  /** Writes a whole file under a name that nobody looks at, and gives it its own name when it is done. */
  async moveIn(path: RelPath, body: Buffer, temporary: string, manner: Manner = {}): Promise<void> {
    const aside = joinPath(directoryOf(path), temporary);
    this.#announce(path, body, manner.mtime);
    await this.#attempt([path], body, async () => {
      await this.makeDirectory(directoryOf(path));
      await this.#strike(aside, piecesOf(body), manner);
      this.#world.shelf.leave(path);
      await fs.rename(this.#absolute(aside), this.#absolute(path));
      await this.#finish(path, body, false);
    });
    this.#say(path, 'moved in');
  }

  /** Writes what is no output: an excluded name, or nothing at all. */
  async scribble(path: RelPath, body: Buffer): Promise<void> {
    await this.#attempt([path], undefined, async () => {
      await this.makeDirectory(directoryOf(path));
      this.#world.shelf.leave(path);
      await this.#strike(path, [{ at: 0, bytes: body }], {});
    });
    this.#say(path, 'scribbled');
  }

  /** Something else than a file takes the name. @param make gets the absolute path */
  async obstruct(path: RelPath, make: (absolute: string | Buffer) => Promise<unknown>): Promise<void> {
    await this.#attempt([path], undefined, async () => {
      await this.makeDirectory(directoryOf(path));
      this.#world.shelf.leave(path);
      await fs.rm(this.#absolute(path), { force: true });
      await make(this.#absolute(path));
    });
    this.#say(path, 'obstructed');
  }

  async remove(path: RelPath): Promise<void> {
    this.#world.shelf.leave(path);
    await this.#attempt([path], undefined, () => fs.unlink(this.#absolute(path)));
    this.#say(path, 'deleted');
  }

  /** Renames a file; what is under the new name is replaced. */
  async rename(from: Version, to: RelPath): Promise<void> {
    const { shelf } = this.#world;
    await this.#attempt([from.path, to], undefined, async () => {
      await this.makeDirectory(directoryOf(to));
      shelf.leave(from.path);
      shelf.leave(to);
      await fs.rename(this.#absolute(from.path), this.#absolute(to));
      await this.#take(from, to);
    });
    this.#say(from.path, `renamed to ${to}`);
  }

  /** Renames a directory that nobody else writes to, with all that is in it. @param to isn't there */
  async renameDirectory(from: RelPath, to: RelPath): Promise<void> {
    const { shelf } = this.#world;
    const versions = shelf.below(from);
    const pathIn = ({ path }: Version) => `${to}${path.slice(from.length)}`;
    await this.#attempt(
      versions.flatMap((version) => [version.path, pathIn(version)]),
      undefined,
      async () => {
        await this.makeDirectory(directoryOf(to));
        for (const { path } of versions) shelf.leave(path);
        await fs.rename(this.#absolute(from), this.#absolute(to));
        for (const version of versions) await this.#take(version, pathIn(version));
      },
    );
    this.#say(from, `renamed to ${to}, with ${versions.length} files`);
  }

  /** Removes a directory that nobody else writes to, with all that is in it. */
  async removeDirectory(dir: RelPath): Promise<void> {
    const paths = this.#world.shelf.below(dir).map(({ path }) => path);
    for (const path of paths) this.#world.shelf.leave(path);
    await this.#attempt(paths, undefined, async () => {
      await fs.rm(this.#absolute(dir), { recursive: true });
      // It takes for removed whatever it doesn't find: all that is left, if the volume went away meanwhile.
      await Promise.all(paths.map((path) => this.#lookUp(path, undefined)));
    });
    this.#say(dir, `deleted, with ${paths.length} files`);
  }

  /** What is under this path now, torn or not. */
  at(path: RelPath): Version | undefined {
    return this.#world.shelf.at(path);
  }

  /** What is in a directory and below it, torn or not. */
  below(dir: RelPath): Version[] {
    return this.#world.shelf.below(dir);
  }

  /** Every directory on the way, one after the other; never the output directory itself, which may be gone. */
  async makeDirectory(dir: RelPath): Promise<void> {
    const names = dir === '' ? [] : dir.split('/');
    for (const at of names.keys()) {
      await fs.mkdir(this.#absolute(names.slice(0, at + 1).join('/'))).catch((error) => {
        if (errorCode(error) !== 'EEXIST') throw error;
      });
    }
  }

  #strike(path: RelPath, strokes: readonly Stroke[], manner: Manner): Promise<void> {
    return strike(this.#absolute(path), strokes, manner, (from, to) => this.pause(from, to));
  }

  async #finish(path: RelPath, body: Buffer, torn: boolean): Promise<void> {
    await this.#shelve({ path, sha256: hash('sha256', body, 'hex'), bytes: body.length, torn });
  }

  /** It has another name now. */
  async #take({ sha256, bytes, torn }: Version, path: RelPath): Promise<void> {
    await this.#shelve({ path, sha256, bytes, torn });
  }

  async #shelve(version: Pick<Version, 'path' | 'sha256' | 'bytes' | 'torn'>): Promise<void> {
    const finishedAt = performance.now();
    const stat = await fs.lstat(this.#absolute(version.path), { bigint: true }).catch(() => undefined);
    this.#world.shelf.finish({ pod: this.#pod, ...version, finishedAt }, stat && `${stat.size}:${stat.mtimeNs}`);
  }

  #announce(path: RelPath, body: Buffer, mtime: Date | undefined): void {
    this.#world.announce({ path, body, mtimeMs: mtime?.getTime() ?? Date.now() });
  }

  #say(path: RelPath, what: string): void {
    this.#world.say(`${this.#kind}: ${path} ${what}`);
  }

  #absolute(path: RelPath): string | Buffer {
    const output = this.#world.output(this.#pod);
    return fsPath(path === '' ? output : `${output}/${path}`);
  }

  /** Where the volume fails, what it has made of these paths is looked up as soon as it answers again. */
  async #attempt(paths: readonly RelPath[], body: Buffer | undefined, work: () => Promise<void>): Promise<void> {
    try {
      return await work();
    } catch (error) {
      const code = errorCode(error);
      if (code === undefined) throw error;
      this.#say(paths[0] ?? '.', `failed: ${code}`);
    }
    for (const path of paths) await this.#lookUp(path, body);
  }

  async #lookUp(path: RelPath, body: Buffer | undefined): Promise<void> {
    const { shelf } = this.#world;
    const found = await readBack(this.#absolute(''), this.#absolute(path), this.signal);
    if (found === 'unknown') this.#say(path, 'is unknown: the volume is still gone');
    if (typeof found === 'string') return shelf.leave(path);
    const sha256 = hash('sha256', found, 'hex');
    if (shelf.at(path)?.sha256 === sha256) return;
    const known = shelf.versions.findLast((version) => version.sha256 === sha256);
    // What is closed in a format that says nothing is what its writer left, however much that is.
    const isWhole = known ? !known.torn : body?.equals(found) || !(extensionOf(path) in TELLING_FORMATS);
    await this.#finish(path, found, !isWhole);
  }
}

/** A hidden name for what becomes `path`. */
export function hiddenNameOf(path: RelPath): string {
  return `.${nameOf(path).slice(0, 80)}.x1y2z3`;
}
