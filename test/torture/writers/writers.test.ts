// The writers' own promise: what they say they finished is what is on the disk.
import { hash } from 'node:crypto';
import { lstatSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { loadConfig } from '../../../src/config/parse.ts';
import { decodeName, fsPath, joinPath, printable } from '../../../src/paths.ts';
import { createFilter } from '../../../src/watch/filter.ts';
import { eventually } from '../../support/eventually.ts';
import { Random } from '../random.ts';
import { KINDS, runWriters, Shelf, type WriterWorld } from './index.ts';

/** Kinds whose paths nothing but the seed decides. */
const DIRECTORIES = ['new directories', 'copied tree', 'directory renamed'];

let output: string;
let lines: string[];
const announced = new Set<string>();

beforeEach(() => {
  output = mkdtempSync(join(tmpdir(), 'writers-'));
  lines = [];
  announced.clear();
});
afterEach(() => rmSync(output, { recursive: true, force: true }));

test('what the shelf says is there is on the disk, byte for byte, and nothing else that is due', async () => {
  const shelf = await run(21, ({ versions }) => versions.length > 150 && kindsSeen().size === KINDS.length);
  expect(lines.filter((line) => line.includes('failed'))).toEqual([]);
  expect(foundOnDisk(shelf)).toEqual(hashesOf(shelf));
});

test('every version has its time: finished before it goes, gone before the next one of its name', async () => {
  const shelf = await run(22, ({ versions }) => versions.some(({ torn }) => torn) && versions.length > 60);
  const last = new Map<string, number>();
  for (const { path, finishedAt, goneAt, torn, sha256 } of shelf.versions) {
    expect(finishedAt).toBeGreaterThanOrEqual(last.get(path) ?? 0);
    expect(goneAt ?? finishedAt).toBeGreaterThanOrEqual(finishedAt);
    last.set(path, goneAt ?? finishedAt);
    expect(torn || announced.has(sha256)).toBe(true);
  }
});

test('other bytes of the size and the time that were there before are known as twins', () => {
  const shelf = new Shelf();
  const finish = (sha256: string, stamp: string | undefined) =>
    shelf.finish({ pod: 0, path: 'a.png', sha256, bytes: 5, finishedAt: 1, torn: false }, stamp);
  finish('one', '5:1');
  finish('two', '5:2');
  finish('three', '5:1');
  finish('three', '5:1');
  finish('four', undefined);
  expect(shelf.versions.map(({ twin }) => twin)).toEqual([false, false, true, false, false]);
});

test('a volume that is gone for a while is survived, and what became of the files on it is looked up', async () => {
  const aside = `${output}-gone`;
  let times = 0;
  const goesAway = async () => {
    for (; times < 3; times += 1) {
      await sleep(500);
      renameSync(output, aside);
      const failed = failures().length;
      await eventually(() => expect(failures().length).toBeGreaterThan(failed));
      expect(() => lstatSync(output)).toThrow();
      renameSync(aside, output);
    }
  };
  const shelf = await run(23, () => times === 3, goesAway);
  expect(foundOnDisk(shelf)).toEqual(hashesOf(shelf));
});

test('a seed decides what is written, whatever the timing', async () => {
  const firstOfEach = async () => {
    lines = [];
    const first = () => DIRECTORIES.map((kind) => lines.find((line) => line.startsWith(kind)));
    await run(24, () => !first().includes(undefined));
    return first();
  };
  const first = await firstOfEach();
  rmSync(output, { recursive: true });
  mkdirSync(output);
  expect(await firstOfEach()).toEqual(first);
});

/** Runs the writers until `enough` says so. */
async function run(
  seed: number,
  enough: (shelf: Shelf) => boolean,
  meanwhile: () => Promise<void> = async () => {},
): Promise<Shelf> {
  const shelf = new Shelf();
  const over = new AbortController();
  const world: WriterWorld = {
    pods: 2,
    output: () => output,
    random: new Random(seed),
    shelf,
    signal: over.signal,
    say: (line) => {
      lines.push(line);
      if (enough(shelf)) over.abort();
    },
    announce: ({ body }) => announced.add(hash('sha256', body, 'hex')),
  };
  await Promise.all([runWriters(world, { filesPerSecond: 40 }), meanwhile()]);
  return shelf;
}

function failures(): string[] {
  return lines.filter((line) => line.includes('failed: ENOENT'));
}

function kindsSeen(): Set<string> {
  return new Set(lines.map((line) => line.slice(0, line.indexOf(':'))));
}

function hashesOf(shelf: Shelf): Map<string, string> {
  return new Map(shelf.present().map(({ path, sha256 }) => [printable(path), sha256]));
}

/** The hashes of all that an agent would have to upload, by path; torn files of the shelf aren't due. */
function foundOnDisk(shelf: Shelf): Map<string, string> {
  const { skipReason, skipDirectoryReason } = createFilter(loadConfig({}, { needStore: false }).config!, '');
  const found = new Map<string, string>();
  const walk = (dir: string) => {
    for (const entry of readdirSync(fsPath(join(output, dir)), { withFileTypes: true, encoding: 'buffer' })) {
      const path = joinPath(dir, decodeName(entry.name));
      if (entry.isDirectory() && skipDirectoryReason(path) === undefined) walk(path);
      if (!entry.isFile() || skipReason(path, 0) !== undefined || shelf.at(path)?.torn) continue;
      const body = readFileSync(fsPath(`${output}/${path}`));
      if (body.length > 0) found.set(printable(path), hash('sha256', body, 'hex'));
    }
  };
  walk('');
  return found;
}
