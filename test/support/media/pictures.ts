// GIF and WebP.
import { BitWriter, hex, latin1, noise, u32le } from './bytes.ts';

const GIF_CLEAR = 256;
const GIF_END = 257;
/** So many codes after a "clear" leave the code size at nine bits. */
const GIF_RUN = 250;

/** An animation of noise: about width × height × 1.2 bytes for each frame. */
export function makeGif({ width = 16, height = 16, frames = 2, seed = 1 } = {}): Buffer {
  const size = Buffer.of(width & 0xff, width >> 8, height & 0xff, height >> 8);
  const parts = [
    latin1('GIF89a'),
    size,
    hex('f7 00 00'),
    noise(768, seed),
    hex('21ff0b'),
    latin1('NETSCAPE2.0'),
    hex('0301000000'),
  ];
  for (let frame = 0; frame < frames; frame++) {
    const pixels = noise(width * height, seed * 1009 + frame);
    parts.push(
      hex('21f904 00 0a00 00 00'),
      hex('2c 00000000'),
      size,
      hex('00 08'),
      ...toSubBlocks(encodePixels(pixels)),
    );
  }
  return Buffer.concat([...parts, hex('3b')]);
}

function encodePixels(pixels: Buffer): Buffer {
  const bits = new BitWriter('lowFirst');
  pixels.forEach((pixel, index) => {
    if (index % GIF_RUN === 0) bits.write(GIF_CLEAR, 9);
    bits.write(pixel, 9);
  });
  bits.write(GIF_END, 9);
  return bits.finish(0);
}

function toSubBlocks(data: Buffer): Buffer[] {
  const blocks: Buffer[] = [];
  for (let at = 0; at < data.length; at += 255) {
    const block = data.subarray(at, at + 255);
    blocks.push(Buffer.of(block.length), block);
  }
  return [...blocks, hex('00')];
}

/** Lossless noise of eight colours: about width × height × 3 / 8 bytes. */
export function makeWebp({ width = 32, height = 32, seed = 1 } = {}): Buffer {
  const bits = new BitWriter('lowFirst');
  bits.write(width - 1, 14);
  bits.write(height - 1, 14);
  bits.write(0, 1 + 3 + 3); // no alpha, version 0; no transform, no colour cache, no groups
  const colours = noise(3, seed);
  for (const colour of colours) {
    bits.write(0b111, 3); // a code of two symbols, of eight bits each
    bits.write(colour & 0x7f, 8);
    bits.write(colour | 0x80, 8);
  }
  bits.write(0b101, 3); // alpha: one symbol
  bits.write(255, 8);
  bits.write(0b0001, 4); // distances: one symbol, 0
  for (const byte of noise(width * height, seed + 1)) bits.write(byte & 7, 3);
  const data = Buffer.concat([hex('2f'), bits.finish(0)]);
  const chunk = Buffer.concat([latin1('VP8L'), u32le(data.length), data, Buffer.alloc(data.length % 2)]);
  return Buffer.concat([latin1('RIFF'), u32le(chunk.length + 4), latin1('WEBP'), chunk]);
}
