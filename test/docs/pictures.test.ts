// What the pages promise about their pictures: that they are there, can be read without being seen, and cost little to
// load.
import { readdirSync, statSync } from 'node:fs';
import { posix } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { pages, read } from './documents.ts';

const folder = 'docs/pictures/';
const files = readdirSync(fileURLToPath(new URL(`../../${folder}`, import.meta.url))).map((name) => folder + name);

const shown = pages.flatMap((page) => {
  const text = read(page);
  const markdown = [...text.matchAll(/!\[([^\]]*)\]\(([^)]+)\)/g)].map(([, words, path]) => ({ words, path }));
  const tags = [...text.matchAll(/<(?:img|source)\b[^>]*>/g)].map(([tag]) => ({
    // A source is only another version of the image behind it.
    words: tag.startsWith('<img') ? /\balt="([^"]*)"/.exec(tag)?.[1] : undefined,
    path: /\b(?:src|srcset)="([^"]+)"/.exec(tag)?.[1],
    isSource: tag.startsWith('<source'),
  }));
  return [...markdown, ...tags].map((image) => ({ isSource: false, ...image, page }));
});

test('every picture is told in words, too', () => {
  for (const { page, path, words, isSource } of shown)
    if (!isSource) expect(words?.length ?? 0, `${page} shows ${path} without a word`).toBeGreaterThan(10);
});

test('every picture that a page shows is there, and every one that is there is shown', () => {
  const paths = shown
    .filter(({ path }) => path !== undefined && !/^https:/.test(path))
    .map(({ page, path }) => posix.join(posix.dirname(page), path!))
    .filter((path) => path.startsWith(folder));
  expect(paths.length).toBeGreaterThan(5);
  expect([...new Set(paths)].sort()).toEqual(files.sort());
});

test('no picture is larger than 200 KB', () => {
  const root = fileURLToPath(new URL('../../', import.meta.url));
  for (const file of files) expect(statSync(root + file).size, file).toBeLessThan(200 * 1024);
});
