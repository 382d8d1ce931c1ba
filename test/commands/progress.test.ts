import { expect, test } from 'vitest';
import { describeProgress } from '../../src/commands/progress.ts';

const half = { files: 1234, bytes: 1.2e9, totalFiles: 2000, totalBytes: 2.4e9 };

test('restore says how many files and bytes have come, how fast, and how long the rest takes', () => {
  expect(describeProgress('restored', half, 80e6)).toBe(
    'restored 1,234 of 2,000 files, 1.2 GB of 2.4 GB, 80 MB/s, 15 s left',
  );
});

test('while nothing comes it guesses no time', () => {
  expect(describeProgress('restored', half, 0)).toBe('restored 1,234 of 2,000 files, 1.2 GB of 2.4 GB');
});
