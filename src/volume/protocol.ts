// What the main thread asks the volume worker, and what it answers.

/** What a directory entry is; symlinks, FIFOs, sockets and devices are `other` and never touched. */
export const EntryKind = { other: 0, file: 1, directory: 2 } as const;

export interface DirectoryListing {
  /** `dev:ino:mtimeNs:ctimeNs`, taken before listing; null if the directory is gone. */
  identity: string | null;
  names: string[];
  /** EntryKind of each name. */
  kinds: Uint8Array;
}

export interface FileStats {
  /** Bytes; -1 where there is no regular file (any more). */
  sizes: Float64Array;
  /** Nanoseconds since 1970. */
  mtimes: BigInt64Array;
  ctimes: BigInt64Array;
}

export interface OpenWriters {
  /** Those of the targets (`dev:ino`) that a process has open for writing. */
  open: string[];
  /** False if some process's descriptors couldn't be read. */
  complete: boolean;
}

export interface RequestMap {
  /** Identities as in DirectoryListing; a value that starts with '?' is an error code. */
  statDirectories: { request: { root: string; dirs: readonly string[] }; reply: (string | null)[] };
  list: { request: { root: string; dir: string }; reply: DirectoryListing };
  statFiles: { request: { root: string; dir: string; names: readonly string[] }; reply: FileStats };
  writers: { request: { targets: readonly string[] }; reply: OpenWriters };
  /** The file system's magic number. */
  fileSystem: { request: { path: string }; reply: number };
}

export type Request = {
  [K in keyof RequestMap]: { id: number; kind: K; request: RequestMap[K]['request'] };
}[keyof RequestMap];

export type Reply = { id: number; value?: unknown; error?: { code: string; message: string } };
