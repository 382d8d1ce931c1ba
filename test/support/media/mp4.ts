// MP4: one track whose frames are PNGs of noise. In every order of boxes that writers leave behind or pass through.
import { hex, latin1, noise, u16, u32 } from './bytes.ts';
import { makePngOfSize } from './png.ts';

/**
 * - `moovLast`: as ffmpeg and PyAV finish a file;
 * - `moovFirst`: with `+faststart`;
 * - `wideMdat`: moov last, the media's size in 64 bits, as from 4 GiB on;
 * - `openMdat`: moov first, the media's size is 0, "to the end of the file";
 * - `unfinished`: what ffmpeg has written before it closes: no moov, and 0 for a size that isn't known yet.
 */
export type Mp4Layout = 'moovLast' | 'moovFirst' | 'wideMdat' | 'openMdat' | 'unfinished';

export interface Mp4Options {
  /** Exactly so many, at least 1,600. */
  bytes?: number;
  seed?: number;
  layout?: Mp4Layout;
}

const FRAMES = 4;
const TICKS_PER_FRAME = 40;
const IDENTITY = hex('00010000 00000000 00000000 00000000 00010000 00000000 00000000 00000000 40000000');

export function makeMp4({ bytes = 1800, seed = 1, layout = 'moovLast' }: Mp4Options = {}): Buffer {
  const ftyp = makeFtyp();
  const free = makeBox('free');
  const header = layout === 'wideMdat' ? 16 : 8;
  // The tables are as long whatever they say.
  const moovBytes = layout === 'unfinished' ? 0 : makeMoov(0, 0, 4, 4).length;
  const frameBytes = Math.floor((bytes - ftyp.length - free.length - header - moovBytes) / FRAMES);
  const frames = makeFrames(frameBytes, seed);
  const slack = noise(bytes - ftyp.length - free.length - header - moovBytes - FRAMES * frameBytes, seed);
  const mdat = makeMdat(Buffer.concat([...frames, slack]), layout);
  const moovIsFirst = layout === 'moovFirst' || layout === 'openMdat';
  const offset = ftyp.length + free.length + header + (moovIsFirst ? moovBytes : 0);
  const moov = layout === 'unfinished' ? Buffer.alloc(0) : makeMoov(offset, frameBytes, ...dimensionsOf(frames[0]!));
  return Buffer.concat(moovIsFirst ? [ftyp, moov, free, mdat] : [ftyp, free, mdat, moov]);
}

/** A film in fragments of one frame each: any number of them is a film. */
export function makeFragmentedMp4({ bytes = 1800, fragments = 3, seed = 1 } = {}): Buffer {
  const frameBytes = Math.floor((bytes - 700) / fragments) - 108;
  const frames = Array.from({ length: fragments }, (_, index) => makePngOfSize(frameBytes, seed * 1009 + index));
  const trex = makeFullBox('trex', u32(1), u32(1), u32(TICKS_PER_FRAME), u32(0), u32(0));
  const moov = makeMoov(0, 0, ...dimensionsOf(frames[0]!), makeBox('mvex', trex));
  return Buffer.concat([
    makeFtyp(),
    moov,
    ...frames.flatMap((frame, index) => [makeMoof(index, frame.length), makeBox('mdat', frame)]),
  ]);
}

function makeMoof(index: number, frameBytes: number): Buffer {
  const trunBytes = 24;
  const tfhd = makeBox('tfhd', hex('00020000'), u32(1)); // offsets count from the moof
  const tfdt = makeFullBox('tfdt', u32(index * TICKS_PER_FRAME));
  const dataOffset = 8 + 16 + 8 + tfhd.length + tfdt.length + trunBytes + 8;
  const trun = makeBox('trun', hex('00000201'), u32(1), u32(dataOffset), u32(frameBytes));
  return makeBox('moof', makeFullBox('mfhd', u32(index + 1)), makeBox('traf', tfhd, tfdt, trun));
}

function makeFrames(frameBytes: number, seed: number): Buffer[] {
  return Array.from({ length: FRAMES }, (_, index) => makePngOfSize(frameBytes, seed * 1009 + index));
}

function dimensionsOf(png: Buffer): [width: number, height: number] {
  return [png.readUInt32BE(16), png.readUInt32BE(20)];
}

function makeFtyp(): Buffer {
  return makeBox('ftyp', latin1('isom'), u32(512), latin1('isomiso2mp41'));
}

function makeMdat(data: Buffer, layout: Mp4Layout): Buffer {
  if (layout === 'wideMdat') return Buffer.concat([u32(1), latin1('mdat'), u32(0), u32(data.length + 16), data]);
  if (layout === 'openMdat' || layout === 'unfinished') return Buffer.concat([u32(0), latin1('mdat'), data]);
  return makeBox('mdat', data);
}

/** Without frames of its own (`frameBytes` 0) for a fragmented film, which then has `mvex`. */
function makeMoov(
  offset: number,
  frameBytes: number,
  width: number,
  height: number,
  mvex: Buffer = Buffer.alloc(0),
): Buffer {
  const frames = mvex.length > 0 ? 0 : FRAMES;
  const duration = u32(frames * TICKS_PER_FRAME);
  const entry = makeBox(
    'png ',
    ...[Buffer.alloc(6), u16(1), Buffer.alloc(16), u16(width), u16(height), hex('00480000 00480000'), u32(0), u16(1)],
    ...[Buffer.alloc(32), u16(24), u16(0xffff)],
  );
  const some = (...fields: number[]): Buffer => Buffer.concat(frames > 0 ? fields.map(u32) : [u32(0)]);
  const stbl = makeBox(
    'stbl',
    makeFullBox('stsd', u32(1), entry),
    makeFullBox('stts', some(1, frames, TICKS_PER_FRAME)),
    makeFullBox('stsc', some(1, 1, frames, 1)),
    makeFullBox('stsz', u32(frameBytes), u32(frames)),
    makeFullBox('stco', some(1, offset)),
  );
  const dinf = makeBox('dinf', makeFullBox('dref', u32(1), makeBox('url ', u32(1))));
  const minf = makeBox('minf', makeBox('vmhd', u32(1), Buffer.alloc(8)), dinf, stbl);
  const mdhd = makeFullBox('mdhd', u32(0), u32(0), u32(1000), duration, hex('55c4 0000'));
  const hdlr = makeFullBox('hdlr', u32(0), latin1('vide'), Buffer.alloc(12), latin1('video\0'));
  const size = Buffer.concat([u16(width), u16(0), u16(height), u16(0)]);
  const tkhd = makeBox('tkhd', u32(3), u32(0), u32(0), u32(1), u32(0), duration, Buffer.alloc(16), IDENTITY, size);
  const mvhd = makeFullBox(
    'mvhd',
    ...[
      u32(0),
      u32(0),
      u32(1000),
      duration,
      hex('00010000 0100'),
      Buffer.alloc(10),
      IDENTITY,
      Buffer.alloc(24),
      u32(2),
    ],
  );
  return makeBox('moov', mvhd, makeBox('trak', tkhd, makeBox('mdia', mdhd, hdlr, minf)), mvex);
}

/** A box whose version and flags are 0. */
function makeFullBox(type: string, ...parts: Buffer[]): Buffer {
  return makeBox(type, u32(0), ...parts);
}

function makeBox(type: string, ...parts: Buffer[]): Buffer {
  const body = Buffer.concat(parts);
  return Buffer.concat([u32(body.length + 8), latin1(type), body]);
}
