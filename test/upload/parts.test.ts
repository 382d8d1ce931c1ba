// A large file is cut so that nothing is left out, nothing is sent twice, and a store takes the parts.
import { expect, test } from 'vitest';
import { cutIntoParts, partBytes } from '../../src/upload/parts.ts';

const MIB = 2 ** 20;
const GIB = 2 ** 30;

test.each([
  ['one byte more than a small file', 8 * MIB + 1],
  ['a whole number of parts', 24 * MIB],
  ['a video', 1_234_567_890],
  ['more than 10,000 parts of 8 MiB would hold', 100 * GIB + 1],
  ['the largest object that R2 takes', 4_995 * GIB],
])('%s: equal parts one after the other, and not too many', (_, size) => {
  const parts = [...cutIntoParts(size)];
  let position = 0;
  for (const [at, part] of parts.entries()) {
    expect(part).toMatchObject({ number: at + 1, position });
    expect(part.length).toBe(at === parts.length - 1 ? size - position : partBytes(size));
    position += part.length;
  }
  expect(position).toBe(size);
  expect(parts.length).toBeLessThanOrEqual(10_000);
  expect(partBytes(size) % MIB).toBe(0);
});
