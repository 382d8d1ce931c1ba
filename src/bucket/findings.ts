// What a comparison is asked and what it finds.
import type { Clock } from '../clock.ts';
import type { Log } from '../log.ts';
import type { RelPath } from '../paths.ts';
import type { Store } from '../upload/store.ts';
import type { Recorded } from './recorded.ts';
import type { Scope } from './scope.ts';
import type { OutputDirectory, Unreadable } from './volume-files.ts';

/** A file on the volume that the ledger doesn't know. */
export interface NewFile {
  path: RelPath;
  /** Bytes. */
  size: number;
  /** The bucket has an object of this name, day and size; when bytes were read, of these bytes. */
  inBucket: boolean;
}

/** An object that the ledger doesn't know. */
export interface ForeignObject {
  key: string;
  /** Bytes. */
  size: number;
}

/** Objects that the ledger doesn't know and whose bytes were to be read, but those that are what they should be. */
export interface ReadBack {
  /** Bytes aren't those of their metadata. */
  damaged: ForeignObject[];
  /** The store didn't give their bytes. */
  unread: ForeignObject[];
  /** Their metadata names no hash: there is nothing to compare their bytes with. */
  unhashed: ForeignObject[];
}

export interface Findings {
  recorded: Recorded;
  newFiles: NewFile[];
  /** Empty files: left. */
  empty: number;
  /** Files that R2_EXISTING=skip leaves alone. */
  older: number;
  skipped: Record<string, number>;
  unreadable: Unreadable;
  listed: { objects: number; bytes: number };
  foreign: { objects: number; bytes: number; examples: ForeignObject[] } & ReadBack;
  /** How large recorded objects are that have another size than recorded. */
  foundSizes: Map<string, number>;
  /** Why the picture isn't whole, for people. */
  troubles: string[];
}

/** How far it is. Without totals nobody knows them. */
export interface Progress {
  what: string;
  done: number;
  total?: number;
  bytes?: number;
  totalBytes?: number;
}

export interface VerifyOptions {
  store: Store;
  /** Undefined where there is none: then the bucket stands alone. */
  directory: (OutputDirectory & { targetDir: string }) | undefined;
  /** Wall ms: files that are older are left alone by R2_EXISTING=skip. */
  notBefore: number;
  keyTemplate: string;
  timezone: string;
  scope: Scope;
  deep: boolean;
  clock: Clock;
  log: Log;
  onProgress: (progress: Progress) => void;
}
