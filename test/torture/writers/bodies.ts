// Bodies of every format, small unless they are meant to go in parts.
import {
  makeFlac,
  makeGif,
  makeGlb,
  makeJpeg,
  makeMp3,
  makeMp4,
  makePngOfSize,
  makeText,
  makeWav,
  makeWebm,
  makeWebp,
} from '../../support/media.ts';
import type { Random } from '../random.ts';

type Make = (bytes: number, seed: number) => Buffer;

/** By extension: formats that say whether they are whole. */
export const TELLING_FORMATS: Readonly<Record<string, Make>> = {
  '.png': makePngOfSize,
  '.jpg': (bytes, seed) => makeJpeg({ width: 8 * Math.ceil(bytes / 40), height: 320, seed }),
  '.gif': (bytes, seed) => makeGif({ width: 64, height: 64, frames: Math.ceil(bytes / 5000), seed }),
  '.webp': (bytes, seed) => makeWebp({ width: 128, height: Math.ceil(bytes / 48), seed }),
  '.wav': (bytes, seed) => makeWav({ bytes: bytes & ~1, seed }),
  '.glb': (bytes, seed) => makeGlb({ bytes: bytes & ~3, seed }),
  '.mp4': (bytes, seed) => makeMp4({ bytes, seed }),
  '.webm': (bytes, seed) => makeWebm({ bytes, seed }),
};

/** By extension: formats that say nothing. Exactly so many bytes, or nearly. */
export const SILENT_FORMATS: Readonly<Record<string, Make>> = {
  '.txt': (bytes, seed) => makeText({ bytes, seed }),
  '.json': (bytes, seed) => Buffer.from(JSON.stringify({ seed, text: makeText({ bytes, seed }).toString() })),
  '.flac': (bytes, seed) => makeFlac({ bytes, seed }),
  '.mp3': (bytes, seed) => makeMp3({ bytes, seed }),
};

/** A size as most pictures of a test have it. */
export function smallSize(random: Random): number {
  return random.chance(0.05) ? random.between(200_000, 900_000) : random.between(5_000, 60_000);
}

export function picture(random: Random, seed: number): Buffer {
  return makePngOfSize(smallSize(random), seed);
}
