// A list of everything, one line of JSON a file, the same whoever is asked: the ledger, the volume or the bucket. Paths and
// times are written as objects' metadata has them, so that every name there can be is one line of ASCII, and one only.
import PQueue from 'p-queue';
import { errorCode } from '../errors.ts';
import { objectKey } from '../object/key.ts';
import { formatSeconds } from '../object/metadata.ts';
import { percentEncode, printable, type RelPath } from '../paths.ts';
import type { Store } from '../upload/store.ts';
import type { Progress } from './findings.ts';
import { prefixesOf, takeInventory } from './inventory.ts';
import { Recorded, type RecordedOptions } from './recorded.ts';
import type { Scope } from './scope.ts';
import { hashOutput, listOutputs, type OutputDirectory } from './volume-files.ts';

interface Entry {
  path: RelPath;
  /** Bytes. */
  size: number;
  /** Nanoseconds since 1970. */
  mtimeNs: bigint;
  /** Hex. */
  sha256: string;
  key: string;
}

export interface Manifest {
  lines: string[];
  /** What isn't in it and why, for people. */
  missing: string[];
}

interface KeySettings {
  keyTemplate: string;
  timezone: string;
}

const HASHES_AT_ONCE = 2;

/** What the ledger's last fact about each path says. Undefined where it has none. */
export async function manifestOfLedger(options: RecordedOptions): Promise<Manifest | undefined> {
  const recorded = new Recorded(options);
  const trouble = await recorded.read();
  if (recorded.files.size === 0 && trouble === undefined) return undefined;
  const lines: string[] = [];
  for (const { path, mtimeNs, object } of recorded.files.where(() => true)) {
    const { size, sha256, key } = object;
    lines.push(lineOf({ path, size, mtimeNs, sha256, key }));
  }
  return { lines: lines.sort(), missing: trouble === undefined ? [] : [trouble] };
}

/** What is on the volume now: every file is read. Empty ones, and those older than `notBefore` (wall ms), are never stored. */
export async function manifestOfVolume(
  directory: OutputDirectory,
  options: KeySettings & { scope: Scope; notBefore: number; onProgress: (progress: Progress) => void },
): Promise<Manifest> {
  const { scope, keyTemplate, timezone, notBefore, onProgress } = options;
  const found: { path: RelPath; size: number }[] = [];
  const { unreadable } = await listOutputs(directory, scope.from, ({ path, size, ctimeNs }) => {
    if (size > 0 && scope.includes(path) && Number(ctimeNs / 1_000_000n) >= notBefore) found.push({ path, size });
  });
  const missing = unreadable.map(({ path, code }) => `the directory ${printable(path) || '.'} can't be read (${code})`);
  const totalBytes = found.reduce((sum, { size }) => sum + size, 0);
  const lines: string[] = [];
  let bytes = 0;
  let done = 0;
  const onRead = (read: number) => {
    bytes += read;
    onProgress({ what: 'reading the volume', done, total: found.length, bytes, totalBytes });
  };
  const queue = new PQueue({ concurrency: HASHES_AT_ONCE });
  for (const { path } of found) {
    await queue.onSizeLessThan(HASHES_AT_ONCE);
    void queue.add(async () => {
      const hashed = await hashOutput(directory, path, onRead).catch((error: unknown) => {
        return `it can't be read (${errorCode(error) ?? error})`;
      });
      done += 1;
      if (typeof hashed === 'object') {
        lines.push(lineOf({ path, ...hashed, key: objectKey(keyTemplate, timezone, { path, ...hashed }) }));
      } else if (hashed !== 'gone') {
        missing.push(`${printable(path)}: ${hashed === 'changing' ? 'it changed while it was read' : hashed}`);
      }
    });
  }
  await queue.onIdle();
  return { lines: lines.sort(), missing };
}

/** What objects say about themselves; of several contents of one path the one that was stored last. Throws StoreError. */
export async function manifestOfBucket(
  store: Store,
  options: KeySettings & { scope: Scope; onProgress: (progress: Progress) => void },
): Promise<Manifest> {
  const { scope, keyTemplate, onProgress } = options;
  const newest = new Map<RelPath, { modifiedAt: number; key: string; line: string }>();
  const missing: string[] = [];
  let done = 0;
  const prefixes = prefixesOf(keyTemplate, scope.folder === undefined ? [] : [scope.folder]);
  for await (const { key, size, modifiedAt, path, mtimeNs, sha256, rejected } of takeInventory({ store, prefixes })) {
    done += 1;
    onProgress({ what: 'asking the bucket', done });
    if (path === undefined || mtimeNs === undefined || sha256 === undefined) {
      missing.push(`${printable(key)}: ${rejected ?? "its metadata doesn't say which file it is"}`);
      continue;
    }
    if (!scope.includes(path)) continue;
    const known = newest.get(path);
    // Stores have whole seconds at times: then any order will do, as long as it is always the same.
    const isOlder = known && (known.modifiedAt > modifiedAt || (known.modifiedAt === modifiedAt && known.key > key));
    if (!isOlder) newest.set(path, { modifiedAt, key, line: lineOf({ path, size, mtimeNs, sha256, key }) });
  }
  return { lines: [...newest.values()].map(({ line }) => line).sort(), missing };
}

/** Begins with the path, so that lines in order are paths in order. */
function lineOf({ path, size, mtimeNs, sha256, key }: Entry): string {
  return JSON.stringify({ path: percentEncode(path), size, mtime: formatSeconds(mtimeNs), sha256, key });
}
