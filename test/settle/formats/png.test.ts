import { describe, expect, test } from 'vitest';
import { bufferSource, judgeFormat } from '../../../src/settle/formats/index.ts';
import { countReads, sparseSource } from '../../support/byte-source.ts';
import { makeJpeg, makePng, makePngOfSize, noise } from '../../support/media.ts';

const judge = (bytes: Buffer) => judgeFormat('.png', bufferSource(bytes));

describe('a PNG is whole when its IEND is there', () => {
  test('with bytes after it, as steganographic and upload tools leave them', async () => {
    for (const extra of [Buffer.of(0), noise(5000, 1), makeJpeg(), Buffer.alloc(100_000)]) {
      expect(await judge(Buffer.concat([makePng(), extra]))).toBe('whole');
    }
  });

  test('torn, though the text "IEND" is in it', async () => {
    const file = makePng();
    expect(await judge(Buffer.concat([file.subarray(0, -12), Buffer.from('IEND')]))).toBe('torn');
    expect(await judge(file.subarray(0, -4))).toBe('torn'); // the type is there, its checksum isn't
  });

  test('2 MB, the usual size: the first bytes and the last, nothing else', async () => {
    const { source, count } = countReads(bufferSource(makePngOfSize(2_000_000)));
    expect(await judgeFormat('.png', source)).toBe('whole');
    expect(count).toEqual({ reads: 2, longest: 12, bytes: 24 });
  });

  test('a torn one of 1 MB or of 10 GB ends after a bounded number of reads', async () => {
    const half = countReads(bufferSource(makePngOfSize(2_000_000).subarray(0, 1_000_000)));
    expect(await judgeFormat('.png', half.source)).toBe('torn');
    expect(half.count.reads).toBeLessThan(40);
    const sparse = countReads(sparseSource(10e9, [{ at: 0, bytes: makePng().subarray(0, -12) }]));
    expect(await judgeFormat('.png', sparse.source)).toBe('torn');
    expect(sparse.count.reads).toBeLessThan(5);
  });

  test('a million empty chunks are not walked to the end', async () => {
    const chunk = Buffer.from('0000000061626364aabbccdd', 'hex');
    const head = makePng().subarray(0, 33);
    const { source, count } = countReads(bufferSource(Buffer.concat([head, ...Array<Buffer>(1e6).fill(chunk)])));
    expect(await judgeFormat('.png', source)).toBe('torn');
    expect(count.reads).toBeLessThan(5);
  });
});
