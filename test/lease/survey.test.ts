// Who holds what, for people: told from the lease's files alone, whatever else lies there, and nothing is changed.
import { execFileSync } from 'node:child_process';
import { mkdir, mkdtemp, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { LeaseFiles } from '../../src/lease/files.ts';
import { encodeBeat, encodeClaim } from '../../src/lease/format.ts';
import { readLeases } from '../../src/lease/survey.ts';
import { fileIo, type LedgerIo } from '../../src/ledger/io.ts';
import { folderDirName } from '../../src/ledger/location.ts';

const now = Date.parse('2026-11-20T12:00:00.000Z');
const process = { pid: 7, startTime: '1', pidNamespace: 'pid:[1]', bootId: 'b', pod: 'ffee' };
let target: string;

beforeEach(async () => {
  target = await mkdtemp(join(tmpdir(), 'r2-sync-survey-'));
});
afterEach(() => rm(target, { recursive: true }));

const read = (io: LedgerIo = fileIo) => readLeases(io, target, { pod: 'ffee', leaseSeconds: 45, now });
const iso = (secondsAgo: number) => new Date(now - secondsAgo * 1000).toISOString();

/** The files of a folder as an agent writes them. */
function filesOf(folder: string, pod = 'ffee', host = 'gpu-1'): LeaseFiles {
  const self = { folder, host, agent: '1.0.0', nonce: 'n', process: { ...process, pod } };
  return new LeaseFiles(fileIo, join(target, folderDirName(folder)), self);
}

/** A folder's file with any content. */
async function put(folder: string, name: string, text: string): Promise<void> {
  await mkdir(join(target, folder), { recursive: true });
  await writeFile(join(target, folder, name), text);
}

const claimText = (epoch: number, change: object = {}) =>
  encodeClaim({ epoch, folder: 'f', host: 'h', agent: '1', nonce: 'n', process, since: iso(10), ...change });

test('who holds which folder, since when, and how long since the last beat', async () => {
  const ours = filesOf('alice');
  await ours.claim(3, now - 600_000);
  await ours.beat(3, 1, now - 4000);
  const theirs = filesOf('.', 'abcd', 'gpu-2');
  await theirs.claim(1, now - 60_000);
  await theirs.beat(1, 9, now - 45_000);
  const gone = filesOf('böb', 'abcd', 'gpu-2');
  await gone.claim(7, now - 86_400_000);
  await gone.beat(7, 9, now - 46_000);
  await filesOf('new').claim(1, now - 2000);
  const free = filesOf('carol');
  await free.claim(2, now - 900_000);
  await free.beat(2, 5, now - 300_000, true);
  const common = { thisPod: true, pod: 'ffee', host: 'gpu-1', problem: null };
  const other = { thisPod: false, pod: 'abcd', host: 'gpu-2', problem: null };
  expect(await read()).toEqual([
    { ...other, folder: '.', state: 'held', epoch: 1, since: iso(60), silentSeconds: 45 },
    { ...common, folder: 'alice', state: 'held', epoch: 3, since: iso(600), silentSeconds: 4 },
    { ...other, folder: 'böb', state: 'silent', epoch: 7, since: iso(86_400), silentSeconds: 46 },
    { ...common, folder: 'carol', state: 'released', epoch: 2, since: iso(900), silentSeconds: 300 },
    // The claim is the first sign of life.
    { ...common, folder: 'new', state: 'held', epoch: 1, since: iso(2), silentSeconds: 2 },
  ]);
});

test('only the highest claim counts, gaps and foreign numbers or not', async () => {
  await put('f', 'lease.3.json', claimText(3));
  await put('f', 'beat.3.json', encodeBeat({ epoch: 3, counter: 1, released: true, at: iso(1) }));
  await put('f', 'lease.17.json', claimText(17));
  await put('f', 'lease.9999999999999.json', claimText(9_999_999_999_999));
  await put('f', 'lease.x.json', 'x');
  expect(await read()).toMatchObject([{ state: 'held', epoch: 17 }]);
});

test('a clock that differs from ours is said, and makes nobody silent', async () => {
  for (const [folder, at] of Object.entries({ ahead: iso(-60), unset: '1970-01-01T00:00:09.000Z', odd: 'yesterday' })) {
    await put(folder, 'lease.1.json', claimText(1, { folder }));
    await put(folder, 'beat.1.json', encodeBeat({ epoch: 1, counter: 1, released: false, at }));
  }
  await put('near', 'lease.1.json', claimText(1, { folder: 'near', since: iso(-3) }));
  const seen = (await read()).map(({ folder, state, silentSeconds }) => [folder, state, silentSeconds]);
  expect(seen).toEqual([
    ['ahead', 'held', null],
    ['near', 'held', 0],
    ['odd', 'held', null],
    ['unset', 'held', null],
  ]);
});

test.for([
  ['empty', '', /is empty/],
  ['cut', claimText(4).slice(0, 60), /makes no sense/],
  ['no JSON', 'hello', /makes no sense/],
  ['of another number', claimText(5), /makes no sense/],
] as const)('a claim that is %s is said, with what comes of it', async ([, text, problem]) => {
  await put('f%20g', 'lease.4.json', text);
  const [lease] = await read();
  expect(lease).toMatchObject({ folder: 'f%20g', state: 'unreadable', pod: null, epoch: 4, thisPod: false });
  expect(lease!.problem).toMatch(problem);
  expect(lease!.problem).toMatch(/heals by itself/);
});

test('a beat that makes no sense is said; the holder is still known', async () => {
  await put('f', 'lease.4.json', claimText(4));
  await put('f', 'beat.4.json', '{"epoch":4,');
  expect(await read()).toMatchObject([
    { state: 'unreadable', pod: 'ffee', thisPod: true, problem: expect.stringMatching(/sign of life makes no sense/) },
  ]);
});

test('what is no file is not opened: a pipe that nobody writes to holds nobody up', async () => {
  for (const folder of ['pipe', 'directory', 'link']) await mkdir(join(target, folder));
  execFileSync('mkfifo', [join(target, 'pipe', 'lease.1.json')]);
  await mkdir(join(target, 'directory', 'lease.1.json'));
  await writeFile(join(target, 'elsewhere'), claimText(1));
  await symlink(join(target, 'elsewhere'), join(target, 'link', 'lease.1.json'));
  expect((await read()).map(({ folder, state }) => [folder, state])).toEqual([
    ['directory', 'unreadable'],
    ['link', 'unreadable'],
    ['pipe', 'unreadable'],
  ]);
});

test('names from disk can do nothing to a terminal', async () => {
  const evil = 'a\u001b[2Jb\n';
  await put('f', 'lease.1.json', claimText(1, { folder: evil, host: evil, process: { ...process, pod: evil } }));
  const [lease] = await read();
  expect(lease).toMatchObject({ folder: 'a\\u001b[2Jb\\n', host: 'a\\u001b[2Jb\\n', pod: 'a\\u001b[2Jb\\n' });
});

test('no claim, no lease: ledgers, other directories and files are none; nor is a directory that is missing', async () => {
  await put('alice', 'ledger.3.jsonl', '');
  await mkdir(join(target, '~uploads'));
  await writeFile(join(target, 'first-start'), '');
  expect(await read()).toEqual([]);
  await rm(target, { recursive: true });
  expect(await read()).toEqual([]);
  await mkdir(target);
});

test('a folder whose directory refuses is said; the others are shown all the same', async () => {
  await put('bad', 'lease.1.json', claimText(1));
  await put('good', 'lease.1.json', claimText(1, { folder: 'good' }));
  const readdirRefused = ((path: string) =>
    path.endsWith('/bad')
      ? Promise.reject(Object.assign(new Error('no'), { code: 'EACCES' }))
      : readdir(path)) as never;
  const seen = await read({ ...fileIo, readdir: readdirRefused });
  expect(seen).toMatchObject([
    {
      folder: 'bad',
      state: 'unreadable',
      epoch: null,
      problem: expect.stringMatching(/\/bad can't be read \(EACCES\)/),
    },
    { folder: 'good', state: 'held' },
  ]);
});

test('a claim that the next holder removes between listing and reading is no mistake', async () => {
  await put('f', 'lease.1.json', claimText(1));
  let listed = 0;
  const readdirThenTakeOver = (async (path: string) => {
    const names = await readdir(path);
    if (path.endsWith('/f') && listed++ === 0) {
      await put('f', 'lease.2.json', claimText(2));
      await rm(join(target, 'f', 'lease.1.json'));
    }
    return names;
  }) as never;
  expect(await read({ ...fileIo, readdir: readdirThenTakeOver })).toMatchObject([{ state: 'held', epoch: 2 }]);
});
