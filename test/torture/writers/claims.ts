// Which paths a round of a writer means: as long as it does, no other round touches them, or what is in them.
import { directoryOf, type RelPath } from '../../../src/paths.ts';

export class Claims {
  readonly #taken = new Set<RelPath>();

  /** False if the path, something on the way to it, or something in it is taken. */
  take(path: RelPath): boolean {
    for (let at = path; at !== ''; at = directoryOf(at)) if (this.#taken.has(at)) return false;
    for (const taken of this.#taken) if (taken.startsWith(`${path}/`)) return false;
    this.#taken.add(path);
    return true;
  }

  give(path: RelPath): void {
    this.#taken.delete(path);
  }
}
