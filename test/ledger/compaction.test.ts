import * as fs from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { type CompactionRequest, compactFolder } from '../../src/ledger/compaction.ts';
import { fileIo } from '../../src/ledger/io.ts';
import { encodeLine } from '../../src/ledger/line.ts';
import { eventually } from '../support/eventually.ts';
import { createFakeClock } from '../support/fake-clock.ts';
import { makeFact, makeTarget, openLedger, readBack, TestDisk } from './support.ts';

const HOUR_MS = 3_600_000;

/** Segments 1 to `count` of the folder alice: each has a file of its own, and all have rewritten one. */
async function writeSegments(targetDir: string, count: number, linesEach = 1): Promise<Map<string, string>> {
  const dir = join(targetDir, 'alice');
  await fs.mkdir(dir, { recursive: true });
  const expected = new Map<string, string>();
  for (let epoch = 1; epoch <= count; epoch++) {
    const facts = Array.from({ length: linesEach }, (_, i) => makeFact('alice/shared.png', `${epoch} ${i}`));
    facts.unshift(makeFact(`alice/${epoch}.png`));
    for (const { path, sha256 } of facts) expected.set(path, sha256);
    await fs.writeFile(join(dir, `ledger.${epoch}.jsonl`), facts.map(encodeLine).join(''));
  }
  return expected;
}

async function names(targetDir: string): Promise<string[]> {
  return (await fs.readdir(join(targetDir, 'alice'))).sort();
}

function compact(targetDir: string, epoch: number, changes: Partial<CompactionRequest>): Promise<number> {
  return compactFolder({
    io: fileIo,
    dir: join(targetDir, 'alice'),
    epoch,
    found: { lines: 0, superseded: 0 },
    clock: createFakeClock(Date.now()),
    signal: new AbortController().signal,
    ...changes,
  });
}

const ONE_COMPACTED = (epoch: number) => [
  expect.stringMatching(new RegExp(`^ledger\\.${epoch}\\.c0-[0-9a-f]+\\.jsonl$`)),
  `ledger.${epoch}.jsonl`,
];

describe('compaction', () => {
  it('makes one segment of more than 16, and keeps the last fact about every path', async () => {
    const { targetDir } = await makeTarget();
    const expected = await writeSegments(targetDir, 17);
    const ledger = await openLedger(targetDir);
    await ledger.record(makeFact('alice/new.png'));
    await eventually(async () => expect(await names(targetDir)).toEqual(ONE_COMPACTED(18)));
    await ledger.record(makeFact('alice/shared.png', 'newest'));
    await ledger.close();
    expected.set('alice/new.png', makeFact('alice/new.png').sha256);
    expected.set('alice/shared.png', makeFact('', 'newest').sha256);
    expect(await readBack(targetDir)).toEqual(expected);
  });

  it("keeps an object's key, however often its file's time alone moves", async () => {
    const { targetDir } = await makeTarget();
    const stored = makeFact('alice/a.png');
    const moved = [1n, 2n, 3n].map((mtimeNs) => ({ ...stored, mtimeNs, key: undefined }));
    await fs.mkdir(join(targetDir, 'alice'), { recursive: true });
    const lines = [stored, ...moved].map(encodeLine);
    await fs.writeFile(join(targetDir, 'alice/ledger.1.jsonl'), lines.join(''));
    expect(await compact(targetDir, 2, { found: { lines: 1000, superseded: 999 } })).toBe(1);
    const [compacted] = await names(targetDir);
    expect(await fs.readFile(join(targetDir, 'alice', compacted!), 'utf8')).toBe(lines[0]! + lines[3]!);
    const { index } = await openLedger(targetDir, { readOnly: true });
    expect(index.get('alice/a.png')).toMatchObject({ sha256: stored.sha256, mtimeNs: 3n });
  });

  it('keeps what a later version wrote and nobody here can read', async () => {
    const { targetDir } = await makeTarget();
    await writeSegments(targetDir, 17);
    const line = '{"v":9,"path":"alice/z.png","digest":"blake3:12"}\n';
    await fs.appendFile(join(targetDir, 'alice/ledger.3.jsonl'), line);
    const ledger = await openLedger(targetDir);
    await ledger.record(makeFact('alice/new.png'));
    await eventually(async () => expect(await names(targetDir)).toEqual(ONE_COMPACTED(18)));
    await ledger.close();
    const [compacted] = await names(targetDir);
    expect(await fs.readFile(join(targetDir, 'alice', compacted!), 'utf8')).toContain(line);
  });

  it.each([
    ['16 segments', 16, { lines: 32, superseded: 15 }, 0],
    ['17 segments', 17, { lines: 34, superseded: 16 }, 17],
    ['few lines, most of them superseded', 1, { lines: 999, superseded: 998 }, 0],
    ['many lines, half of them superseded', 1, { lines: 1000, superseded: 500 }, 0],
    ['many lines, more than half of them superseded', 1, { lines: 1000, superseded: 501 }, 1],
  ])('is decided by what a reader gains: %s', async (_, segments, found, removed) => {
    const { targetDir } = await makeTarget();
    const expected = await writeSegments(targetDir, segments);
    expect(await compact(targetDir, segments + 1, { found })).toBe(removed);
    expect(await readBack(targetDir)).toEqual(expected);
  });

  it('is due for one long segment of one file that was rewritten all the time', async () => {
    const { targetDir } = await makeTarget();
    const expected = await writeSegments(targetDir, 1, 1200);
    const ledger = await openLedger(targetDir);
    await ledger.record(makeFact('alice/1.png'));
    await eventually(async () => expect(await names(targetDir)).toEqual(ONE_COMPACTED(2)));
    await ledger.close();
    expect(await readBack(targetDir)).toEqual(expected);
  });

  it('happens at most hourly', async () => {
    const { targetDir } = await makeTarget();
    await writeSegments(targetDir, 17);
    await fs.writeFile(join(targetDir, 'alice/ledger.5.c0-aa.jsonl'), '');
    const early = createFakeClock(Date.now() + HOUR_MS - 60_000);
    expect(await compact(targetDir, 18, { clock: early })).toBe(0);
    const late = createFakeClock(Date.now() + HOUR_MS + 60_000);
    expect(await compact(targetDir, 18, { clock: late })).toBe(18);
  });

  it('never delays a record', async () => {
    const { targetDir } = await makeTarget();
    await writeSegments(targetDir, 17);
    const disk = new TestDisk();
    const ledger = await openLedger(targetDir, { io: disk.io });
    let reached = false;
    const gate = Promise.withResolvers<void>();
    disk.before = ({ path }) => {
      if (!path.includes('compact.')) return;
      reached = true;
      return gate.promise;
    };
    await ledger.record(makeFact('alice/new.png'));
    await eventually(() => expect(reached).toBe(true));
    await ledger.record(makeFact('alice/newer.png'));
    gate.resolve();
    await eventually(async () => expect(await names(targetDir)).toEqual(ONE_COMPACTED(18)));
    await ledger.close();
    expect((await readBack(targetDir)).size).toBe(20);
  });

  it('stops for the end of the process, and the next one clears up', async () => {
    const { targetDir } = await makeTarget();
    const expected = await writeSegments(targetDir, 17);
    const disk = new TestDisk();
    const ledger = await openLedger(targetDir, { io: disk.io });
    let closing: Promise<void> | undefined;
    disk.before = ({ op, path }) => {
      if (op === 'create' && path.includes('compact.')) closing = ledger.close();
    };
    await ledger.record(makeFact('alice/new.png'));
    await eventually(() => expect(closing).toBeDefined());
    await closing;
    expect((await names(targetDir)).length).toBe(18);

    for (const name of ['compact.0badcafe.tmp', 'claim.0bad-cafe.tmp']) {
      await fs.writeFile(join(targetDir, 'alice', name), 'left by kill -9');
      await fs.utimes(join(targetDir, 'alice', name), 1, 1);
    }
    const next = await openLedger(targetDir);
    await next.record(makeFact('alice/new.png'));
    await eventually(async () => expect(await names(targetDir)).toEqual(ONE_COMPACTED(19)));
    await next.close();
    expected.set('alice/new.png', makeFact('alice/new.png').sha256);
    expect(await readBack(targetDir)).toEqual(expected);
  });

  it('a full volume in the middle of it takes nothing away and leaves nothing behind', async () => {
    const { targetDir } = await makeTarget();
    const expected = await writeSegments(targetDir, 17);
    const disk = new TestDisk();
    const ledger = await openLedger(targetDir, { io: disk.io });
    let failed = false;
    disk.before = ({ op, path }) => {
      if (op !== 'write' || !path.includes('compact.')) return;
      failed = true;
      throw Object.assign(new Error('full'), { code: 'ENOSPC' });
    };
    await ledger.record(makeFact('alice/1.png'));
    await eventually(() => expect(failed).toBe(true));
    await ledger.close();
    expect(ledger.trouble).toBeUndefined();
    expect((await names(targetDir)).length).toBe(18);
    expect(await readBack(targetDir)).toEqual(expected);
  });
});

describe('compaction beside a stale holder', () => {
  it.each([
    ['just before it is read', 'create', 'compact.', 'goes'],
    ['while the new segment is written', 'write', 'compact.', 'stays'],
    ['just before the old segments go', 'rename', 'compact.', 'stays'],
    ['just before its own segment goes', 'unlink', 'ledger.1.jsonl', 'goes'],
    ['in the very moment in which its own segment goes', 'unlinked', 'ledger.1.jsonl', 'goes'],
    ['after its own segment went', 'unlink', 'ledger.2.jsonl', 'goes'],
  ])('what it adds %s is kept', async (_, op, part, segment) => {
    const { targetDir } = await makeTarget();
    const stale = await openLedger(targetDir);
    await stale.record(makeFact('alice/1.png', 'stale'));
    const file = join(targetDir, 'alice/ledger.1.jsonl');
    const first = await fs.readFile(file);
    const expected = await writeSegments(targetDir, 17);
    // writeSegments wrote into the file that the stale holder has open.
    expect(await fs.readFile(file)).not.toEqual(first);

    const disk = new TestDisk();
    let added = false;
    const add = async () => {
      added = true;
      await stale.record(makeFact('alice/late.png'));
    };
    if (op === 'unlinked') {
      // The bytes are written just before the name goes; the link count is looked at just after.
      const { unlink } = disk.io;
      disk.io.unlink = async (path) => {
        if (String(path).endsWith(part) && !added) {
          added = true;
          const handle = await fs.open(String(path), 'a');
          await handle.appendFile(encodeLine(makeFact('alice/late.png')));
          await handle.close();
        }
        return unlink(path);
      };
    } else {
      disk.before = async (effect) => {
        if (effect.op === op && effect.path.includes(part) && !added) await add();
      };
    }
    const holder = await openLedger(targetDir, { io: disk.io });
    await holder.record(makeFact('alice/new.png'));
    await eventually(async () => {
      expect(added).toBe(true);
      expect(await names(targetDir)).not.toContain('ledger.17.jsonl');
    });
    await eventually(async () => expect((await readBack(targetDir)).has('alice/late.png')).toBe(true));
    expect((await names(targetDir)).includes('ledger.1.jsonl')).toBe(segment === 'stays');
    await stale.close();
    await holder.close();
    expected.set('alice/late.png', makeFact('alice/late.png').sha256);
    expected.set('alice/new.png', makeFact('alice/new.png').sha256);
    expect(await readBack(targetDir)).toEqual(expected);
  });

  it('two that compact at the same time lose nothing', async () => {
    const { targetDir } = await makeTarget();
    const expected = await writeSegments(targetDir, 20, 3);
    const ledgers = await Promise.all([openLedger(targetDir), openLedger(targetDir), openLedger(targetDir)]);
    for (const [i, ledger] of ledgers.entries()) {
      void ledger.record(makeFact(`alice/new${i}.png`));
      expected.set(`alice/new${i}.png`, makeFact(`alice/new${i}.png`).sha256);
    }
    await eventually(async () => expect(await names(targetDir)).not.toContain('ledger.20.jsonl'));
    await Promise.all(ledgers.map((ledger) => ledger.close()));
    expect(await readBack(targetDir)).toEqual(expected);
  });
});

describe('invariant 7: a crash at any instant loses nothing', () => {
  it.each(['kill -9', 'a power cut'])('%s after each single step of a compaction', async (how) => {
    for (let steps = 1; ; steps++) {
      const { targetDir } = await makeTarget();
      const expected = await writeSegments(targetDir, 17, 2);
      const disk = new TestDisk();
      disk.stopAfter = steps;
      void (async () => {
        const ledger = await openLedger(targetDir, { io: disk.io });
        await ledger.record(makeFact('alice/1.png'));
      })();
      const finished = async () => !(await names(targetDir)).includes('ledger.17.jsonl');
      await eventually(async () => expect(disk.stopped || (await finished())).toBe(true), { interval: 2 });
      const { stopped } = disk;
      if (how === 'kill -9') await disk.kill();
      else await disk.losePower(0.5);
      expect(await readBack(targetDir), `after ${steps} steps`).toEqual(expected);
      if (!stopped) return expect(steps).toBeGreaterThan(25);
    }
  });
});
