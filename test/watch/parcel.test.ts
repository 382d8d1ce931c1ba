import { mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, expect, onTestFinished, test, vi } from 'vitest';
import { fsPath } from '../../src/paths.ts';
import { startParcel } from '../../src/watch/parcel.ts';
import { createRecorder, makeDirectories, until } from './recorder.ts';

afterEach(() => {
  vi.doUnmock('@parcel/watcher');
});

async function watch(watched: string) {
  const recorder = createRecorder();
  const source = await startParcel(watched, recorder);
  onTestFinished(() => source.close());
  return { recorder, source };
}

test.each([
  ['plain', 'ComfyUI_00001_.png'],
  ['a newline and spaces', ' one\ntwo .png'],
  ['an emoji and what patterns are made of', '🎉 [a]*{b}!%.png'],
  ['255 bytes', 'x'.repeat(255)],
])('a name with %s arrives unmangled', async (_, name) => {
  const { watched } = makeDirectories();
  mkdirSync(join(watched, 'alice'));
  const { recorder } = await watch(watched);
  writeFileSync(join(watched, 'alice', name), 'x');
  await recorder.heard(`alice/${name}`, 'changed');
});

test('a name that is not UTF-8 becomes a hint for the nearest directory whose name can be told', async () => {
  const { watched } = makeDirectories();
  mkdirSync(fsPath(`${watched}/alice/b\udcff/c`), { recursive: true });
  const { recorder } = await watch(watched);
  writeFileSync(fsPath(`${watched}/caf\udce9.png`), 'x');
  writeFileSync(fsPath(`${watched}/alice/b\udcff/c/a.png`), 'x');
  await recorder.heard('', 'directory');
  await recorder.heard('alice', 'directory');
  expect(recorder.hints.filter(({ path }) => path.includes('\ufffd'))).toEqual([]);
});

test('a file in a directory made just before gives at least a hint for that directory', async () => {
  const { watched } = makeDirectories();
  const { recorder } = await watch(watched);
  for (let i = 0; i < 50; i += 1) {
    mkdirSync(join(watched, `batch ${i}`));
    writeFileSync(join(watched, `batch ${i}/a.png`), 'x');
  }
  await until(() => new Set(recorder.hints.map(({ path }) => path.split('/')[0])).size === 50);
});

test('the state directory and files that vanish are never heard of', async () => {
  const { watched } = makeDirectories();
  mkdirSync(join(watched, '.r2-sync/target'), { recursive: true });
  writeFileSync(join(watched, 'old.png'), 'x');
  const { recorder } = await watch(watched);
  writeFileSync(join(watched, '.r2-sync/target/beat.1.json'), '{}');
  rmSync(join(watched, 'old.png'));
  writeFileSync(join(watched, '.r2-sync-notes.png'), 'x');
  await recorder.heard('.r2-sync-notes.png', 'changed');
  expect(new Set(recorder.hints.map(({ path }) => path))).toEqual(new Set(['.r2-sync-notes.png']));
});

test('the watched directory may be a symlink', async () => {
  const { watched, beside } = makeDirectories();
  symlinkSync(watched, join(beside, 'link'));
  const { recorder } = await watch(join(beside, 'link'));
  writeFileSync(join(watched, 'a.png'), 'x');
  await recorder.heard('a.png', 'changed');
});

test('a directory that is missing is named', async () => {
  const { beside } = makeDirectories();
  await expect(startParcel(join(beside, 'no-such-directory'), createRecorder())).rejects.toThrow('no-such-directory');
});

test('nothing is heard after close, and a directory that is gone can be closed', async () => {
  const { watched } = makeDirectories();
  const first = await watch(watched);
  const second = await watch(watched);
  await first.source.close();
  writeFileSync(join(watched, 'a.png'), 'x');
  await second.recorder.heard('a.png');
  expect(first.recorder.hints).toEqual([]);
  rmSync(watched, { recursive: true });
  await second.source.close();
  expect(second.recorder.news).toEqual([]);
});

test('a start that takes long is ended by the signal, and dropped when it comes up later', async () => {
  const { watched } = makeDirectories();
  const subscription = { unsubscribe: vi.fn(async () => {}) };
  const walk = Promise.withResolvers<typeof subscription>();
  vi.doMock('@parcel/watcher', () => ({ subscribe: () => walk.promise }));
  const stop = new AbortController();
  const starting = startParcel(watched, createRecorder(), { signal: stop.signal });
  stop.abort();
  await expect(starting).rejects.toThrow('stopped');
  walk.resolve(subscription);
  await until(() => subscription.unsubscribe.mock.calls.length === 1);
});

test('invariant 10: events that were dropped are a loss, told once', async () => {
  const { watched } = makeDirectories();
  const report: ((error: Error | null, events: []) => void)[] = [];
  vi.doMock('@parcel/watcher', () => ({
    subscribe: async (_: string, take: (error: Error | null, events: []) => void) => {
      report.push(take);
      return { unsubscribe: async () => {} };
    },
  }));
  const { recorder } = await watch(watched);
  report[0]!(new Error('Events were dropped'), []);
  report[0]!(new Error('Events were dropped'), []);
  expect(recorder.news).toEqual(['lost @parcel/watcher: Events were dropped']);
});

test('a limit of the kernel says what to raise', async () => {
  const { watched } = makeDirectories();
  vi.doMock('@parcel/watcher', () => ({
    subscribe: () => Promise.reject(new Error("inotify_add_watch on '/x' failed: No space left on device")),
  }));
  await expect(watch(watched)).rejects.toThrow('fs.inotify.max_user_watches');
});
