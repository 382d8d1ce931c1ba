import { mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import type { Clock } from '../../src/clock.ts';
import { startParcel } from '../../src/watch/parcel.ts';
import { watchHints } from '../../src/watch/watcher.ts';
import { createFakeClock } from '../support/fake-clock.ts';
import { createRecorder, hasInotifywait, isAlive, makeDirectories, makeProgram, until } from './recorder.ts';

/** A program that starts well and hears nothing. */
const SILENT = 'echo "Watches established." >&2; exec sleep 600';
const FAILING = 'echo "it rains" >&2; exit 1';

function watch(watched: string, inotifywait: string) {
  const time = createFakeClock();
  const waits: number[] = [];
  const clock: Clock = {
    ...time,
    sleep: (ms, signal) => {
      waits.push(ms);
      return time.sleep(ms, signal);
    },
  };
  const log = { info: vi.fn(), debug: vi.fn() };
  const recorder = createRecorder();
  const source = watchHints(watched, recorder, { log: log as never, clock, inotifywait });
  onTestFinished(() => source.close());
  return { recorder, source, log, time, waits };
}

describe.skipIf(!hasInotifywait())('with the real inotifywait', () => {
  test('invariant 2: hints go on after the program was killed', async () => {
    const { watched, beside } = makeDirectories();
    const { command, runs } = makeProgram(beside, 'exec inotifywait "$@"');
    const { recorder, time } = watch(watched, command);
    await until(() => recorder.news.length === 1);
    process.kill(runs()[0]!, 'SIGKILL');
    await until(() => time.sleeping() === 1);
    await time.advance(1_000);
    await until(() => recorder.news.length === 3);
    expect(recorder.news).toEqual([
      'ready inotifywait',
      'lost inotifywait: it was killed by SIGKILL',
      'ready inotifywait',
    ]);
    writeFileSync(join(watched, 'a.png'), 'x');
    await recorder.heard('a.png', 'closed');
  });

  test('the stand-in goes when inotifywait comes back', async () => {
    const { watched, beside } = makeDirectories();
    const fixed = join(beside, 'fixed');
    const { command } = makeProgram(beside, `[ -e '${fixed}' ] && exec inotifywait "$@"; ${FAILING}`);
    const { recorder, time, waits } = watch(watched, command);
    await until(() => time.sleeping() === 1);
    await time.advance(1_000);
    await until(() => recorder.news.includes('ready @parcel/watcher') && waits.length === 2);
    writeFileSync(join(watched, 'a.png'), 'x');
    await recorder.heard('a.png', 'changed');

    mkdirSync(fixed);
    await time.advance(2_000);
    await until(() => recorder.news.at(-1) === 'ready inotifywait');
    recorder.hints.length = 0;
    const other = createRecorder();
    const control = await startParcel(watched, other);
    onTestFinished(() => control.close());
    writeFileSync(join(watched, 'b.png'), 'x');
    await recorder.heard('b.png', 'closed');
    await other.heard('b.png');
    expect(recorder.news).toEqual(['lost inotifywait: it rains', 'ready @parcel/watcher', 'ready inotifywait']);
    expect(recorder.hints.map(({ kind }) => kind)).toEqual(['opened', 'closed']);
  });
});

test('where inotifywait is not installed @parcel/watcher gives the hints, and that is no loss', async () => {
  const { watched, beside } = makeDirectories();
  const { recorder, time } = watch(watched, join(beside, 'no-such-program'));
  await until(() => recorder.news.length === 1);
  writeFileSync(join(watched, 'a.png'), 'x');
  await recorder.heard('a.png', 'changed');
  expect(recorder.news).toEqual(['ready @parcel/watcher']);
  expect(time.sleeping()).toBe(0);
});

test('invariant 10: a program that cannot run is tried again ever more slowly, told once, and has a stand-in', async () => {
  const { watched, beside } = makeDirectories();
  const { command, runs } = makeProgram(beside, FAILING);
  const { recorder, time, waits, log } = watch(watched, command);
  const expected = [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000];
  for (const [i, wait] of expected.entries()) {
    await until(() => waits.length === i + 1);
    await time.advance(wait - 1);
    expect(runs()).toHaveLength(i + 1);
    await time.advance(1);
  }
  await until(() => waits.length === expected.length + 1);
  expect(waits.slice(0, -1)).toEqual(expected);
  await until(() => recorder.news.length === 2);
  expect(recorder.news).toEqual(['lost inotifywait: it rains', 'ready @parcel/watcher']);
  expect(log.info).toHaveBeenCalledTimes(1);
});

test('a program that was up for a minute has proven itself: its next failure counts as the first', async () => {
  const { watched, beside } = makeDirectories();
  const { command, runs } = makeProgram(beside, SILENT);
  const { recorder, time, waits } = watch(watched, command);
  for (const [i, uptime] of [1_000, 1_000, 60_000].entries()) {
    await until(() => recorder.news.filter((news) => news === 'ready inotifywait').length === i + 1);
    await time.advance(uptime);
    process.kill(runs().at(-1)!, 'SIGKILL');
    await until(() => waits.length === i + 1);
    await time.advance(waits.at(-1)!);
  }
  expect(waits).toEqual([1_000, 2_000, 1_000]);
  expect(recorder.news.filter((news) => news.startsWith('lost inotifywait'))).toHaveLength(3);
});

test('a directory that cannot be watched is told once for each source, and is watched when it comes', async () => {
  const { watched, beside } = makeDirectories();
  renameSync(watched, `${watched}.away`);
  const { recorder, time, waits } = watch(watched, makeProgram(beside, SILENT).command);
  await until(() => waits.length === 1);
  await time.advance(1_000);
  // Now both wait: 2 s for inotifywait, 1 s for the stand-in.
  await until(() => waits.length === 3);
  await time.advance(1_000);
  await until(() => time.sleeping() === 2);
  expect(recorder.news.map((news) => news.split(':')[0])).toEqual(['lost inotifywait', 'lost @parcel/watcher']);
  renameSync(`${watched}.away`, watched);
  await time.advance(60_000);
  await until(() => recorder.news.at(-1) === 'ready inotifywait');
});

test('a watched directory that is removed ends nothing but its own hints', async () => {
  const { watched, beside } = makeDirectories();
  const { recorder, source, waits } = watch(watched, join(beside, 'no-such-program'));
  await until(() => recorder.news.length === 1);
  rmSync(watched, { recursive: true });
  await source.close();
  expect(waits.length).toBeLessThan(3);
});

test('close leaves no process behind and nothing is heard after it', async () => {
  const { watched, beside } = makeDirectories();
  const body = 'echo "Watches established." >&2; while printf "CREATE ./a\\0"; do :; done';
  const { command, runs } = makeProgram(beside, body);
  const { recorder, source } = watch(watched, command);
  await recorder.heard('a');
  const closing = source.close();
  const heard = recorder.hints.length;
  await closing;
  expect(isAlive(runs()[0]!)).toBe(false);
  expect(recorder.hints).toHaveLength(heard);
  expect(recorder.news).toEqual(['ready inotifywait']);
});

test('nothing is heard from the stand-in after close', async () => {
  const { watched, beside } = makeDirectories();
  const { recorder, source } = watch(watched, join(beside, 'no-such-program'));
  await until(() => recorder.news.length === 1);
  const other = createRecorder();
  const control = await startParcel(watched, other);
  onTestFinished(() => control.close());
  await source.close();
  writeFileSync(join(watched, 'a.png'), 'x');
  await other.heard('a.png');
  expect(recorder.hints).toEqual([]);
});

test('close ends a wait at once', async () => {
  const { watched, beside } = makeDirectories();
  const { command, runs } = makeProgram(beside, FAILING);
  const { source, time } = watch(watched, command);
  await until(() => time.sleeping() === 1);
  await source.close();
  expect(runs()).toHaveLength(1);
  expect(time.sleeping()).toBe(0);
});
