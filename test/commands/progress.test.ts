import { expect, test } from 'vitest';
import { describeProgress } from '../../src/commands/progress.ts';

const half = { what: 'restored', done: 1234, total: 2000, bytes: 1.2e9, totalBytes: 2.4e9 };

test('a long command says how much is done, how fast it goes, and how long the rest takes', () => {
  expect(describeProgress(half, 80e6)).toBe('restored: 1,234 of 2,000, 1.2 GB of 2.4 GB, 80 MB/s, 15 s left');
});

test('while nothing comes it guesses no time', () => {
  expect(describeProgress(half, 0)).toBe('restored: 1,234 of 2,000, 1.2 GB of 2.4 GB');
});

test('where nobody knows how much there is, it says how much was found', () => {
  expect(describeProgress({ what: 'listing the bucket', done: 3000 }, 0)).toBe('listing the bucket: 3,000');
});
