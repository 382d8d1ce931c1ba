// docs/security.md names a test for each promise: those tests are there.
import { expect, test } from 'vitest';
import { isThere, read } from './documents.ts';

const page = read('docs/security.md');
/** A path as code, then titles in “ ”, separated by commas. */
const named = [...page.matchAll(/`(test\/[\w./-]+)`((?:,? “[^”]+”)+)/g)].flatMap(([, file, titles]) =>
  [...titles!.matchAll(/“([^”]+)”/g)].map((match) => [file!, match[1]!] as const),
);

test('every test that docs/security.md names is there, by file and title', () => {
  expect(named.length).toBeGreaterThan(30);
  const missing = named.filter(([file, title]) => {
    if (!isThere(file)) return true;
    const source = read(file).replace(/\\(['"`])/g, '$1');
    return !source.includes(`'${title}'`) && !source.includes(`"${title}"`) && !source.includes(`\`${title}\``);
  });
  expect(missing).toEqual([]);
});

test('every path of a test in docs/security.md is followed by a title', () => {
  const paths = [...page.matchAll(/`(test\/[\w./-]+)`/g)].map((match) => match[1]);
  expect(new Set(paths)).toEqual(new Set(named.map(([file]) => file)));
  // A row of a threat without a test says that it is a limit.
  const rows = page.split('\n').filter((line) => line.startsWith('| ') && !line.startsWith('| ---'));
  const threats = rows.filter((row) => row.split(' | ').length === 3 || row.endsWith('| |'));
  const bare = threats.filter((row) => !row.includes('`test/') && !/\*\*Limit|test or limit/.test(row));
  expect(bare).toEqual([]);
});

test('the title of every test of test/security stands on the page', () => {
  for (const file of ['volume', 'store', 'processes', 'renew-keys'].map((name) => `test/security/${name}.test.ts`)) {
    const titles = [...read(file).matchAll(/^ *(?:test|it)(?:\.skipIf\([^)]*\))?\(\s*(['"`])(.+?)\1,/gm)].map(
      ([, , title]) => title!,
    );
    expect(titles.length).toBeGreaterThan(0);
    for (const title of titles) expect(named.map(([, known]) => known)).toContain(title);
  }
});
