// The board on a real directory: what pods leave for each other, and what it does where it can't be used.
import { chmod, link, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeEach, expect, onTestFinished, test } from 'vitest';
import { fileIo, type LedgerIo } from '../../src/ledger/io.ts';
import { AlertBoard, memberName } from '../../src/notify/board.ts';
import { AlertBoards } from '../../src/notify/boards.ts';
import { createFakeClock } from '../support/fake-clock.ts';
import { refused, volumeFull } from './world.ts';

let base: string;
beforeEach(async () => {
  base = await mkdtemp(join(tmpdir(), 'r2-sync-board-'));
  onTestFinished(() => rm(base, { recursive: true, force: true }));
  await mkdir(join(base, '.r2-sync'));
});

const { id } = refused;
const targetDir = () => join(base, '.r2-sync', 'target');
const boardOf = (member: string, io: LedgerIo = fileIo) => AlertBoard.shared(io, targetDir(), member);
const everything = () => false;

test('of many that claim at once exactly one wins', async () => {
  const boards = Array.from({ length: 20 }, (_, at) => boardOf(`pod${at}`));
  for (const n of [1, 2, 3]) {
    const won = await Promise.all(boards.map((board) => board.claim({ id, purpose: 'tell', n })));
    expect(won.filter(Boolean)).toHaveLength(1);
  }
  expect((await boards[0]!.read(everything)).get(id)?.claims.tell?.n).toBe(3);
});

test('beats change for others, and a note has what was told', async () => {
  const [a, b] = [boardOf('a'), boardOf('b')];
  await a.see(id);
  await a.claim({ id, purpose: 'tell', n: 1 });
  const first = (await b.read(everything)).get(id)!;
  await a.see(id);
  await a.beat({ id, purpose: 'tell', n: 1 });
  await a.mark(refused);
  const second = (await b.read(everything)).get(id)!;
  expect(first.told).toBeUndefined();
  expect(second.told).toEqual({ severity: 'failing', text: refused.text });
  expect(second.others[0]!.member).toBe('a');
  expect(second.others[0]!.beat).not.toBe(first.others[0]!.beat);
  expect(second.claims.tell!.beat).not.toBe(first.claims.tell!.beat);
  // Of itself nobody needs to be told, nor of others that see what it sees.
  expect((await a.read(everything)).get(id)!.others).toEqual([]);
  expect((await b.read((seen) => seen === id)).get(id)!.others).toEqual([]);
});

test('that it is over can only be claimed while it counts as told: who comes late tells nothing', async () => {
  const [a, b] = [boardOf('a'), boardOf('b')];
  await a.mark(refused);
  expect(await a.claim({ id, purpose: 'over', n: 1 })).toBe(true);
  await a.clear(id);
  expect(await b.claim({ id, purpose: 'over', n: 1 })).toBe(false);
  expect(await readdir(join(targetDir(), '~alerts'))).toEqual([]);
});

test('clearing one cause leaves the others', async () => {
  const board = boardOf('a');
  await board.mark(refused);
  await board.mark(volumeFull);
  await board.see(volumeFull.id);
  await board.clear(refused.id);
  expect([...(await board.read(everything)).keys()]).toEqual([volumeFull.id]);
});

test('rubbish in the directory, and notes that lie, do no harm', async () => {
  const dir = join(targetDir(), '~alerts');
  const board = boardOf('a');
  await board.mark(volumeFull);
  await writeFile(join(dir, 'notes.txt'), 'x');
  await writeFile(join(dir, `${id}.tell.999999999999`), '');
  await writeFile(join(dir, 'store-../../x.told'.replaceAll('/', '_')), '');
  await writeFile(join(dir, `${id}.told`), JSON.stringify({ severity: 'x', text: 'y' }));
  await mkdir(join(dir, `${id}.seen.dir`));
  await writeFile(
    join(dir, `${volumeFull.id}.told`),
    JSON.stringify({ severity: 'degraded', text: `\u001b[31m${'long '.repeat(900)}` }),
  );
  const read = await board.read(everything);
  expect([...read.keys()].sort()).toEqual([id, volumeFull.id].sort());
  expect(read.get(id)).toMatchObject({ told: { severity: 'degraded', text: '' }, claims: {} });
  // Cut on disk at 4 KiB: no JSON any more, so it only says that it was told.
  expect(read.get(volumeFull.id)!.told).toEqual({ severity: 'degraded', text: '' });
});

test("a note that is another file's second name is never written: that file stays as it is", async () => {
  const picture = join(base, 'picture.png');
  await writeFile(picture, 'a picture');
  const { mtimeMs } = await stat(picture);
  const board = boardOf('a');
  await board.see(volumeFull.id);
  const dir = join(targetDir(), '~alerts');
  for (const name of [`${id}.told`, `${id}.seen.a`]) await link(picture, join(dir, name));
  await expect(board.mark(refused)).rejects.toMatchObject({ code: 'EMLINK' });
  await expect(board.see(id)).rejects.toMatchObject({ code: 'EMLINK' });
  expect(await readFile(picture, 'utf8')).toBe('a picture');
  expect((await stat(picture)).mtimeMs).toBe(mtimeMs);
});

test('where the volume takes no files, this machine keeps the note', async () => {
  const clock = createFakeClock();
  const runDir = join(base, 'run');
  const full: LedgerIo = {
    ...fileIo,
    open: () => Promise.reject(Object.assign(new Error('no space'), { code: 'ENOSPC' })),
  };
  const boards = new AlertBoards(() => shared, AlertBoard.local(fileIo, runDir, 'a'), clock);
  const shared = boardOf('a', full);
  expect(await boards.claim({ id, purpose: 'tell', n: 1 })).toBe(true);
  await boards.mark(refused);
  const { board, complete } = await boards.read(everything);
  expect(complete).toBe(true);
  expect(board.get(id)?.told?.text).toBe(refused.text);
});

test('what was told without a volume can be told to be over with one, by one alone', async () => {
  const runDir = join(base, 'run');
  const shared = boardOf('a');
  let there = false;
  const boardsOf = () =>
    new AlertBoards(() => (there ? shared : undefined), AlertBoard.local(fileIo, runDir, 'a'), createFakeClock());
  const [before, after] = [boardsOf(), boardsOf()];
  await before.mark(refused);
  there = true;
  const claims = [1, 1].map((n) => after.claim({ id, purpose: 'over', n }));
  expect((await Promise.all(claims)).filter(Boolean)).toHaveLength(1);
  await after.clear(id);
  expect((await after.read(everything)).board.size).toBe(0);
});

test('a volume that hangs is asked once, holds nobody up, and everybody tells for himself', async () => {
  const clock = createFakeClock();
  let asked = 0;
  const hung: LedgerIo = {
    ...fileIo,
    readdir: (() => {
      asked += 1;
      return new Promise(() => {});
    }) as unknown as LedgerIo['readdir'],
  };
  const shared = boardOf('a', hung);
  const boards = new AlertBoards(() => shared, AlertBoard.local(fileIo, join(base, 'run'), 'a'), clock);
  const reading = boards.read(everything);
  await clock.advance(3000);
  expect((await reading).complete).toBe(false);
  expect((await boards.read(everything)).complete).toBe(false);
  expect(asked).toBe(1);
  expect(await boards.claim({ id, purpose: 'tell', n: 1 })).toBe(true);
  expect(asked).toBe(1);
});

test('without any board it is for us to tell', async () => {
  const file = join(base, 'file');
  await writeFile(file, '');
  await chmod(file, 0o400);
  const boards = new AlertBoards(() => undefined, AlertBoard.local(fileIo, file, 'a'), createFakeClock());
  expect(await boards.claim({ id, purpose: 'tell', n: 1 })).toBe(true);
  await boards.mark(refused);
  await boards.see(id);
});

test('the member is the same after a restart, another on another machine or in another run directory', () => {
  expect(memberName('abc', '/run/r2-sync')).toBe(memberName('abc', '/run/r2-sync'));
  expect(memberName('abc', '/run/a')).not.toBe(memberName('abc', '/run/b'));
  expect(memberName('abc', '/run/a')).not.toBe(memberName('abd', '/run/a'));
  expect(memberName('../x y', '/run')).toMatch(/^xy-[0-9a-f]{8}$/);
});
