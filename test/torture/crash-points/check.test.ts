// A checker that finds nothing wrong proves nothing until it was seen to find each kind of wrong.
import { createHash } from 'node:crypto';
import { mkdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { makePlace, removePlace } from '../../support/agent.ts';
import { startStoreDouble } from '../../support/store-double.ts';
import { putForeign } from '../../support/stored.ts';
import { checkLife, type Remains } from './check.ts';
import { findPoints, nameRequest } from './points.ts';

const BODY = Buffer.from('picture');
const SHA256 = createHash('sha256').update(BODY).digest('hex');
const KEY = `outputs/alice/2026-11-28/a-${SHA256.slice(0, 16)}.png`;
const USUAL_REQUESTS = 2;

let remains: Remains & { died: boolean; notesAtDeath: string[] };
let file: string;
let state: string;
let ledger: string;

beforeEach(async () => {
  const place = await makePlace();
  const store = await startStoreDouble();
  file = join(place.output, 'alice/a.png');
  state = join(place.output, '.r2-sync/target');
  ledger = join(state, 'alice/ledger.1.jsonl');
  await mkdir(join(place.output, 'alice'));
  await mkdir(join(state, 'alice'), { recursive: true });
  await mkdir(join(state, '~uploads'));
  await writeFile(file, BODY);
  await writeFile(ledger, `${JSON.stringify({ v: 1, path: 'alice/a.png', sha256: SHA256, key: KEY })}\n`);
  await writeFile(join(state, 'alice/lease.1.json'), '{}');
  putForeign(store, KEY, BODY, { sha256: SHA256 });
  remains = {
    place,
    store,
    versions: [{ path: 'alice/a.png', sha256: SHA256, mtimeMs: (await stat(file)).mtimeMs }],
    requests: [`PutObject ${KEY}`, `HeadObject ${KEY}`],
    stored: [{ key: KEY }],
    died: false,
    notesAtDeath: [],
  };
});

afterEach(async () => {
  await remains.store.close();
  await removePlace(remains.place);
});

const check = (exitCode = 0) => checkLife(remains, exitCode, USUAL_REQUESTS);
const upload = () => remains.store.uploads.set('id', {} as never);

test('a life in which all went well has nothing wrong', async () => {
  expect(await check()).toEqual([]);
  remains.died = true;
  await writeFile(join(state, 'alice/claim.x.tmp'), '');
  await writeFile(ledger, `${await readFile(ledger, 'utf8')}{"v":1,"pa`);
  upload();
  expect(await check()).toEqual([]);
});

test.each<[string, () => unknown, RegExp]>([
  ['a file that is lost', () => remains.store.objects.delete(KEY), /a\.png .* is 0 times in the bucket/],
  ['a torn object', () => putForeign(remains.store, KEY, Buffer.from('pict'), { sha256: SHA256 }), /other bytes/],
  ['an object without its hash', () => putForeign(remains.store, KEY, BODY), /wrong sha256 beside/],
  ['an object that nobody wrote', () => putForeign(remains.store, KEY.replace('/a-', '/b-'), BODY), /nothing that was/],
  ['a file that is there twice', () => putForeign(remains.store, KEY.replace('28', '27'), BODY), /is 2 times/],
  ['a key that was written twice', () => remains.stored.push({ key: KEY }), /written 2 times/],
  ['a fact that came before its object', () => remains.store.objects.delete(KEY), /the ledger says .* it isn't/],
  ['a fact about no file', () => (remains.versions[0]!.path = 'alice/b.png'), /never written/],
  ['a file that the ledger forgot', () => writeFile(ledger, ''), /a\.png isn't in the ledger/],
  ['a claim that is torn', () => writeFile(join(state, 'alice/lease.1.json'), '{'), /lease\.1\.json can't be read/],
  ['temporary files', () => writeFile(join(state, 'alice/claim.x.tmp'), ''), /left behind: .*claim/],
  ['a note of an upload', () => writeFile(join(state, '~uploads/x.json'), '{}'), /left behind: .*uploads/],
  ['parts of an upload', upload, /1 uploads unfinished/],
  ["a user's file that was removed", () => rm(file), /a\.png was touched/],
  ["a user's file that was touched", () => writeFile(file, 'other'), /a\.png was touched/],
  ['too many requests', () => remains.requests.push('HeadObject x'), /3 requests where 2 are enough/],
  ['too many uploads', () => remains.requests.push('PutObject x', 'PutObject x'), /3 PUTs for 1 files/],
])('it finds %s', async (_, damage, words) => {
  await damage();
  expect((await check()).join('\n')).toMatch(words);
});

test('it finds an agent that left something undone, and parts of an upload that was noted', async () => {
  expect(await check(3)).toEqual(['the last agent ended with 3']);
  remains.died = true;
  remains.notesAtDeath = ['target/~uploads/x.json'];
  upload();
  expect(await check()).toEqual(['1 uploads unfinished']);
  await rm(join(state, '~uploads'), { recursive: true });
});

test('points have names that are the same in every run', () => {
  const effect = { at: 0, is: 'effect', effect: 'lease', detail: '' } as const;
  const claim = (id: string) => `/out/.r2-sync/0123456789abcdef/alice/claim.${id}.tmp`;
  const reports = [
    { ...effect, call: 'create', path: claim('11111111-2222-3333-4444-555555555555') },
    { ...effect, call: 'write', path: claim('11111111-2222-3333-4444-555555555555') },
    { ...effect, call: 'create', path: claim('99999999-2222-3333-4444-555555555555') },
  ];
  const query = new URLSearchParams('partNumber=2');
  const request = nameRequest({ operation: 'UploadPart', key: 'outputs/2026-11-28/a.png', query });
  const place = '.r2-sync/*/alice/claim.*.tmp';
  expect(findPoints('/out', reports, [request])).toEqual([
    { on: 'disk', call: 'create', place, nth: 1, when: 'after' },
    { on: 'disk', call: 'write', place, nth: 1, when: 'half' },
    { on: 'disk', call: 'write', place, nth: 1, when: 'after' },
    { on: 'disk', call: 'create', place, nth: 2, when: 'after' },
    { on: 'store', request: 'UploadPart outputs/day/a.png part 2', nth: 1, when: 'before' },
    { on: 'store', request: 'UploadPart outputs/day/a.png part 2', nth: 1, when: 'after' },
  ]);
});
