// What the pages promise about their pictures: that they can be read without seeing them, and cost little to load.
import { readdirSync, statSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { pages, read } from './documents.ts';

const directory = fileURLToPath(new URL('../../docs/pictures/', import.meta.url));

test('every picture is told in words, too', () => {
  for (const page of pages) {
    for (const [image, words] of read(page).matchAll(/!\[([^\]]*)\]\([^)]+\)/g))
      expect(words!.length, `${page}: ${image}`).toBeGreaterThan(20);
  }
});

test('no picture is larger than 200 KB', () => {
  const names = readdirSync(directory);
  expect(names.length).toBeGreaterThan(5);
  for (const name of names) expect(statSync(directory + name).size, name).toBeLessThan(200 * 1024);
});
