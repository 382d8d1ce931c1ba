import { describe, expect, test } from 'vitest';
import { bufferSource, judgeFormat } from '../../../src/settle/formats/index.ts';
import { countReads } from '../../support/byte-source.ts';
import { makeJpeg } from '../../support/media.ts';

const judge = (bytes: Buffer) => judgeFormat('.jpg', bufferSource(bytes));

describe('a JPEG is whole when it ends with its end marker', () => {
  test('not when it was cut right behind the thumbnail in its EXIF data', async () => {
    const file = makeJpeg({ thumbnail: true });
    const thumbnailEnd = file.indexOf(Buffer.from('ffd9', 'hex')) + 2;
    expect(thumbnailEnd).toBeLessThan(file.length);
    expect(await judge(file.subarray(0, thumbnailEnd))).toBe('torn');
  });

  test('with fill bytes between its segments', async () => {
    const file = makeJpeg();
    expect(await judge(Buffer.concat([file.subarray(0, 2), Buffer.alloc(5, 0xff), file.subarray(2)]))).toBe('whole');
  });

  test('bytes after the marker: it does not end as it should', async () => {
    expect(await judge(Buffer.concat([makeJpeg(), Buffer.from('\n')]))).toBe('torn');
  });

  test('an end marker without a picture before it', async () => {
    expect(await judge(Buffer.from('ffd8ffd9', 'hex'))).toBe('torn');
    expect(await judge(Buffer.from('ffd8ffe00004aaaaffd9', 'hex'))).toBe('torn');
  });

  test('endless segments are not walked to the end', async () => {
    const segments = Buffer.concat(Array<Buffer>(100_000).fill(Buffer.from('ffe10004aaaa', 'hex')));
    const { source, count } = countReads(
      bufferSource(Buffer.concat([Buffer.from('ffd8', 'hex'), segments, Buffer.from('ffd9', 'hex')])),
    );
    expect(await judgeFormat('.jpg', source)).toBe('unknown');
    expect(count.reads).toBeLessThan(5);
  });
});
