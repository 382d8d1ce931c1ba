// What makes two troubles the same: not their figures, and not the pod that sees them.
import { describe, expect, test } from 'vitest';
import { makeCause, withoutFigures } from '../../src/notify/condition.ts';
import { Digest } from '../../src/notify/digest.ts';
import type { StoredFact } from '../../src/notify/fact.ts';
import { isLow } from '../../src/volume/space.ts';

describe('the same reason a minute later is the same', () => {
  test.each([
    ["The volume hasn't answered for 63 s. Uploads go on.", "The volume hasn't answered for 123 s. Uploads go on."],
    ['nearly full: 1.9 GB of 50 GB are left.', 'nearly full: 820 MB of 50 GB are left.'],
    ['a name of 1,100 bytes (1,024 at most)', 'a name of 1,130 bytes (1,024 at most)'],
  ])('%s', (before, after) => expect(withoutFigures(before)).toBe(withoutFigures(after)));

  test.each([
    ['refuses the folder "alice 1": no', 'refuses the folder "alice 2": no'],
    ['can be read in /mnt/vol1: full', 'can be read in /mnt/vol2: full'],
    ['the volume is full', 'the volume is read-only'],
  ])('but not another: %s', (one, other) => expect(withoutFigures(one)).not.toBe(withoutFigures(other)));

  test('pods give it the same name, fit for a file', () => {
    expect(makeCause('store', 'failing', 'a', 'text').id).toBe(makeCause('store', 'failing', 'a', 'other text').id);
    expect(makeCause('store', 'failing', 'a', '').id).not.toBe(makeCause('trouble', 'failing', 'a', '').id);
    expect(makeCause('store', 'failing', '../"\n', '').id).toMatch(/^store-[0-9a-f]{16}$/);
  });
});

describe('the volume gets full', () => {
  const GB = 1e9;
  test.each([
    [1.9, 1000, undefined, true],
    [2.1, 1000, undefined, false],
    [0.6, 10, undefined, false],
    [0.4, 10, undefined, true],
    [9, 1000, 10_000, true],
    [11, 1000, 10_000, false],
    [0, 1000, 0, false],
    // A file system that says nothing about itself.
    [0, 0, undefined, false],
  ])('%d GB of %d GB, limit %s: %s', (free, total, lowMb, low) => {
    expect(isLow({ free: free * GB, total: total * GB }, lowMb, false)).toBe(low);
  });

  test('what hovers about the limit is told once', () => {
    expect(isLow({ free: 2.1 * GB, total: 1000 * GB }, undefined, true)).toBe(true);
    expect(isLow({ free: 2.6 * GB, total: 1000 * GB }, undefined, true)).toBe(false);
  });
});

describe('the digest', () => {
  const fact = (folder: string, size: number) => ({ folder, size }) as StoredFact;
  const start = Date.parse('2026-11-20T12:00:00.000Z');
  const at = (minutes: number) => ({ monotonic: minutes * 60_000, wall: start + minutes * 60_000 });

  test('comes once a period, with what was stored since the last one, and not at all where nothing was', () => {
    const digest = new Digest(60 * 60_000, 'UTC', at(0));
    digest.note(fact('alice', 100));
    digest.note(fact('bob', 200));
    digest.note(fact('alice', 300));
    expect(digest.take(at(59))).toBeUndefined();
    expect(digest.take(at(60))).toEqual({ files: 3, bytes: 600, folders: ['alice', 'bob'], since: '12:00 UTC' });
    expect(digest.take(at(120))).toBeUndefined();
    digest.note(fact('.', 1));
    expect(digest.take(at(125))).toBeUndefined();
    expect(digest.take(at(125), true)).toEqual({ files: 1, bytes: 1, folders: ['.'], since: '14:00 UTC' });
  });

  test('has the time of the zone that dates are reckoned in', () => {
    const digest = new Digest(60_000, 'Asia/Kolkata', at(0));
    digest.note(fact('a', 1));
    expect(digest.take(at(1))?.since).toBe('17:30');
  });
});
