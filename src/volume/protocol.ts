// What the main thread asks the volume worker, and what it answers.
import type { Verdict } from '../settle/formats/index.ts';
import type { Identity } from '../settle/identity.ts';
import type { Space } from './space.ts';

/** What a directory entry is; symlinks, FIFOs, sockets and devices are `other` and never touched. */
export const EntryKind = { other: 0, file: 1, directory: 2 } as const;

export interface DirectoryListing {
  /** `dev:ino:mtimeNs:ctimeNs`, taken before listing; null if the directory is gone. */
  identity: string | null;
  names: string[];
  /** EntryKind of each name. */
  kinds: Uint8Array;
  /** Of as many of the first names as was asked for, taken after listing. */
  stats: FileStats;
}

export interface FileStats {
  /** Bytes; -1 where there is no regular file (any more). */
  sizes: Float64Array;
  /** Nanoseconds since 1970. */
  mtimes: BigInt64Array;
  ctimes: BigInt64Array;
  /** The error code of a name that couldn't be looked at though it may be there; null if there was none. */
  problem: string | null;
}

/** What a path is. `error` holds the system's code. */
export type Look =
  | { is: 'file'; identity: Identity }
  | { is: 'directory' | 'other' | 'gone' }
  | { is: 'error'; code: string };

export interface Examination {
  /** One for each path. */
  looks: Look[];
  /** For each path whether a process had it open for writing when, after all looks, descriptors were gone through. */
  open: boolean[];
  /** False if some process's descriptors couldn't be read: then `open: false` proves nothing. */
  complete: boolean;
  /** The CPU time that going through the descriptors took: what was spent waiting for a core is nobody's load. */
  passMs: number;
}

/** A small file, read whole. `buffer` comes back in any case. */
export type ReadResult = { buffer: ArrayBuffer } & (
  | { is: 'read'; verdict: Verdict /** Hex. */; sha256: string }
  /** It isn't the file that was asked for any more. */
  | { is: 'changed' }
  | { is: 'gone' }
);

export interface RequestMap {
  /** Identities as in DirectoryListing; a value that starts with '?' is an error code. */
  statDirectories: { request: { root: string; dirs: readonly string[] }; reply: (string | null)[] };
  list: { request: { root: string; dir: string; stats?: number }; reply: DirectoryListing };
  statFiles: { request: { root: string; dir: string; names: readonly string[] }; reply: FileStats };
  /** Looks at files and, if asked to, at who has them open. */
  examine: { request: { root: string; paths: readonly string[]; writers: boolean }; reply: Examination };
  /** Reads a file into `buffer` (which must be transferred), judges its format and hashes it, all on the same bytes. */
  read: { request: { root: string; path: string; identity: Identity; buffer: ArrayBuffer }; reply: ReadResult };
  /** The file system's magic number. */
  fileSystem: { request: { path: string }; reply: number };
  space: { request: { path: string }; reply: Space };
}

export type Request = {
  [K in keyof RequestMap]: { id: number; kind: K; request: RequestMap[K]['request'] };
}[keyof RequestMap];

export type Reply = { id: number; value?: unknown; error?: { code: string; message: string } };
