// Noise and the small things that all makers of files need.

/** `length` bytes that look random and depend on the seed alone. About 1 ms per MB. */
export function noise(length: number, seed: number): Buffer {
  const words = new Uint32Array(Math.ceil(length / 4));
  let state = (Math.imul(seed ^ 0x9e3779b9, 0x85ebca6b) ^ (seed >>> 15)) | 1;
  for (let i = 0; i < words.length; i++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    words[i] = Math.imul(state, 0x9e3779b1);
  }
  return Buffer.from(words.buffer, 0, length);
}

/** Letters that depend on the seed alone. */
export function noiseText(length: number, seed: number): Buffer {
  return noise(length, seed).map((byte) => 97 + (byte % 26)) as Buffer;
}

export const u16 = (value: number): Buffer => Buffer.of((value >>> 8) & 0xff, value & 0xff);
export const u32 = (value: number): Buffer =>
  Buffer.of(value >>> 24, (value >>> 16) & 0xff, (value >>> 8) & 0xff, value & 0xff);
export const u32le = (value: number): Buffer => u32(value).reverse() as Buffer;
export const latin1 = (text: string): Buffer => Buffer.from(text, 'latin1');
export const hex = (digits: string): Buffer => Buffer.from(digits.replaceAll(' ', ''), 'hex');

/** Collects bits into bytes: the first bit is the highest of its byte (JPEG) or the lowest (GIF, WebP). */
export class BitWriter {
  readonly #bytes: number[] = [];
  readonly #order: 'highFirst' | 'lowFirst';
  #byte = 0;
  #count = 0;

  constructor(order: 'highFirst' | 'lowFirst') {
    this.#order = order;
  }

  write(value: number, bits: number): void {
    for (let i = 0; i < bits; i++) {
      const bit = (value >>> (this.#order === 'highFirst' ? bits - 1 - i : i)) & 1;
      this.#byte |= bit << (this.#order === 'highFirst' ? 7 - this.#count : this.#count);
      if (++this.#count === 8) this.#flush();
    }
  }

  /** The bytes, the last filled up with `fill`. */
  finish(fill: 0 | 1): Buffer {
    while (this.#count > 0) this.write(fill, 1);
    return Buffer.from(this.#bytes);
  }

  #flush(): void {
    this.#bytes.push(this.#byte);
    this.#byte = 0;
    this.#count = 0;
  }
}
