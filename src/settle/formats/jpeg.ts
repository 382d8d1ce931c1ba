// JPEG: whole when it ends with the end-of-image marker, and the picture's own data began before that.
import { type ByteSource, ByteWindow, type Verdict } from './source.ts';

const END_OF_IMAGE = 0xd9;
const START_OF_SCAN = 0xda;
/** Steps, and so reads, through the segments before the picture; real files have about ten. */
const MAX_SEGMENTS = 512;

/**
 * At most 1 + MAX_SEGMENTS reads. The last two bytes alone are no proof: a file that was cut behind the thumbnail in its
 * EXIF data ends with them too. In the picture's data they can't occur. Exception: a container of several pictures
 * (MPF, Ultra HDR) that was cut exactly between two of them passes as whole.
 */
export async function judgeJpeg(source: ByteSource): Promise<Verdict> {
  const tail = await source.read(Math.max(0, source.size - 2), 2);
  if (tail[0] !== 0xff || tail[1] !== END_OF_IMAGE) return 'torn';
  return judgeSegments(source);
}

async function judgeSegments(source: ByteSource): Promise<Verdict> {
  const window = new ByteWindow(source);
  let position = 2;
  for (let segment = 0; segment < MAX_SEGMENTS; segment++) {
    const head = await window.at(position, 4);
    if (head?.[0] !== 0xff) return 'torn';
    const marker = head[1]!;
    if (marker === 0xff) {
      position += 1; // a fill byte
    } else {
      position += 2 + head.readUInt16BE(2);
      if (marker === START_OF_SCAN) return position + 2 <= source.size ? 'whole' : 'torn';
    }
  }
  return 'unknown';
}
