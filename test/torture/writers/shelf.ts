// What the writers have finished: the only thing that a checker believes besides the store. A version is here from when
// its writer was done with it until just before something takes it away.

/** What a writer finished. Times: performance.now() of this process, ms. */
export interface Version {
  /** Whose view of the volume it was written through. */
  pod: number;
  /** Relative to the output directory, as src/paths.ts `decodeName` gives it. */
  path: string;
  /** Of the whole file, hex. */
  sha256: string;
  bytes: number;
  finishedAt: number;
  /** When it was about to be overwritten, deleted or renamed away; undefined while it is there. */
  goneAt: number | undefined;
  /** Left as half a file by a writer that crashed: must never be in the bucket unmarked. */
  torn: boolean;
  /**
   * Has the size and the mtime of other bytes that were under its name before. Only a hint tells the two apart: the
   * scan compares size and mtime. On a volume with times of whole seconds that happens by itself.
   */
  twin: boolean;
}

export class Shelf {
  /** All there ever were, oldest first. */
  readonly versions: Version[] = [];
  readonly #there = new Map<string, Version>();
  /** Size and mtime that a path has had, with the hash of what had them. */
  readonly #stamps = new Map<string, Map<string, string>>();

  /** There now, finished, not torn. */
  present(): Version[] {
    return [...this.#there.values()].filter(({ torn }) => !torn);
  }

  /** What is under this path now, torn or not. */
  at(path: string): Version | undefined {
    return this.#there.get(path);
  }

  /** What is in this directory and below it now, torn or not. */
  below(dir: string): Version[] {
    return [...this.#there.values()].filter(({ path }) => path.startsWith(`${dir}/`));
  }

  /** @param stamp size and mtime as the file system tells them; undefined where it didn't */
  finish(version: Omit<Version, 'goneAt' | 'twin'>, stamp: string | undefined): void {
    const { path, sha256 } = version;
    this.leave(path);
    const stamps = this.#stamps.get(path) ?? new Map<string, string>();
    const before = stamp === undefined ? undefined : stamps.get(stamp);
    if (stamp !== undefined) this.#stamps.set(path, stamps.set(stamp, sha256));
    const finished = { ...version, goneAt: undefined, twin: before !== undefined && before !== sha256 };
    this.versions.push(finished);
    this.#there.set(path, finished);
  }

  /** Must come before the call that takes it away. */
  leave(path: string): void {
    const version = this.#there.get(path);
    if (!version) return;
    version.goneAt = performance.now();
    this.#there.delete(path);
  }
}
