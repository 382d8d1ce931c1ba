// Decides under which name each object comes back. A name that had several contents gives all of them: the newest its own
// name, the others one with the beginning of their hash, which is the same in every run and is nobody else's.
import { hashBuffer } from '../object/hash.ts';
import { pathOfKey } from '../object/key.ts';
import { directoryOf, encodeName, joinPath, nameOf, type RelPath, refusePath } from '../paths.ts';
import type { BucketObject } from './inventory.ts';

/** One file to be: small, for there may be hundreds of thousands. */
export interface RestoreEntry {
  key: string;
  /** Relative to the directory. */
  path: RelPath;
  /** Bytes. */
  size: number;
  /** Nanoseconds since 1970. */
  mtimeNs: bigint;
  /** Hex; undefined where another program stored the object and nobody knows. */
  sha256: string | undefined;
  /** The file never became whole. */
  incomplete: boolean;
}

export interface RestoreFailure {
  key: string;
  /** Relative to the directory; undefined where it has no name that can be believed. */
  path: RelPath | undefined;
  /** In words. */
  reason: string;
}

export interface RestorePlan {
  entries: RestoreEntry[];
  /** What has no place in the directory. */
  failures: RestoreFailure[];
}

interface Named {
  path: RelPath;
  object: BucketObject;
}

const NAME_BYTES = 255;
const SHORT_HASH = 16;

/** Where an object was on the pod, as far as anything tells. */
export function originOf({ path, key }: BucketObject, keyTemplate: string): RelPath {
  return path ?? pathOfKey(keyTemplate, key);
}

/** When a file was written, or else stored. Nanoseconds since 1970. */
export function writtenAt({ mtimeNs, modifiedAt }: BucketObject): bigint {
  return mtimeNs ?? BigInt(Math.trunc(modifiedAt)) * 1_000_000n;
}

/** The plan for these objects; their order doesn't matter. */
export function planRestore(objects: readonly BucketObject[], keyTemplate: string): RestorePlan {
  const plan: RestorePlan = { entries: [], failures: [] };
  const named: Named[] = [];
  for (const object of objects) {
    const path = originOf(object, keyTemplate);
    const why = refusePath(path);
    const rejected = object.rejected ?? (why && `the path in its key ${why}`);
    if (rejected === undefined) named.push({ path, object });
    // What other programs make to show an empty directory is no file.
    else if (!(object.key.endsWith('/') && object.size === 0))
      plan.failures.push({ key: object.key, path: undefined, reason: rejected });
  }
  named.sort(byPathThenNewest);

  const newest = new Map<RelPath, BucketObject>();
  const directories = new Set<RelPath>();
  for (const { path, object } of named) {
    if (newest.has(path)) continue;
    newest.set(path, object);
    for (let dir = directoryOf(path); dir !== '' && !directories.has(dir); dir = directoryOf(dir)) directories.add(dir);
  }

  /** Who has a name beside those that files had themselves. */
  const beside = new Map<RelPath, BucketObject>();
  const holds = (place: RelPath, object: BucketObject): 'nobody' | 'same' | 'other' => {
    const holder = directories.has(place) ? undefined : (newest.get(place) ?? beside.get(place));
    if (!holder) return directories.has(place) ? 'other' : 'nobody';
    return holder === object || (object.sha256 !== undefined && holder.sha256 === object.sha256) ? 'same' : 'other';
  };
  for (const { path, object } of named) {
    const { key, size, sha256, incomplete } = object;
    // A name that is also a directory's can't be a file's.
    const isOwn = newest.get(path) === object && !directories.has(path);
    const places = isOwn ? [] : [path, ...digitsOf(object).map((digits) => withDigits(path, digits))];
    const place = isOwn ? path : places.find((candidate) => holds(candidate, object) !== 'other');
    if (place === undefined) plan.failures.push({ key, path, reason: 'every name for it is another file’s' });
    // The same bytes come back under that name already.
    else if (!isOwn && holds(place, object) === 'same') continue;
    else {
      if (!isOwn) beside.set(place, object);
      plan.entries.push({ key, path: place, size, mtimeNs: writtenAt(object), sha256, incomplete });
    }
  }
  return plan;
}

/** What makes a name of its own for a content, the shortest first. */
function digitsOf({ sha256, key }: BucketObject): string[] {
  const ofKey = hashBuffer(Buffer.from(key));
  const hash = sha256 ?? ofKey;
  return [hash.slice(0, SHORT_HASH), hash, ofKey];
}

/** `dir/name-digits.ext`; a name that gets too long for Linux is cut before the digits. */
function withDigits(path: RelPath, digits: string): RelPath {
  const name = nameOf(path);
  const dot = name.lastIndexOf('.');
  const split = dot > 0 && encodeName(name.slice(dot)).length <= 32 ? dot : name.length;
  const end = `-${digits}${name.slice(split)}`;
  const stem = [...name.slice(0, split)];
  while (encodeName(stem.join('') + end).length > NAME_BYTES) stem.pop();
  return joinPath(directoryOf(path), stem.join('') + end);
}

function byPathThenNewest(a: Named, b: Named): number {
  if (a.path !== b.path) return a.path < b.path ? -1 : 1;
  const [written, other] = [writtenAt(a.object), writtenAt(b.object)];
  if (written !== other) return written > other ? -1 : 1;
  if (a.object.modifiedAt !== b.object.modifiedAt) return b.object.modifiedAt - a.object.modifiedAt;
  return a.object.key < b.object.key ? -1 : 1;
}
