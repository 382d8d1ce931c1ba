// The worker thread that touches the volume with synchronous calls: ten times cheaper in CPU than asynchronous ones,
// and a volume that hangs stops this thread, not the agent. It answers small batches in order and decides nothing.
import {
  closeSync,
  constants,
  type Dirent,
  fstatSync,
  lstatSync,
  openSync,
  readdirSync,
  readlinkSync,
  readSync,
  statfsSync,
} from 'node:fs';
import { parentPort } from 'node:worker_threads';
import { errorCode, errorText } from '../errors.ts';
import { hashBuffer } from '../object/hash.ts';
import { decodeName, extensionOf, fsPath, joinPath } from '../paths.ts';
import { bufferSource, judgeFormat } from '../settle/formats/index.ts';
import { type Identity, identityOf, sameIdentity } from '../settle/identity.ts';
import { wasReachedBySymlink } from '../settle/open-file.ts';
import { findOpenFiles } from './processes.ts';
import type {
  DirectoryListing,
  Examination,
  FileStats,
  Look,
  ReadResult,
  Reply,
  Request,
  RequestMap,
} from './protocol.ts';
import { EntryKind } from './protocol.ts';

type Handler<K extends keyof RequestMap> = (
  request: RequestMap[K]['request'],
) => RequestMap[K]['reply'] | Promise<RequestMap[K]['reply']>;

const handlers: { [K in keyof RequestMap]: Handler<K> } = {
  statDirectories: ({ root, dirs }) => dirs.map((dir) => directoryIdentity(joinRoot(root, dir))),
  list: ({ root, dir, stats = 0 }) => listDirectory(joinRoot(root, dir), stats),
  statFiles: ({ root, dir, names }) => statFiles(joinRoot(root, dir), names),
  examine: ({ root, paths, writers }) => examine(root, paths, writers),
  read: ({ root, path, identity, buffer }) => readFile(joinRoot(root, path), identity, buffer),
  fileSystem: ({ path }) => statfsSync(fsPath(path)).type,
  space: ({ path }) => {
    const { bavail, blocks, bsize } = statfsSync(fsPath(path));
    return { free: bavail * bsize, total: blocks * bsize };
  },
};

let working: Promise<void> = Promise.resolve();
parentPort?.on('message', (message: Request) => {
  working = working.then(() => answer(message));
});

async function answer({ id, kind, request }: Request): Promise<void> {
  try {
    const value = await (handlers[kind] as (request: unknown) => unknown)(request);
    const reply: Reply = { id, value };
    parentPort?.postMessage(reply, kind === 'read' ? [(value as ReadResult).buffer] : []);
  } catch (error) {
    const reply: Reply = { id, error: { code: errorCode(error) ?? 'UNKNOWN', message: errorText(error) } };
    parentPort?.postMessage(reply);
  }
}

function joinRoot(root: string, path: string): string {
  return path === '' ? root : `${root}/${path}`;
}

/** `dev:ino:mtimeNs:ctimeNs` of a directory, taken before it is listed; null if there is no directory any more. */
function directoryIdentity(path: string): string | null {
  try {
    const stat = lstatSync(fsPath(path), { bigint: true });
    return stat.isDirectory() ? `${stat.dev}:${stat.ino}:${stat.mtimeNs}:${stat.ctimeNs}` : null;
  } catch (error) {
    return isGone(error) ? null : `?${errorCode(error)}`;
  }
}

function listDirectory(path: string, stats: number): DirectoryListing {
  const identity = directoryIdentity(path);
  let entries: { name: string; entry: Dirent<string> | Dirent<Buffer> }[];
  const plain = readdirSync(fsPath(path), { withFileTypes: true, encoding: 'utf8' });
  if (plain.some((entry) => entry.name.includes('\ufffd'))) {
    // Some name isn't UTF-8 (or really holds U+FFFD): take the bytes.
    const raw = readdirSync(fsPath(path), { withFileTypes: true, encoding: 'buffer' });
    entries = raw.map((entry) => ({ name: decodeName(entry.name), entry }));
  } else {
    entries = plain.map((entry) => ({ name: entry.name, entry }));
  }
  const kinds = new Uint8Array(entries.length);
  entries.forEach(({ entry }, at) => {
    kinds[at] = entry.isFile() ? EntryKind.file : entry.isDirectory() ? EntryKind.directory : EntryKind.other;
  });
  const names = entries.map(({ name }) => name);
  return { identity, names, kinds, stats: statFiles(path, names.slice(0, stats)) };
}

function statFiles(dir: string, names: readonly string[]): FileStats {
  const sizes = new Float64Array(names.length).fill(-1);
  const mtimes = new BigInt64Array(names.length);
  const ctimes = new BigInt64Array(names.length);
  let problem: string | null = null;
  names.forEach((name, at) => {
    try {
      const stat = lstatSync(fsPath(joinPath(dir, name)), { bigint: true });
      if (!stat.isFile()) return;
      sizes[at] = Number(stat.size);
      mtimes[at] = stat.mtimeNs;
      ctimes[at] = stat.ctimeNs;
    } catch (error) {
      const code = errorCode(error) ?? 'UNKNOWN';
      if (code !== 'ENOENT' && code !== 'ENOTDIR') problem = code;
    }
  });
  return { sizes, mtimes, ctimes, problem };
}

/** The looks come first, then the descriptors: a file that stays as it was seen had no writer at that moment. */
function examine(root: string, paths: readonly string[], writers: boolean): Examination {
  const looks = paths.map((path) => lookAt(joinRoot(root, path)));
  if (!writers) return { looks, open: paths.map(() => false), complete: false, passMs: 0 };
  const ids = looks.map((look) => (look.is === 'file' ? `${look.identity.dev}:${look.identity.ino}` : ''));
  const before = process.threadCpuUsage();
  const { open, complete } = findOpenFiles(root, new Set(ids));
  const { user, system } = process.threadCpuUsage(before);
  return { looks, open: ids.map((id) => open.has(id)), complete, passMs: (user + system) / 1000 };
}

function lookAt(path: string): Look {
  try {
    const stat = lstatSync(fsPath(path), { bigint: true });
    if (stat.isFile()) return { is: 'file', identity: identityOf(stat) };
    return { is: stat.isDirectory() ? 'directory' : 'other' };
  } catch (error) {
    return isGone(error) ? { is: 'gone' } : { is: 'error', code: errorCode(error) ?? 'UNKNOWN' };
  }
}

/** Reads, judges and hashes; `changed` unless the file is as it was seen, before and after. */
async function readFile(path: string, identity: Identity, buffer: ArrayBuffer): Promise<ReadResult> {
  const body = Buffer.from(buffer, 0, identity.size);
  const read = readSame(path, identity, body);
  if (read !== 'read') return { is: read, buffer };
  return {
    is: 'read',
    verdict: await judgeFormat(extensionOf(path), bufferSource(body)),
    sha256: hashBuffer(body),
    buffer,
  };
}

function readSame(path: string, identity: Identity, body: Buffer): 'read' | 'changed' | 'gone' {
  let descriptor: number;
  try {
    // Since it was seen, a FIFO may have taken its place, and opening one is felt at the other end.
    if (!sameIdentity(identity, identityOf(lstatSync(fsPath(path), { bigint: true })))) return 'changed';
    descriptor = openSync(fsPath(path), constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    const code = errorCode(error);
    if (code === 'ELOOP' || code === 'ENXIO') return 'changed';
    if (isGone(error)) return 'gone';
    throw error;
  }
  try {
    const real = readlinkSync(`/proc/self/fd/${descriptor}`, { encoding: 'buffer' });
    if (wasReachedBySymlink(real, path)) return 'gone';
    for (let at = 0; at < body.length; ) {
      const bytes = readSync(descriptor, body, at, body.length - at, at);
      if (bytes === 0) return 'changed';
      at += bytes;
    }
    return sameIdentity(identity, identityOf(fstatSync(descriptor, { bigint: true }))) ? 'read' : 'changed';
  } finally {
    closeSync(descriptor);
  }
}

function isGone(error: unknown): boolean {
  const code = errorCode(error);
  return code === 'ENOENT' || code === 'ENOTDIR';
}
