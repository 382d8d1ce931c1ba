// The lease's files on a real file system: claims that one alone can win, beats in place, and whatever else lies there.
import { execFileSync, spawn } from 'node:child_process';
import * as fs from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { LeaseFiles } from '../../src/lease/files.ts';
import { type Claim, encodeBeat, encodeClaim } from '../../src/lease/format.ts';
import { fileIo, type LedgerIo } from '../../src/ledger/io.ts';
import { identifyProcess } from '../../src/process-identity.ts';
import { systemError } from '../ledger/support.ts';

const HIGHEST = 2 ** 40 - 1;
const ROUNDS = 60;
const wall = Date.parse('2026-11-20T12:00:00.000Z');
let root: string;
let dir: string;

beforeEach(async () => {
  root = await fs.mkdtemp(join(tmpdir(), 'r2-sync-lease-'));
  dir = join(root, '.r2-sync', '0123456789abcdef', 'alice');
});
afterEach(() => fs.rm(root, { recursive: true }));

function selfOf(pod: string, change: object = {}): Omit<Claim, 'epoch' | 'since'> {
  const process = { pid: 7, startTime: '1', pidNamespace: '', bootId: '', pod, ...change };
  return { folder: 'alice', host: `host-${pod}`, agent: '1.0.0', nonce: `nonce-${pod}`, process };
}

const filesOf = (pod: string, io: LedgerIo = fileIo) => new LeaseFiles(io, dir, selfOf(pod));
const claimText = (epoch: number, pod = 'other', change: object = {}) =>
  encodeClaim({ ...selfOf(pod), epoch, since: new Date(wall).toISOString(), ...change });
const beatText = (epoch: number, released = false) =>
  encodeBeat({ epoch, counter: 1, released, at: new Date(wall).toISOString() });

/** Puts files there, as others left them. */
async function put(files: Record<string, string>): Promise<void> {
  await fs.mkdir(dir, { recursive: true });
  for (const [name, text] of Object.entries(files)) await fs.writeFile(join(dir, name), text);
}

const names = async () => (await fs.readdir(dir)).sort();
const isWin = (links: number | 'exclusive') => links === 2 || links === 'exclusive';

describe('claiming', () => {
  test('of many who claim a number at a time, one wins, and its claim is what stands there', async () => {
    for (let epoch = 1; epoch <= 20; epoch++) {
      const pods = ['a', 'b', 'c', 'd', 'e', 'f'];
      const ends = await Promise.all(pods.map((pod) => filesOf(pod).claim(epoch, wall)));
      const winners = pods.filter((_, index) => isWin(ends[index]!));
      expect(winners).toHaveLength(1);
      expect((await filesOf(winners[0]!).look()).claim).toMatchObject({ epoch, ours: true });
    }
    // Nobody leaves anything behind.
    expect((await names()).filter((name) => !name.startsWith('lease.'))).toEqual([]);
  });

  test(`two processes race: one wins, in each of ${ROUNDS} rounds`, async () => {
    const children = [0, 1].map(() => {
      const child = spawn(process.execPath, [join(import.meta.dirname, 'support/claim-child.ts'), dir], {
        stdio: ['pipe', 'pipe', 'inherit'],
      });
      return { child, lines: createInterface({ input: child.stdout })[Symbol.asyncIterator]() };
    });
    try {
      const wins = [0, 0];
      for (let epoch = 1; epoch <= ROUNDS; epoch++) {
        for (const { child } of children) child.stdin.write(`${epoch}\n`);
        const ends = await Promise.all(children.map(async ({ lines }) => (await lines.next()).value));
        expect([...ends].sort()).toEqual(['1', '2']);
        wins[ends.indexOf('2')]! += 1;
      }
      expect(wins[0]! + wins[1]!).toBe(ROUNDS);
    } finally {
      for (const { child } of children) child.kill();
    }
  });

  test('the link count decides, also where the reply to a link that was made got lost', async () => {
    const lossy: LedgerIo = {
      ...fileIo,
      link: async (from, to) => {
        await fs.link(from, to);
        throw systemError('EIO');
      },
    };
    expect(await filesOf('a', lossy).claim(1, wall)).toBe(2);
    // And no error, where somebody else has the number.
    const quiet: LedgerIo = { ...fileIo, link: async () => {} };
    expect(await filesOf('b', quiet).claim(1, wall)).toBe(1);
    expect((await filesOf('a').look()).claim).toMatchObject({ epoch: 1, ours: true });
  });

  test.each(['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK'])(
    'where the volume makes no hard links (%s), who makes the file has won',
    async (code) => {
      const linkless: LedgerIo = { ...fileIo, link: () => Promise.reject(systemError(code)) };
      const ends = await Promise.all(['a', 'b', 'c'].map((pod) => filesOf(pod, linkless).claim(1, wall)));
      expect([...ends].sort()).toEqual([0, 0, 'exclusive']);
      const winner = ['a', 'b', 'c'][ends.indexOf('exclusive')]!;
      expect((await filesOf(winner).look()).claim).toMatchObject({ epoch: 1, ours: true });
      expect(await names()).toEqual(['lease.1.json']);
    },
  );

  test('a volume that fails is an error, and nobody has won', async () => {
    const full: LedgerIo = { ...fileIo, open: () => Promise.reject(systemError('EDQUOT')) };
    await fs.mkdir(dir, { recursive: true });
    await expect(filesOf('a', full).claim(1, wall)).rejects.toMatchObject({ code: 'EDQUOT' });
    expect(await names()).toEqual([]);
  });

  test.each(['EDQUOT', 'EINVAL', 'EACCES'])(
    'a link that is refused with %s is an error, not a lost race',
    async (code) => {
      const refusing: LedgerIo = { ...fileIo, link: () => Promise.reject(systemError(code)) };
      await expect(filesOf('a', refusing).claim(1, wall)).rejects.toMatchObject({ code });
      expect(await names()).toEqual([]);
    },
  );

  test.each([
    ['a claim', claimText(1)],
    ['a claim of a newer version', claimText(1, 'other', { v: 2, more: true })],
    ['what is no claim', 'notes of a person'],
    ['an empty file', ''],
  ])('%s is never changed by one who wants its number', async (_, text) => {
    await put({ 'lease.1.json': text });
    const linkless: LedgerIo = { ...fileIo, link: () => Promise.reject(systemError('EPERM')) };
    expect(isWin(await filesOf('a').claim(1, wall))).toBe(false);
    expect(isWin(await filesOf('a', linkless).claim(1, wall))).toBe(false);
    expect(await fs.readFile(join(dir, 'lease.1.json'), 'utf8')).toBe(text);
  });

  test('a root that is gone (a volume that is not mounted) is not made again', async () => {
    await fs.rm(root, { recursive: true });
    await expect(filesOf('a').claim(1, wall)).rejects.toMatchObject({ code: 'ENOENT' });
    await expect(fs.stat(root)).rejects.toMatchObject({ code: 'ENOENT' });
    await fs.mkdir(root);
  });

  test('pods that run as other users can use everything, whatever the umask', async () => {
    const umask = process.umask(0o077);
    try {
      await filesOf('a').claim(1, wall);
      await filesOf('a').beat(1, 1, wall);
    } finally {
      process.umask(umask);
    }
    const mode = async (path: string) => (await fs.stat(path)).mode & 0o777;
    expect(await mode(dir)).toBe(0o777);
    expect(await mode(join(dir, 'lease.1.json'))).toBe(0o666);
    expect(await mode(join(dir, 'beat.1.json'))).toBe(0o666);
  });
});

describe('beats', () => {
  test('are overwritten in place, in one length, and can be read by a person', async () => {
    const files = filesOf('a');
    await files.claim(1, wall);
    const stats = [];
    for (const counter of [1, 2, 1_000_000]) {
      expect(await files.beat(1, counter, wall)).toBe(1);
      stats.push(await fs.stat(join(dir, 'beat.1.json')));
    }
    expect(new Set(stats.map(({ ino }) => ino)).size).toBe(1);
    expect(new Set(stats.map(({ size }) => size)).size).toBe(1);
    const text = await fs.readFile(join(dir, 'beat.1.json'), 'utf8');
    expect(JSON.parse(text)).toMatchObject({ epoch: 1, counter: 1_000_000, released: false });
    expect(text).toContain('2026-11-20T12:00:00.000Z');
  });

  test('each looks different to who watches, and the last one gives the folder back', async () => {
    const [holder, other] = [filesOf('a'), filesOf('b')];
    await holder.claim(1, wall);
    const first = await other.look();
    expect(first).toMatchObject({ top: 1, claim: { epoch: 1, ours: false, beat: undefined, released: false } });
    expect(first.claim!.holder).toEqual({ pod: 'a', host: 'host-a', since: '2026-11-20T12:00:00.000Z' });
    await holder.beat(1, 1, wall);
    const second = await other.look();
    // The same wall clock: one that stands still, or was set back.
    await holder.beat(1, 2, wall);
    const third = await other.look();
    expect(third.claim!.beat).not.toBe(second.claim!.beat);
    await holder.beat(1, 3, wall, true);
    expect((await other.look()).claim!.released).toBe(true);
  });

  test('tell their holder of a higher claim', async () => {
    const files = filesOf('a');
    await files.claim(1, wall);
    await put({ 'lease.5.json': claimText(5) });
    expect(await files.beat(1, 1, wall)).toBe(5);
  });

  test('a longer file in their place is no obstacle to who watches', async () => {
    await put({ 'lease.1.json': claimText(1), 'beat.1.json': 'x'.repeat(100_000) });
    const { claim } = await filesOf('a').look();
    expect(claim).toMatchObject({ epoch: 1, released: false });
    expect(claim!.beat!.length).toBeLessThan(5000);
  });
});

describe('what cannot be read in time', () => {
  /** The files as one sees them who can't read this one of them before `answer` is called. */
  function filesWithout(name: string) {
    let reads = 0;
    let otherIsRead = () => {};
    const { promise, resolve: answer } = Promise.withResolvers<void>();
    const open: LedgerIo['open'] = async (path, ...rest) => {
      const held = String(path).endsWith(name);
      if (held) reads += 1;
      if (held) await promise;
      const handle = await fileIo.open(path, ...rest);
      const close = handle.close.bind(handle);
      handle.close = async () => {
        await close();
        if (!held) otherIsRead();
      };
      return handle;
    };
    const files = filesOf('a', { ...fileIo, open });
    /** A look whose patience ends when the other one has been read; a claim never changes, and is read once. */
    const look = () => {
      if (name.startsWith('beat') && reads > 0) return files.look(Promise.resolve());
      const over = new Promise<void>((resolve) => {
        otherIsRead = () => setImmediate(resolve);
      });
      return files.look(over);
    };
    return { files, look, answer, reads: () => reads };
  }

  test.each([
    ['a beat is none', 'beat.1.json', { holder: { pod: 'other' }, beat: undefined }],
    ["a claim is nobody's, and its beat counts", 'lease.1.json', { holder: undefined, beat: beatText(1) }],
  ])('%s; it is read once at a time, and counts again when it can be read', async (_, name, meanwhile) => {
    await put({ 'lease.1.json': claimText(1), 'beat.1.json': beatText(1) });
    const { files, look, answer, reads } = filesWithout(name);
    for (let nth = 0; nth < 3; nth += 1) expect((await look()).claim).toMatchObject(meanwhile);
    expect(reads()).toBe(1);
    answer();
    expect((await files.look()).claim).toMatchObject({ holder: { pod: 'other' }, beat: beatText(1) });
    expect(reads()).toBe(1);
    expect((await files.look()).claim).toMatchObject({ holder: { pod: 'other' }, beat: beatText(1) });
    // A beat is read each time, a claim never changes.
    expect(reads()).toBe(name === 'beat.1.json' ? 2 : 1);
  });
});

describe('what else may lie there', () => {
  test('nothing, not even a directory: nobody has it', async () => {
    expect(await filesOf('a').look()).toEqual({ top: 0, claim: undefined });
  });

  test.each([
    ['empty', ''],
    ['torn', claimText(7).slice(0, 100)],
    ['not JSON', 'held by alice'],
    ['of another epoch', claimText(6)],
    ['zeros', '\0'.repeat(300)],
  ])('a claim that is %s is a claim all the same, of nobody that is known', async (_, text) => {
    await put({ 'lease.7.json': text });
    expect((await filesOf('a').look()).claim).toMatchObject({ epoch: 7, ours: false, died: false, holder: undefined });
  });

  test('a claim that was empty when it was read first is read again', async () => {
    const files = filesOf('a');
    await put({ 'lease.1.json': '' });
    expect((await files.look()).claim!.holder).toBeUndefined();
    await put({ 'lease.1.json': claimText(1) });
    expect((await files.look()).claim!.holder).toMatchObject({ pod: 'other' });
  });

  test('a newer version is read as far as it can be: who holds it, and that it was given back', async () => {
    const newer = (text: string) => JSON.stringify({ ...JSON.parse(text), v: 9, zone: 'eu' });
    await put({ 'lease.2.json': newer(claimText(2)), 'beat.2.json': newer(beatText(2, true)) });
    expect((await filesOf('a').look()).claim).toMatchObject({ epoch: 2, holder: { pod: 'other' }, released: true });
  });

  test('numbers with gaps: the highest counts, of claims as of ledger segments', async () => {
    await put({ 'lease.3.json': claimText(3), 'lease.90.json': claimText(90), 'ledger.4000.jsonl': '' });
    expect(await filesOf('a').look()).toMatchObject({ top: 4000, claim: { epoch: 90 } });
  });

  test('a number as high as it may be counts, those from 2^40 on are foreign', async () => {
    await put({
      [`lease.${HIGHEST}.json`]: claimText(HIGHEST),
      [`lease.${HIGHEST + 1}.json`]: claimText(HIGHEST + 1),
      'lease.9999999999999999.json': claimText(1),
      [`ledger.${HIGHEST + 1}.jsonl`]: '',
    });
    expect(await filesOf('a').look()).toMatchObject({ top: HIGHEST, claim: { epoch: HIGHEST } });
  });

  test('names that are nearly ours are not ours', async () => {
    await put({
      'lease.json': claimText(1),
      'lease.-1.json': claimText(1),
      'lease.1e3.json': claimText(1000),
      'lease.5.json.bak': claimText(5),
      'xlease.5.json': claimText(5),
      'lease. 5.json': claimText(5),
      'Lease.5.json': claimText(5),
    });
    expect(await filesOf('a').look()).toEqual({ top: 0, claim: undefined });
  });

  test('a number with zeros in front never hides one that may be claimed, nor is it one', async () => {
    await put({ 'lease.1.json': claimText(1), 'lease.01.json': claimText(1), 'lease.007.json': claimText(7) });
    const sight = await filesOf('a').look();
    expect(sight.claim!.epoch).toBe(1);
    expect(sight.claim!.holder).toBeDefined();
  });

  const foreign: [string, (path: string) => Promise<unknown>][] = [
    ['a directory', (path) => fs.mkdir(path)],
    ['a pipe', async (path) => execFileSync('mkfifo', [path])],
    ['a symlink to nowhere', (path) => fs.symlink('nowhere', path)],
    ['a symlink to a file outside', (path) => fs.symlink(join(root, 'outside'), path)],
  ];

  test.each(foreign)('%s in place of a claim hangs nobody, and says nothing', async (_, make) => {
    await fs.writeFile(join(root, 'outside'), claimText(4));
    await put({});
    await make(join(dir, 'lease.4.json'));
    expect(await filesOf('a').look()).toMatchObject({ top: 4, claim: { epoch: 4, ours: false, holder: undefined } });
    expect(isWin(await filesOf('a').claim(4, wall))).toBe(false);
    expect(await filesOf('a').claim(5, wall)).toBe(2);
  });

  test.each(foreign)('%s in place of a beat is no sign of life, and is never written through', async (_, make) => {
    const outside = join(root, 'outside');
    await fs.writeFile(outside, beatText(1, true));
    await put({ 'lease.1.json': claimText(1, 'a') });
    await make(join(dir, 'beat.1.json'));
    expect((await filesOf('b').look()).claim).toMatchObject({ epoch: 1, beat: undefined, released: false });
    await expect(filesOf('a').beat(1, 1, wall)).rejects.toThrow();
    expect(await fs.readFile(outside, 'utf8')).toBe(beatText(1, true));
    await expect(fs.stat(join(dir, 'nowhere'))).rejects.toMatchObject({ code: 'ENOENT' });
  });

  test("a beat that is another file's second name is never written: that file stays as it is", async () => {
    const outside = join(root, 'outside');
    await fs.writeFile(outside, 'a picture', { mode: 0o600 });
    await put({ 'lease.1.json': claimText(1, 'a') });
    await fs.link(outside, join(dir, 'beat.1.json'));
    const before = await fs.stat(outside);
    await expect(filesOf('a').beat(1, 1, wall)).rejects.toMatchObject({ code: 'EMLINK' });
    expect(await fs.readFile(outside, 'utf8')).toBe('a picture');
    expect(await fs.stat(outside)).toMatchObject({ mode: before.mode, mtimeMs: before.mtimeMs });
  });

  test('a volume that reports errors is not one without claims', async () => {
    await put({ 'lease.1.json': claimText(1) });
    for (const code of ['EIO', 'ESTALE']) {
      const opening: LedgerIo = { ...fileIo, open: () => Promise.reject(systemError(code)) };
      await expect(filesOf('a', opening).look()).rejects.toMatchObject({ code });
      const listing = { ...fileIo, readdir: () => Promise.reject(systemError(code)) } as unknown as LedgerIo;
      await expect(filesOf('a', listing).look()).rejects.toMatchObject({ code });
    }
  });
});

describe('who holds it', () => {
  test('a process of this pod that is gone is known to be dead; one that runs, or of elsewhere, is not', async () => {
    const here = identifyProcess('a');
    const gone = { ...here, pid: 2 ** 22 + 1 };
    const look = async (holder: typeof here) => {
      await put({ 'lease.1.json': claimText(1, 'a', { nonce: 'before', process: holder }) });
      return (await new LeaseFiles(fileIo, dir, { ...selfOf('a'), process: here }).look()).claim!;
    };
    expect(await look(gone)).toMatchObject({ died: true, samePod: true });
    // The number was given to another process since.
    expect(await look({ ...here, startTime: '1' })).toMatchObject({ died: true });
    expect(await look(here)).toMatchObject({ died: false, samePod: true });
    expect(await look({ ...gone, pod: 'b' })).toMatchObject({ died: false, samePod: false });
    expect(await look({ ...gone, bootId: 'another' })).toMatchObject({ died: false, samePod: true });
    expect(await look({ ...gone, pidNamespace: 'pid:[9]' })).toMatchObject({ died: false });
  });
});

describe('tidying', () => {
  test('removes claims and beats that are lower, and nothing else', async () => {
    const kept = [
      'beat.5.json',
      'lease.5.json',
      'lease.9.json',
      `lease.${HIGHEST + 1}.json`,
      'ledger.2.jsonl',
      'notes.txt',
    ];
    const gone = ['lease.1.json', 'lease.4.json', 'beat.4.json'];
    await put(Object.fromEntries([...kept, ...gone].map((name) => [name, ''])));
    await fs.mkdir(join(dir, 'lease.3.json'));
    await filesOf('a').tidy(5);
    expect(await names()).toEqual([...kept, 'lease.3.json'].sort());
  });
});
