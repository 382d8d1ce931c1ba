// The files of a run: written straight to their final name, as ComfyUI does, and every one with bytes of its own.
import { createHash } from 'node:crypto';
import { closeSync, openSync, renameSync, writeSync, writevSync } from 'node:fs';
import { basename, extname } from 'node:path';
import { crc32 } from 'node:zlib';
import { makePngOfSize } from '../../test/support/media.ts';
import { now } from './clock.ts';

export const MIB = 1024 * 1024;
/** What a picture of 1024 by 1024 weighs. */
export const PICTURE_BYTES = 2 * MIB;

export interface Sample {
  pieces: readonly Buffer[];
  /** Bytes. */
  size: number;
  /** Hex. */
  sha256: string;
}

export interface Written {
  /** The name without directory and extension: unique in a session, part of every contender's key. */
  stem: string;
  size: number;
  /** Undefined where it would cost more than it tells (the 1 GiB file). */
  sha256: string | undefined;
  /** Epoch milliseconds, just before close(2) (or rename(2)). */
  closedAt: number;
}

const IEND_BYTES = 12;
const bases = new Map<number, Buffer>();

/** A valid PNG of exactly `size` bytes that differs from every other `index`: one picture, another text chunk in it. */
export function makeSample(index: number, size = PICTURE_BYTES): Sample {
  const chunk = textChunk(`bench ${String(index).padStart(10, '0')}`);
  const base = bases.get(size) ?? makePngOfSize(size - chunk.length, 1);
  bases.set(size, base);
  const pieces = [base.subarray(0, -IEND_BYTES), chunk, base.subarray(-IEND_BYTES)];
  const hash = createHash('sha256');
  for (const piece of pieces) hash.update(piece);
  return { pieces, size, sha256: hash.digest('hex') };
}

/** Writes a sample to `path` and closes it. */
export function writeSample(path: string, sample: Sample): Written {
  const fd = openSync(path, 'w');
  writevSync(fd, sample.pieces);
  const closedAt = now();
  closeSync(fd);
  return { stem: stemOf(path), size: sample.size, sha256: sample.sha256, closedAt };
}

export interface StagedSample extends Written {
  path: string;
}

/** Moves a file that was written elsewhere to `path`, on the same file system: it is there whole, at once. */
export function moveSample({ path: from, size, sha256 }: StagedSample, path: string): Written {
  const closedAt = now();
  renameSync(from, path);
  return { stem: stemOf(path), size, sha256, closedAt };
}

/** Writes an MP4 of exactly `size` bytes (under 4 GiB): boxes that walk to the end, `moov` last, as ffmpeg leaves it. */
export function writeVideo(path: string, size: number): Written {
  const head = box('ftyp', Buffer.from('isom\0\0\x02\0isommp41', 'latin1'));
  const moov = box('moov', box('mvhd', Buffer.alloc(100)));
  const block = makeSample(0, MIB).pieces[0]!;
  const fd = openSync(path, 'w');
  writeSync(fd, head);
  const payload = size - head.length - moov.length - 8;
  writeSync(fd, boxHeader('mdat', payload));
  for (let left = payload; left > 0; left -= block.length) writeSync(fd, block, 0, Math.min(left, block.length));
  writeSync(fd, moov);
  const closedAt = now();
  closeSync(fd);
  return { stem: stemOf(path), size, sha256: undefined, closedAt };
}

function stemOf(path: string): string {
  return basename(path, extname(path));
}

function textChunk(text: string): Buffer {
  const body = Buffer.from(`tEXtComment\0${text}`, 'latin1');
  const chunk = Buffer.alloc(body.length + 8);
  chunk.writeUInt32BE(body.length - 4, 0);
  body.copy(chunk, 4);
  chunk.writeUInt32BE(crc32(body), body.length + 4);
  return chunk;
}

function box(type: string, body: Buffer): Buffer {
  return Buffer.concat([boxHeader(type, body.length), body]);
}

function boxHeader(type: string, bodyBytes: number): Buffer {
  const header = Buffer.alloc(8);
  header.writeUInt32BE(bodyBytes + 8, 0);
  header.write(type, 4, 'latin1');
  return header;
}
