import { describe, expect, test } from 'vitest';
import { bufferSource, judgeFormat } from '../../../src/settle/formats/index.ts';
import { countReads, sparseSource } from '../../support/byte-source.ts';
import { makeGif, noise } from '../../support/media.ts';

const judge = (bytes: Buffer) => judgeFormat('.gif', bufferSource(bytes));

describe('a GIF is whole when its blocks lead to the trailer', () => {
  test('with bytes after the trailer', async () => {
    expect(await judge(Buffer.concat([makeGif(), noise(300, 1)]))).toBe('whole');
  });

  test('not when it happens to be cut behind a byte 3B', async () => {
    const file = makeGif({ width: 64, height: 64 });
    let met = 0;
    for (let at = file.indexOf(0x3b); at < file.length - 1; at = file.indexOf(0x3b, at + 1)) {
      met += 1;
      expect(await judge(file.subarray(0, at + 1)), `cut behind byte ${at}`).toBe('torn');
    }
    expect(met).toBeGreaterThan(10);
  });

  test('with a colour table of its own for a frame, and with none for all', async () => {
    const [w, h] = [Buffer.from('0800', 'hex'), Buffer.from('0800', 'hex')];
    const frame = Buffer.concat([
      Buffer.from('2c00000000', 'hex'),
      w,
      h,
      Buffer.of(0x81),
      noise(12, 1),
      Buffer.from('02 03 84 8f 05 00'.replaceAll(' ', ''), 'hex'),
    ]);
    const file = Buffer.concat([Buffer.from('GIF87a'), w, h, Buffer.of(0, 0, 0), frame, Buffer.of(0x3b)]);
    expect(await judge(file)).toBe('whole');
    for (let cut = 0; cut < file.length; cut++) expect(await judge(file.subarray(0, cut))).toBe('torn');
  });

  test('a large one is read in windows, each byte once', async () => {
    const file = makeGif({ width: 1000, height: 1000, frames: 3 });
    const { source, count } = countReads(bufferSource(file));
    expect(await judgeFormat('.gif', source)).toBe('whole');
    expect(count.reads).toBeLessThanOrEqual(3 + Math.ceil(file.length / 2 ** 20));
  });

  test.each([
    ['ends with a block and the trailer', '003b', 'unknown'],
    ['ends elsewhere', '4c3b', 'torn'],
  ] as const)('one of 10 GB is walked a bounded way; when it %s', async (_, end, verdict) => {
    const start = makeGif().subarray(0, 800);
    // One extension after another: the walk finds no end.
    const bytes = Buffer.concat(Array<Buffer>(64 * 1024).fill(Buffer.from('21fe01aa00', 'hex')));
    const head = Buffer.concat([start.subarray(0, 781), bytes]);
    const tail = { at: 10e9 - 2, bytes: Buffer.from(end, 'hex') };
    const repeating = sparseSource(10e9, [{ at: 0, bytes: start.subarray(0, 781) }, tail]);
    const { source, count } = countReads({
      size: 10e9,
      // Behind the colours the extension repeats for ever.
      read: async (position, length) => {
        if (position < 781) return Buffer.concat([head.subarray(position, position + length)]);
        if (position >= 10e9 - 2) return repeating.read(position, length);
        const phase = (position - 781) % 5;
        return bytes.subarray(phase, phase + Math.min(length, bytes.length - 5));
      },
    });
    expect(await judgeFormat('.gif', source)).toBe(verdict);
    expect(count.reads).toBeLessThan(1000);
  });
});
