import { describe, expect, test } from 'vitest';
import { bufferSource, judgeFormat, type Verdict } from '../../../src/settle/formats/index.ts';
import { countReads, sparseSource } from '../../support/byte-source.ts';
import { type Mp4Layout, makeFragmentedMp4, makeMp4 } from '../../support/media.ts';

const judge = (bytes: Buffer) => judgeFormat('.mp4', bufferSource(bytes));
const FTYP_BYTES = 28;

function box(type: string, size: number, payload = Buffer.alloc(Math.max(0, size - 8))): Buffer {
  const head = Buffer.alloc(8, type.padEnd(8), 'latin1');
  head.writeUInt32BE(size, 0);
  head.write(type, 4, 'latin1');
  return Buffer.concat([head, payload]);
}

describe('an MP4 is whole when its boxes end with the file and hold index and media', () => {
  test.each<[Mp4Layout, Verdict]>([
    ['moovLast', 'whole'],
    ['moovFirst', 'whole'],
    ['wideMdat', 'whole'],
    ['openMdat', 'unknown'], // "to the end of the file": can't tell
    ['unfinished', 'torn'],
  ])('%s: %s, and no beginning of it whole', async (layout, verdict) => {
    const file = makeMp4({ layout });
    expect(await judge(file)).toBe(verdict);
    for (let cut = 0; cut < file.length; cut++) {
      const half = await judge(file.subarray(0, cut));
      expect(half, `cut to ${cut}`).not.toBe('whole');
      if (layout !== 'openMdat') expect(half, `cut to ${cut}`).toBe('torn');
    }
  });

  test('fragmented: nobody can tell, and no beginning of it is whole', async () => {
    const file = makeFragmentedMp4();
    expect(await judge(file)).toBe('unknown');
    for (let cut = 0; cut < file.length; cut++) expect(await judge(file.subarray(0, cut))).not.toBe('whole');
  });

  test('every state that ffmpeg passes through between the last frame and the end is torn', async () => {
    const file = makeMp4();
    const moov = file.indexOf('moov') - 4;
    const openMoov = Buffer.from(file);
    openMoov.writeUInt32BE(0, moov);
    expect(await judge(file.subarray(0, moov))).toBe('torn'); // media closed, no index
    expect(await judge(openMoov)).toBe('torn'); // index written, its size not patched yet
    const openTrack = Buffer.from(file);
    openTrack.writeUInt32BE(0, file.indexOf('trak') - 4);
    expect(await judge(openTrack)).toBe('torn');
  });

  test('an index with stale bytes in it, as +faststart leaves for a moment, is torn', async () => {
    const file = makeMp4({ layout: 'moovFirst' });
    file.fill(0xa5, file.indexOf('trak') - 4, file.indexOf('trak') + 4);
    expect(await judge(file)).toBe('torn');
  });

  test('bytes after the last box are torn, further boxes are fine', async () => {
    const file = makeMp4();
    expect(await judge(Buffer.concat([file, Buffer.from('abc')]))).toBe('torn');
    expect(await judge(Buffer.concat([file, box('uuid', 40)]))).toBe('whole');
  });

  test('old QuickTime files begin without ftyp', async () => {
    for (const layout of ['moovLast', 'moovFirst'] as const) {
      const old = makeMp4({ layout }).subarray(FTYP_BYTES);
      expect(await judgeFormat('.mov', bufferSource(old))).toBe('whole');
      expect(await judgeFormat('.mov', bufferSource(old.subarray(0, -1)))).toBe('torn');
    }
  });

  test('an index that QuickTime ended with four zero bytes', async () => {
    const file = makeMp4();
    const moov = file.indexOf('moov') - 4;
    const longer = Buffer.concat([file, Buffer.alloc(4)]);
    longer.writeUInt32BE(file.length - moov + 4, moov);
    expect(await judge(longer)).toBe('whole');
  });

  test.each([
    '0000000000000000',
    '0000000000000001',
    '000000000000000f',
    '8000000000000000',
    'ffffffffffffffff',
    '7fffffffffffffff',
  ])('a 64-bit size of %s is torn', async (size) => {
    const file = makeMp4({ layout: 'wideMdat' });
    Buffer.from(size, 'hex').copy(file, file.indexOf('mdat') + 4);
    expect(await judge(file)).toBe('torn');
  });

  test('endless boxes, on top or in the index, are not walked to the end', async () => {
    const many = Buffer.concat(Array<Buffer>(100_000).fill(box('free', 8)));
    for (const bytes of [many, box('moov', many.length + 8, many)]) {
      const { source, count } = countReads(bufferSource(Buffer.concat([makeMp4(), bytes, makeMp4()])));
      expect(['unknown', 'whole']).toContain(await judgeFormat('.mp4', source));
      expect(count.reads).toBeLessThan(20);
    }
    const nested = Buffer.concat([makeMp4().subarray(0, FTYP_BYTES), box('moov', many.length + 8, many)]);
    expect(await judge(nested)).toBe('unknown');
  });

  test('a film of 10 GB takes a handful of reads', async () => {
    const small = makeMp4({ layout: 'wideMdat' });
    const media = small.indexOf('mdat') - 4;
    const moov = small.subarray(small.indexOf('moov') - 4);
    const head = Buffer.from(small.subarray(0, media + 16));
    head.writeBigUInt64BE(10_000_000_000n, media + 8);
    const end = media + 10_000_000_000;
    const pieces = [
      { at: 0, bytes: head },
      { at: end, bytes: moov },
    ];
    const whole = countReads(sparseSource(end + moov.length, pieces));
    expect(await judgeFormat('.mp4', whole.source)).toBe('whole');
    expect(whole.count.reads).toBeLessThan(6);
    expect(await judgeFormat('.mp4', sparseSource(end + moov.length - 1, pieces))).toBe('torn');
  });
});
