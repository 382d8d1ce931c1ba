// Reading: every segment of every folder, merged so that the last fact about a path wins.
import { constants } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import PQueue from 'p-queue';
import type { Clock } from '../clock.ts';
import { errorCode } from '../errors.ts';
import type { Log } from '../log.ts';
import { fsPath, printable } from '../paths.ts';
import type { LedgerIo } from './io.ts';
import { type LedgerFact, parseLine } from './line.ts';
import { listNames, listSegments, type SegmentName } from './segment.ts';

const CHUNK_BYTES = 256 * 1024;
/** Enough for the longest line (4 KiB of path and 1 KiB of key, all of it escaped). */
const SMALL_BYTES = 64 * 1024;
/** Handed over at a time: strings that live longer than a moment pile up until all of memory is searched for garbage. */
const SLICE_BYTES = 16 * 1024;
const FOLDERS_AT_ONCE = 4;
/** A compaction runs at most hourly, so a second listing nearly always does. */
const LISTINGS = 10;
const FOLDER_DIRECTORY = /^[A-Za-z0-9_%.~-]{1,100}$/;
const LINE_END = 0x0a;
/**
 * On MooseFS, a read that races with another pod's append may give NUL bytes in place of what was written; asked again,
 * it gives the bytes. What is still NUL after this many milliseconds was left so by a crash.
 */
const HOLE_PAUSES_MS = [10, 40, 150, 300];

/** What was found in a folder's directory. */
export interface FolderLines {
  lines: number;
  /** Lines that a later one for the same path replaced. */
  superseded: number;
  /** How far each segment was read, by name, and whether that is all: two later epochs had begun. */
  read: Map<string, { end: number; sealed: boolean }>;
}

/** What reading a segment takes. */
export interface SegmentSource {
  io: LedgerIo;
  clock: Clock;
}

interface ReadRequest extends SegmentSource {
  log: Log;
  /** Takes a fact of an epoch; later ones replace earlier ones. Says whether it replaced one. */
  take: (fact: LedgerFact, epoch: number) => boolean;
}

interface LoadRequest extends ReadRequest {
  targetDir: string;
  /** Folders' directories that were read, by name: those in it are left out, those that succeed are added. */
  loaded: Map<string, FolderLines>;
}

/**
 * Reads the ledger of a target, as far as it isn't loaded. A folder that can't be read doesn't keep the others from
 * it. Gives the first error and its directory, undefined where all went well. Never rejects.
 */
export async function loadTarget(request: LoadRequest): Promise<{ error: unknown; at: string } | undefined> {
  const { io, targetDir, loaded } = request;
  let failure: { error: unknown; at: string } | undefined;
  const attempt = async (at: string, work: () => Promise<void>) => {
    try {
      await work();
    } catch (error) {
      failure ??= { error, at };
    }
  };
  const queue = new PQueue({ concurrency: FOLDERS_AT_ONCE });
  await attempt(targetDir, async () => {
    for (const name of await listNames(io, targetDir)) {
      if (!FOLDER_DIRECTORY.test(name) || loaded.has(name)) continue;
      const dir = `${targetDir}/${name}`;
      void queue.add(() => attempt(dir, async () => void loaded.set(name, await readFolder(request, dir))));
    }
  });
  await queue.onIdle();
  return failure;
}

/**
 * Reads what a folder's directory holds beyond `before` (undefined: all of it). Rejects with the system's error.
 * Where segments have been compacted since, everything is read again, for facts count in their order.
 */
export async function readFolder(request: ReadRequest, dir: string, before?: FolderLines): Promise<FolderLines> {
  for (let listing = 1; ; listing++) {
    try {
      const segments = await listSegments(request.io, dir);
      return await readSegments(request, dir, segments, startOf(segments, before));
    } catch (error) {
      if (errorCode(error) === 'ENOTDIR') return startOf([], undefined);
      // Compacted under our hands: its facts are in another segment by now.
      if (!isGone(error) || listing === LISTINGS) throw error;
    }
  }
}

/** `before`, if all that it has read is still there and comes first; else a new start. */
function startOf(segments: readonly SegmentName[], before: FolderLines | undefined): FolderLines {
  const first = segments.slice(0, before?.read.size);
  const isAllThere = before && first.length === before.read.size && first.every(({ name }) => before.read.has(name));
  return isAllThere ? { ...before, read: new Map(before.read) } : { lines: 0, superseded: 0, read: new Map() };
}

async function readSegments(
  request: ReadRequest,
  dir: string,
  segments: readonly SegmentName[],
  found: FolderLines,
): Promise<FolderLines> {
  // Not the last but one: a pod without a lease may have taken a number while the holder still writes.
  const living = [...new Set(segments.map(({ epoch }) => epoch))].slice(-2);
  for (const { name, epoch } of segments) {
    const known = found.read.get(name);
    if (known?.sealed) continue;
    const reached = { end: known?.end ?? 0, sealed: !living.includes(epoch) };
    found.read.set(name, reached);
    let unreadable = 0;
    for await (const { lines, end } of readLines(request, `${dir}/${name}`, reached.end)) {
      found.lines += lines.length;
      reached.end = end;
      for (const line of lines) {
        const fact = parseLine(line);
        if (fact === undefined) unreadable += 1;
        else if (request.take(fact, epoch)) found.superseded += 1;
      }
    }
    if (unreadable > 0) {
      request.log.warn(
        { segment: `${dir}/${name}`, unreadable },
        `${unreadable} lines of the ledger file ${printable(`${dir}/${name}`)} can't be read; their files are looked up in the bucket again`,
      );
    }
  }
  return found;
}

/** Whether an error says that a file was removed. */
export function isGone(error: unknown): boolean {
  const code = errorCode(error);
  return code === 'ENOENT' || code === 'ESTALE';
}

/** Complete lines without their ends, and the offset behind the last of them. */
interface Chunk {
  lines: string[];
  end: number;
}

/**
 * The complete lines of a file from byte `from` to byte `to`, a few hundred kilobytes at a time, however long the file is.
 * What stands behind the last line end is torn, and not handed over. Throws the system's error.
 */
export async function* readLines(
  { io, clock }: SegmentSource,
  path: string,
  from = 0,
  to = Number.POSITIVE_INFINITY,
): AsyncGenerator<Chunk> {
  const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants;
  let handle: FileHandle;
  try {
    handle = await io.open(fsPath(path), O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  } catch (error) {
    // A symlink is none of ours.
    if (errorCode(error) === 'ELOOP') return;
    throw error;
  }
  try {
    yield* readLinesOf(handle, clock, from, to);
  } finally {
    await handle.close();
  }
}

/** `readLines` for a file that is open. */
export async function* readLinesOf(
  handle: FileHandle,
  clock: Clock,
  from: number,
  to = Number.POSITIVE_INFINITY,
): AsyncGenerator<Chunk> {
  const stats = await handle.stat();
  if (!stats.isFile()) return;
  // Read to the end and not to the size: a network volume may tell an old size while it gives the new bytes.
  const buffer = Buffer.allocUnsafe(stats.size - from < SMALL_BYTES ? SMALL_BYTES : CHUNK_BYTES);
  let filled = 0;
  let position = from;
  let pauses = 0;
  while (position < to) {
    const wanted = Math.min(buffer.length - filled, to - position);
    const { bytesRead } = await handle.read(buffer, filled, wanted, position);
    if (bytesRead === 0) return;
    const hole = buffer.subarray(filled, filled + bytesRead).indexOf(0);
    const pause = hole === 0 ? HOLE_PAUSES_MS[pauses++] : undefined;
    if (pause !== undefined) {
      await clock.sleep(pause);
      continue;
    }
    const taken = hole > 0 ? hole : bytesRead;
    position += taken;
    filled += taken;
    let complete = buffer.subarray(0, filled).lastIndexOf(LINE_END) + 1;
    // No line of ours is as long as the buffer: what is gets handed over in pieces, as lines that can't be read.
    if (complete === 0 && filled === buffer.length) complete = filled;
    if (complete === 0) continue;
    const begin = position - filled;
    for (let at = 0, next: number; at < complete; at = next) {
      next = buffer.lastIndexOf(LINE_END, Math.min(at + SLICE_BYTES, complete) - 1) + 1;
      if (next <= at) next = buffer.subarray(0, complete).indexOf(LINE_END, at) + 1 || complete;
      yield { lines: buffer.toString('utf8', at, next).split('\n').filter(Boolean), end: begin + next };
    }
    buffer.copyWithin(0, complete, filled);
    filled -= complete;
  }
}
