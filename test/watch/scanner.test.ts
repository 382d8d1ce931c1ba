import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { mkdtemp, realpath, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import fc from 'fast-check';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { LedgerIndex } from '../../src/ledger/index.ts';
import { decodeName, fsPath, joinPath } from '../../src/paths.ts';
import type { DirectoryListing, FileStats } from '../../src/volume/protocol.ts';
import { startVolume, type Volume } from '../../src/volume/volume.ts';
import { createFilter } from '../../src/watch/filter.ts';
import { type Candidate, Scanner } from '../../src/watch/scanner.ts';
import { createFakeClock } from '../support/fake-clock.ts';

const YOUNG_MS = 3000;
const MINUTE = 60_000;

let volume: Volume;
beforeAll(() => {
  volume = startVolume();
});
afterAll(() => volume.close());

/** A scanner on a directory of its own, with a ledger that the test fills as the agent would. */
async function makeBench(options: { prefix?: string; exclude?: string[]; volume?: Volume } = {}) {
  const base = await realpath(await mkdtemp(join(tmpdir(), 'r2-sync-scanner-')));
  const prefix = options.prefix ?? '';
  const clock = createFakeClock();
  const index = new LedgerIndex();
  let found: Candidate[] = [];
  const root = join(base, 'root');
  mkdirSync(join(root, prefix), { recursive: true });
  const settings = { extensions: new Set(['png', 'txt']), exclude: options.exclude ?? [], maxMb: 0.001 };
  const scanner = new Scanner({
    volume: options.volume ?? volume,
    clock,
    filter: createFilter(settings, prefix),
    index,
    root,
    prefix,
    onCandidate: (candidate) => found.push(candidate),
  });
  const at = (path: string) => fsPath(`${root}/${path}`);
  return {
    base,
    root,
    clock,
    index,
    scanner,
    at,
    write: (path: string, text = path) => {
      mkdirSync(join(root, path, '..'), { recursive: true });
      writeFileSync(at(path), text);
    },
    /** What was found since the last call. */
    found: () => {
      const paths = found.map(({ path }) => path).sort();
      found = [];
      return paths;
    },
    /** Puts all that was found, as it was found, into the ledger. */
    store: () => {
      for (const { path, size, mtimeNs } of found)
        index.set({ path, size, mtimeNs, sha256: 'a'.repeat(64), storedAt: clock.wall(), incomplete: false });
      found = [];
    },
    remove: () => rm(base, { recursive: true, force: true }),
  };
}

type Bench = Awaited<ReturnType<typeof makeBench>>;
let bench: Bench;
beforeEach(async () => {
  bench = await makeBench();
});
afterEach(() => bench.remove());

/** Everything is in the ledger, and no directory is young any more. */
async function becomeSteady({ scanner, clock, store }: Bench): Promise<void> {
  await scanner.pass(true);
  store();
  await clock.advance(YOUNG_MS + 1);
  await scanner.pass(false);
  store();
  await nextTick();
}

/** Until the kernel's clock, by which it stamps files, has moved on. */
async function nextTick(): Promise<void> {
  const probe = join(bench.base, 'probe');
  const stamp = () => {
    writeFileSync(probe, '');
    utimesSync(probe, 0, 0);
    return statSync(probe, { bigint: true }).ctimeNs;
  };
  const before = stamp();
  while (stamp() === before) await turn();
}

describe('invariant 2: a pass finds what no hint told of', () => {
  it('the first one finds every file, and none that the ledger has', async () => {
    const { scanner, write, found, store } = bench;
    for (const path of ['a.png', 'x/b.png', 'x/y/z/c.png']) write(path);
    expect(await scanner.pass(true)).toEqual({ root: 'there', problems: [], files: 3 });
    store();
    write('x/d.png');
    await scanner.pass(true);
    expect(found()).toEqual(['x/d.png']);
  });

  it('later ones find new files, and those in folders made a moment before', async () => {
    const { scanner, write, found } = bench;
    write('x/a.png');
    await becomeSteady(bench);
    write('x/b.png');
    write('new/deep/er/c.png');
    await scanner.pass(false);
    expect(found()).toEqual(['new/deep/er/c.png', 'x/b.png']);
  });

  it('a file written right after a listing, where the volume’s times are too coarse to tell', async () => {
    const coarse: Volume = {
      ...volume,
      ask: async (kind, request) => {
        const reply = await volume.ask(kind, request);
        const blur = (identity: string | null) => identity?.replace(/:\d+:\d+$/, ':0:0') ?? null;
        if (kind === 'statDirectories') return (reply as (string | null)[]).map(blur) as typeof reply;
        if (kind !== 'list') return reply;
        const listing = reply as DirectoryListing;
        return { ...listing, identity: blur(listing.identity) } as typeof reply;
      },
    };
    const other = await makeBench({ volume: coarse });
    other.write('a.png');
    await other.scanner.pass(true);
    other.store();
    other.write('b.png');
    await other.clock.advance(YOUNG_MS);
    await other.scanner.pass(false);
    expect(other.found()).toEqual(['b.png']);
    await other.remove();
  });

  it('a file whose name was stored, deleted, and is used again', async () => {
    const { scanner, write, found, index, at } = bench;
    write('x/a.png', 'first');
    await becomeSteady(bench);
    rmSync(at('x/a.png'));
    await scanner.pass(false);
    expect(index.get('x/a.png')).toBeUndefined();
    write('x/a.png', 'other');
    await scanner.pass(false);
    expect(found()).toEqual(['x/a.png']);
  });

  it('a file that was not there for a moment, though its directory has not moved: the volume was away', async () => {
    bench.write('alice/a.png');
    await bench.scanner.pass(true);
    await bench.clock.advance(YOUNG_MS);
    await bench.scanner.pass(false);
    bench.found();
    await bench.scanner.pass(false);
    expect(bench.found()).toEqual([]);
    bench.scanner.doubt('alice/a.png');
    await bench.scanner.pass(false);
    expect(bench.found()).toEqual(['alice/a.png']);
  });

  it('a file that was replaced by a rename, though no name has changed', async () => {
    const { scanner, write, found, at, clock } = bench;
    for (const path of ['a.png', 'b.png', 'stage.tmp']) write(path, path.padEnd(20));
    await becomeSteady(bench);
    await clock.advance(60 * MINUTE);
    renameSync(at('stage.tmp'), at('b.png'));
    write('stage.tmp', 'another one');
    await scanner.pass(false);
    expect(found()).toEqual(['b.png']);
  });

  it('a file that was overwritten soon after it was stored, once its directory moves; any, by a full pass', async () => {
    const { scanner, write, found, clock } = bench;
    write('recent.png', 'first');
    await becomeSteady(bench);
    write('recent.png', 'the second one');
    write('new.png');
    await scanner.pass(false);
    expect(found()).toEqual(['new.png', 'recent.png']);
    bench.index.set({
      path: 'recent.png',
      size: 14,
      mtimeNs: lstatSync(bench.at('recent.png'), { bigint: true }).mtimeNs,
      sha256: 'b'.repeat(64),
      storedAt: clock.wall(),
      incomplete: false,
    });
    await clock.advance(20 * MINUTE);
    write('recent.png', 'the third');
    await scanner.pass(true);
    expect(found()).toContain('recent.png');
  });

  it('a folder that was moved away, and another under its name with files of the same names', async () => {
    const { scanner, write, found, at, clock } = bench;
    for (const name of ['1', '2', '3', '4']) write(`alice/${name}.png`, name);
    write('alice/sub/1.png');
    await becomeSteady(bench);
    // The ledger has had them for so long that they aren't looked at again.
    await clock.advance(60 * MINUTE);
    renameSync(at('alice'), at('alice_old'));
    for (const name of ['1', '2']) write(`alice/${name}.png`, `new ${name}`);
    write('alice/sub/1.png', 'new');
    await scanner.pass(false);
    const moved = ['1', '2', '3', '4', 'sub/1'].map((name) => `alice_old/${name}.png`);
    expect(found()).toEqual(['alice/1.png', 'alice/2.png', 'alice/sub/1.png', ...moved]);
  });

  it('a tree that was copied with its old times', async () => {
    const { scanner, write, found, at } = bench;
    await becomeSteady(bench);
    write('copy/old/a.png');
    for (const path of ['copy/old/a.png', 'copy/old', 'copy']) utimesSync(at(path), 1, 1);
    await scanner.pass(false);
    expect(found()).toEqual(['copy/old/a.png']);
  });

  it('names of any bytes', async () => {
    const { scanner, found } = bench;
    const names = [decodeName(Buffer.from('b\xff\n.png', 'latin1')), '\ufffd.png', '😀.png'];
    mkdirSync(bench.at(decodeName(Buffer.from('\xe9', 'latin1'))));
    for (const name of names) {
      writeFileSync(bench.at(name), 'x');
      writeFileSync(bench.at(joinPath(decodeName(Buffer.from('\xe9', 'latin1')), name)), 'x');
    }
    await scanner.pass(true);
    expect(found()).toHaveLength(6);
  });

  it('only in the output directory, where it is a part of the root', async () => {
    const inner = await makeBench({ prefix: 'users/alice' });
    for (const path of ['users/alice/a.png', 'users/alice/x/b.png', 'users/bob/c.png', 'd.png']) inner.write(path);
    await inner.scanner.pass(true);
    await inner.scanner.scanDirectory('users/bob');
    await inner.scanner.scanDirectory('');
    expect(inner.found()).toEqual(['users/alice/a.png', 'users/alice/x/b.png']);
    await inner.remove();
  });
});

describe('invariant 2: a volume that is away for a moment', () => {
  let away = false;
  let there: Bench;
  beforeEach(async () => {
    const flickering: Volume = {
      ...volume,
      ask: (async (kind: 'statDirectories' | 'list', request: { root: string; dirs: string[]; dir: string }) => {
        const reply = await volume.ask(kind, request as never);
        if (!away) return reply;
        if (kind === 'list') throw Object.assign(new Error('away'), { code: 'ENOENT' });
        return (reply as (string | null)[]).map((identity, at) => (request.dirs[at] === '' ? identity : null));
      }) as Volume['ask'],
    };
    there = await makeBench({ volume: flickering });
    there.write('alice/trip/a.png');
    await there.scanner.pass(true);
    await there.clock.advance(YOUNG_MS);
    await there.scanner.pass(false);
  });
  afterEach(() => {
    away = false;
    return there.remove();
  });

  it('costs no file that waited to be stored, though nothing has moved', async () => {
    there.found();
    away = true;
    await there.scanner.pass(false);
    // As the agent does with what it can't find.
    there.scanner.doubt('alice/trip/a.png');
    expect(there.found()).toEqual([]);
    away = false;
    await there.scanner.pass(false);
    expect(there.found()).toEqual(['alice/trip/a.png']);
  });

  it('takes nothing from what the ledger knows: nothing is sent again', async () => {
    there.store();
    away = true;
    await there.scanner.pass(false);
    await there.scanner.scanDirectory('alice/trip');
    expect(there.index.size).toBe(1);
    away = false;
    await there.scanner.pass(false);
    expect(there.found()).toEqual([]);
  });

  it('and nobody is sure of anything until it was looked at again', async () => {
    there.store();
    expect(there.scanner.hasDoubts).toBe(false);
    away = true;
    await there.scanner.pass(false);
    await there.scanner.pass(false);
    expect(there.scanner.hasDoubts).toBe(true);
    away = false;
    await there.scanner.pass(false);
    expect(there.scanner.hasDoubts).toBe(false);
  });

  it('while what has really gone is forgotten', async () => {
    there.store();
    away = true;
    await there.scanner.pass(false);
    away = false;
    rmSync(there.at('alice'), { recursive: true });
    await there.scanner.pass(false);
    expect(there.index.size).toBe(0);
    expect(there.scanner.knows('alice/trip')).toBe(false);
    expect(there.scanner.hasDoubts).toBe(false);
  });
});

describe('a directory that a hint named is looked into at once', () => {
  it('with all that is below it, though nothing above it is known yet', async () => {
    const { scanner, write, found, index } = bench;
    await becomeSteady(bench);
    write('a/b/c/1.png');
    write('a/b/2.png');
    expect(scanner.knows('a/b')).toBe(false);
    await scanner.scanDirectory('a/b');
    expect(found()).toEqual(['a/b/2.png', 'a/b/c/1.png']);
    expect(scanner.knows('a/b/c')).toBe(true);
    // And it stays known: what vanishes there is forgotten.
    await scanner.pass(false);
    bench.store();
    rmSync(bench.at('a'), { recursive: true });
    await scanner.pass(false);
    expect(index.size).toBe(0);
    expect(scanner.knows('a/b/c')).toBe(false);
  });

  it('one that is gone, or was a file all along, is no error', async () => {
    const { scanner, write, found } = bench;
    write('a.png');
    await scanner.scanDirectory('none');
    await scanner.scanDirectory('a.png');
    expect(found()).toEqual([]);
    expect(scanner.knows('a.png')).toBe(false);
    // Temporary files are named so all the time: nothing about the outputs is in doubt for that.
    expect(scanner.hasDoubts).toBe(false);
  });

  it('but none that is left alone', async () => {
    const other = await makeBench({ exclude: ['drafts/**'] });
    for (const path of ['drafts/a.png', '.cache/deep/b.png']) other.write(path);
    for (const dir of ['drafts', '.cache', '.cache/deep']) await other.scanner.scanDirectory(dir);
    expect(other.found()).toEqual([]);
    await other.remove();
  });
});

describe('invariant 10: what is not uploaded is counted or named', () => {
  it('by the reason for which it is left alone', async () => {
    const { scanner, write, found, at } = bench;
    const files = [
      'a.png',
      'a.safetensors',
      'x/b.safetensors',
      'README',
      '.h.png',
      'x/y.tmp',
      '.r2-sync/s.json',
      '.c/a.png',
    ];
    for (const path of files) write(path);
    write('large.png', 'x'.repeat(1001));
    symlinkSync('a.png', at('link.png'));
    symlinkSync('x', at('x/link'));
    await scanner.pass(true);
    expect(found()).toEqual(['a.png']);
    const skipped = {
      '.safetensors': 2,
      'no extension': 1,
      hidden: 1,
      temporary: 1,
      'hidden directory': 1,
      'larger than R2_MAX_MB': 1,
      'symlink or special file': 2,
    };
    expect(scanner.skipped()).toEqual(skipped);
    // Not twice, however often it is looked at; and no longer when it is gone.
    await scanner.pass(true);
    expect(scanner.skipped()).toEqual(skipped);
    rmSync(at('x'), { recursive: true });
    await scanner.pass(false);
    expect(scanner.skipped()).toMatchObject({ '.safetensors': 1, 'symlink or special file': 1 });
  });

  it('a directory that can’t be read is named by every pass, and read when it can be', async () => {
    const closed = new Set(['x']);
    const other = await makeBench({ volume: closing(closed, 'list') });
    for (const path of ['a.png', 'x/b.png']) other.write(path);
    for (const full of [true, false, false]) {
      expect(await other.scanner.pass(full)).toMatchObject({
        root: 'there',
        problems: [{ path: 'x', code: 'EACCES' }],
      });
      await other.clock.advance(YOUNG_MS);
    }
    closed.clear();
    other.found();
    expect(await other.scanner.pass(false)).toMatchObject({ problems: [] });
    expect(other.found()).toEqual(['x/b.png']);
    await other.remove();
  });

  it('one whose files can’t be looked at, too', async () => {
    const closed = new Set(['x']);
    const other = await makeBench({ volume: closing(closed, 'statFiles') });
    for (let nth = 0; nth < 300; nth += 1) other.write(`x/${nth}.png`);
    for (const full of [true, false, false]) {
      expect(await other.scanner.pass(full)).toMatchObject({ problems: [{ path: 'x', code: 'EACCES' }] });
      await other.clock.advance(YOUNG_MS);
    }
    closed.clear();
    await other.scanner.pass(false);
    expect(other.found()).toHaveLength(300);
    await other.remove();
  });

  it('the output directory itself: nothing is known of it, and nothing is forgotten', async () => {
    const closed = new Set<string>();
    const other = await makeBench({ volume: closing(closed, 'list') });
    other.write('a.png');
    await other.scanner.pass(true);
    other.store();
    closed.add('');
    other.write('b.png');
    expect(await other.scanner.pass(true)).toMatchObject({ root: 'unreadable' });
    expect(other.index.size).toBe(1);
    await other.remove();
  });
});

describe('the output directory itself', () => {
  it('is told from another in its place, and from none', async () => {
    const { scanner, root, base, found } = bench;
    await scanner.pass(true);
    renameSync(root, join(base, 'moved'));
    expect(await scanner.pass(false)).toMatchObject({ root: 'gone' });
    mkdirSync(root);
    writeFileSync(join(root, 'a.png'), 'x');
    expect(await scanner.pass(false)).toMatchObject({ root: 'replaced' });
    // Nothing of the other one is taken for this one's.
    expect(found()).toEqual([]);
  });
});

describe('invariant 9: a pass over what hasn’t changed', () => {
  it('asks once for all directories, and lists none', async () => {
    const asked: string[] = [];
    const counting: Volume = {
      ...volume,
      ask: (kind, request) => {
        asked.push(kind);
        return volume.ask(kind, request);
      },
    };
    const other = await makeBench({ volume: counting });
    for (let nth = 0; nth < 50; nth += 1) other.write(`${nth}/a.png`);
    await other.scanner.pass(true);
    other.store();
    await other.clock.advance(YOUNG_MS);
    await other.scanner.pass(false);
    asked.length = 0;
    await other.scanner.pass(false);
    expect(asked).toEqual(['statDirectories', 'statDirectories']);
    await other.remove();
  });
});

describe('invariant 2: whatever happens between passes', () => {
  const dirs = ['', 'a', 'b', 'a/c', 'a/c/d'] as const;
  const names = ['1.png', '2.png', '3.txt', 'stage.tmp'] as const;
  const file = fc.tuple(fc.constantFrom(...dirs), fc.constantFrom(...names)).map(([dir, name]) => joinPath(dir, name));
  const directory = fc.constantFrom(...dirs.slice(1));
  const step = fc.oneof(
    { weight: 4, arbitrary: fc.record({ kind: fc.constant('create'), path: file }) },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('overwrite'), path: file }) },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('delete'), path: file }) },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('rename'), path: file, to: file }) },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('make'), path: directory }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('delete'), path: directory }) },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('rename'), path: directory, to: directory }) },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('pass'), path: directory }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('hint'), path: fc.constantFrom(...dirs) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('store'), path: directory }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('later'), path: directory }) },
  );
  type Step = { kind: string; path: string; to?: string };

  it('two passes know exactly what is on the volume: in the ledger, or found', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 40 }), async (steps) => {
        const one = await makeBench();
        try {
          await runModel(one, steps);
        } finally {
          await one.remove();
        }
      }),
      { numRuns: 200, interruptAfterTimeLimit: 15_000, markInterruptAsFailure: false },
    );
  });

  async function runModel(one: Bench, steps: readonly Step[]): Promise<void> {
    const { scanner, clock, index } = one;
    /** What was found of each path that isn't in the ledger. */
    const pending = new Map<string, string>();
    /** Written in place since the last full pass: that moves no directory, so hints and full passes find it. */
    const overwritten = new Set<string>();
    let writes = 0;
    const take = async (pass: Promise<unknown>) => {
      await pass;
      for (const path of one.found()) {
        const facts = factsOf(one, path);
        if (facts !== undefined) pending.set(path, facts);
      }
    };
    const actions: Record<string, (step: Step) => Promise<void> | void> = {
      create: ({ path }) => {
        if (existsSync(one.at(join(path, '..'))) && !existsSync(one.at(path))) {
          writeFileSync(one.at(path), 'x'.repeat(++writes));
        }
      },
      overwrite: ({ path }) => {
        if (!existsSync(one.at(path))) return;
        writeFileSync(one.at(path), 'x'.repeat(++writes));
        overwritten.add(`${lstatSync(one.at(path)).ino}`);
      },
      delete: ({ path }) => rmSync(one.at(path), { recursive: true, force: true }),
      rename: ({ path, to }) => renameIfPossible(one, path, to!),
      make: ({ path }) => {
        if (existsSync(one.at(join(path, '..')))) mkdirSync(one.at(path), { recursive: true });
      },
      pass: () => take(scanner.pass(false)),
      hint: ({ path }) => take(scanner.scanDirectory(path)),
      store: () => {
        for (const [path, facts] of pending) {
          const [size, mtimeNs] = facts.split(':');
          const known = { size: Number(size), mtimeNs: BigInt(mtimeNs!), sha256: 'a'.repeat(64), incomplete: false };
          index.set({ path, ...known, storedAt: clock.wall() });
        }
        pending.clear();
      },
      // Long enough that whatever was listed is no longer young.
      later: async () => {
        await nextTick();
        await clock.advance(YOUNG_MS + 1);
      },
    };
    const expectKnown = (exempt: ReadonlySet<string>) => {
      const onDisk = listFiles(one.root);
      for (const path of onDisk) {
        if (exempt.has(`${lstatSync(one.at(path)).ino}`)) continue;
        const facts = factsOf(one, path)!;
        const [size, mtimeNs] = facts.split(':');
        const known = index.matches(path, Number(size), BigInt(mtimeNs!)) || pending.get(path) === facts;
        expect({ path, known }).toEqual({ path, known: true });
      }
      // What vanished is forgotten.
      const remembered = ['', ...dirs.slice(1)].flatMap((dir) =>
        [...index.names(dir)].map((name) => joinPath(dir, name)),
      );
      expect(remembered.filter((path) => !onDisk.includes(path))).toEqual([]);
    };

    await take(scanner.pass(true));
    for (const current of steps) {
      await actions[current.kind]!(current);
      await clock.advance(1);
    }
    await take(scanner.pass(false));
    await clock.advance(YOUNG_MS + 1);
    await take(scanner.pass(false));
    expectKnown(overwritten);
    await take(scanner.pass(true));
    expectKnown(new Set());
  }
});

/** A volume in which some directories may not be listed, or their files not be looked at. */
function closing(closed: ReadonlySet<string>, kind: 'list' | 'statFiles'): Volume {
  return {
    ...volume,
    ask: async (asked, request) => {
      const reply = await volume.ask(asked, request);
      if (!closed.has((request as { dir: string }).dir)) return reply;
      if (asked === 'list' && kind === 'list') throw Object.assign(new Error('closed'), { code: 'EACCES' });
      const refused = ({ sizes }: FileStats) => ({ sizes: sizes.map(() => -1), problem: 'EACCES' });
      if (asked === 'list') {
        const { stats } = reply as DirectoryListing;
        return { ...(reply as DirectoryListing), stats: { ...stats, ...refused(stats) } };
      }
      return asked === 'statFiles' ? { ...(reply as FileStats), ...refused(reply as FileStats) } : reply;
    },
  };
}

function renameIfPossible(one: Bench, from: string, to: string): void {
  try {
    renameSync(one.at(from), one.at(to));
  } catch {
    // Into itself, over a directory that isn't empty, from what isn't there: then nothing happened.
  }
}

/** Size and mtime of an output; undefined where there is none. */
function factsOf(one: Bench, path: string): string | undefined {
  const stat = lstatSync(one.at(path), { bigint: true, throwIfNoEntry: false });
  return stat?.isFile() ? `${stat.size}:${stat.mtimeNs}` : undefined;
}

/** All outputs below a directory. */
function listFiles(root: string): string[] {
  return readdirSync(root, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && /\.(png|txt)$/.test(entry.name))
    .map((entry) => join(entry.parentPath, entry.name).slice(root.length + 1));
}
