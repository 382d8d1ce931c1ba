import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { lstatSync, mkdirSync, rmSync, symlinkSync, unlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { mkdtemp, realpath, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Worker } from 'node:worker_threads';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { decodeName, fsPath } from '../../src/paths.ts';
import { type Identity, identityOf } from '../../src/settle/identity.ts';
import { EntryKind } from '../../src/volume/protocol.ts';
import { startVolume, type Volume } from '../../src/volume/volume.ts';
import { makePng } from '../support/media.ts';

let base: string;
let root: string;
let volume: Volume;
beforeEach(async () => {
  base = await realpath(await mkdtemp(join(tmpdir(), 'r2-sync-volume-')));
  root = join(base, 'root');
  mkdirSync(join(root, 'dir'), { recursive: true });
  volume = startVolume();
});
afterEach(async () => {
  await volume.close();
  await rm(base, { recursive: true });
});

const at = (path: string) => fsPath(`${root}/${path}`);
const identityAt = (path: string): Identity => identityOf(lstatSync(at(path), { bigint: true }));

describe('what is in a directory', () => {
  it('files, directories, and all else that is never touched', async () => {
    writeFileSync(at('dir/a.png'), '');
    mkdirSync(at('dir/sub'));
    symlinkSync('a.png', at('dir/link.png'));
    symlinkSync('sub', at('dir/link'));
    execFileSync('mkfifo', [join(root, 'dir/fifo.png')]);
    const { names, kinds } = await volume.ask('list', { root, dir: 'dir' });
    expect(Object.fromEntries(names.map((name, nth) => [name, kinds[nth]]))).toEqual({
      'a.png': EntryKind.file,
      sub: EntryKind.directory,
      'link.png': EntryKind.other,
      link: EntryKind.other,
      'fifo.png': EntryKind.other,
    });
  });

  it('names that are not UTF-8, beside one that holds the replacement character', async () => {
    const names = [decodeName(Buffer.from('b\xff.png', 'latin1')), '\ufffd.png', 'a.png', 'two\nlines.png'];
    for (const name of names) writeFileSync(at(name), 'x');
    const listing = await volume.ask('list', { root, dir: '' });
    expect([...listing.names].sort()).toEqual([...names, 'dir'].sort());
    const stats = await volume.ask('statFiles', { root, dir: '', names });
    expect([...stats.sizes]).toEqual([1, 1, 1, 1]);
  });

  it('its identity moves with what is in it, and is null when it is gone or no directory', async () => {
    const look = async (dirs: string[]) => volume.ask('statDirectories', { root, dirs });
    const [before] = await look(['dir']);
    expect(before).toMatch(/^\d+:\d+:\d+:\d+$/);
    expect((await volume.ask('list', { root, dir: 'dir' })).identity).toBe(before);
    utimesSync(at('dir'), 1, 1);
    writeFileSync(at('dir/a.png'), '');
    symlinkSync('dir', at('link'));
    const [after, none, file, link] = await look(['dir', 'none', 'dir/a.png', 'link']);
    expect(after).not.toBe(before);
    expect([none, file, link]).toEqual([null, null, null]);
  });

  it('a directory that is gone ends in the system’s code', async () => {
    await expect(volume.ask('list', { root, dir: 'none' })).rejects.toMatchObject({ code: 'ENOENT' });
    writeFileSync(at('file'), '');
    await expect(volume.ask('list', { root, dir: 'file' })).rejects.toMatchObject({ code: 'ENOTDIR' });
  });
});

describe('sizes and times of files', () => {
  it('exact to the nanosecond; -1 for what is gone or no regular file, and no problem', async () => {
    writeFileSync(at('a.png'), 'four');
    symlinkSync('a.png', at('link.png'));
    const stats = await volume.ask('statFiles', { root, dir: '', names: ['a.png', 'none.png', 'link.png', 'dir'] });
    expect([...stats.sizes]).toEqual([4, -1, -1, -1]);
    expect(stats.mtimes[0]).toBe(lstatSync(at('a.png'), { bigint: true }).mtimeNs);
    expect(stats.problem).toBeNull();
  });

  it('invariant 10: what can’t be looked at though it may be there is a problem', async () => {
    writeFileSync(at('a.png'), 'four');
    const names = ['a.png', 'n'.repeat(256)];
    expect(await volume.ask('statFiles', { root, dir: '', names })).toMatchObject({ problem: 'ENAMETOOLONG' });
    expect(await volume.ask('statDirectories', { root, dirs: ['n'.repeat(256)] })).toEqual(['?ENAMETOOLONG']);
  });
});

describe('looks at files', () => {
  it('say what each path is', async () => {
    writeFileSync(at('a.png'), 'four');
    symlinkSync('a.png', at('link.png'));
    const paths = ['a.png', 'dir', 'link.png', 'none.png', 'a.png/b.png', 'n'.repeat(256)];
    const { looks } = await volume.ask('examine', { root, paths, writers: false });
    expect(looks).toEqual([
      { is: 'file', identity: identityAt('a.png') },
      { is: 'directory' },
      { is: 'other' },
      { is: 'gone' },
      { is: 'gone' },
      { is: 'error', code: 'ENAMETOOLONG' },
    ]);
  });
});

describe('invariant 3: reads a file as it was seen, or not at all', () => {
  const read = async (path: string, identity: Identity, bytes = 1000) => {
    const buffer = new ArrayBuffer(bytes);
    const result = await volume.ask('read', { root, path, identity, buffer }, [buffer]);
    // The memory comes back in any case.
    expect(result.buffer.byteLength).toBe(bytes);
    return result;
  };

  it('judges and hashes the very bytes that it hands back', async () => {
    const png = makePng({ width: 4, height: 4 });
    writeFileSync(at('a.png'), png);
    const result = await read('a.png', identityAt('a.png'));
    expect(result).toMatchObject({
      is: 'read',
      verdict: 'whole',
      sha256: createHash('sha256').update(png).digest('hex'),
    });
    expect(Buffer.from(result.buffer, 0, png.length)).toEqual(png);
    writeFileSync(at('torn.png'), png.subarray(0, -1));
    expect(await read('torn.png', identityAt('torn.png'))).toMatchObject({ is: 'read', verdict: 'torn' });
  });

  it.each<[string, () => void]>([
    ['grown', () => writeFileSync(at('a.png'), 'four and more')],
    ['shrunk', () => writeFileSync(at('a.png'), 'f')],
    ['touched', () => utimesSync(at('a.png'), 1, 1)],
    [
      'replaced by a symlink',
      () => {
        unlinkSync(at('a.png'));
        symlinkSync('b.png', at('a.png'));
      },
    ],
    [
      'replaced by a FIFO',
      () => {
        unlinkSync(at('a.png'));
        execFileSync('mkfifo', [join(root, 'a.png')]);
      },
    ],
  ])('a file that was %s since', async (_, change) => {
    writeFileSync(at('a.png'), 'four');
    writeFileSync(at('b.png'), 'four');
    const identity = identityAt('a.png');
    change();
    expect((await read('a.png', identity)).is).toBe('changed');
  });

  it('a file that is gone', async () => {
    writeFileSync(at('dir/a.png'), 'four');
    const identity = identityAt('dir/a.png');
    rmSync(at('dir'), { recursive: true });
    expect((await read('dir/a.png', identity)).is).toBe('gone');
  });

  it('invariant 6: not through a directory that was replaced by a symlink, even to the same file', async () => {
    mkdirSync(join(base, 'outside'));
    writeFileSync(join(base, 'outside/a.png'), 'secret');
    symlinkSync(join(base, 'outside'), at('link'));
    expect((await read('link/a.png', identityAt('link/a.png'))).is).toBe('gone');
  });
});

describe('the worker', () => {
  it('answers in order, and says how long the oldest question waits', async () => {
    expect(volume.overdueMs()).toBe(0);
    const order: number[] = [];
    const answers = [1, 2, 3].map((nth) => volume.ask('fileSystem', { path: root }).then(() => order.push(nth)));
    expect(volume.overdueMs()).toBeGreaterThanOrEqual(0);
    await Promise.all(answers);
    expect(order).toEqual([1, 2, 3]);
    expect(volume.overdueMs()).toBe(0);
  });

  it('when it is closed, nobody waits for ever', async () => {
    const open = expect(volume.ask('list', { root, dir: '' })).rejects.toThrow('has ended');
    await volume.close();
    await expect(volume.ask('list', { root, dir: '' })).rejects.toThrow('has ended');
    await open;
  });

  describe('that dies', () => {
    const question = (watched: Volume) => watched.ask('list', { root, dir: '' });
    /** A volume, the worker under it, and what was heard of its death. */
    const startWatched = async () => {
      const deaths: string[] = [];
      // The other one's start is heard of before.
      await question(volume);
      const started = new Promise<Worker>((resolve) => process.once('worker', resolve));
      const watched = startVolume(({ message }) => deaths.push(message));
      const worker = await started;
      return { watched, worker, deaths };
    };

    it('says so once; nobody waits for ever, neither who has asked nor who asks later', async () => {
      const { watched, worker, deaths } = await startWatched();
      await question(watched);
      const asked = Promise.allSettled([question(watched), question(watched)]);
      // As one that is out of memory does: an error first, then its end.
      worker.emit('error', new Error('out of memory'));
      await worker.terminate();
      expect((await asked).map(({ status }) => status)).toEqual(['rejected', 'rejected']);
      await expect(question(watched)).rejects.toThrow('has ended');
      expect(deaths).toEqual(['out of memory']);
      expect(watched.overdueMs()).toBe(0);
    });

    it('without a word, too', async () => {
      const { watched, worker, deaths } = await startWatched();
      // Its answer is lost.
      worker.removeAllListeners('message');
      const asked = expect(question(watched)).rejects.toThrow('has ended');
      await worker.terminate();
      await asked;
      expect(deaths).toEqual(['the volume worker has ended']);
    });

    it('says nothing where it was closed', async () => {
      const { watched, worker, deaths } = await startWatched();
      worker.removeAllListeners('message');
      const asked = expect(question(watched)).rejects.toThrow('has ended');
      await watched.close();
      await asked;
      expect(deaths).toEqual([]);
    });
  });
});
