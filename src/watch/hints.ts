// Hints: "this path may have changed". Never trusted, only followed up.
import type { RelPath } from '../paths.ts';

export interface Hint {
  /** Relative to the watched directory; '' is that directory itself. */
  path: RelPath;
  /**
   * - `opened`: a file was created, its writer has it open;
   * - `closed`: a writer closed it, or it was moved here whole;
   * - `changed`: something happened, nobody knows what;
   * - `directory`: a directory appeared or changed: what is in it must be looked for.
   */
  kind: 'opened' | 'closed' | 'changed' | 'directory';
}

export interface HintListener {
  hint(hint: Hint): void;
  /** The source is up: hints arrive from now on. What happened before must be scanned for. */
  ready(source: string): void;
  /** The source is down, or has lost events; `reason` is for people. It is tried again with back-off. */
  lost(source: string, reason: string): void;
}

/** A running source of hints. */
export interface HintSource {
  close(): Promise<void>;
}
