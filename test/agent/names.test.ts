// Invariant 2 (nothing is missed) and 3 (the bytes are the file's) for every name that a file system can hold.
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { decodeName, directoryOf, fsPath } from '../../src/paths.ts';
import { type Bench, expectTrueObjects, makeBench, NO_PROGRAMS, storedVersions } from './bucket.ts';

const latin1 = (text: string) => decodeName(Buffer.from(text, 'latin1'));

const NAMES = [
  'two\nlines.txt',
  '\n',
  'ends with a newline.txt\n.txt',
  'tab\tand\rreturn.txt',
  '\u001b[31mred\u0007.txt',
  '😀 👨‍👩‍👧‍👦.txt',
  'e\u0301 is not \u00e9.txt',
  '\u00e9 is not e\u0301.txt',
  ' begins and ends with a blank .txt',
  'two  blanks.txt',
  '100%.txt',
  '%41 is not A.txt',
  'A is not %41.txt',
  'a+b.txt',
  'a#b?c=d&e;f.txt',
  `quotes ' " \`.txt`,
  'back\\slash\\..\\x.txt',
  '$(touch x); rm -rf *.txt',
  '-rf.txt',
  '*?[a]{b}!(c).txt',
  'a:b|c<d>.txt',
  'a...txt',
  'UPPER.TXT',
  '\u202egnp.txt',
  'a\u2028b.txt',
  'null is \ufffd and \uffff.txt',
  '日本語の名前.txt',
  `${'a'.repeat(251)}.txt`,
  `${'é'.repeat(125)}e.txt`,
  latin1('Latin-1 \xe9t\xe9.txt'),
  latin1('\xff\xfe\x80.txt'),
  latin1('cut \xf0\x9f\x98.txt'),
  latin1('surrogate \xed\xa0\x80.txt'),
  latin1('overlong \xc0\xaf..\xc0\xaf.txt'),
  latin1(`${'\xff'.repeat(251)}.txt`),
  'folder with blanks/a b.txt',
  'new\nline/a.txt',
  '%2E%2E/a.txt',
  '%2E%2E/ .. /a.txt',
  '😀/日本/語.txt',
  latin1('\xe9t\xe9/\xff/a.txt'),
  `${'d'.repeat(255)}/${'e'.repeat(255)}/${'f'.repeat(255)}/${'g'.repeat(200)}/${'h'.repeat(251)}.txt`,
];
/** What the filter takes: '\n' has no extension. */
const OUTPUTS = NAMES.filter((name) => name !== '\n');

let bench: Bench;
beforeEach(async () => {
  bench = await makeBench();
});
afterEach(() => bench.close());

const content = (name: string, round: string) => Buffer.from(`${round}: ${JSON.stringify(name)}\n`);

function write(round: string): void {
  for (const name of NAMES) {
    const path = fsPath(bench.at(`${round}/${name}`));
    mkdirSync(Buffer.isBuffer(path) ? fsPath(bench.at(`${round}/${directoryOf(name)}`)) : dirname(path), {
      recursive: true,
    });
    writeFileSync(path, content(name, round));
  }
}

function expectAll(rounds: readonly string[]): void {
  expectTrueObjects(bench.store);
  const versions = storedVersions(bench.store);
  const expected = rounds.flatMap((round) => OUTPUTS.map((name) => `${round}/${name}`));
  expect(new Set(versions.keys())).toEqual(new Set(expected));
  for (const round of rounds) {
    for (const name of OUTPUTS) expect(versions.get(`${round}/${name}`)).toEqual([content(name, round)]);
  }
  for (const key of bench.store.objects.keys()) {
    expect(Buffer.byteLength(key)).toBeLessThanOrEqual(1024);
    expect(key.isWellFormed()).toBe(true);
    expect(key).not.toMatch(/[\u0000-\u001f\u007f]|(^|\/)\.{0,2}(\/|$)/);
  }
  // One request a file: none was sent under a second name.
  const puts = bench.store.requests.filter(({ operation }) => operation === 'PutObject');
  expect(puts).toHaveLength(expected.length);
}

describe('invariant 2: whatever a file is called, its bytes are in the bucket', () => {
  it.each([
    ['with inotifywait, where it is installed', {}],
    ['with @parcel/watcher', NO_PROGRAMS],
  ])('found by the first scan and by hints %s', async (_, settings) => {
    write('before');
    const agent = await bench.start(settings);
    await agent.until((snapshot) => snapshot.reasons.length === 0 && snapshot.safeToStop, 'the first scan');
    await agent.until(({ totals }) => totals.storedFiles === OUTPUTS.length, 'what was there');
    write('after');
    const done = await agent.until(({ totals }) => totals.storedFiles === 2 * OUTPUTS.length, 'all that was written');
    expectAll(['before', 'after']);
    // What people see is one line each.
    expect(done.recent.map(({ path }) => path).join('')).not.toMatch(/[\u0000-\u001f\ud800-\udfff]/u);
    expect(await agent.stop()).toBe(0);
  });

  it('found by `r2-sync sync`, and known to the next one from the ledger', async () => {
    write('once');
    const first = await bench.command(['sync', '--json']);
    expect({ code: first.code, stderr: first.code === 0 ? '' : first.stderr }).toEqual({ code: 0, stderr: '' });
    expectAll(['once']);
    bench.store.requests.length = 0;
    expect((await bench.command(['sync'])).code).toBe(0);
    expect(bench.store.requests).toEqual([]);
    const plan = JSON.parse((await bench.command(['plan', '--json'])).stdout);
    expect(plan).toMatchObject({ stored: OUTPUTS.length, candidates: [] });
  });
});
