// In which pieces a file comes to the volume.
import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { makeWebm } from '../../support/media.ts';

/** Bytes that are written at once. */
export interface Stroke {
  at: number;
  bytes: Buffer;
}

/** How a file is written. */
export interface Manner {
  /** `truncate`: open with O_TRUNC, as nearly everybody does; `in place`: what is there is written over. */
  over?: 'truncate' | 'in place';
  /** Default: the body from its beginning, 64 KiB at a time. */
  strokes?: readonly Stroke[];
  /** Between strokes, ms: from, to. Default: none. */
  pauseMs?: readonly [number, number];
  /** As `cp -p` does: set before it is closed. Default: what the volume says. */
  mtime?: Date | undefined;
}

const { O_CREAT, O_NOFOLLOW, O_NONBLOCK, O_TRUNC, O_WRONLY } = constants;
const PIECE_BYTES = 64 * 1024;

/** The body from its beginning, a piece at a time. */
export function piecesOf(body: Buffer, pieceBytes = PIECE_BYTES): Stroke[] {
  const strokes: Stroke[] = [];
  for (let at = 0; at < body.length; at += pieceBytes) strokes.push({ at, bytes: body.subarray(at, at + pieceBytes) });
  return strokes;
}

/** As ffmpeg writes an mp4: media of a size that isn't known yet, then the index, then the size. */
export function mp4Strokes(body: Buffer, pieces: number): Stroke[] {
  const media = body.indexOf('mdat') - 4;
  const index = media + body.readUInt32BE(media);
  const growing = Buffer.from(body.subarray(0, index));
  growing.writeUInt32BE(0, media);
  return [
    ...piecesOf(growing, Math.ceil(growing.length / pieces)),
    { at: index, bytes: body.subarray(index) },
    { at: media, bytes: body.subarray(media, media + 4) },
  ];
}

/** As ffmpeg writes a webm: a segment of unknown size, until all the rest is there. @param body made of `bytes` and `seed` */
export function webmStrokes(body: Buffer, bytes: number, seed: number, pieces: number): Stroke[] {
  const growing = makeWebm({ bytes, seed, segmentSize: 'unknown' });
  const at = growing.findIndex((byte, index) => byte !== body[index]);
  return [...piecesOf(growing, Math.ceil(growing.length / pieces)), { at, bytes: body.subarray(at, at + 8) }];
}

/** Opens a file, writes the strokes one after the other, and closes it. @param pause between two strokes: ms, from and to */
export async function strike(
  path: string | Buffer,
  strokes: readonly Stroke[],
  { over, pauseMs, mtime }: Manner,
  pause: (from: number, to: number) => Promise<void>,
): Promise<void> {
  const flags = over === 'in place' ? 0 : O_CREAT | O_TRUNC;
  // A link or a pipe that got in the way is none of ours, and a pipe without a reader would never open.
  const handle = await open(path, O_WRONLY | O_NOFOLLOW | O_NONBLOCK | flags, 0o644);
  try {
    for (const { at, bytes } of strokes) {
      for (let done = 0; done < bytes.length; ) {
        done += (await handle.write(bytes, done, bytes.length - done, at + done)).bytesWritten;
      }
      if (pauseMs) await pause(...pauseMs);
    }
    if (mtime) await handle.utimes(mtime, mtime);
  } finally {
    await handle.close();
  }
}
