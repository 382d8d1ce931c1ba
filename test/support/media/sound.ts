// WAV, FLAC and MP3: noise, one channel, 16 bits, 44.1 kHz.
import { hex, latin1, noise, u16, u32, u32le } from './bytes.ts';

/** Exactly `bytes`, an even number from 46. */
export function makeWav({ bytes = 1044, seed = 1 } = {}): Buffer {
  const samples = noise(bytes - 44, seed);
  const format = hex('10000000 0100 0100 44ac0000 88580100 0200 1000');
  return Buffer.concat([
    ...[latin1('RIFF'), u32le(bytes - 8), latin1('WAVE'), latin1('fmt '), format],
    ...[latin1('data'), u32le(samples.length), samples],
  ]);
}

const FLAC_BLOCK = 192;
const FLAC_FRAME = 2 * FLAC_BLOCK + 9;

/** Frames that aren't compressed; within one frame of `bytes`. */
export function makeFlac({ bytes = 1200, seed = 1 } = {}): Buffer {
  const frames = Math.max(1, Math.round((bytes - 42) / FLAC_FRAME));
  const total = u32(frames * FLAC_BLOCK);
  const info = Buffer.concat([
    u16(FLAC_BLOCK),
    u16(FLAC_BLOCK),
    Buffer.alloc(6),
    hex('0ac440f0'),
    total,
    Buffer.alloc(16),
  ]);
  const parts = [latin1('fLaC'), hex('80 000022'), info];
  for (let frame = 0; frame < frames; frame++) {
    const head = Buffer.concat([hex('fff8 19 08'), encodeUtf8(frame)]);
    const samples = noise(2 * FLAC_BLOCK, seed * 1009 + frame);
    const body = Buffer.concat([head, Buffer.of(checksum(head, 8, 0x07)), hex('02'), samples]);
    parts.push(body, u16(checksum(body, 16, 0x8005)));
  }
  return Buffer.concat(parts);
}

/** FLAC numbers its frames in UTF-8's manner, surrogates included. */
function encodeUtf8(value: number): Buffer {
  if (value < 0x80) return Buffer.of(value);
  const last = 0x80 | (value & 0x3f);
  if (value < 0x800) return Buffer.of(0xc0 | (value >> 6), last);
  const middle = 0x80 | ((value >> 6) & 0x3f);
  if (value < 0x10000) return Buffer.of(0xe0 | (value >> 12), middle, last);
  return Buffer.of(0xf0 | (value >> 18), 0x80 | ((value >> 12) & 0x3f), middle, last);
}

function checksum(bytes: Buffer, width: 8 | 16, polynomial: number): number {
  const top = 1 << (width - 1);
  let sum = 0;
  for (const byte of bytes) {
    sum ^= byte << (width - 8);
    for (let bit = 0; bit < 8; bit++) sum = (sum & top ? (sum << 1) ^ polynomial : sum << 1) & (2 * top - 1);
  }
  return sum;
}

const MP3_FRAME = 417;

/** Silent frames at 128 kbit/s with noise where players don't look; within one frame of `bytes`. */
export function makeMp3({ bytes = 1251, seed = 1 } = {}): Buffer {
  const frames = Math.max(1, Math.round(bytes / MP3_FRAME));
  return Buffer.concat(
    Array.from({ length: frames }, (_, frame) => {
      // Without the highest bit nothing in it looks like the start of a frame.
      const ancillary = noise(MP3_FRAME - 21, seed * 1009 + frame).map((byte) => byte & 0x7f) as Buffer;
      return Buffer.concat([hex('fffb90c0'), Buffer.alloc(17), ancillary]);
    }),
  );
}
