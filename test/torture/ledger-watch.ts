// Invariant 1, seen from outside: what a ledger's line says is in the store at that moment. Reads the lines by itself.
import { closeSync, openSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { TortureStore } from './store.ts';
import { readWholeLines } from './whole-lines.ts';

interface Line {
  path: string;
  sha256: string;
  key?: string;
  size: number;
}

export class LedgerWatch {
  readonly #root: string;
  readonly #store: TortureStore;
  /** By file: how far it was read. */
  readonly #offsets = new Map<string, number>();
  readonly wrongs: string[] = [];
  lines = 0;

  /** @param root the directory that holds `.r2-sync` */
  constructor(root: string, store: TortureStore) {
    this.#root = root;
    this.#store = store;
  }

  /** Reads what is new. Throws the system's error where the volume can't be read. */
  look(): void {
    const state = join(this.#root, '.r2-sync');
    for (const target of list(state))
      for (const folder of list(join(state, target)))
        for (const name of list(join(state, target, folder)))
          if (/^ledger\..*\.jsonl$/.test(name)) this.#read(join(state, target, folder, name));
  }

  #read(file: string): void {
    let descriptor: number;
    try {
      descriptor = openSync(file, 'r');
    } catch {
      // A file that is gone was compacted.
      return;
    }
    try {
      const from = this.#offsets.get(file) ?? 0;
      const { lines, bytes } = readWholeLines(descriptor, from);
      this.#offsets.set(file, from + bytes);
      for (const text of lines) {
        const line = parse(text);
        if (line) this.#check(line, file);
        // A line that a crash tore has no end, and nobody writes behind it.
        else this.wrongs.push(`the ledger has a line that nobody can read, and others after it: ${file}`);
      }
    } finally {
      closeSync(descriptor);
    }
  }

  #check({ key, sha256, path, size }: Line, file: string): void {
    this.lines += 1;
    const { committed } = this.#store;
    // Without a key, only the file's time has moved: its bytes are there under the key of a line before.
    const candidates = key === undefined ? [...committed.values()] : [committed.get(key)];
    const known = candidates.some(
      (stored) => stored?.sha256 === sha256 && (key === undefined || stored.bytes === size),
    );
    if (!known)
      this.wrongs.push(`invariant 1: the ledger has ${path} (${sha256}) as ${key}, and the store hasn't: ${file}`);
  }
}

function parse(text: string): Line | undefined {
  try {
    const line = JSON.parse(text) as Line;
    return typeof line?.sha256 === 'string' ? line : undefined;
  } catch {
    return undefined;
  }
}

function list(dir: string): string[] {
  try {
    return readdirSync(dir);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') return [];
    throw error;
  }
}
