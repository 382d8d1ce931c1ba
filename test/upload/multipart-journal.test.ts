// What a dead process left half uploaded is dropped; what may still be alive is never touched.
import { execFileSync, spawn } from 'node:child_process';
import * as fs from 'node:fs/promises';
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { createLog } from '../../src/log.ts';
import { identifyProcess } from '../../src/process-identity.ts';
import { MultipartJournal } from '../../src/upload/multipart-journal.ts';
import { until } from '../support/agent.ts';
import { createFakeClock } from '../support/fake-clock.ts';
import { failure, scriptStore } from './script-store.ts';

const log = createLog({ level: 'silent', secrets: [], stream: { write: () => {} } });
const hour = 3600_000;
let targetDir: string;

beforeEach(async () => {
  targetDir = await mkdtemp(join(tmpdir(), 'r2-sync-journal-'));
});

function createJournal(abortUpload: (key: string, id: string) => Promise<void> = async () => {}) {
  onTestFinished(() => rm(targetDir, { recursive: true, force: true }));
  const aborted: string[] = [];
  const clock = createFakeClock(Date.now());
  const store = scriptStore({
    abortUpload: async (key, id) => {
      await abortUpload(key, id);
      aborted.push(`${key} ${id}`);
    },
  });
  return { aborted, clock, journal: new MultipartJournal({ targetDir, fs, store, clock, log, pod: 'ours' }) };
}

const notes = async () => {
  const names = await readdir(join(targetDir, '~uploads')).catch(() => []);
  return names.filter((name) => !name.endsWith('.tmp'));
};

async function startChild() {
  const child = spawn(process.execPath, [new URL('./journal-child.ts', import.meta.url).pathname, targetDir], {
    stdio: 'inherit',
  });
  const ended = new Promise((resolve) => child.once('exit', resolve));
  onTestFinished(() => void child.kill('SIGKILL'));
  await until(async () => {
    const [name] = await notes();
    const text = name === undefined ? '' : await readFile(join(targetDir, '~uploads', name), 'utf8');
    return text.endsWith('}');
  }, 'the note of the child');
  return {
    kill: async () => {
      child.kill('SIGKILL');
      await ended;
    },
  };
}

describe('while an upload runs', () => {
  test('its id is noted, and forgotten when it is done', async () => {
    const { journal, aborted } = createJournal();
    const result = await journal.during('key', async (onUploadId) => {
      onUploadId('id');
      await until(async () => (await notes()).length === 1, 'the note');
      return 'done';
    });
    expect(result).toBe('done');
    expect(await notes()).toEqual([]);
    expect(aborted).toEqual([]);
  });

  test('one that fails is dropped from the store, and its error comes out', async () => {
    const { journal, aborted } = createJournal();
    const error = new Error('it failed');
    const upload = journal.during('key', async (onUploadId) => {
      onUploadId('id');
      await until(async () => (await notes()).length === 1, 'the note');
      throw error;
    });
    await expect(upload).rejects.toBe(error);
    // In the background: the file's turn doesn't wait for it.
    await until(async () => aborted.length === 1 && (await notes()).length === 0, 'the upload to be dropped');
    expect(aborted).toEqual(['key id']);
  });

  test('where the store cannot be asked to drop it, the note stays for the next start', async () => {
    const { journal } = createJournal(() => Promise.reject(failure('transient')));
    const upload = journal.during('key', async (onUploadId) => {
      onUploadId('id');
      await until(async () => (await notes()).length === 1, 'the note');
      throw failure('transient', 'ECONNRESET');
    });
    await expect(upload).rejects.toMatchObject({ code: 'ECONNRESET' });
    expect(await notes()).toHaveLength(1);
  });

  test('one that the store never opened leaves no note and asks for nothing', async () => {
    const { journal, aborted } = createJournal();
    await expect(journal.during('key', () => Promise.reject(failure('refused')))).rejects.toMatchObject({
      failure: 'refused',
    });
    expect(aborted).toEqual([]);
    expect(await notes()).toEqual([]);
  });

  test('a directory that takes no notes stops no upload', async () => {
    const { journal } = createJournal();
    await writeFile(join(targetDir, '~uploads'), 'in the way');
    const result = journal.during('key', async (onUploadId) => {
      onUploadId('id');
      return 'done';
    });
    expect(await result).toBe('done');
  });
});

describe('at the next start', () => {
  test('what a process left that was killed is dropped; while it lives it is left alone', async () => {
    const { journal, aborted } = createJournal();
    const child = await startChild();
    await journal.cleanUp();
    expect(aborted).toEqual([]);
    expect(await notes()).toHaveLength(1);
    await child.kill();
    await journal.cleanUp();
    expect(aborted).toEqual(['outputs/child.mp4 upload-of-child']);
    expect(await notes()).toEqual([]);
  });

  test('nothing is forgotten before the store has dropped it', async () => {
    let reachable = false;
    const { journal, aborted } = createJournal(async () => {
      if (!reachable) throw failure('transient', 'ECONNREFUSED');
    });
    await (await startChild()).kill();
    await journal.cleanUp();
    expect(await notes()).toHaveLength(1);
    reachable = true;
    await journal.cleanUp();
    expect(aborted).toHaveLength(1);
    expect(await notes()).toEqual([]);
  });

  test("another machine's, which cannot be proved dead, is dropped after 24 hours", async () => {
    const { journal, aborted, clock } = createJournal();
    await mkdir(join(targetDir, '~uploads'));
    const process = { ...identifyProcess('theirs'), bootId: 'another-machine', pid: 1 };
    const note = { v: 1, key: 'key', uploadId: 'id', at: new Date(clock.wall()).toISOString(), process };
    await writeFile(join(targetDir, '~uploads', 'theirs.json'), JSON.stringify(note));
    await clock.advance(23 * hour);
    await journal.cleanUp();
    expect(aborted).toEqual([]);
    await clock.advance(2 * hour);
    await journal.cleanUp();
    expect(aborted).toEqual(['key id']);
  });

  test('notes that are torn, foreign or of a newer version are left alone and stop nothing', async () => {
    const { journal, aborted, clock } = createJournal();
    await mkdir(join(targetDir, '~uploads', 'a-directory'), { recursive: true });
    const dead = { ...identifyProcess('ours'), startTime: '1' };
    const at = new Date(clock.wall()).toISOString();
    const files: Record<string, string> = {
      'a.json': '{"v":1,"key":"k',
      'b.json': 'null',
      'c.json': JSON.stringify({ v: 2, key: 'newer', uploadId: 'id', at, process: dead }),
      // No key, or no id: what is sent for them would be the request that deletes an object, or the bucket.
      'e.json': JSON.stringify({ v: 1, key: 'outputs/a.png', at, process: dead }),
      'f.json': JSON.stringify({ v: 1, key: 'outputs/a.png', uploadId: '', at, process: dead }),
      'g.json': JSON.stringify({ v: 1, key: '', uploadId: 'id', at, process: dead }),
      'h.json': JSON.stringify({ v: 1, key: '../a.png', uploadId: 'id', at, process: dead }),
      'd.json': JSON.stringify({ v: 1, key: 'ours', uploadId: 'id', at, process: dead }),
    };
    for (const [name, text] of Object.entries(files)) await writeFile(join(targetDir, '~uploads', name), text);
    await journal.cleanUp();
    expect(aborted).toEqual(['ours id']);
    const left = ['a-directory', 'a.json', 'b.json', 'c.json', 'e.json', 'f.json', 'g.json', 'h.json'];
    expect((await notes()).sort()).toEqual(left);
  });

  test('what somebody put there who may write on the volume hangs nobody, fills no memory and asks for nothing', async () => {
    const { journal, aborted, clock } = createJournal();
    const dir = join(targetDir, '~uploads');
    await mkdir(dir);
    const at = new Date(clock.wall() - 48 * hour).toISOString();
    const note = (change: object) =>
      JSON.stringify({ v: 1, key: 'k', uploadId: 'id', at, process: identifyProcess('ours'), ...change });
    execFileSync('mkfifo', [join(dir, 'a-pipe.json')]);
    await symlink('/dev/zero', join(dir, 'b-endless.json'));
    await writeFile(join(targetDir, 'outside'), note({ key: 'outside' }));
    await symlink('../outside', join(dir, 'c-link.json'));
    await writeFile(join(dir, 'd-huge.json'), '');
    await truncate(join(dir, 'd-huge.json'), 2 ** 40);
    const wrong = [{ key: 7 }, { uploadId: null }, { at: 0 }, { process: null }, { process: { pid: '../1' } }];
    for (const [nth, change] of wrong.entries()) await writeFile(join(dir, `e-${nth}.json`), note(change));
    await writeFile(join(dir, 'z.json'), note({ key: 'ours' }));
    await journal.cleanUp();
    expect(aborted).toEqual(['ours id']);
    expect(await notes()).toHaveLength(4 + wrong.length);
  });

  test('no state directory is nothing to do', async () => {
    const { journal, aborted } = createJournal();
    await rm(targetDir, { recursive: true });
    await journal.cleanUp();
    expect(aborted).toEqual([]);
  });
});
