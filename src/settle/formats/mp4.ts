// MP4, MOV, M4V, M4A: whole when the top-level boxes end exactly with the file and hold both index (moov) and media.
import { type ByteSource, ByteWindow, type Verdict } from './source.ts';

/** Steps, and so about as many reads, per level; real files have ten boxes. */
const MAX_BOXES = 256;

interface Box {
  type: string;
  payload: number;
  end: number;
  /** Size 0: it goes to the end of what it is in. While ffmpeg writes, every box that isn't finished is like that. */
  open: boolean;
}

/**
 * At most 2 reads for each of MAX_BOXES boxes and of as many boxes in the first moov.
 * Exception: a file that has further boxes behind index and media, cut exactly between two of them, passes as whole
 * (no writer known to us makes such files in place).
 */
export async function judgeMp4(source: ByteSource): Promise<Verdict> {
  const window = new ByteWindow(source);
  const seen = new Set<string>();
  let position = 0;
  for (let count = 0; count < MAX_BOXES; count++) {
    if (position === source.size) return seen.has('moov') && seen.has('mdat') ? 'whole' : 'torn';
    const box = await readBox(window, position, source.size);
    if (box === undefined) return 'torn';
    if (box.open) return seen.has('moov') ? 'unknown' : 'torn';
    if (box.type === 'moof') return 'unknown'; // fragmented: any number of fragments is a film
    if (box.type === 'moov' && !seen.has('moov')) {
      const verdict = await judgeMoov(window, box);
      if (verdict !== 'whole') return verdict;
    }
    seen.add(box.type);
    position = box.end;
  }
  return 'unknown';
}

/** The index is whole when its boxes fill it, and fragmented when one of them announces fragments. */
async function judgeMoov(window: ByteWindow, moov: Box): Promise<Verdict> {
  let position = moov.payload;
  for (let count = 0; count < MAX_BOXES; count++) {
    if (moov.end - position < 8) return 'whole'; // QuickTime may end a list with four zero bytes
    const box = await readBox(window, position, moov.end);
    if (box === undefined || box.open) return 'torn';
    if (box.type === 'mvex') return 'unknown';
    position = box.end;
  }
  return 'unknown';
}

/** Undefined for a box that is cut off, overruns `limit`, or has an impossible size. A box is at least 8 bytes. */
async function readBox(window: ByteWindow, position: number, limit: number): Promise<Box | undefined> {
  const head = await window.at(position, 8);
  if (head === undefined) return undefined;
  const type = head.toString('latin1', 4, 8);
  let size = head.readUInt32BE(0);
  let payload = position + 8;
  if (size === 0) return { type, payload, end: limit, open: true };
  if (size === 1) {
    const wide = await window.at(payload, 8);
    if (wide === undefined) return undefined;
    size = Number(wide.readBigUInt64BE(0)); // beyond 2^53 it isn't exact, and beyond any file
    payload += 8;
  }
  const end = position + size;
  return end < payload || end > limit ? undefined : { type, payload, end, open: false };
}
