// Compaction: many segments of a folder become one. It decides when that is worth it, and is ordered so that whoever
// reads, and a crash at any instant, still finds every fact: first the new segment lasts, then old ones go.
import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import type { Clock } from '../clock.ts';
import { fsPath } from '../paths.ts';
import { FILE_MODE, type LedgerIo, syncDirectory } from './io.ts';
import { parseLine } from './line.ts';
import { type FolderLines, isGone, readLines, readLinesOf, type SegmentSource } from './reader.ts';
import { listNames, listSegments, type SegmentName, segmentName } from './segment.ts';

const MAX_SEGMENTS = 16;
/** Below this a reader doesn't notice. */
const MIN_LINES = 1000;
const MIN_INTERVAL_MS = 3_600_000;
/** Of compactions, and of claims. */
const TEMP = /^(?:compact|claim)\.[0-9a-f-]+\.tmp$/;
const COMPACTED = /\.c[^.]*\.jsonl$/;

const { O_APPEND, O_CREAT, O_EXCL, O_NOFOLLOW, O_RDONLY, O_WRONLY } = constants;

export interface CompactionRequest extends SegmentSource {
  /** The folder's directory. */
  dir: string;
  /** The epoch of the holder who compacts. Only segments of lower ones are read and removed. */
  epoch: number;
  /** What was found when the folder was loaded. */
  found: Pick<FolderLines, 'lines' | 'superseded'>;
  /** Stops it between two steps; nothing is lost. */
  signal: AbortSignal;
}

interface Source extends SegmentName {
  /** How far it has been read: behind its last complete line. */
  end: number;
}

/** Compacts a folder if that is worth it. Says how many segments are gone. Rejects with the system's error. */
export async function compactFolder(request: CompactionRequest): Promise<number> {
  const { io, dir } = request;
  const old = (await listSegments(io, dir)).filter((segment) => segment.epoch < request.epoch);
  const wasteful = request.found.lines >= MIN_LINES && request.found.superseded * 2 > request.found.lines;
  if (old.length <= MAX_SEGMENTS && !wasteful) return 0;
  const sources: Source[] = old.map((segment) => ({ ...segment, end: 0 }));
  try {
    if (await wasJustDone(request, old)) return 0;
    await removeOldTemps(request);
    await writeSegment(request, 'c0', latestLines(request, sources));
  } catch (error) {
    // Someone else compacts this folder: one is enough.
    if (isGone(error) || request.signal.aborted) return 0;
    throw error;
  }
  return removeSources(request, sources);
}

/**
 * The last line about every path, and where that names no key the last one that does, in the order in which they were
 * read. Lines that can't be read stay too.
 */
async function* latestLines(request: CompactionRequest, sources: Source[]): AsyncGenerator<string[]> {
  const { dir, signal } = request;
  const last = new Map<string, number>();
  const keyed = new Map<string, number>();
  let count = 0;
  for (const source of sources) {
    for await (const { lines, end } of readLines(request, `${dir}/${source.name}`)) {
      signal.throwIfAborted();
      for (const line of lines) {
        const fact = parseLine(line);
        if (fact !== undefined) last.set(fact.path, count);
        if (fact?.key !== undefined) keyed.set(fact.path, count);
        count += 1;
      }
      source.end = end;
    }
  }
  count = 0;
  for (const source of sources) {
    for await (const { lines } of readLines(request, `${dir}/${source.name}`, 0, source.end)) {
      signal.throwIfAborted();
      yield lines.filter((line) => {
        const path = parseLine(line)?.path;
        const nth = count++;
        return path === undefined || last.get(path) === nth || keyed.get(path) === nth;
      });
    }
  }
}

/** Writes lines to a segment of ours that is there whole or not at all. */
async function writeSegment(
  request: CompactionRequest,
  part: string,
  chunks: AsyncIterable<string[]> | Iterable<string[]>,
): Promise<void> {
  const { io, dir } = request;
  const nonce = randomBytes(4).toString('hex');
  const temp = fsPath(`${dir}/compact.${nonce}.tmp`);
  try {
    const handle = await io.open(temp, O_WRONLY | O_APPEND | O_CREAT | O_EXCL | O_NOFOLLOW, FILE_MODE);
    try {
      await handle.chmod(FILE_MODE).catch(() => {});
      for await (const lines of chunks) {
        if (lines.length > 0) await handle.appendFile(`${lines.join('\n')}\n`);
      }
      await handle.sync();
    } finally {
      await handle.close();
    }
    await io.rename(temp, fsPath(`${dir}/${segmentName(request.epoch, `${part}-${nonce}`)}`));
  } catch (error) {
    await io.unlink(temp).catch(() => {});
    throw error;
  }
  await syncDirectory(io, dir);
}

/**
 * Removes what was compacted. A segment that has grown since has a writer: it stays for the next time. One that grows
 * at this very moment is caught by a last look through a handle that outlives the name; its writer either finished
 * before, and is seen, or finds the link count at 0 and writes again elsewhere.
 */
async function removeSources(request: CompactionRequest, sources: Source[]): Promise<number> {
  const { io, dir, signal, clock } = request;
  const late: string[][] = [];
  let removed = 0;
  for (const source of sources) {
    if (signal.aborted) break;
    const path = fsPath(`${dir}/${source.name}`);
    try {
      const handle = await io.open(path, O_RDONLY | O_NOFOLLOW);
      try {
        if (await hasGrown(handle, clock, source.end)) continue;
        await io.unlink(path);
        removed += 1;
        for await (const { lines } of readLinesOf(handle, clock, source.end)) late.push(lines);
      } finally {
        await handle.close();
      }
    } catch (error) {
      if (!isGone(error)) throw error;
    }
  }
  if (late.length > 0) await writeSegment(request, 'c1', late);
  return removed;
}

async function hasGrown(handle: FileHandle, clock: Clock, end: number): Promise<boolean> {
  for await (const _ of readLinesOf(handle, clock, end)) return true;
  return false;
}

async function wasJustDone({ io, dir, clock }: CompactionRequest, old: SegmentName[]): Promise<boolean> {
  for (const { name } of old.filter((segment) => COMPACTED.test(segment.name))) {
    if (await isYoung(io, `${dir}/${name}`, clock)) return true;
  }
  return false;
}

/** Temporary files of who was killed. */
async function removeOldTemps({ io, dir, clock }: CompactionRequest): Promise<void> {
  for (const name of await listNames(io, dir)) {
    const path = `${dir}/${name}`;
    if (TEMP.test(name) && !(await isYoung(io, path, clock))) await io.unlink(fsPath(path));
  }
}

async function isYoung(io: LedgerIo, path: string, clock: Clock): Promise<boolean> {
  const { mtimeMs } = await io.stat(fsPath(path));
  return Math.abs(clock.wall() - mtimeMs) < MIN_INTERVAL_MS;
}
