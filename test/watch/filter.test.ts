import { describe, expect, it } from 'vitest';
import { decodeName } from '../../src/paths.ts';
import { createFilter } from '../../src/watch/filter.ts';

const settings = { extensions: new Set(['png', 'mp4', 'txt']), exclude: [] as string[], maxMb: undefined };

describe('invariant 10: whatever is left alone is counted, with a reason', () => {
  const filter = createFilter({ ...settings, maxMb: 2, exclude: ['drafts/**', '*_preview.png', 'a/b/*.txt'] }, '');

  it.each([
    ['a.png', undefined],
    ['A.PNG', undefined],
    ['x/y/z.Mp4', undefined],
    ['model.safetensors', '.safetensors'],
    ['MODEL.SafeTensors', '.safetensors'],
    ['README', 'no extension'],
    ['.hidden.png', 'hidden'],
    ['x/.png', 'hidden'],
    ['a.png.tmp', 'temporary'],
    ['a.PART', 'temporary'],
    ['a.partial', 'temporary'],
    ['film.mp4.crdownload', 'temporary'],
    ['drafts/a.png', 'excluded by R2_EXCLUDE'],
    ['drafts/x/a.png', 'excluded by R2_EXCLUDE'],
    ['x/drafts/a.png', undefined],
    ['x/y_preview.png', 'excluded by R2_EXCLUDE'],
    ['x/two\nlines_preview.png', 'excluded by R2_EXCLUDE'],
    [decodeName(Buffer.from('x/b\xff_preview.png', 'latin1')), 'excluded by R2_EXCLUDE'],
    ['a/b/c.txt', 'excluded by R2_EXCLUDE'],
    ['a/b/c/d.txt', undefined],
    ['tmp.png', undefined],
    ['a.tmp.png', undefined],
  ])('%j: %s', (path, reason) => {
    expect(filter.skipReason(path, 0)).toBe(reason);
  });

  it('a file larger than R2_MAX_MB, in millions of bytes', () => {
    expect(filter.skipReason('a.png', 2_000_000)).toBeUndefined();
    expect(filter.skipReason('a.png', 2_000_001)).toBe('larger than R2_MAX_MB');
    expect(createFilter(settings, '').skipReason('a.png', Number.MAX_SAFE_INTEGER)).toBeUndefined();
  });

  it.each([
    ['x', undefined],
    ['.cache', 'hidden directory'],
    ['x/.cache', 'hidden directory'],
    ['drafts', 'directory excluded by R2_EXCLUDE'],
  ])('directory %s: %s', (path, reason) => {
    expect(filter.skipDirectoryReason(path)).toBe(reason);
  });
});

describe('a hint and the scan agree on what is reached', () => {
  it('what lies below a directory that is left alone is left alone, however deep', () => {
    const filter = createFilter({ ...settings, exclude: ['drafts'] }, '');
    expect(filter.reachesDirectory('')).toBe(true);
    expect(filter.reachesDirectory('a/b/c')).toBe(true);
    expect(filter.reachesDirectory('a/.git/objects/12')).toBe(false);
    expect(filter.reachesDirectory('a/drafts/1/2')).toBe(false);
  });

  it('only what lies in the output directory; the way to it may be hidden', () => {
    const filter = createFilter({ ...settings, exclude: ['x/**'] }, '.home/output');
    expect(filter.reachesDirectory('.home/output')).toBe(true);
    expect(filter.reachesDirectory('.home/output/a')).toBe(true);
    expect(filter.reachesDirectory('.home/output2/a')).toBe(false);
    expect(filter.reachesDirectory('.home')).toBe(false);
    expect(filter.reachesDirectory('')).toBe(false);
    // Globs begin at the output directory.
    expect(filter.reachesDirectory('.home/output/x/y')).toBe(false);
    expect(filter.skipReason('.home/output/x/a.png', 0)).toBe('excluded by R2_EXCLUDE');
    expect(filter.skipReason('x/a.png', 0)).toBeUndefined();
  });
});
