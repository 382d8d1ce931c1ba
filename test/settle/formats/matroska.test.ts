import { describe, expect, test } from 'vitest';
import { bufferSource, judgeFormat } from '../../../src/settle/formats/index.ts';
import { countReads, sparseSource } from '../../support/byte-source.ts';
import { makeWebm } from '../../support/media.ts';

const judge = (bytes: Buffer) => judgeFormat('.webm', bufferSource(bytes));
const SEGMENT = Buffer.from('18538067', 'hex');

/** The file with another segment size, given as the bytes of the field. */
function withSegmentSize(file: Buffer, digits: string): Buffer {
  const at = file.indexOf(SEGMENT) + 4;
  return Buffer.concat([file.subarray(0, at), Buffer.from(digits, 'hex'), file.subarray(at + 8)]);
}

describe('WebM and MKV are whole when the segment’s size ends with the file', () => {
  test('an unknown size is torn, at every length of the file: it is patched at close', async () => {
    const file = makeWebm({ segmentSize: 'unknown' });
    for (let cut = 0; cut <= file.length; cut++) expect(await judge(file.subarray(0, cut))).toBe('torn');
  });

  test.each(['ff', '7fff', '3fffff', '1fffffff', '0fffffffff', '07ffffffffff', '03ffffffffffff', '01ffffffffffffff'])(
    'unknown, written as %s',
    async (digits) => {
      const file = withSegmentSize(makeWebm(), digits);
      expect(await judge(file)).toBe('torn');
      // Not even where the number that it looks like happens to fit.
      const header = file.subarray(0, file.indexOf(SEGMENT) + 4 + digits.length / 2);
      if (digits.length <= 4) {
        const value = Number.parseInt(digits, 16) & (digits.length === 2 ? 0x7f : 0x3fff);
        expect(await judge(Buffer.concat([header, Buffer.alloc(value)]))).toBe('torn');
      }
    },
  );

  test('short size fields', async () => {
    const file = makeWebm();
    const header = file.subarray(0, file.indexOf(SEGMENT) + 4);
    expect(await judge(Buffer.concat([header, Buffer.from('8a', 'hex'), Buffer.alloc(10)]))).toBe('whole');
    expect(await judge(Buffer.concat([header, Buffer.from('400a', 'hex'), Buffer.alloc(10)]))).toBe('whole');
    expect(await judge(Buffer.concat([header, Buffer.from('400a', 'hex'), Buffer.alloc(9)]))).toBe('torn');
  });

  test('padding between header and segment; bytes after the segment', async () => {
    const file = makeWebm();
    const at = file.indexOf(SEGMENT);
    const padding = Buffer.from('ec83000000', 'hex');
    expect(await judge(Buffer.concat([file.subarray(0, at), padding, file.subarray(at)]))).toBe('whole');
    expect(await judge(Buffer.concat([file, Buffer.of(0)]))).toBe('torn');
  });

  test('endless padding is not walked to the end', async () => {
    const file = makeWebm();
    const header = file.subarray(0, file.indexOf(SEGMENT));
    const { source, count } = countReads(bufferSource(Buffer.concat([header, Buffer.alloc(1e6, 'ec80', 'hex')])));
    expect(await judgeFormat('.mkv', source)).toBe('unknown');
    expect(count.reads).toBeLessThan(5);
  });

  test('a film of 10 GB takes two reads', async () => {
    const file = withSegmentSize(makeWebm(), `01${(10_000_000_000).toString(16).padStart(14, '0')}`);
    const end = file.indexOf(SEGMENT) + 12 + 10_000_000_000;
    const { source, count } = countReads(sparseSource(end, [{ at: 0, bytes: file }]));
    expect(await judgeFormat('.mkv', source)).toBe('whole');
    expect(count.reads).toBe(2);
    expect(await judgeFormat('.mkv', sparseSource(end - 1, [{ at: 0, bytes: file }]))).toBe('torn');
  });
});
