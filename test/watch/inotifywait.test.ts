import { mkdirSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { fsPath } from '../../src/paths.ts';
import type { Hint } from '../../src/watch/hints.ts';
import { createSplitter, NotInstalledError, startInotifywait } from '../../src/watch/inotifywait.ts';
import { eventually } from '../support/eventually.ts';
import { createRecorder, hasInotifywait, isAlive, makeDirectories, makeProgram, until } from './recorder.ts';

/** Starts the program on a directory of its own; stopped with the test. */
async function watch(watched: string, command?: string) {
  const recorder = createRecorder();
  const source = await startInotifywait(watched, recorder, command === undefined ? {} : { command });
  onTestFinished(() => source.close());
  return { recorder, source };
}

describe.skipIf(!hasInotifywait())('with the real inotifywait', () => {
  test.each([
    ['plain', 'ComfyUI_00001_.png'],
    ['spaces', ' a  b .png '],
    ['a newline', 'one\ntwo.png'],
    ['an emoji', '🎉.png'],
    ['what formats and URLs are made of', '%e%w%0%25 +#?&.png'],
    ['255 bytes', 'x'.repeat(255)],
    ['bytes that are not UTF-8', 'caf\udce9\udcff.png'],
    ['a name like an event', 'CLOSE_WRITE .'],
  ])('a name with %s arrives unmangled', async (_, name) => {
    const { watched } = makeDirectories();
    mkdirSync(join(watched, 'alice'));
    const { recorder } = await watch(watched);
    writeFileSync(fsPath(`${watched}/alice/${name}`), 'x');
    await recorder.heard(`alice/${name}`, 'closed');
    expect(recorder.hints).toEqual([
      { path: `alice/${name}`, kind: 'opened' },
      { path: `alice/${name}`, kind: 'closed' },
    ]);
  });

  test('a file that is moved here whole counts as closed', async () => {
    const { watched, beside } = makeDirectories();
    const { recorder } = await watch(watched);
    writeFileSync(join(beside, 'a.png'), 'x');
    renameSync(join(beside, 'a.png'), join(watched, 'a.png'));
    await recorder.heard('a.png');
    expect(recorder.hints).toEqual([{ path: 'a.png', kind: 'closed' }]);
  });

  test('a directory that is made or moved here is a directory hint, and what is written in it later is heard', async () => {
    const { watched, beside } = makeDirectories();
    const { recorder } = await watch(watched);
    mkdirSync(join(beside, 'moved/deep'), { recursive: true });
    renameSync(join(beside, 'moved'), join(watched, 'moved'));
    mkdirSync(join(watched, 'made'));
    await recorder.heard('moved', 'directory');
    await recorder.heard('made', 'directory');
    // Its watches are set after it has said so: files written until then are the scan's.
    await eventually(async () => {
      writeFileSync(join(watched, 'moved/deep/a.png'), 'x');
      expect(recorder.hints).toContainEqual({ path: 'moved/deep/a.png', kind: 'closed' });
    });
  });

  test('a file in a directory made just before gives at least a hint for that directory', async () => {
    const { watched } = makeDirectories();
    const { recorder } = await watch(watched);
    for (let i = 0; i < 50; i += 1) {
      mkdirSync(join(watched, `batch ${i}`));
      writeFileSync(join(watched, `batch ${i}/a.png`), 'x');
    }
    await until(() => recorder.hints.filter(({ kind }) => kind === 'directory').length === 50);
  });

  test('the state directory is never heard of, whether it was there before or is made again', async () => {
    const { watched } = makeDirectories();
    mkdirSync(join(watched, '.r2-sync/target/alice'), { recursive: true });
    const { recorder } = await watch(watched);
    writeFileSync(join(watched, '.r2-sync/target/alice/ledger.1.jsonl'), '{}');
    rmSync(join(watched, '.r2-sync'), { recursive: true });
    mkdirSync(join(watched, '.r2-sync/target'), { recursive: true });
    writeFileSync(join(watched, '.r2-sync/target/beat.1.json'), '{}');
    writeFileSync(join(watched, '.r2-sync-notes.png'), 'x');
    await recorder.heard('.r2-sync-notes.png', 'closed');
    expect(new Set(recorder.hints.map(({ path }) => path))).toEqual(new Set(['.r2-sync-notes.png']));
  });

  test('a watched directory may have any name and may be a symlink', async () => {
    const { watched, beside } = makeDirectories('@-o [a]+(b)$ .r2-sync\n%0 🎉');
    symlinkSync(watched, join(beside, 'link'));
    const { recorder } = await watch(join(beside, 'link'));
    writeFileSync(join(watched, 'a.png'), 'x');
    await recorder.heard('a.png', 'closed');
  });

  test('invariant 6: a symlink out of the directory is not followed', async () => {
    const { watched, beside } = makeDirectories();
    mkdirSync(join(beside, 'elsewhere'));
    symlinkSync(join(beside, 'elsewhere'), join(watched, 'link'));
    const { recorder } = await watch(watched);
    writeFileSync(join(beside, 'elsewhere/secret.png'), 'x');
    writeFileSync(join(watched, 'a.png'), 'x');
    await recorder.heard('a.png', 'closed');
    expect(recorder.hints.map(({ path }) => path)).toEqual(['a.png', 'a.png']);
  });

  test('invariant 10: when the program is killed the loss is told once', async () => {
    const { watched, beside } = makeDirectories();
    const { command, runs } = makeProgram(beside, 'exec inotifywait "$@"');
    const { recorder, source } = await watch(watched, command);
    process.kill(runs()[0]!, 'SIGKILL');
    await until(() => recorder.news.length > 0);
    await source.close();
    expect(recorder.news).toEqual(['lost inotifywait: it was killed by SIGKILL']);
  });

  test('close leaves no process behind, and is no loss', async () => {
    const { watched, beside } = makeDirectories();
    const { command, runs } = makeProgram(beside, 'exec inotifywait "$@"');
    const { recorder, source } = await watch(watched, command);
    expect(isAlive(runs()[0]!)).toBe(true);
    await source.close();
    expect(isAlive(runs()[0]!)).toBe(false);
    expect(recorder.news).toEqual([]);
  });
});

describe('with a program in its place', () => {
  const established = 'echo "Watches established." >&2';

  test('a program that is missing is told from a directory that is missing', async () => {
    const { watched, beside } = makeDirectories();
    const start = (directory: string) =>
      startInotifywait(directory, createRecorder(), { command: join(beside, 'no-such-program') });
    await expect(start(watched)).rejects.toThrow(NotInstalledError);
    const missing = await start(join(beside, 'no-such-directory')).catch((error: unknown) => error);
    expect(missing).not.toBeInstanceOf(NotInstalledError);
    expect(missing).toHaveProperty('message', expect.stringContaining('no-such-directory'));
  });

  test('invariant 8: the program does not get the keys', async () => {
    const { watched, beside } = makeDirectories();
    const { command } = makeProgram(beside, `env > '${beside}/env'; exit 1`);
    vi.stubEnv('R2_SECRET_KEY', 'top-secret');
    onTestFinished(() => void vi.unstubAllEnvs());
    await expect(watch(watched, command)).rejects.toThrow('exit code 1');
    const env = readFileSync(join(beside, 'env'), 'utf8');
    expect(env).toContain('PATH=');
    expect(env).not.toContain('top-secret');
  });

  test.each([
    [
      "Failed to watch .; upper limit on inotify watches reached!\nPlease increase the amount of inotify watches allowed per user via `/proc/sys/fs/inotify/max_user_watches'.",
      'raise fs.inotify.max_user_watches',
    ],
    [
      "Couldn't initialize inotify: Too many open files\nTry increasing the value of /proc/sys/fs/inotify/max_user_instances",
      'raise fs.inotify.max_user_instances',
    ],
    ["Couldn't watch .: Permission denied", "Couldn't watch .: Permission denied"],
  ])('a start that fails says what to do: %s', async (words, reason) => {
    const { watched, beside } = makeDirectories();
    writeFileSync(join(beside, 'words'), `Setting up watches.\n${words}\n`);
    const { command } = makeProgram(beside, `cat '${beside}/words' >&2; exit 1`);
    await expect(watch(watched, command)).rejects.toThrow(reason);
  });

  test('a watcher that can no longer watch new directories is ended and says which limit to raise', async () => {
    const { watched, beside } = makeDirectories();
    const words = `echo "Couldn't watch new directory ./x: No space left on device" >&2`;
    const { command, runs } = makeProgram(beside, `${established}; ${words}; exec sleep 600`);
    const { recorder } = await watch(watched, command);
    await until(() => recorder.news.length > 0);
    expect(recorder.news).toEqual([expect.stringContaining('lost inotifywait: ')]);
    expect(recorder.news[0]).toContain('fs.inotify.max_user_watches');
    expect(isAlive(runs()[0]!)).toBe(false);
  });

  test('a start that takes long is ended by the signal', async () => {
    const { watched, beside } = makeDirectories();
    const { command, runs } = makeProgram(beside, 'exec sleep 600');
    const stop = new AbortController();
    const starting = startInotifywait(watched, createRecorder(), { command, signal: stop.signal });
    starting.catch(() => {});
    await until(() => runs().length === 1);
    stop.abort();
    await expect(starting).rejects.toThrow('SIGKILL');
    expect(isAlive(runs()[0]!)).toBe(false);
  });

  test('output that makes no sense is passed over', async () => {
    const { watched, beside } = makeDirectories();
    const output = ['CLOSE_WRITE,CLOSE q', '', 'nonsense', 'CREATE ../x', 'DELETE ./x', 'CREATE ./a', ''].join('\\0');
    const { command } = makeProgram(beside, `${established}; printf '${output}'; exec sleep 600`);
    const { recorder } = await watch(watched, command);
    await recorder.heard('a');
    expect(recorder.hints).toEqual<Hint[]>([{ path: 'a', kind: 'opened' }]);
  });
});

test('a stream is cut at its separators wherever its chunks begin and end', () => {
  const pieces = ['CREATE ./é', '', 'CLOSE_WRITE ./🎉\n', 'x'];
  const stream = Buffer.from(`${pieces.join('\0')}\0rest`);
  for (let first = 0; first <= stream.length; first += 1) {
    for (let second = first; second <= stream.length; second += 1) {
      const taken: string[] = [];
      const feed = createSplitter(0, (piece) => taken.push(piece.toString()));
      for (const chunk of [stream.subarray(0, first), stream.subarray(first, second), stream.subarray(second)]) {
        feed(chunk);
      }
      expect(taken).toEqual(pieces);
    }
  }
});
