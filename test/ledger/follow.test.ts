// Several pods, one ledger: each writes under the epoch of its lease, and takes in what the others wrote.
import * as fs from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import { systemClock } from '../../src/clock.ts';
import type { Ledger } from '../../src/ledger/ledger.ts';
import { encodeLine } from '../../src/ledger/line.ts';
import { makeFact, makeTarget, openLedger, readBack, systemError, TestDisk } from './support.ts';

let targetDir: string;
let dir: string;

beforeEach(async () => {
  ({ targetDir } = await makeTarget());
  dir = join(targetDir, 'alice');
});

const segments = async () => (await fs.readdir(dir)).filter((name) => name.startsWith('ledger.')).sort();
const linesIn = async (name: string) => (await fs.readFile(join(dir, name), 'utf8')).split('\n').filter(Boolean).length;
const hashOf = (content: string) => makeFact('', content).sha256;

/** A pod's ledger, of which it holds the folder under an epoch. */
async function holder(epoch: number, disk = new TestDisk()): Promise<Ledger> {
  const ledger = await openLedger(targetDir, { io: disk.io });
  ledger.adopt('alice', epoch);
  return ledger;
}

describe('the epochs of a folder', () => {
  test('facts go to a segment of the epoch that was adopted last', async () => {
    const ledger = await holder(7);
    await ledger.record(makeFact('alice/1.png'));
    await ledger.record(makeFact('alice/2.png'));
    ledger.adopt('alice', 12);
    await ledger.record(makeFact('alice/3.png'));
    await ledger.close();
    expect(await segments()).toEqual(['ledger.12.jsonl', 'ledger.7.jsonl']);
    expect([await linesIn('ledger.7.jsonl'), await linesIn('ledger.12.jsonl')]).toEqual([2, 1]);
    expect((await readBack(targetDir)).size).toBe(3);
  });

  test('a folder in which nothing is recorded gets no segment', async () => {
    const ledger = await holder(7);
    await ledger.follow('alice');
    await ledger.close();
    await expect(fs.readdir(dir)).rejects.toMatchObject({ code: 'ENOENT' });
  });

  test('a number that somebody without a lease took is shared by name, never by file', async () => {
    const without = await openLedger(targetDir);
    await without.record(makeFact('alice/1.png'));
    const ledger = await holder(1);
    await ledger.record(makeFact('alice/2.png'));
    expect(await segments()).toEqual([
      'ledger.1.jsonl',
      expect.stringMatching(/^ledger\.1\.r000000-[0-9a-f]{8}\.jsonl$/),
    ]);
    await Promise.all([without.close(), ledger.close()]);
    expect((await readBack(targetDir)).size).toBe(2);
  });

  test('one that has lost goes on in its own old segment, and what its successor wrote wins', async () => {
    const [before, after] = [await holder(1), await holder(2)];
    await before.record(makeFact('alice/1.png', 'first'));
    await after.record(makeFact('alice/1.png', 'second'));
    await before.record(makeFact('alice/1.png', 'late'));
    await before.record(makeFact('alice/2.png'));
    expect(await linesIn('ledger.1.jsonl')).toBe(3);
    await Promise.all([before.close(), after.close()]);
    const known = await readBack(targetDir);
    expect(known.get('alice/1.png')).toBe(hashOf('second'));
    expect(known.get('alice/2.png')).toBe(hashOf('alice/2.png'));
  });

  test('a segment that fails is followed by another one of the same epoch', async () => {
    const disk = new TestDisk();
    const ledger = await holder(5, disk);
    await ledger.record(makeFact('alice/1.png'));
    await fs.unlink(join(dir, 'ledger.5.jsonl'));
    await ledger.record(makeFact('alice/2.png'));
    expect(await segments()).toEqual([expect.stringMatching(/^ledger\.5\.r000000-/)]);
    await ledger.close();
  });

  test('an epoch whose segment could not be made keeps its number', async () => {
    const disk = new TestDisk();
    const ledger = await holder(5, disk);
    let full = true;
    disk.before = ({ op }) => {
      if (full && op === 'create') throw systemError('EDQUOT');
    };
    await ledger.record(makeFact('alice/1.png'));
    expect(ledger.trouble).toContain('quota');
    full = false;
    await ledger.close();
    expect(await segments()).toEqual([expect.stringMatching(/^ledger\.5\./)]);
  });
});

describe('following', () => {
  test('takes in what others stored since it was read last, again and again', async () => {
    const [writer, reader] = [await holder(1), await openLedger(targetDir)];
    await reader.follow('alice');
    expect(reader.index.size).toBe(0);
    for (const name of ['1', '2', '3']) {
      await writer.record(makeFact(`alice/${name}.png`));
      await reader.follow('alice');
      expect(reader.index.get(`alice/${name}.png`)!.sha256).toBe(hashOf(`alice/${name}.png`));
    }
    await writer.record(makeFact('alice/1.png', 'again'));
    await reader.follow('alice');
    expect(reader.index.get('alice/1.png')!.sha256).toBe(hashOf('again'));
    await writer.close();
  });

  test('what a network volume shows as NULs while it is being appended is asked for again, and nothing passed over', async () => {
    const [writer, disk] = [await holder(1), new TestDisk()];
    const reader = await openLedger(targetDir, { io: disk.io, clock: systemClock });
    const names = Array.from({ length: 40 }, (_, nth) => `alice/${nth}.png`);
    await Promise.all(names.slice(0, 20).map((name) => writer.record(makeFact(name))));
    await reader.follow('alice');
    await Promise.all(names.slice(20).map((name) => writer.record(makeFact(name))));
    // The bytes of several lines and their ends; what follows them is there. Then the end; then all of it.
    const holes = [[300, 1200], [900], [0]];
    disk.spoil = (bytes) => void bytes.fill(0, ...(holes.shift() ?? [bytes.length]));
    await reader.follow('alice');
    expect(holes).toEqual([]);
    expect(names.filter((name) => reader.index.get(name)?.sha256 !== hashOf(name))).toEqual([]);
    await writer.close();
  });

  test('NULs that stay, as a crash leaves them, hold up nothing behind them', async () => {
    await fs.mkdir(dir, { recursive: true });
    const lines = [encodeLine(makeFact('alice/1.png')), '\0'.repeat(5000), encodeLine(makeFact('alice/2.png'))];
    await fs.writeFile(join(dir, 'ledger.1.jsonl'), `${lines[0]}${lines[1]}\n${lines[2]}`);
    const reader = await openLedger(targetDir, { clock: systemClock });
    expect([...reader.index.names('alice')].sort()).toEqual(['1.png', '2.png']);
  });

  test('says whether there was anything new; what we wrote ourselves is no news', async () => {
    const [writer, reader] = [await holder(1), await openLedger(targetDir)];
    await writer.record(makeFact('alice/1.png'));
    expect([await reader.follow('alice'), await writer.follow('alice')]).toEqual([true, false]);
    expect([await reader.follow('alice'), await writer.follow('alice')]).toEqual([false, false]);
    await writer.record(makeFact('alice/1.png', 'again'));
    expect([await reader.follow('alice'), await writer.follow('alice')]).toEqual([true, false]);
    await writer.close();
  });

  test('a ledger that says everything once is not compacted, however often its holder changes', async () => {
    const [a, b] = [await openLedger(targetDir), await openLedger(targetDir)];
    const names = Array.from({ length: 1500 }, (_, nth) => `alice/${nth}.png`);
    a.adopt('alice', 1);
    await Promise.all(names.map((name) => a.record(makeFact(name))));
    for (const [epoch, ledger] of [b, a, b, a].entries()) {
      await ledger.follow('alice');
      ledger.adopt('alice', epoch + 2);
      await ledger.record(makeFact(`alice/of-${epoch}.png`));
    }
    await Promise.all([a.close(), b.close()]);
    expect(await segments()).toEqual([1, 2, 3, 4, 5].map((epoch) => `ledger.${epoch}.jsonl`));
  });

  test('goes on where it stopped: nothing is read twice, and segments that are over not at all', async () => {
    const [first, disk] = [await holder(1), new TestDisk()];
    for (let name = 0; name < 20; name++) await first.record(makeFact(`alice/${name}.png`));
    await first.close();
    const second = await holder(2);
    await second.record(makeFact('alice/x.png'));
    await second.close();
    const third = await holder(3);
    await third.record(makeFact('alice/z.png'));
    const reader = await openLedger(targetDir, { io: disk.io });
    await reader.follow('alice');
    const read: string[] = [];
    disk.before = ({ op, path }) => void (op === 'read' && read.push(path.slice(dir.length + 1)));
    await reader.follow('alice');
    expect(new Set(read)).toEqual(new Set(['ledger.2.jsonl', 'ledger.3.jsonl']));
    await third.record(makeFact('alice/y.png'));
    await reader.follow('alice');
    expect(reader.index.size).toBe(23);
    await third.close();
  });

  test('a line that is torn counts once it is whole', async () => {
    const line = encodeLine(makeFact('alice/1.png'));
    await fs.mkdir(dir, { recursive: true });
    await fs.writeFile(join(dir, 'ledger.3.jsonl'), line.slice(0, 30));
    const reader = await openLedger(targetDir);
    await reader.follow('alice');
    expect(reader.index.size).toBe(0);
    await fs.appendFile(join(dir, 'ledger.3.jsonl'), line.slice(30));
    await reader.follow('alice');
    expect(reader.index.size).toBe(1);
  });

  test('segments that were compacted meanwhile: everything is read anew, and the last fact still wins', async () => {
    const [one, reader] = [await holder(1), await openLedger(targetDir)];
    await one.record(makeFact('alice/1.png', 'old'));
    await one.close();
    await reader.follow('alice');
    const newer = encodeLine(makeFact('alice/1.png', 'new')) + encodeLine(makeFact('alice/2.png'));
    await fs.writeFile(join(dir, 'ledger.3.c0-00000000.jsonl'), newer);
    await fs.rm(join(dir, 'ledger.1.jsonl'));
    await reader.follow('alice');
    expect(reader.index.get('alice/1.png')!.sha256).toBe(hashOf('new'));
    expect(reader.index.size).toBe(2);
  });

  test('a segment that sorts before those that were read: its facts never undo later ones', async () => {
    await fs.mkdir(dir, { recursive: true });
    await fs.writeFile(join(dir, 'ledger.5.jsonl'), encodeLine(makeFact('alice/1.png', 'new')));
    const reader = await openLedger(targetDir);
    await fs.writeFile(join(dir, 'ledger.4.jsonl'), encodeLine(makeFact('alice/1.png', 'old')));
    await reader.follow('alice');
    expect(reader.index.get('alice/1.png')!.sha256).toBe(hashOf('new'));
  });

  test('what is not written yet is newer than what the volume says', async () => {
    const disk = new TestDisk();
    const ledger = await holder(2, disk);
    const other = await holder(1);
    await other.record(makeFact('alice/1.png', 'old'));
    await other.close();
    disk.before = ({ op }) => {
      if (op === 'create') throw systemError('EDQUOT');
    };
    await ledger.record(makeFact('alice/1.png', 'new'));
    await ledger.follow('alice');
    expect(ledger.index.get('alice/1.png')!.sha256).toBe(hashOf('new'));
    disk.before = () => {};
    await ledger.close();
    expect((await readBack(targetDir)).get('alice/1.png')).toBe(hashOf('new'));
  });

  test('what is recorded while the folder is read is not undone by it', async () => {
    const other = await holder(1);
    await other.record(makeFact('alice/1.png', 'old'));
    await other.close();
    const disk = new TestDisk();
    const ledger = await openLedger(targetDir, { io: disk.io });
    ledger.adopt('alice', 2);
    // Read from the start once more, as after a compaction.
    await fs.rename(join(dir, 'ledger.1.jsonl'), join(dir, 'ledger.1.c0-00000000.jsonl'));
    let goOn = () => {};
    const held = new Promise<void>((resolve) => {
      goOn = resolve;
    });
    let reads = 0;
    disk.before = ({ op }) => {
      if (op === 'read' && reads++ === 0) return held;
    };
    const following = ledger.follow('alice');
    await ledger.record(makeFact('alice/1.png', 'new'));
    goOn();
    await following;
    expect(ledger.index.get('alice/1.png')!.sha256).toBe(hashOf('new'));
    await ledger.close();
  });

  test('facts of a holder are seen though a pod without a lease has taken a higher number', async () => {
    const [first, second, reader] = [await holder(5), await openLedger(targetDir), await openLedger(targetDir)];
    await first.record(makeFact('alice/1.png'));
    await second.record(makeFact('alice/2.png'));
    expect(await segments()).toEqual(['ledger.5.jsonl', 'ledger.6.jsonl']);
    await reader.follow('alice');
    await first.record(makeFact('alice/3.png'));
    // The reader gets the folder: it must not upload again what its predecessor did.
    reader.adopt('alice', 7);
    await reader.follow('alice');
    expect(reader.index.get('alice/3.png')).toBeDefined();
    await Promise.all([first.close(), second.close()]);
  });

  test('facts that waited while the volume refused never win over those of a later holder', async () => {
    const disk = new TestDisk();
    const early = await holder(1, disk);
    disk.before = ({ op }) => {
      if (op === 'create') throw systemError('EDQUOT');
    };
    await early.record(makeFact('alice/1.png', 'old'));
    const later = await holder(2);
    await later.record(makeFact('alice/1.png', 'new'));
    await later.close();
    disk.before = () => {};
    // The folder comes back to the first one.
    early.adopt('alice', 3);
    await early.follow('alice');
    await early.close();
    expect((await readBack(targetDir)).get('alice/1.png')).toBe(hashOf('new'));
  });

  test('a folder that can not be read is an error, and what was known stays', async () => {
    const writer = await holder(1);
    await writer.record(makeFact('alice/1.png'));
    await writer.close();
    const disk = new TestDisk();
    const reader = await openLedger(targetDir, { io: disk.io });
    disk.before = ({ op }) => {
      if (op === 'readdir') throw systemError('EIO');
    };
    await expect(reader.follow('alice')).rejects.toMatchObject({ code: 'EIO' });
    expect(reader.index.size).toBe(1);
  });

  test('a folder that nobody has stored anything of is no error', async () => {
    const reader = await openLedger(targetDir);
    expect(await reader.follow('bob')).toBe(false);
  });
});
