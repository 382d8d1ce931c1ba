import { describe, expect, test } from 'vitest';
import { bufferSource, judgeFormat } from '../../../src/settle/formats/index.ts';
import { sparseSource } from '../../support/byte-source.ts';
import { makeWav, makeWebp } from '../../support/media.ts';

const webp = (bytes: Buffer) => judgeFormat('.webp', bufferSource(bytes));
const wav = (bytes: Buffer) => judgeFormat('.wav', bufferSource(bytes));

/** The WAV, with other values in its two size fields. */
function withSizes(file: Buffer, riff: number, data: number): Buffer {
  const copy = Buffer.from(file);
  copy.writeUInt32LE(riff, 4);
  copy.writeUInt32LE(data, 40);
  return copy;
}

describe('WebP and WAV are whole when the RIFF size is the file’s', () => {
  test('bytes after that: a writer is still at it, or has forgotten the size', async () => {
    expect(await webp(Buffer.concat([makeWebp(), Buffer.alloc(2)]))).toBe('torn');
    expect(await wav(Buffer.concat([makeWav(), Buffer.alloc(2)]))).toBe('torn');
  });

  test('an odd size, with the byte that pads it and without: the one beginning that passes as whole', async () => {
    const odd = withSizes(makeWav().subarray(0, -1), 1035, 999);
    expect(await wav(odd)).toBe('whole');
    expect(await wav(Buffer.concat([odd, Buffer.of(0)]))).toBe('whole');
    expect(await wav(Buffer.concat([odd, Buffer.of(0, 0)]))).toBe('torn');
    expect(await wav(odd.subarray(0, -1))).toBe('torn');
  });

  test('placeholders of writers that patch the sizes at close are torn', async () => {
    const file = makeWav();
    expect(await wav(withSizes(file, 0xffff_ffff, 0xffff_ffff))).toBe('torn'); // ffmpeg
    expect(await wav(withSizes(file, 8, 0))).toBe('torn'); // libsndfile
    expect(await wav(file.subarray(0, 44))).toBe('torn');
    expect(await wav(withSizes(file.subarray(0, 44), 36, 0))).toBe('torn'); // a header, flushed before any sound
    expect(await wav(withSizes(file, file.length - 8, 0))).toBe('torn');
    expect(await wav(withSizes(file, file.length - 8, file.length))).toBe('torn');
  });

  test('other chunks before the sound', async () => {
    const file = makeWav();
    const list = Buffer.from('LIST\x05\0\0\0INFOx\0', 'latin1');
    const longer = Buffer.concat([file.subarray(0, 36), list, file.subarray(36)]);
    longer.writeUInt32LE(longer.length - 8, 4);
    expect(await wav(longer)).toBe('whole');
  });

  test('a sound without a sound, and one with endless chunks before it', async () => {
    const chunks = (count: number) => {
      const body = Buffer.concat([
        makeWav().subarray(0, 36),
        ...Array<Buffer>(count).fill(Buffer.from('junk\0\0\0\0', 'latin1')),
      ]);
      body.writeUInt32LE(body.length - 8, 4);
      return body;
    };
    expect(await wav(chunks(3))).toBe('torn');
    expect(await wav(chunks(1000))).toBe('unknown');
  });

  test('over 4 GiB the size field can not say it', async () => {
    expect(await judgeFormat('.wav', sparseSource(5 * 2 ** 30, [{ at: 0, bytes: makeWav() }]))).toBe('unknown');
  });
});
