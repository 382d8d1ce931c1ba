import { spawn } from 'node:child_process';
import * as fs from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it, onTestFinished } from 'vitest';
import { systemClock } from '../../src/clock.ts';
import { encodeLine } from '../../src/ledger/line.ts';
import { locateState } from '../../src/ledger/location.ts';
import { fsPath } from '../../src/paths.ts';
import { makeChildFact } from './child-fact.ts';
import { collectLog, makeFact, makeTarget, openLedger, readBack, TestDisk } from './support.ts';

async function listTree(dir: string): Promise<string[]> {
  return (await fs.readdir(dir, { recursive: true })).sort();
}

describe('invariant 1: acknowledged means stored', () => {
  it('a fact counts only when it is on disk for good: after the write, the sync and a look at the link count', async () => {
    const { root, targetDir } = await makeTarget();
    const disk = new TestDisk();
    const seen: string[] = [];
    const ledger = await openLedger(targetDir, { io: disk.io });
    disk.before = ({ op, path }) => {
      if (op !== 'readdir') seen.push(`${op} ${path.slice(root.length + 1).replace(/^\.r2-sync\/[^/]+/, 'T')}`);
    };
    let done = false;
    disk.before = ((inner) => async (effect) => {
      expect(done).toBe(false);
      await inner(effect);
    })(disk.before);
    await ledger.record(makeFact('alice/a.png')).then(() => {
      done = true;
    });
    expect(seen.slice(seen.indexOf('create T/alice/ledger.1.jsonl'))).toEqual([
      'create T/alice/ledger.1.jsonl',
      'open T/alice',
      'sync T/alice',
      'write T/alice/ledger.1.jsonl',
      'datasync T/alice/ledger.1.jsonl',
      'stat T/alice/ledger.1.jsonl',
    ]);
    disk.before = () => {};
    await ledger.close();
    expect(await fs.readFile(join(targetDir, 'alice/ledger.1.jsonl'), 'utf8')).toBe(
      encodeLine(makeFact('alice/a.png')),
    );
  });

  it('holds exactly what was recorded, in memory at once and after a restart', async () => {
    const { targetDir } = await makeTarget();
    const ledger = await openLedger(targetDir);
    const facts = ['a.png', 'alice/a.png', 'alice/\udcff\n.png', '\udcfe/ü😀.png', `${'x'.repeat(250)}/a.png`].map(
      (p) => makeFact(p),
    );
    const recorded = facts.map((fact) => ledger.record(fact));
    for (const fact of facts) expect(ledger.index.matches(fact.path, fact.size, fact.mtimeNs)).toBe(true);
    await Promise.all(recorded);
    await ledger.record(makeFact('a.png', 'another picture under the old name'));
    await ledger.close();

    const again = await openLedger(targetDir, { readOnly: true });
    expect(again.index.size).toBe(facts.length);
    for (const fact of facts.slice(1)) expect(again.index.get(fact.path)?.sha256).toBe(fact.sha256);
    expect(again.index.get('a.png')?.size).toBe('another picture under the old name'.length);
    expect(again.trouble).toBeUndefined();
  });

  it("works in a root whose name isn't UTF-8", async () => {
    const { root } = await makeTarget();
    const strange = join(root, 'out\udcff');
    await fs.mkdir(fsPath(strange));
    const targetDir = join(strange, '.r2-sync', 'x');
    const ledger = await openLedger(targetDir);
    await ledger.record(makeFact('alice/a.png'));
    await ledger.close();
    expect(ledger.trouble).toBeUndefined();
    expect([...(await readBack(targetDir)).keys()]).toEqual(['alice/a.png']);
    expect((await fs.readdir(root, { encoding: 'buffer' })).length).toBe(1);
  });

  it('another bucket has a ledger of its own, so it gets everything; the first one keeps its own', async () => {
    const { root } = await makeTarget();
    const locate = async (bucket: string) =>
      (await locateState(fs, { outputDir: root, endpointHost: 'x.example', bucket })).targetDir;
    const first = await openLedger(await locate('A'));
    await first.record(makeFact('alice/a.png'));
    await first.close();
    const second = await openLedger(await locate('B'));
    expect(second.index.size).toBe(0);
    await second.record(makeFact('alice/b.png'));
    await second.close();
    expect([...(await readBack(await locate('A'))).keys()]).toEqual(['alice/a.png']);
    expect([...(await readBack(await locate('B'))).keys()]).toEqual(['alice/b.png']);
  });
});

describe('invariant 7: a crash at any instant loses nothing', () => {
  it('a last line cut off at any byte is ignored, and everything before it is there', async () => {
    const { targetDir } = await makeTarget();
    const file = join(targetDir, 'alice/ledger.1.jsonl');
    const first = ['alice/a.png', 'alice/b.png'].map((path) => encodeLine(makeFact(path))).join('');
    const last = encodeLine(makeFact('alice/ü\udcff.png'));
    await fs.mkdir(join(targetDir, 'alice'), { recursive: true });
    const bytes = Buffer.from(first + last);
    for (let length = Buffer.byteLength(first); length <= bytes.length; length++) {
      await fs.writeFile(file, bytes.subarray(0, length));
      const { log, lines } = collectLog();
      const ledger = await openLedger(targetDir, { log });
      expect(ledger.index.size).toBe(length === bytes.length ? 3 : 2);
      expect(lines).toEqual([]);
      // What comes next doesn't touch the torn line.
      await ledger.record(makeFact('alice/c.png'));
      await ledger.close();
      expect([...(await readBack(targetDir)).keys()]).toContain('alice/c.png');
      await fs.rm(join(targetDir, 'alice/ledger.2.jsonl'));
    }
  });

  it('kill -9 in the middle of writing: every fact that counted is there', async () => {
    const { targetDir } = await makeTarget();
    await fs.mkdir(join(targetDir, '..'), { recursive: true });
    const script = fileURLToPath(new URL('append-child.ts', import.meta.url));
    for (const enough of [1, 40, 200]) {
      const child = spawn(process.execPath, [script, targetDir], { stdio: ['ignore', 'pipe', 'inherit'] });
      onTestFinished(() => void child.kill('SIGKILL'));
      let said = '';
      child.stdout.setEncoding('utf8').on('data', (text: string) => {
        said += text;
        if (said.split('\n').length > enough) child.kill('SIGKILL');
      });
      await new Promise((resolve) => child.on('close', resolve));
      const acknowledged = said.split('\n').slice(0, -1);
      expect(acknowledged.length).toBeGreaterThanOrEqual(enough);
      const known = await readBack(targetDir);
      for (const path of acknowledged) {
        expect(known.get(path)).toBe(makeChildFact(Number(/(\d+)\.png/.exec(path)![1])).sha256);
      }
    }
  });

  it('a power cut after each single step: what counted is there', async () => {
    for (let steps = 1; ; steps++) {
      const { root, targetDir } = await makeTarget();
      const disk = new TestDisk();
      disk.stopAfter = steps;
      const counted: string[] = [];
      const run = (async () => {
        const ledger = await openLedger(targetDir, { io: disk.io });
        for (const path of ['alice/a.png', 'alice/b.png', 'c.png', 'alice/d.png']) {
          await ledger.record(makeFact(path));
          counted.push(path);
        }
        return 'finished';
      })();
      const end = await Promise.race([run, disk.whenStopped()]);
      const sure = [...counted];
      await disk.losePower(0.5);
      await fs.mkdir(root, { recursive: true });
      const known = await readBack(targetDir);
      for (const path of sure) expect(known.get(path), `after ${steps} steps`).toBe(makeFact(path).sha256);
      if (end === 'finished') return expect(steps).toBeGreaterThan(12);
    }
  });
});

describe('many facts, many folders', () => {
  it('facts that arrive while a write is under way go together in the next one', async () => {
    const { targetDir } = await makeTarget();
    const disk = new TestDisk();
    const ledger = await openLedger(targetDir, { io: disk.io });
    let syncs = 0;
    disk.before = ({ op }) => {
      if (op === 'datasync') syncs += 1;
    };
    await Promise.all(Array.from({ length: 500 }, (_, i) => ledger.record(makeFact(`alice/${i}.png`))));
    expect(syncs).toBeLessThanOrEqual(2);
    await ledger.close();
    expect((await readBack(targetDir)).size).toBe(500);
  });

  it('a burst in 200 new folders keeps few files open, and a folder is taken up again after', async () => {
    const { targetDir } = await makeTarget();
    const disk = new TestDisk();
    const ledger = await openLedger(targetDir, { io: disk.io });
    for (const round of [1, 2]) {
      const paths = Array.from({ length: 200 }, (_, i) => `new${i}/${round}.png`);
      await Promise.all(paths.map((path) => ledger.record(makeFact(path))));
    }
    expect(disk.mostHandles).toBeLessThan(32);
    await ledger.close();
    expect(disk.openHandles).toBe(0);
    expect((await readBack(targetDir)).size).toBe(400);
    expect((await fs.readdir(join(targetDir, 'new7'))).length).toBe(1);
  });

  it('every uid can use the files, whatever the umask', async () => {
    const { targetDir } = await makeTarget();
    const ledger = await openLedger(targetDir);
    await ledger.record(makeFact('alice/a.png'));
    await ledger.close();
    for (const dir of [join(targetDir, '..'), targetDir, join(targetDir, 'alice')]) {
      expect((await fs.stat(dir)).mode & 0o777).toBe(0o777);
    }
    expect((await fs.stat(join(targetDir, 'alice/ledger.1.jsonl'))).mode & 0o777).toBe(0o666);
  });
});

describe('reading what others left', () => {
  async function write(targetDir: string, name: string, ...facts: ReturnType<typeof makeFact>[]): Promise<void> {
    await fs.mkdir(join(targetDir, 'alice'), { recursive: true });
    await fs.writeFile(join(targetDir, 'alice', name), facts.map(encodeLine).join(''));
  }

  it('the highest epoch wins, then the order of names, then the order of lines', async () => {
    const { targetDir } = await makeTarget();
    const fact = (content: string) => makeFact('alice/a.png', content);
    const order = ['ledger.9.jsonl', 'ledger.10.c0-ff.jsonl', 'ledger.10.jsonl', 'ledger.10.r000000-00.jsonl'];
    for (const [i, name] of order.entries()) {
      await write(targetDir, name, fact(`${name} first`), fact(`${name} last`));
      expect((await readBack(targetDir)).get('alice/a.png'), String(i)).toBe(fact(`${name} last`).sha256);
    }
  });

  it('an epoch is never used twice, and foreign files are left alone', async () => {
    const { targetDir } = await makeTarget();
    await write(targetDir, 'ledger.41.r000003-ab.jsonl', makeFact('alice/a.png'));
    await write(targetDir, `ledger.${2 ** 40}.jsonl`, makeFact('alice/foreign.png'));
    await write(targetDir, 'ledger.42.jsonl.bak', makeFact('alice/foreign.png'));
    await fs.symlink('/etc/passwd', join(targetDir, 'alice/ledger.7.jsonl'));
    await fs.mkdir(join(targetDir, 'alice/ledger.8.jsonl'));
    await fs.writeFile(join(targetDir, 'a file'), 'x');
    await fs.writeFile(join(targetDir, 'file'), 'x');
    const { log, lines } = collectLog();
    const ledger = await openLedger(targetDir, { log });
    expect(ledger.index.size).toBe(1);
    await ledger.record(makeFact('alice/b.png'));
    await ledger.close();
    expect(await fs.readdir(join(targetDir, 'alice'))).toContain('ledger.42.jsonl');
    expect(lines).toEqual([]);
    expect(ledger.trouble).toBeUndefined();
  });

  it('two that claim at the same moment get an epoch each', async () => {
    const { targetDir } = await makeTarget();
    const ledgers = await Promise.all(Array.from({ length: 5 }, () => openLedger(targetDir)));
    await Promise.all(ledgers.map((ledger, i) => ledger.record(makeFact(`alice/${i}.png`))));
    await Promise.all(ledgers.map((ledger) => ledger.close()));
    const names = await fs.readdir(join(targetDir, 'alice'));
    expect(names.sort()).toEqual([1, 2, 3, 4, 5].map((epoch) => `ledger.${epoch}.jsonl`));
    expect((await readBack(targetDir)).size).toBe(5);
  });

  it("lines that can't be read are skipped, counted and named once a segment", async () => {
    const { targetDir } = await makeTarget();
    await write(targetDir, 'ledger.1.jsonl');
    const garbage = `${'\0'.repeat(300_000)}\n{"v":1}\nnonsense\n`;
    const good = (name: string) => encodeLine(makeFact(`alice/${name}`));
    await fs.writeFile(join(targetDir, 'alice/ledger.1.jsonl'), good('a') + garbage + good('b') + garbage + good('c'));
    const { log, lines } = collectLog();
    const ledger = await openLedger(targetDir, { log, readOnly: true, clock: systemClock });
    expect(ledger.index.size).toBe(3);
    expect(lines.length).toBe(1);
    expect(lines[0]).toContain('ledger.1.jsonl');
  });

  it('a segment that is compacted while it is read means listing again, never an empty ledger', async () => {
    const { targetDir } = await makeTarget();
    await write(targetDir, 'ledger.1.jsonl', makeFact('alice/a.png'));
    await write(targetDir, 'ledger.2.jsonl', makeFact('alice/b.png'));
    const disk = new TestDisk();
    let first = true;
    disk.before = async ({ op, path }) => {
      if (op !== 'open' || !path.endsWith('ledger.2.jsonl') || !first) return;
      first = false;
      await write(targetDir, 'ledger.3.c0-00.jsonl', makeFact('alice/a.png'), makeFact('alice/b.png'));
      await fs.rm(join(targetDir, 'alice/ledger.1.jsonl'));
      await fs.rm(join(targetDir, 'alice/ledger.2.jsonl'));
    };
    const ledger = await openLedger(targetDir, { io: disk.io, readOnly: true });
    expect(first).toBe(false);
    expect(ledger.index.size).toBe(2);
    expect(ledger.trouble).toBeUndefined();
  });
});

describe('plan and status write nothing', () => {
  it('a ledger opened to read makes no file and no directory', async () => {
    const { root, targetDir } = await makeTarget();
    const empty = await openLedger(targetDir, { readOnly: true });
    await empty.record(makeFact('alice/a.png'));
    await empty.close();
    expect(await listTree(root)).toEqual([]);
    expect(empty.trouble).toBeUndefined();
  });
});
