// The worker thread that touches the volume with synchronous calls: ten times cheaper in CPU than asynchronous ones,
// and a volume that hangs stops this thread, not the agent. It answers small batches in order and decides nothing.
import { type Dirent, lstatSync, readdirSync, readFileSync, readlinkSync, statfsSync, statSync } from 'node:fs';
import { parentPort } from 'node:worker_threads';
import { errorCode, errorText } from '../errors.ts';
import { decodeName, fsPath, joinPath } from '../paths.ts';
import type { DirectoryListing, FileStats, OpenWriters, Reply, Request, RequestMap } from './protocol.ts';
import { EntryKind } from './protocol.ts';

const handlers: { [K in keyof RequestMap]: (request: RequestMap[K]['request']) => RequestMap[K]['reply'] } = {
  statDirectories: ({ root, dirs }) => dirs.map((dir) => directoryIdentity(joinRoot(root, dir))),
  list: ({ root, dir }) => listDirectory(joinRoot(root, dir)),
  statFiles: ({ root, dir, names }) => statFiles(joinRoot(root, dir), names),
  writers: ({ targets }) => findWriters(new Set(targets)),
  fileSystem: ({ path }) => statfsSync(fsPath(path)).type,
};

parentPort?.on('message', (message: Request) => {
  let reply: Reply;
  try {
    reply = { id: message.id, value: (handlers[message.kind] as (request: unknown) => unknown)(message.request) };
  } catch (error) {
    reply = { id: message.id, error: { code: errorCode(error) ?? 'UNKNOWN', message: errorText(error) } };
  }
  parentPort?.postMessage(reply);
});

function joinRoot(root: string, dir: string): string {
  return dir === '' ? root : `${root}/${dir}`;
}

/** `dev:ino:mtimeNs:ctimeNs` of a directory, taken before it is listed; null if there is no directory any more. */
function directoryIdentity(path: string): string | null {
  try {
    const stat = lstatSync(fsPath(path), { bigint: true });
    return stat.isDirectory() ? `${stat.dev}:${stat.ino}:${stat.mtimeNs}:${stat.ctimeNs}` : null;
  } catch (error) {
    const code = errorCode(error);
    if (code === 'ENOENT' || code === 'ENOTDIR') return null;
    return `?${code}`;
  }
}

function listDirectory(path: string): DirectoryListing {
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
  return { identity, names: entries.map(({ name }) => name), kinds };
}

function statFiles(dir: string, names: readonly string[]): FileStats {
  const sizes = new Float64Array(names.length).fill(-1);
  const mtimes = new BigInt64Array(names.length);
  const ctimes = new BigInt64Array(names.length);
  names.forEach((name, at) => {
    try {
      const stat = lstatSync(fsPath(joinPath(dir, name)), { bigint: true });
      if (!stat.isFile()) return;
      sizes[at] = Number(stat.size);
      mtimes[at] = stat.mtimeNs;
      ctimes[at] = stat.ctimeNs;
    } catch {
      // Vanished or unreadable: -1 says so.
    }
  });
  return { sizes, mtimes, ctimes };
}

/**
 * Which of the targets (`dev:ino`) some process has open for writing. The mode of the link /proc/<pid>/fd/<n> tells
 * how it was opened, so only descriptors open for writing are followed. `complete` is false when a process that might
 * be a writer wouldn't let us look: then an empty answer proves nothing.
 */
function findWriters(targets: ReadonlySet<string>): OpenWriters {
  const open: string[] = [];
  let complete = true;
  for (const pid of readdirSync('/proc')) {
    if (!/^[1-9]/.test(pid)) continue;
    try {
      for (const descriptor of readdirSync(`/proc/${pid}/fd`)) {
        const id = openForWriting(`/proc/${pid}/fd/${descriptor}`);
        if (id !== undefined && targets.has(id)) open.push(id);
      }
    } catch (error) {
      const code = errorCode(error);
      if (code !== 'ENOENT' && code !== 'ESRCH' && !standsAboveUs(pid)) complete = false;
    }
  }
  return { open, complete };
}

/** `dev:ino` of the regular file behind a descriptor that is open for writing. Throws where we may not look. */
function openForWriting(link: string): string | undefined {
  try {
    if ((lstatSync(link).mode & 0o200) === 0) return undefined;
    // Sockets, pipes and the like have names that are no paths.
    if (!readlinkSync(link).startsWith('/')) return undefined;
    const stat = statSync(link, { bigint: true });
    return stat.isFile() ? `${stat.dev}:${stat.ino}` : undefined;
  } catch (error) {
    const code = errorCode(error);
    if (code === 'EACCES' || code === 'EPERM') throw error;
    return undefined;
  }
}

/**
 * Whether a process that hides its descriptors from us has more rights than a root agent has: a supervisor from outside
 * of the container. Nothing that was started beside us, ComfyUI above all, can be one.
 */
function standsAboveUs(pid: string): boolean {
  if (process.getuid?.() !== 0) return false;
  try {
    const ours = permittedCapabilities('self');
    return (permittedCapabilities(pid) & ~ours) !== 0n;
  } catch {
    return false;
  }
}

function permittedCapabilities(pid: string): bigint {
  return BigInt(`0x${/^CapPrm:\s*([0-9a-f]+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))![1]}`);
}
