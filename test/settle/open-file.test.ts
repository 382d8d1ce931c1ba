import { execFileSync } from 'node:child_process';
import { linkSync, mkdirSync, readdirSync, renameSync, rmSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs';
import * as fs from 'node:fs/promises';
import { mkdtemp, realpath, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { decodeName, fsPath } from '../../src/paths.ts';
import { sameIdentity } from '../../src/settle/identity.ts';
import { currentIdentity, handleSource, openOutput } from '../../src/settle/open-file.ts';

let base: string;
let root: string;
beforeEach(async () => {
  base = await realpath(await mkdtemp(join(tmpdir(), 'r2-sync-open-')));
  root = join(base, 'root');
  mkdirSync(join(root, 'dir'), { recursive: true });
  mkdirSync(join(base, 'outside'));
  writeFileSync(join(base, 'outside/secret.png'), 'secret');
  writeFileSync(join(root, 'dir/a.png'), 'content');
});
afterEach(() => rm(base, { recursive: true }));

/** What is read through it, or why it wasn't opened. */
async function read(path: string): Promise<string> {
  const opened = await openOutput(fs, root, path);
  if (typeof opened === 'string') return opened;
  try {
    return `read: ${await opened.readFile('utf8')}`;
  } finally {
    await opened.close();
  }
}

describe('invariant 6: opens nothing but regular files inside the root', () => {
  it('a regular file, whatever it is called', async () => {
    const name = decodeName(Buffer.from('b\xff\n (deleted)', 'latin1'));
    writeFileSync(fsPath(`${root}/${name}`), 'other');
    expect(await read('dir/a.png')).toBe('read: content');
    expect(await read(name)).toBe('read: other');
  });

  it('no symlink, wherever it points, and no directory', async () => {
    symlinkSync(join(base, 'outside/secret.png'), join(root, 'out.png'));
    symlinkSync('dir/a.png', join(root, 'in.png'));
    symlinkSync('loop.png', join(root, 'loop.png'));
    mkdirSync(join(root, 'dir.png'));
    for (const name of ['out.png', 'in.png', 'loop.png', 'dir.png']) expect(await read(name)).toBe('not a file');
  });

  it('no FIFO and no socket: neither is waited for', async () => {
    execFileSync('mkfifo', [join(root, 'fifo.png')]);
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(join(root, 'socket.png'), resolve));
    expect(await read('fifo.png')).toBe('not a file');
    expect(await read('socket.png')).toBe('not a file');
    server.close();
  });

  it('nothing through a directory that was replaced by a symlink', async () => {
    symlinkSync(join(base, 'outside'), join(root, 'link'));
    symlinkSync('dir', join(root, 'link-inside'));
    expect(await read('link/secret.png')).toBe('not a file');
    expect(await read('link-inside/a.png')).toBe('not a file');
    symlinkSync(join(base, 'outside'), join(root, 'dir/deep'));
    expect(await read('dir/deep/secret.png')).toBe('not a file');
  });

  it('nothing of which nobody can tell where it lies, and nothing stays open', async () => {
    const open = () => readdirSync('/proc/self/fd').length;
    const before = open();
    const blind = { ...fs, readlink: () => Promise.reject(Object.assign(new Error('no /proc'), { code: 'ENOENT' })) };
    await expect(openOutput(blind, root, 'dir/a.png')).rejects.toThrow('no /proc');
    expect(open()).toBe(before);
  });

  it('what is gone is no error', async () => {
    expect(await read('dir/none.png')).toBe('gone');
    expect(await read('none/a.png')).toBe('gone');
    expect(await read('dir/a.png/b.png')).toBe('gone');
  });

  it.skipIf(process.getuid?.() === 0)('what may not be read is one', async () => {
    writeFileSync(join(root, 'closed.png'), 'x', { mode: 0 });
    await expect(read('closed.png')).rejects.toMatchObject({ code: 'EACCES' });
  });

  it('a name that is now this and now that: never anything but a regular file inside, and never stuck', async () => {
    const kinds = ['regular', 'fifo', 'link', 'loop'].map((kind) => join(base, kind));
    writeFileSync(kinds[0]!, 'content');
    execFileSync('mkfifo', [kinds[1]!]);
    symlinkSync(join(base, 'outside/secret.png'), kinds[2]!);
    symlinkSync('loop', kinds[3]!);
    let over = false;
    const swapping = (async () => {
      for (let nth = 0; !over; nth += 1) {
        linkSync(kinds[nth % kinds.length]!, join(base, 'stage'));
        renameSync(join(base, 'stage'), join(root, 'dir/a.png'));
        // The regular file stays for a while, now and then.
        for (let turns = nth % 8 === 0 ? 40 : nth % 5; turns >= 0; turns -= 1) await turn();
      }
    })();
    const seen = new Set<string>();
    // Six at once are more than the threads that a blocking open could hold.
    const readers = Array.from({ length: 6 }, async () => {
      for (let nth = 0; nth < 150; nth += 1) seen.add(await read('dir/a.png'));
    });
    await Promise.all(readers);
    over = true;
    await swapping;
    expect([...seen].filter((what) => !['read: content', 'not a file', 'gone'].includes(what))).toEqual([]);
    expect(seen).toContain('read: content');
  });
});

describe('invariant 3: the identity of what is open', () => {
  it('changes with every change, and stays with none', async () => {
    const path = join(root, 'dir/a.png');
    const opened = await openOutput(fs, root, 'dir/a.png');
    if (typeof opened === 'string') throw new Error(opened);
    try {
      const before = await currentIdentity(opened);
      expect(before).toMatchObject({ size: 7 });
      expect(sameIdentity(before, await currentIdentity(opened))).toBe(true);
      writeFileSync(path, 'more content');
      const longer = await currentIdentity(opened);
      expect(sameIdentity(before, longer)).toBe(false);
      unlinkSync(path);
      expect(sameIdentity(longer, await currentIdentity(opened))).toBe(false);
    } finally {
      await opened.close();
    }
  });

  it.each(['dev', 'ino', 'size', 'mtimeNs', 'ctimeNs'] as const)('is another with another %s', (field) => {
    const identity = { dev: 1n, ino: 2n, size: 3, mtimeNs: 4n, ctimeNs: 5n };
    expect(sameIdentity(identity, { ...identity })).toBe(true);
    expect(sameIdentity(identity, { ...identity, [field]: field === 'size' ? 9 : 9n })).toBe(false);
  });

  it('its bytes are read where they are asked for, and never beyond the size that was seen', async () => {
    const opened = await openOutput(fs, root, 'dir/a.png');
    if (typeof opened === 'string') throw new Error(opened);
    try {
      const source = handleSource(opened, 5);
      expect(String(await source.read(1, 3))).toBe('ont');
      expect(String(await source.read(3, 100))).toBe('te');
      expect(await source.read(5, 1)).toHaveLength(0);
      rmSync(join(root, 'dir'), { recursive: true });
      expect(String(await source.read(0, 5))).toBe('conte');
    } finally {
      await opened.close();
    }
  });
});
