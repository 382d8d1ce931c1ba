// The torture's end of the agent hook: tells a running agent what its disk and clock do, and reads what struck. Orders go
// through a file that the hook looks at, reports come through another: an agent whose loop is blocked answers nothing.
import { closeSync, openSync, renameSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { readWholeLines } from '../whole-lines.ts';

export interface DiskFault {
  /** `state`: what lies below a `.r2-sync`; `output`: all else on the volume. */
  where: 'state' | 'output' | 'all';
  /** `changes`: what writes, makes, syncs or removes. Files that were opened before are struck too. */
  calls: 'changes' | 'reads' | 'all';
  /** How many of these calls it strikes: 0 to 1. */
  share: number;
  what:
    | { error: 'EIO' | 'ENOSPC' | 'EDQUOT' | 'EROFS' | 'ESTALE' | 'EMFILE' }
    /** Half of a write's bytes, then the error; any other call ends in the error at once. */
    | { half: 'EIO' | 'ENOSPC' }
    | { delayMs: number }
    /** Until the fault is taken away. */
    | { hang: true }
    /** Not mounted: ENOENT for every path, ESTALE for files that are open. */
    | { gone: true };
}

/** The kinds of files that an effect can be on. */
export type EffectKind = 'ledger' | 'lease' | 'journal' | 'state' | 'output';

export interface Control {
  /** Real path: what is below it is the volume. */
  root: string;
  disk: DiskFault[];
  /** Added to what Date says; monotonic clocks and timers don't step. */
  clockOffsetMs: number;
  /** The main thread stands still once for so long, when `id` is new to the process. */
  block: { id: number; ms: number } | null;
  /**
   * The process sends SIGKILL to itself at the nth (from 1) such effect since `id` was new to it: a process that starts
   * while an order stands takes it as new. `half`: when half of a write's bytes are in the file; for what isn't a write,
   * after. `after`: whether or not it succeeded.
   */
  dieAt: {
    id: number;
    effect: 'ledger' | 'lease' | 'journal' | 'any';
    nth: number;
    when: 'before' | 'half' | 'after';
    /** Counts only this call on this place (`placeOf`). */
    only?: { call: string; place: string };
  } | null;
  /** Report every effect, as it begins. */
  logEffects: boolean;
}

export interface HookReport {
  /** Epoch ms by a clock that isn't shifted. */
  at: number;
  /** `struck`: a fault met a call; the same fault on the same kind of call is reported at most five times a second. */
  is: 'struck' | 'effect' | 'died' | 'blocked';
  effect: EffectKind;
  /** As in node:fs, with `create` for an open that makes the file. */
  call: string;
  path: string;
  /** What struck, or how many bytes are written. */
  detail: string;
}

/** A path below the root, without what is made up anew in every run. */
export function placeOf(root: string, path: string): string {
  return path.slice(root.length + 1).replace(/[0-9a-f]{8,}(?:-[0-9a-f]{4,12})*/g, '*');
}

/** Where the hook reports to. */
export function reportFile(controlFile: string): string {
  return `${controlFile}.log`;
}

const HOOK = fileURLToPath(new URL('./agent-hook.ts', import.meta.url));

export class HookControl {
  /** For the agent's environment. */
  readonly env: Record<string, string>;
  /** For the command line of Node 24, before the program. */
  readonly nodeArgs: string[] = ['--disable-warning=ExperimentalWarning', '--require', HOOK];
  readonly #file: string;
  #control: Control;
  /** How far the reports were read. */
  #offset = 0;

  /** @param file is made, and beside it what `reportFile` says; not on the volume */
  constructor(file: string, root: string) {
    this.#file = file;
    this.env = { TORTURE_CONTROL: file };
    this.#control = { root, disk: [], clockOffsetMs: 0, block: null, dieAt: null, logEffects: false };
    this.set({});
    closeSync(openSync(reportFile(file), 'w'));
  }

  /** Holds for calls that begin some milliseconds later. Throws the system's error. */
  set(change: Partial<Control>): void {
    this.#control = { ...this.#control, ...change };
    writeFileSync(`${this.#file}.new`, JSON.stringify(this.#control));
    renameSync(`${this.#file}.new`, this.#file);
  }

  /** What the hook reported since the last call, oldest first. */
  read(): HookReport[] {
    const file = openSync(reportFile(this.#file), 'r');
    try {
      const { lines, bytes } = readWholeLines(file, this.#offset);
      this.#offset += bytes;
      return lines.map((line) => JSON.parse(line) as HookReport);
    } finally {
      closeSync(file);
    }
  }
}
