// Invariants 2, 6 and 10: every finished file arrives wherever it turns up, nothing else is touched, and what is left
// alone is counted.
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  symlinkSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type RunningAgent, until } from '../support/agent.ts';
import { makePng } from '../support/media.ts';
import { type Bench, expectTrueObjects, makeBench, NO_PROGRAMS, storedVersions } from './bucket.ts';

let bench: Bench;
beforeEach(async () => {
  bench = await makeBench();
});
afterEach(() => bench.close());

const stored = (agent: RunningAgent, files: number) =>
  agent.until(({ totals }) => totals.storedFiles === files && totals.pendingFiles === 0, `${files} stored files`);

function write(path: string, text = `${path}\n`): void {
  mkdirSync(dirname(bench.at(path)), { recursive: true });
  writeFileSync(bench.at(path), text);
}

const paths = () => [...storedVersions(bench.store).keys()].sort();
const puts = () => bench.store.requests.filter(({ operation }) => operation === 'PutObject');

const SOURCES = [
  ['with inotifywait, where it is installed', {}],
  ['with @parcel/watcher', NO_PROGRAMS],
] as const;

describe.each(SOURCES)('invariant 2: wherever a file turns up, %s', (_, source) => {
  it('200 folders made a moment before, some deep: every file arrives, with one request each', async () => {
    const agent = await bench.start({ ...source, R2_EXTENSIONS: 'png' });
    await agent.until(({ safeToStop }) => safeToStop, 'the first scan');
    const expected = Array.from({ length: 200 }, (_, nth) => {
      const depth = nth % 5;
      return [...Array.from({ length: depth }, (_, level) => `level${level}`), `folder${nth}`, `${nth}.png`].join('/');
    });
    for (const [nth, path] of expected.entries()) {
      mkdirSync(dirname(bench.at(path)), { recursive: true });
      writeFileSync(bench.at(path), makePng({ seed: nth }));
    }
    await stored(agent, 200);
    expect(paths()).toEqual(expected.sort());
    expect(puts()).toHaveLength(200);
    expectTrueObjects(bench.store);
  });

  it('a folder that is renamed, and a tree that is moved in with old times: all arrive under their new paths', async () => {
    const agent = await bench.start(source);
    for (const name of ['1', '2', 'sub/3']) write(`before/${name}.txt`);
    await stored(agent, 3);
    renameSync(bench.at('before'), bench.at('after'));
    const moved = ['after/1.txt', 'after/2.txt', 'after/sub/3.txt'];
    await until(() => moved.every((path) => paths().includes(path)), 'the renamed folder');

    const times = ['1965-06-01', '1970-01-01', '1980-01-01', '2020-02-29', '2100-01-01'];
    const staging = join(bench.place.base, 'staging');
    for (const [nth, day] of times.entries()) {
      mkdirSync(join(staging, `${nth}`), { recursive: true });
      writeFileSync(join(staging, `${nth}`, 'old.txt'), day);
      utimesSync(join(staging, `${nth}`, 'old.txt'), new Date(day), new Date(day));
      utimesSync(join(staging, `${nth}`), new Date(day), new Date(day));
    }
    renameSync(staging, bench.at('moved'));
    cpSync(bench.at('moved'), bench.at('copied'), { recursive: true, preserveTimestamps: true });
    await stored(agent, 3 + 2 * times.length);
    for (const [nth, day] of times.entries()) {
      for (const tree of ['moved', 'copied']) {
        expect(storedVersions(bench.store).get(`${tree}/${nth}/old.txt`)).toEqual([Buffer.from(day)]);
        expect(
          [...bench.store.objects.keys()].filter((key) => key.includes(`${tree}/${nth}/${day}/old-`)),
        ).toHaveLength(1);
      }
    }
    expectTrueObjects(bench.store);
  });

  it('a name that is used again after its file was deleted: the new file arrives', async () => {
    const agent = await bench.start(source);
    write('alice/a.txt', 'first');
    await stored(agent, 1);
    unlinkSync(bench.at('alice/a.txt'));
    await agent.until(({ totals }) => totals.storedFiles === 0, 'the deletion to be noticed');
    write('alice/a.txt', 'other');
    await stored(agent, 1);
    expect(storedVersions(bench.store).get('alice/a.txt')).toEqual([Buffer.from('first'), Buffer.from('other')]);
  });
});

describe('invariant 2: without any hint', () => {
  it('`r2-sync sync` alone finds everything, and a second one has nothing to do', async () => {
    const expected = Array.from({ length: 60 }, (_, nth) => `${'d/'.repeat(nth % 7)}${nth}.txt`);
    for (const path of expected) write(path);
    const run = await bench.command(['sync', '--json']);
    expect({ code: run.code, stderr: run.stderr }).toMatchObject({ code: 0 });
    expect(paths()).toEqual(expected.sort());
    bench.store.requests.length = 0;
    expect((await bench.command(['sync'])).code).toBe(0);
    expect(bench.store.requests).toEqual([]);
    expectTrueObjects(bench.store);
  });
});

describe('invariant 6: nothing but regular files of the output directory', () => {
  it.each(SOURCES)('symlinks, FIFOs and sockets are neither opened nor followed, and counted %s', async (_, source) => {
    const outside = join(bench.place.base, 'outside');
    mkdirSync(join(outside, 'sub'), { recursive: true });
    writeFileSync(join(outside, 'secret.png'), makePng({ seed: 1 }));
    writeFileSync(join(outside, 'sub/secret.txt'), 'secret');
    write('real/a.txt');
    const socket = createServer();
    const make = (round: string) => {
      mkdirSync(bench.at(round));
      symlinkSync(join(outside, 'secret.png'), bench.at(`${round}/to-file-outside.png`));
      symlinkSync('../real/a.txt', bench.at(`${round}/to-file-inside.txt`));
      symlinkSync(outside, bench.at(`${round}/to-directory-outside`));
      symlinkSync('../real', bench.at(`${round}/to-directory-inside`));
      symlinkSync('..', bench.at(`${round}/loop`));
      symlinkSync('self.png', bench.at(`${round}/self.png`));
      symlinkSync('nowhere.png', bench.at(`${round}/dangling.png`));
      execFileSync('mkfifo', [bench.at(`${round}/fifo.png`), bench.at(`${round}/fifo.txt`)]);
    };
    make('before');
    await new Promise<void>((resolve) => socket.listen(bench.at('socket.png'), resolve));
    try {
      const agent = await bench.start(source);
      await stored(agent, 1);
      make('after');
      // An open for reading would wait for a writer here, and four of them would stop the agent.
      write('after/z.txt');
      await stored(agent, 2);
      // A folder that is moved out, and a symlink to it in its place.
      renameSync(bench.at('real'), join(bench.place.base, 'real'));
      symlinkSync(join(bench.place.base, 'real'), bench.at('real'));
      writeFileSync(join(bench.place.base, 'real/new.txt'), 'not in the output directory');
      const done = await agent.until(({ skipped }) => skipped['symlink or special file'] === 20, 'all to be counted');
      expect(done.totals.pendingFiles).toBe(0);
      expect(paths()).toEqual(['after/z.txt', 'real/a.txt']);
      expect(await agent.stop()).toBe(0);
    } finally {
      socket.close();
    }
    expect(paths()).toEqual(['after/z.txt', 'real/a.txt']);
  });

  it('the files are as they were: bytes, names, times and modes', async () => {
    for (const path of ['a.txt', 'b/c.txt', 'b/empty.png', 'b/model.safetensors'])
      write(path, path.replace(/.*empty.*/, ''));
    chmodSync(bench.at('a.txt'), 0o444);
    symlinkSync('a.txt', bench.at('link.txt'));
    const before = describeTree(bench.place.output);
    const agent = await bench.start();
    await stored(agent, 2);
    expect(await agent.stop()).toBe(0);
    expect(describeTree(bench.place.output)).toEqual(before);
  });
});

describe('invariant 10: what is left alone is counted, by its reason', () => {
  it('R2_EXTENSIONS, R2_EXCLUDE and R2_MAX_MB, for the scan and for hints alike', async () => {
    const files = {
      'a.png': 'a',
      'B.PNG': 'b',
      'c.txt': 'c',
      'no-extension': 'n',
      'checkpoint.safetensors': 's',
      'x/UPPER.SAFETENSORS': 's',
      '.hidden.png': 'h',
      'half.png.tmp': 't',
      'half.png.part': 't',
      'x/y_preview.png': 'p',
      'drafts/d.png': 'd',
      'drafts/deep/er/d.png': 'd',
      'x/.cache/deep/er/h.png': 'h',
      'large.png': 'l'.repeat(20_001),
      'just.png': 'j'.repeat(20_000),
    };
    const settings = { R2_EXTENSIONS: 'png', R2_EXCLUDE: '*_preview.png,drafts/**', R2_MAX_MB: '0.02' };
    const uploaded = ['B.PNG', 'a.png', 'just.png'];
    const skipped = {
      '.txt': 1,
      'no extension': 1,
      '.safetensors': 2,
      hidden: 1,
      temporary: 2,
      'excluded by R2_EXCLUDE': 1,
      'directory excluded by R2_EXCLUDE': 1,
      'hidden directory': 1,
      'larger than R2_MAX_MB': 1,
    };
    // The directories are old, so that every file in them raises an event.
    for (const path of Object.keys(files)) mkdirSync(dirname(bench.at(path)), { recursive: true });
    const agent = await bench.start(settings);
    await agent.until(({ safeToStop }) => safeToStop, 'the first scan');
    await until(() => agent.log().includes('watching for finished files'), 'a source of hints');
    for (const [path, text] of Object.entries(files)) write(path, text);
    await stored(agent, 3);
    await agent.until(
      (snapshot) => JSON.stringify(sorted(snapshot.skipped)) === JSON.stringify(sorted(skipped)),
      'counts',
    );
    expect(await agent.stop()).toBe(0);
    expect(paths()).toEqual(uploaded);
    const again = await bench.command(['plan', '--json'], settings);
    expect(JSON.parse(again.stdout)).toMatchObject({ stored: 3, candidates: [], skipped });
  });

  it.skipIf(process.getuid?.() === 0)('what may not be read is named, and goes when it may', async () => {
    const setModes = (modes: Record<string, number>) => {
      for (const [path, mode] of Object.entries(modes)) chmodSync(bench.at(path), mode);
    };
    const open = () => setModes({ 'closed.txt': 0o644, closed: 0o755, 'no-x': 0o755 });
    for (const path of ['a.txt', 'closed.txt', 'closed/b.txt', 'no-x/c.txt']) write(path);
    setModes({ 'closed.txt': 0, closed: 0, 'no-x': 0o444 });
    try {
      const agent = await bench.start();
      const shown = await agent.until(
        ({ totals, reasons }) => totals.storedFiles === 1 && totals.parkedFiles === 1 && reasons.length === 2,
        'what cannot be read to be shown',
      );
      expect(shown).toMatchObject({ state: 'degraded', safeToStop: false });
      for (const dir of ['closed', 'no-x']) expect(shown.reasons.join()).toContain(`"${dir}" can't be read (EACCES)`);
      expect(shown.parked[0]).toMatchObject({ path: 'closed.txt', reason: expect.stringContaining('EACCES') });
      open();
      await agent.until(
        ({ totals, reasons }) => totals.storedFiles === 3 && reasons.length === 0,
        'the folders to be read',
      );
      // The file itself is tried again after a minute, or when the agent is told to stop or starts anew.
      await agent.stop();
      expect((await bench.command(['sync'])).code).toBe(0);
      expect(paths()).toEqual(['a.txt', 'closed.txt', 'closed/b.txt', 'no-x/c.txt']);
    } finally {
      open();
    }
  });

  it.skipIf(process.getuid?.() === 0)('an output directory that may not be read is no empty one', async () => {
    write('a.txt');
    chmodSync(bench.place.output, 0o300);
    try {
      const agent = await bench.start();
      const shown = await agent.until(
        ({ reasons }) => /can't be looked at \(EACCES\)/.test(reasons.join()),
        'it to be said',
      );
      expect(shown).toMatchObject({ state: 'degraded', safeToStop: false });
      expect((await bench.command(['sync'])).code).toBe(3);
      // It is said once, not once a second.
      expect(agent.log().match(/can't be looked at/g)).toHaveLength(1);
      chmodSync(bench.place.output, 0o700);
      await stored(agent, 1);
    } finally {
      chmodSync(bench.place.output, 0o700);
    }
  });
});

/** Everything below a directory but the agent's own state: names, bytes, modes and times. */
function describeTree(top: string): unknown[] {
  return readdirSync(top, { recursive: true, withFileTypes: true })
    .map((entry) => ({ entry, path: join(entry.parentPath, entry.name) }))
    .filter(({ path }) => !path.includes('.r2-sync'))
    .map(({ entry, path }) => {
      if (!entry.isFile()) return { path };
      const { mode, size, mtimeMs, ino } = statSync(path);
      return { path, mode, size, mtimeMs, ino, text: readFileSync(path, 'utf8') };
    })
    .sort((a, b) => (a.path < b.path ? -1 : 1));
}

function sorted(counts: Record<string, number>): [string, number][] {
  return Object.entries(counts).sort(([a], [b]) => (a < b ? -1 : 1));
}
