// Pictures as somebody might make them with ComfyUI: landscapes, drawn by a few formulas from nothing but a seed, so that
// every run makes the same ones and nobody's rights are in them.
import { crc32, deflateSync } from 'node:zlib';

type Rgb = readonly [number, number, number];

interface Mood {
  /** From the zenith to the horizon. */
  sky: readonly [Rgb, Rgb, Rgb];
  light: Rgb;
  /** The nearest ridge; those behind it fade into the horizon. */
  ground: Rgb;
  /** How high sun or moon stand, as a share of the picture's height; how large it is. */
  lamp: readonly [height: number, radius: number];
  stars: boolean;
  sea: boolean;
}

const moods: readonly Mood[] = [
  {
    sky: [rgb('2b3a67'), rgb('c8667a'), rgb('ffd29d')],
    light: rgb('fff0c9'),
    ground: rgb('1f1b2e'),
    lamp: [0.46, 0.06],
    stars: false,
    sea: true,
  },
  {
    sky: [rgb('0b1030'), rgb('1d2b5c'), rgb('4a5f96')],
    light: rgb('eef2ff'),
    ground: rgb('070b1c'),
    lamp: [0.22, 0.05],
    stars: true,
    sea: false,
  },
  {
    sky: [rgb('4f9bd9'), rgb('9ccbee'), rgb('e9f4f7')],
    light: rgb('ffffff'),
    ground: rgb('1d4a35'),
    lamp: [0.16, 0.05],
    stars: false,
    sea: false,
  },
  {
    sky: [rgb('58406e'), rgb('e08a5b'), rgb('ffe3b0')],
    light: rgb('fff6dc'),
    ground: rgb('3a2130'),
    lamp: [0.5, 0.09],
    stars: false,
    sea: false,
  },
  {
    sky: [rgb('123a4a'), rgb('3f9a92'), rgb('d8f0cf')],
    light: rgb('f6ffe6'),
    ground: rgb('0c2b2c'),
    lamp: [0.38, 0.05],
    stars: false,
    sea: true,
  },
  {
    sky: [rgb('14081f'), rgb('6a1f5b'), rgb('ff7f6e')],
    light: rgb('ffd7c2'),
    ground: rgb('12060f'),
    lamp: [0.48, 0.12],
    stars: true,
    sea: true,
  },
];

export interface Artwork {
  width: number;
  height: number;
  /** RGB, row by row. */
  pixels: Buffer;
}

/** @param hour moves sun or moon along: 0 is the picture itself; for the frames of a film */
export function drawLandscape(seed: number, width: number, height: number, hour = 0): Artwork {
  const mood = moods[seed % moods.length]!;
  const random = randomOf(seed);
  const lampX = width * (0.2 + 0.6 * random());
  const lampY = height * (mood.lamp[0] + 0.12 * hour);
  const horizon = height * (0.58 + 0.08 * random());
  const ridges = Array.from({ length: mood.sea ? 2 : 4 }, (_, nth) => createRidge(random, nth, width, height, horizon));
  const cloudX = random() * 100;
  const pixels = Buffer.alloc(width * height * 3);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const color = paint(x, y);
      const grain = ((hash(x, y, seed) & 255) / 255 - 0.5) * 5;
      for (let channel = 0; channel < 3; channel++) {
        pixels[(y * width + x) * 3 + channel] = Math.max(0, Math.min(255, Math.round(color[channel]! + grain)));
      }
    }
  }
  return { width, height, pixels };

  function paint(x: number, y: number): Rgb {
    for (let nth = ridges.length - 1; nth >= 0; nth--) {
      const top = ridges[nth]!(x);
      if (y < top) continue;
      const near = (nth + 1) / ridges.length;
      return mix(
        mix(mood.sky[2], mood.ground, 0.35 + 0.65 * near),
        mood.sky[1],
        0.25 * (1 - near) * (1 - (y - top) / height),
      );
    }
    if (mood.sea && y > horizon) return paintSea(x, y);
    return paintSky(x, y);
  }

  function paintSky(x: number, y: number): Rgb {
    const down = Math.min(1, y / horizon);
    let color =
      down < 0.55 ? mix(mood.sky[0], mood.sky[1], down / 0.55) : mix(mood.sky[1], mood.sky[2], (down - 0.55) / 0.45);
    const distance = Math.hypot(x - lampX, y - lampY) / height;
    if (mood.stars && hash(x >> 1, y >> 1, seed + 7) % 900 === 0 && down < 0.8) color = mix(color, mood.light, 0.85);
    const cloud = clouds((x / width) * 5 + cloudX, (y / height) * 11, seed);
    color = mix(color, mix(mood.sky[2], mood.light, 0.5), Math.max(0, cloud - 0.52) * 1.7 * (1 - down * 0.4));
    color = mix(color, mood.light, 0.75 * Math.exp(-distance * 7));
    return distance < mood.lamp[1] ? mix(color, mood.light, Math.min(1, (mood.lamp[1] - distance) * 90)) : color;
  }

  function paintSea(x: number, y: number): Rgb {
    const depth = (y - horizon) / (height - horizon);
    const ripple = Math.sin(y * (1.6 - depth) + 7 * noise(x / (18 + 90 * depth), y / 5, seed)) * (0.06 + 0.05 * depth);
    const base = mix(mood.sky[2], mood.sky[0], 0.25 + 0.6 * depth + ripple);
    const path = Math.exp(-(((x - lampX) / (width * (0.03 + 0.12 * depth))) ** 2));
    return mix(base, mood.light, path * (0.5 + 4 * ripple));
  }
}

/** As a PNG file. `text` goes into it as ComfyUI writes its prompt: other text, other bytes. */
export function encodePng({ width, height, pixels }: Artwork, text: string): Buffer {
  const row = width * 3;
  const raw = Buffer.alloc((row + 1) * height);
  for (let y = 0; y < height; y++) {
    // Each pixel as its difference to the one on its left: what changes slowly gets small.
    raw[y * (row + 1)] = 1;
    for (let x = 0; x < row; x++) {
      const left = x < 3 ? 0 : pixels[y * row + x - 3]!;
      raw[y * (row + 1) + 1 + x] = (pixels[y * row + x]! - left) & 255;
    }
  }
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([8, 2, 0, 0, 0], 8);
  return withText(
    [pngSignature, chunk('IHDR', header), chunk('IDAT', deflateSync(raw)), chunk('IEND', Buffer.alloc(0))],
    text,
  );
}

/** The same picture with another text: bytes of its own, without drawing it again. */
export function retitlePng(png: Buffer, text: string): Buffer {
  const end = png.length - 12;
  return Buffer.concat([
    png.subarray(0, end),
    chunk('tEXt', Buffer.from(`title\0${text}`, 'latin1')),
    png.subarray(end),
  ]);
}

const pngSignature = Buffer.from('89504e470d0a1a0a', 'hex');

function withText(parts: readonly Buffer[], text: string): Buffer {
  const prompt = chunk('tEXt', Buffer.from(`prompt\0${text}`, 'latin1'));
  return Buffer.concat([...parts.slice(0, 2), prompt, ...parts.slice(2)]);
}

function chunk(type: string, data: Buffer): Buffer {
  const body = Buffer.concat([Buffer.from(type, 'latin1'), data]);
  const [length, sum] = [Buffer.alloc(4), Buffer.alloc(4)];
  length.writeUInt32BE(data.length);
  sum.writeUInt32BE(crc32(body));
  return Buffer.concat([length, body, sum]);
}

/** The top of a ridge at each x; the first is the farthest. */
function createRidge(random: () => number, nth: number, width: number, height: number, horizon: number) {
  const waves = Array.from({ length: 5 }, (_, octave) => ({
    length: width / (1.3 + nth * 0.5) / 2 ** octave,
    phase: random() * 6.28,
    size: (height * (0.1 - nth * 0.008)) / 1.9 ** octave,
  }));
  const base = horizon + height * (0.02 + nth * 0.095);
  return (x: number) =>
    base - waves.reduce((sum, { length, phase, size }) => sum + size * Math.sin((6.28 * x) / length + phase), 0) * 0.7;
}

function clouds(x: number, y: number, seed: number): number {
  return noise(x, y, seed) * 0.55 + noise(x * 2.1, y * 2.1, seed + 1) * 0.28 + noise(x * 4.3, y * 4.3, seed + 2) * 0.17;
}

/** Smooth noise from 0 to 1. */
function noise(x: number, y: number, seed: number): number {
  const [left, top] = [Math.floor(x), Math.floor(y)];
  const [u, v] = [smooth(x - left), smooth(y - top)];
  const at = (i: number, j: number) => (hash(left + i, top + j, seed) & 0xffff) / 0xffff;
  const upper = at(0, 0) * (1 - u) + at(1, 0) * u;
  const lower = at(0, 1) * (1 - u) + at(1, 1) * u;
  return upper * (1 - v) + lower * v;
}

function smooth(t: number): number {
  return t * t * (3 - 2 * t);
}

function hash(x: number, y: number, seed: number): number {
  let h = Math.imul(x, 374761393) ^ Math.imul(y, 668265263) ^ Math.imul(seed + 1, 2246822519);
  h = Math.imul(h ^ (h >>> 13), 1274126177);
  return (h ^ (h >>> 16)) >>> 0;
}

function randomOf(seed: number): () => number {
  let count = 0;
  return () => hash(count++, seed * 7 + 3, seed) / 2 ** 32;
}

function mix(a: Rgb, b: Rgb, share: number): Rgb {
  const t = Math.max(0, Math.min(1, share));
  return [a[0] + (b[0] - a[0]) * t, a[1] + (b[1] - a[1]) * t, a[2] + (b[2] - a[2]) * t];
}

function rgb(hex: string): Rgb {
  return [0, 2, 4].map((at) => Number.parseInt(hex.slice(at, at + 2), 16)) as unknown as Rgb;
}
