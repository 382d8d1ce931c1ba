// What is neither picture, sound nor film: GLB and text.
import { latin1, noise, noiseText, u32le } from './bytes.ts';

/** A 3D scene that holds nothing but a buffer of noise. Exactly `bytes`, a multiple of 4 from 128. */
export function makeGlb({ bytes = 1024, seed = 1 } = {}): Buffer {
  const header = 12 + 8 + 8;
  const jsonBytes = 72;
  const data = noise(bytes - header - jsonBytes, seed);
  const json = `{"asset":{"version":"2.0"},"buffers":[{"byteLength":${data.length}}]}`.padEnd(jsonBytes);
  return Buffer.concat([
    ...[latin1('glTF'), u32le(2), u32le(bytes)],
    ...[u32le(jsonBytes), latin1('JSON'), latin1(json)],
    ...[u32le(data.length), latin1('BIN\0'), data],
  ]);
}

/** Exactly `bytes` of lower-case letters. */
export function makeText({ bytes = 200, seed = 1 } = {}): Buffer {
  return noiseText(bytes, seed);
}
