// What the checker says of a store that has the right bytes, and yet not what it should have.
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { sha256Of } from '../agent/scene.ts';
import { Checker } from './checker.ts';
import { LedgerWatch } from './ledger-watch.ts';
import { TortureStore } from './store.ts';
import { Shelf } from './writers/index.ts';

const BODY = Buffer.from('a picture');
const SHA256 = sha256Of(BODY);
const KEY = `outputs/2026-11-20/a-${SHA256}.png`;

let output: string;
let store: TortureStore;
let checker: Checker;

beforeEach(async () => {
  output = await mkdtemp(join(tmpdir(), 'r2-sync-checker-'));
  store = await TortureStore.start('outputs/{date}/{name}-{hash}{ext}');
  const shelf = new Shelf();
  checker = new Checker(shelf, store, new LedgerWatch(output, store));
  await writeFile(join(output, 'a.png'), BODY);
  const version = { pod: 0, path: 'a.png', sha256: SHA256, bytes: BODY.length, finishedAt: 0, torn: false };
  shelf.finish(version, undefined);
});

afterEach(async () => {
  await store.double.close();
  await rm(output, { recursive: true });
});

function put(key: string, metadata: Record<string, string> = {}): void {
  const facts = {
    body: undefined,
    size: BODY.length,
    sha256: SHA256,
    etag: '"a"',
    contentType: 'image/png',
    storedAt: 0,
  };
  store.double.objects.set(key, { ...facts, metadata: { sha256: SHA256, path: 'a.png', ...metadata } });
}

const texts = () => checker.checkCalm(output).map(({ text }) => text);

test('a file that is there, whole, under its name, is well', () => {
  put(KEY);
  expect(texts()).toEqual([]);
  expect(checker.checkWaste(0, 0)).toEqual([]);
});

test('a whole file that is in the bucket as half a file only is lost', () => {
  put(KEY, { incomplete: 'true' });
  expect(texts()).toEqual([expect.stringMatching(/^LOST: a\.png/)]);
});

test('an object that was deleted since is missed, whenever that was', () => {
  put(KEY);
  store.double.objects.delete(KEY);
  expect(texts()).toEqual([expect.stringMatching(/invariant 4: .* isn't any more/)]);
});

test('the same file under a second key is waste', () => {
  put(KEY);
  put(KEY.replace('20/', '21/'));
  expect(checker.checkWaste(0, 0)).toMatchObject([{ text: expect.stringMatching(/^WASTE: 1 files were sent again/) }]);
});
