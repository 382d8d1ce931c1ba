// The format checks against real files that were cut, damaged and made by an enemy: half a file is never whole, and no
// number in a file decides how much is read of it.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type ByteSource, bufferSource, judgeFormat, type Verdict } from '../../src/settle/formats/index.ts';
import { countReads, sparseSource } from '../support/byte-source.ts';
import * as media from '../support/media.ts';
import { damaged, fuzz } from './fuzz.ts';

const KIB = 1024;
const side = fc.integer({ min: 4, max: 60 });
const seed = fc.nat(1000);
const mp4 = (layout: media.Mp4Layout) =>
  fc.record({ bytes: fc.integer({ min: 1700, max: 90_000 }), seed }).map((how) => media.makeMp4({ ...how, layout }));

/** Files as their writers leave them, of every size and layout; and how many reads judging one may take, whatever it says. */
const formats: { extension: string; files: fc.Arbitrary<Buffer>; mostReads: number; window: number }[] = [
  {
    extension: '.png',
    files: fc.oneof(
      fc.record({ width: side, height: side, seed }).map(media.makePng),
      fc.integer({ min: 200, max: 300_000 }).map((bytes) => media.makePngOfSize(bytes)),
    ),
    mostReads: 2 + 1024,
    window: 64 * KIB,
  },
  {
    extension: '.jpg',
    files: fc.record({ width: side, height: side, seed, thumbnail: fc.boolean() }).map(media.makeJpeg),
    mostReads: 2 + 512,
    window: 64 * KIB,
  },
  {
    extension: '.gif',
    files: fc.record({ width: side, height: side, frames: fc.integer({ min: 1, max: 4 }), seed }).map(media.makeGif),
    mostReads: 520,
    window: 1024 * KIB,
  },
  {
    extension: '.webp',
    files: fc.record({ width: side, height: side, seed }).map(media.makeWebp),
    mostReads: 2,
    window: 64 * KIB,
  },
  {
    extension: '.wav',
    files: fc.record({ bytes: fc.integer({ min: 23, max: 40_000 }).map((half) => 2 * half), seed }).map(media.makeWav),
    mostReads: 2 + 64,
    window: 64 * KIB,
  },
  {
    extension: '.mp4',
    files: fc.oneof(mp4('moovLast'), mp4('moovFirst'), mp4('wideMdat')),
    mostReads: 1 + 4 * 256,
    window: 64 * KIB,
  },
  {
    extension: '.webm',
    files: fc.record({ bytes: fc.integer({ min: 400, max: 90_000 }), seed }).map(media.makeWebm),
    mostReads: 1 + 4 * 16,
    window: 64 * KIB,
  },
  { extension: '.glb', files: seed.map((one) => media.makeGlb({ seed: one })), mostReads: 2, window: 64 * KIB },
];

/**
 * Judges, and checks what that took. Walks go forward, so all reads together ask for the file once, and for the few bytes
 * of a header again where a window ended in it.
 */
async function judgeWithin(limits: (typeof formats)[number], source: ByteSource): Promise<Verdict> {
  const counted = countReads(source);
  const verdict = await judgeFormat(limits.extension, counted.source);
  const { reads, longest, bytes } = counted.count;
  expect(reads).toBeLessThanOrEqual(limits.mostReads);
  expect(longest).toBeLessThanOrEqual(limits.window);
  expect(bytes).toBeLessThanOrEqual(source.size + 16 * reads);
  expect(['whole', 'torn', 'unknown']).toContain(verdict);
  return verdict;
}

const judge = (extension: string, bytes: Buffer) => judgeFormat(extension, bufferSource(bytes));

/** The lengths at which a beginning of the file passes as whole. */
async function wholeCuts(extension: string, file: Buffer): Promise<number[]> {
  const cuts: number[] = [];
  for (let cut = 0; cut <= file.length; cut++) {
    if ((await judge(extension, file.subarray(0, cut))) === 'whole') cuts.push(cut);
  }
  return cuts;
}

describe('invariant 3, no torn object: of all beginnings of a file only the file itself is whole', () => {
  for (const limits of formats) {
    const { extension, files } = limits;
    fuzz(
      `${extension}: of every size and layout, cut anywhere`,
      60,
      fc.asyncProperty(files, fc.array(fc.nat(), { minLength: 20, maxLength: 20 }), async (file, places) => {
        expect(await judgeWithin(limits, bufferSource(file))).toBe('whole');
        const last = Array.from({ length: 20 }, (_, back) => file.length - 1 - back);
        for (const cut of [...last, ...places.map((place) => place % file.length)]) {
          expect(await judgeWithin(limits, bufferSource(file.subarray(0, cut))), `cut to ${cut}`).toBe('torn');
        }
      }),
    );
  }
});

describe('the exceptions: cut exactly there, and nowhere else, a beginning passes as whole', () => {
  const [png, jpg] = [media.makePng({ width: 4, height: 4 }), media.makeJpeg({ width: 8, height: 8 })];
  const film = media.makeMp4();
  const webm = media.makeWebm({ bytes: 400 });
  const free = Buffer.from('0000000866726565', 'hex');
  const odd = media.makeWav({ bytes: 60 });
  odd.writeUInt32LE(51, 4);
  odd.writeUInt32LE(15, 40);

  test.each([
    [
      'a PNG with something appended: from its IEND on',
      '.png',
      Buffer.concat([png, Buffer.alloc(40)]),
      { from: png.length },
    ],
    // A text chunk with a PNG in it, uncompressed: no program known to us writes that.
    ['a PNG that holds a PNG: where the inner one ends', '.png', pngInPng(png), { at: [33 + 8 + png.length] }],
    ['two JPEGs in one file (MPF): between them', '.jpg', Buffer.concat([jpg, jpg]), { at: [jpg.length] }],
    [
      'a film with boxes behind index and media: between these',
      '.mp4',
      Buffer.concat([film, free, free]),
      { at: [film.length, film.length + 8] },
    ],
    ['a sound of an odd size: without the byte that pads it', '.wav', odd, { at: [59] }],
    [
      'a film with bytes behind the segment: at its end',
      '.webm',
      Buffer.concat([webm, Buffer.alloc(9)]),
      { at: [webm.length], notAll: true },
    ],
  ])(
    '%s',
    async (_, extension, file, {
      at = [],
      from = file.length,
      notAll = false,
    }: { at?: number[]; from?: number; notAll?: boolean }) => {
      const rest = Array.from({ length: file.length + 1 - from }, (_, more) => from + more);
      expect(await wholeCuts(extension, file)).toEqual([...at, ...(notAll ? [] : rest)]);
    },
  );

  function pngInPng(inner: Buffer): Buffer {
    const chunk = Buffer.concat([Buffer.alloc(4), Buffer.from('teXt'), inner, Buffer.alloc(4)]);
    chunk.writeUInt32BE(inner.length, 0);
    return Buffer.concat([png.subarray(0, 33), chunk, png.subarray(33)]);
  }
});

describe('whatever is in a file: an answer, from inside the file, after a bounded number of bounded reads', () => {
  const sizes = [
    '00',
    '01',
    '07',
    '00000000',
    '00000001',
    '00000008',
    '7fffffff',
    'ffffffff',
    '01ffffffffffffff',
    '8000000000000000',
    'ffffffffffffffff',
  ];
  const words = [
    'IEND',
    'ffd9',
    'ffda',
    'ftyp',
    'moov',
    'mdat',
    'moof',
    'mvex',
    'free',
    'uuid',
    'RIFF',
    'WAVE',
    'data',
    'glTF',
  ];
  const hostile = fc.oneof(
    fc.constantFrom(...sizes).map((digits) => Buffer.from(digits, 'hex')),
    fc.constantFrom(...words).map((word) => Buffer.from(word, word.startsWith('ff') ? 'hex' : 'latin1')),
    fc.constantFrom('18538067', '1a45dfa3', 'ec', '2c', '21f9', '3b').map((digits) => Buffer.from(digits, 'hex')),
    fc.uint8Array({ maxLength: 9 }),
  );

  for (const limits of formats) {
    const { extension, files } = limits;
    fuzz(
      `${extension}: damaged, cut, doubled and spliced, its sizes and names replaced`,
      150,
      fc.asyncProperty(
        files.chain((file) => damaged(file, hostile)),
        async (file) => {
          await judgeWithin(limits, bufferSource(file));
        },
      ),
    );
    fuzz(
      `${extension}: its beginning, then the same few bytes for ever`,
      40,
      fc.asyncProperty(
        files,
        fc.nat(60),
        fc.uint8Array({ minLength: 1, maxLength: 6 }),
        hostile,
        fc.constantFrom(70_001, 2 ** 22),
        async (file, kept, again, mark, size) => {
          const bytes = Buffer.alloc(size, Buffer.concat([again, mark]));
          file.copy(bytes, 0, 0, kept);
          await judgeWithin(limits, bufferSource(bytes));
          file.subarray(-12).copy(bytes, size - 12);
          await judgeWithin(limits, bufferSource(bytes));
        },
      ),
    );
    fuzz(
      `${extension}: 2^53 bytes, nearly all of them zeros`,
      40,
      fc.asyncProperty(
        files.chain((file) => damaged(file, hostile)),
        fc.constantFrom(2 ** 32, 2 ** 40, 2 ** 53 - 1),
        async (file, size) => {
          const pieces = [
            { at: 0, bytes: file.subarray(0, 2000) },
            { at: size - 12, bytes: file.subarray(-12) },
          ];
          await judgeWithin(limits, sparseSource(size, pieces));
        },
      ),
    );
  }
});

describe('bombs', () => {
  const limitsOf = (extension: string) => formats.find((one) => one.extension === extension)!;
  const repeat = (head: Buffer, digits: string, bytes: number) =>
    Buffer.concat([head, Buffer.alloc(bytes, Buffer.from(digits, 'hex'))]);
  const gif = media.makeGif().subarray(0, 781);
  const webmHead = media.makeWebm().subarray(0, 40);

  test.each<[name: string, extension: string, bomb: () => Buffer, reads: number, verdict: Verdict]>([
    [
      'a comment of 32 MB in blocks of one byte',
      '.gif',
      () => repeat(Buffer.concat([gif, Buffer.from('21fe', 'hex')]), '01', 32 * KIB * KIB),
      35,
      'torn',
    ],
    ['empty extensions', '.gif', () => repeat(gif, '21fe00', 3 * 8 * KIB * KIB), 27, 'torn'],
    [
      'fill bytes',
      '.jpg',
      () => Buffer.concat([repeat(Buffer.from('ffd8', 'hex'), 'ff', 8 * KIB * KIB), Buffer.from('ffd9', 'hex')]),
      3,
      'unknown',
    ],
    [
      'segments without anything in them',
      '.jpg',
      () => Buffer.concat([repeat(Buffer.from('ffd8', 'hex'), 'ffe00002', 8 * KIB * KIB), Buffer.from('ffd9', 'hex')]),
      3,
      'unknown',
    ],
    [
      'empty chunks',
      '.png',
      () => repeat(media.makePng().subarray(0, 33), '0000000061624344aabbccdd', 8 * KIB * KIB),
      3,
      'torn',
    ],
    ['boxes in boxes in boxes', '.mp4', nestedBoxes, 4, 'torn'],
    [
      'empty boxes',
      '.mp4',
      () => repeat(media.makeMp4().subarray(0, 28), '0000000866726565', 8 * KIB * KIB),
      3,
      'unknown',
    ],
    ['padding before the segment', '.webm', () => repeat(webmHead, 'ec80', 8 * KIB * KIB), 3, 'unknown'],
    ['chunks of an odd size', '.wav', oddChunks, 3, 'unknown'],
  ])('%s (%s)', async (_, extension, bomb, reads, verdict) => {
    const file = bomb();
    const before = process.memoryUsage();
    const { source, count } = countReads(bufferSource(file));
    expect(await judgeFormat(extension, source)).toBe(verdict);
    const after = process.memoryUsage();
    expect(count.reads).toBeLessThanOrEqual(reads);
    await judgeWithin(limitsOf(extension), bufferSource(file));
    // Generous: a garbage collector runs when it likes. A check that kept what it read would hold the file once more.
    expect(after.arrayBuffers - before.arrayBuffers).toBeLessThan(4 * KIB * KIB);
    expect(after.heapUsed - before.heapUsed).toBeLessThan(64 * KIB * KIB);
  });

  /** 100,000 levels, each box the whole content of the one around it. */
  function nestedBoxes(): Buffer {
    const levels = 100_000;
    const boxes = Buffer.alloc(8 * levels);
    for (let level = 0; level < levels; level++) {
      boxes.writeUInt32BE(8 * (levels - level), 8 * level);
      boxes.write('moov', 8 * level + 4, 'latin1');
    }
    return Buffer.concat([media.makeMp4().subarray(0, 28), boxes]);
  }

  function oddChunks(): Buffer {
    const file = repeat(media.makeWav().subarray(0, 36), '6a756e6b010000000000', 10 * KIB * KIB);
    file.writeUInt32LE(file.length - 8, 4);
    return file;
  }
});
