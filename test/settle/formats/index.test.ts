import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { bufferSource, formatCanTell, judgeFormat, type Verdict } from '../../../src/settle/formats/index.ts';
import { countReads } from '../../support/byte-source.ts';
import * as media from '../../support/media.ts';

/** A small whole file for every extension that can tell. */
const wholeFiles: Record<string, (seed: number) => Buffer> = {
  '.png': (seed) => media.makePng({ seed }),
  '.apng': (seed) => media.makePngOfSize(900, seed),
  '.jpg': (seed) => media.makeJpeg({ seed }),
  '.jpeg': (seed) => media.makeJpeg({ seed, thumbnail: true }),
  '.gif': (seed) => media.makeGif({ seed }),
  '.webp': (seed) => media.makeWebp({ seed }),
  '.wav': (seed) => media.makeWav({ seed }),
  '.mp4': (seed) => media.makeMp4({ seed }),
  '.m4v': (seed) => media.makeMp4({ seed, layout: 'moovFirst' }),
  '.m4a': (seed) => media.makeMp4({ seed, layout: 'wideMdat' }),
  '.mov': (seed) => media.makeMp4({ seed }),
  '.webm': (seed) => media.makeWebm({ seed }),
  '.mkv': (seed) => media.makeWebm({ seed, docType: 'matroska' }),
  '.glb': (seed) => media.makeGlb({ seed }),
};
const formats = Object.entries(wholeFiles).map(([extension, make]) => ({ extension, make }));

/** Formats that don't say how long they are. */
const silentFiles: Record<string, Buffer> = {
  '.flac': media.makeFlac(),
  '.mp3': media.makeMp3(),
  '.txt': media.makeText(),
  '.latent': media.noise(500, 1),
  '': media.makePng(),
  '.constructor': media.makePng(),
};

const judge = (extension: string, bytes: Buffer): Promise<Verdict> => judgeFormat(extension, bufferSource(bytes));

describe('invariant 3, no torn object: half a file is never called whole', () => {
  test.each(formats)('$extension: the whole file is, no beginning of it is', async ({ extension, make }) => {
    for (const seed of [1, 2, 3]) {
      const file = make(seed);
      expect(await judge(extension, file)).toBe('whole');
      for (let cut = 0; cut < file.length; cut++) {
        expect(await judge(extension, file.subarray(0, cut)), `cut to ${cut} of ${file.length} bytes`).toBe('torn');
      }
    }
  });

  // Formats that tell by lengths alone can't show this: there, an open writer is another rule's matter.
  const tellByEnd = formats.filter(({ extension }) => ['.png', '.jpg', '.gif', '.mp4', '.mov'].includes(extension));
  test.each(tellByEnd)(
    '$extension: a file whose end was never written (zeros) is torn',
    async ({ extension, make }) => {
      const file = make(4);
      expect(await judge(extension, file.fill(0, Math.floor(file.length / 2)))).toBe('torn');
    },
  );
});

describe('the extension decides which check, the first bytes whether it applies', () => {
  test.each(formats)('$extension: in any case, and formatCanTell knows it', async ({ extension, make }) => {
    expect(formatCanTell(extension)).toBe(true);
    expect(formatCanTell(extension.toUpperCase())).toBe(true);
    expect(await judge(extension.toUpperCase(), make(1))).toBe('whole');
  });

  test.each(Object.entries(silentFiles))('"%s" can not tell, whatever is in it', async (extension, bytes) => {
    expect(formatCanTell(extension)).toBe(false);
    expect(await judge(extension, bytes)).toBe('unknown');
    expect(await judge(extension, Buffer.alloc(0))).toBe('unknown');
  });

  test.each(formats)('$extension: another format under this name, or zeros, can not tell', async ({ extension }) => {
    for (const other of [media.makeText(), media.makeFlac(), Buffer.alloc(1), Buffer.alloc(1000)]) {
      const isPrefixOfMagic = other.length < 4 && ['.mp4', '.m4v', '.m4a', '.mov'].includes(extension);
      expect(await judge(extension, other)).toBe(isPrefixOfMagic ? 'torn' : 'unknown');
    }
  });

  test('a JPEG named .png, a WAV named .webp and a sound over 4 GiB (RF64) can not tell', async () => {
    expect(await judge('.png', media.makeJpeg())).toBe('unknown');
    expect(await judge('.webp', media.makeWav())).toBe('unknown');
    const rf64 = media.makeWav();
    rf64.write('RF64', 0, 'latin1');
    expect(await judge('.wav', rf64)).toBe('unknown');
  });

  test.each(formats)('$extension: an empty file has only just begun', async ({ extension }) => {
    expect(await judge(extension, Buffer.alloc(0))).toBe('torn');
  });
});

describe('whatever the bytes: an answer, after few reads, in little memory', () => {
  const MAX_READS = 1100;
  const MAX_READ_BYTES = 1024 * 1024;
  const verdicts = ['whole', 'torn', 'unknown'];

  async function judgeCounted(extension: string, bytes: Buffer): Promise<void> {
    const { source, count } = countReads(bufferSource(bytes));
    expect(verdicts).toContain(await judgeFormat(extension, source));
    expect(count.reads).toBeLessThanOrEqual(MAX_READS);
    expect(count.longest).toBeLessThanOrEqual(MAX_READ_BYTES);
  }

  test.each(formats)('$extension: bytes that only begin like it', async ({ extension, make }) => {
    const property = fc.asyncProperty(fc.nat(40), fc.uint8Array({ maxLength: 400 }), (kept, rest) =>
      judgeCounted(extension, Buffer.concat([make(1).subarray(0, kept), rest])),
    );
    await fc.assert(property, { numRuns: 150 });
  });

  test.each(formats)('$extension: files with hostile sizes, cut and spliced', async ({ extension, make }) => {
    const file = make(1);
    const hostile = fc
      .constantFrom('00', '01', '00000000', '00000001', '00000007', '7fffffff', 'ffffffff', '01ffffffffffffff')
      .chain((digits) => fc.record({ at: fc.nat(file.length), bytes: fc.constant(Buffer.from(digits, 'hex')) }));
    const huge = fc.record({
      at: fc.nat(file.length),
      bytes: fc.constant(Buffer.from('000000018000000000000000', 'hex')),
    });
    const changes = fc.array(
      fc.oneof(hostile, huge, fc.record({ at: fc.nat(60), bytes: fc.uint8Array({ maxLength: 9 }) })),
      { maxLength: 6 },
    );
    const property = fc.asyncProperty(changes, fc.nat(file.length), fc.nat(300), (edits, cut, again) => {
      const bytes = Buffer.from(file);
      for (const edit of edits) bytes.set(edit.bytes.subarray(0, bytes.length - edit.at), edit.at);
      return judgeCounted(extension, Buffer.concat([bytes.subarray(0, cut), bytes.subarray(Math.max(0, cut - again))]));
    });
    await fc.assert(property, { numRuns: 150 });
  });

  test.each(formats)('$extension: an error of the disk is passed on', async ({ extension, make }) => {
    const failing = { size: make(1).length, read: () => Promise.reject(new Error('EIO')) };
    await expect(judgeFormat(extension, failing)).rejects.toThrow('EIO');
  });

  // That it changed is found by comparing its identity afterwards; here it must only not break anything.
  test.each(formats)('$extension: a file that shrinks while it is read', async ({ extension, make }) => {
    const file = make(1);
    const judgeShrunk = (left: number) =>
      judgeFormat(extension, { size: file.length, read: bufferSource(file.subarray(0, left)).read });
    for (let left = 0; left < 60; left++) expect(verdicts).toContain(await judgeShrunk(left));
    expect(await judgeShrunk(3)).toBe('torn');
  });
});
