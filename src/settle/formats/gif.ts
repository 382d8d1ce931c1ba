// GIF: whole when walking its blocks leads to the trailer. A last byte 3B proves nothing: 1 in 256 torn files has it.
import { type ByteSource, ByteWindow, type Verdict } from './source.ts';

const HEADER_BYTES = 13;
const IMAGE_DESCRIPTOR_BYTES = 10;
const EXTENSION = 0x21;
const IMAGE = 0x2c;
const TRAILER = 0x3b;
const WINDOW = 1024 * 1024;
/** How far a file is walked. Blocks are at most 255 bytes, so all bytes up to here may have to be read. */
const MAX_WALK = 256 * 1024 * 1024;

/** At most 2 × MAX_WALK / WINDOW = 512 reads and a few more, MAX_WALK steps. Bytes after the trailer are fine. */
export async function judgeGif(source: ByteSource): Promise<Verdict> {
  const window = new ByteWindow(source, WINDOW);
  const header = await window.at(0, HEADER_BYTES);
  if (header === undefined) return 'torn';
  let position = HEADER_BYTES + colourTableBytes(header[10]!);
  // Extensions and images end with sub-blocks: a length, so many bytes, and so on until a length of 0.
  let inSubBlocks = false;
  while (position <= MAX_WALK) {
    const byte = window.heldByte(position) ?? (await window.at(position, 1))?.[0];
    if (byte === undefined) return 'torn';
    if (inSubBlocks) {
      position += 1 + byte;
      inSubBlocks = byte !== 0;
    } else if (byte === TRAILER) {
      return 'whole';
    } else if (byte === EXTENSION) {
      position += 2;
      inSubBlocks = true;
    } else if (byte === IMAGE) {
      const last = position + IMAGE_DESCRIPTOR_BYTES - 1;
      const packed = window.heldByte(last) ?? (await window.at(last, 1))?.[0];
      if (packed === undefined) return 'torn';
      position += IMAGE_DESCRIPTOR_BYTES + colourTableBytes(packed) + 1; // and the byte with the code size
      inSubBlocks = true;
    } else {
      return 'torn';
    }
  }
  return judgeTail(source);
}

/** Where nobody walks to the end: without a block's end and a trailer it isn't finished, with them it may be. */
async function judgeTail(source: ByteSource): Promise<Verdict> {
  const tail = await source.read(source.size - 2, 2);
  return tail[0] === 0 && tail[1] === TRAILER ? 'unknown' : 'torn';
}

/** Bytes of the colour table that a packed field announces. */
function colourTableBytes(packed: number): number {
  return packed & 0x80 ? 3 * 2 ** ((packed & 7) + 1) : 0;
}
