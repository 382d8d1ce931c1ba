// PNG as PIL writes it for ComfyUI: RGB, texts before the picture, the picture in chunks of 64 KiB.
import { crc32, deflateSync } from 'node:zlib';
import { hex, latin1, noise, noiseText, u32 } from './bytes.ts';

const SIGNATURE = hex('89504e470d0a1a0a');
const IDAT_BYTES = 64 * 1024;
const TEXT_KEY = latin1('prompt\0');
const CHUNK_OVERHEAD = 12;
/** The smallest text chunk that makePngOfSize fills a file up with. */
const MIN_TEXT_CHUNK = CHUNK_OVERHEAD + TEXT_KEY.length + 4;

/** A picture of noise: about width × height × 3 bytes. */
export function makePng({ width = 16, height = 16, seed = 1 } = {}): Buffer {
  return assemble(width, height, seed, makeText(latin1(`{"seed":${seed}}`)));
}

/** A picture of noise, of exactly `bytes` (at least 128). 2 MB take about 10 ms. */
export function makePngOfSize(bytes: number, seed = 1): Buffer {
  const width = bytes < 4096 ? 4 : bytes < 256 * 1024 ? 64 : 1024;
  const row = 1 + width * 3;
  for (let height = Math.floor(bytes / row); height > 0; height--) {
    const pixels = makePixelChunks(width, height, seed);
    const bare = SIGNATURE.length + CHUNK_OVERHEAD + 13 + CHUNK_OVERHEAD + sumOfLengths(pixels);
    if (bytes - bare < MIN_TEXT_CHUNK) continue;
    const text = makeText(noiseText(bytes - bare - CHUNK_OVERHEAD - TEXT_KEY.length, seed));
    return Buffer.concat([SIGNATURE, makeHeader(width, height), text, ...pixels, makeChunk('IEND')]);
  }
  throw new RangeError(`no PNG of ${bytes} bytes: at least 128`);
}

function assemble(width: number, height: number, seed: number, text: Buffer): Buffer {
  const pixels = makePixelChunks(width, height, seed);
  return Buffer.concat([SIGNATURE, makeHeader(width, height), text, ...pixels, makeChunk('IEND')]);
}

function makeHeader(width: number, height: number): Buffer {
  return makeChunk('IHDR', Buffer.concat([u32(width), u32(height), hex('08 02 00 00 00')]));
}

function makeText(text: Buffer): Buffer {
  return makeChunk('tEXt', Buffer.concat([TEXT_KEY, text]));
}

function makePixelChunks(width: number, height: number, seed: number): Buffer[] {
  const row = 1 + width * 3;
  const raw = noise(row * height, seed);
  for (let y = 0; y < height; y++) raw[y * row] = 0; // filter: none
  const data = deflateSync(raw, { level: 0 });
  const chunks: Buffer[] = [];
  for (let at = 0; at < data.length; at += IDAT_BYTES)
    chunks.push(makeChunk('IDAT', data.subarray(at, at + IDAT_BYTES)));
  return chunks;
}

function makeChunk(type: string, data: Buffer = Buffer.alloc(0)): Buffer {
  const body = Buffer.concat([latin1(type), data]);
  return Buffer.concat([u32(data.length), body, u32(crc32(body))]);
}

function sumOfLengths(parts: readonly Buffer[]): number {
  return parts.reduce((sum, part) => sum + part.length, 0);
}
