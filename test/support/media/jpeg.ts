// JPEG: baseline, grey, one brightness per block of 8 × 8; with or without EXIF data that holds a thumbnail.
import { BitWriter, hex, latin1, noise, u16 } from './bytes.ts';

export interface JpegOptions {
  width?: number;
  height?: number;
  seed?: number;
  /** With EXIF data and a thumbnail in it, which is a whole JPEG within the JPEG. */
  thumbnail?: boolean;
}

/** About one byte for each block of 8 × 8. */
export function makeJpeg({ width = 64, height = 64, seed = 1, thumbnail = false }: JpegOptions = {}): Buffer {
  return Buffer.concat([
    hex('ffd8'),
    makeSegment(0xe0, latin1('JFIF\0'), hex('0101 00 0001 0001 0000')),
    ...(thumbnail ? [makeExif(makeJpeg({ width: 8, height: 8, seed }))] : []),
    makeSegment(0xdb, hex('00'), Buffer.alloc(64, 8)),
    makeSegment(0xc0, hex('08'), u16(height), u16(width), hex('01 01 11 00')),
    // Brightness: 12 categories, each with a code of 4 bits. The rest: only "nothing more", a code of 1 bit.
    makeSegment(0xc4, hex('00 0000000c000000000000000000000000'), hex('000102030405060708090a0b')),
    makeSegment(0xc4, hex('10 01000000000000000000000000000000'), hex('00')),
    makeSegment(0xda, hex('01 01 00 00 3f 00')),
    makeScan(Math.ceil(width / 8) * Math.ceil(height / 8), seed),
    hex('ffd9'),
  ]);
}

function makeSegment(marker: number, ...parts: Buffer[]): Buffer {
  const body = Buffer.concat(parts);
  return Buffer.concat([Buffer.of(0xff, marker), u16(body.length + 2), body]);
}

/** Two directories: the first empty, the second says where the thumbnail is. */
function makeExif(thumbnail: Buffer): Buffer {
  const offset = 8 + 6 + 30;
  return makeSegment(
    0xe1,
    latin1('Exif\0\0'),
    hex('4d4d002a 00000008'),
    hex('0000 0000000e'),
    hex('0002'),
    hex('0201 0004 00000001 0000'),
    u16(offset),
    hex('0202 0004 00000001 0000'),
    u16(thumbnail.length),
    hex('00000000'),
    thumbnail,
  );
}

function makeScan(blocks: number, seed: number): Buffer {
  const bits = new BitWriter('highFirst');
  let previous = 0;
  for (const byte of noise(blocks, seed)) {
    const level = (byte >> 1) - 64;
    const difference = level - previous;
    const category = 32 - Math.clz32(Math.abs(difference));
    bits.write(category, 4);
    bits.write(difference < 0 ? difference + 2 ** category - 1 : difference, category);
    bits.write(0, 1);
    previous = level;
  }
  // A byte FF in the data is followed by 00, so that no marker can appear there.
  return Buffer.from([...bits.finish(1)].flatMap((byte) => (byte === 0xff ? [0xff, 0] : [byte])));
}
