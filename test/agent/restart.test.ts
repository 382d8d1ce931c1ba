// A crash at any instant, another bucket, a ledger that is gone or can't be written: nothing is lost, and little is done
// twice.
import { chmod, mkdir, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { describe, expect, type TestContext, test } from 'vitest';
import { until } from '../support/agent.ts';
import { bigPicture, crash, makeScene, messages, names, type Scene } from './scene.ts';

describe.concurrent('invariant 7: a crash at any instant', () => {
  test('kill -9 again and again: everything is stored, and only what was in flight is asked for twice', async (context) => {
    const scene = await makeScene(context);
    const all = [...names(20, 'a'), ...names(20, 'b', 'sub/')];
    await scene.draw(...all);
    scene.double.settings.latencyMs = 60;
    let killed = 0;
    for (const enough of [3, 10, 17, 30]) {
      const agent = await scene.start();
      await until(() => scene.double.objects.size >= enough, `${enough} objects`);
      await crash(agent);
      killed += 1;
    }
    const agent = await scene.start();
    await agent.until(({ safeToStop, totals }) => safeToStop && totals.storedFiles === 40, 'all stored');
    await scene.expectStored(all);
    const inFlight = 4;
    // What was confirmed but not yet in the ledger counts as in flight: batches are short.
    expect(scene.count('PutObject')).toBeLessThanOrEqual(40 + killed * 2 * inFlight);
  });

  test('kill -9 in the middle of a large upload: its parts are dropped at the next start, and the file is stored', async (context) => {
    const scene = await makeScene(context);
    await scene.write('video.png', bigPicture(20));
    scene.double.fault = ({ operation }) => (operation === 'UploadPart' ? { bytesPerSecond: 1_000_000 } : undefined);
    const first = await scene.start();
    await until(() => scene.double.uploads.size === 1, 'under way');
    const [left] = [...scene.double.uploads.keys()];
    await until(async () => (await notes(scene)).length === 1, 'its id is noted');
    await crash(first);
    scene.double.fault = undefined;
    const second = await scene.start();
    await second.until(({ safeToStop }) => safeToStop, 'stored');
    await until(() => !scene.double.uploads.has(left!), 'the old parts are dropped');
    expect(messages(second)).toMatch(/dropped the parts of an upload that was cut off/);
    expect(scene.double.uploads.size).toBe(0);
    await until(async () => (await notes(scene)).length === 0, 'no note is left');
    await scene.expectStored(['video.png']);
  });
});

describe.concurrent('a ledger belongs to its bucket', () => {
  test('bucket A, then B: B gets everything; A again needs nothing', async (context) => {
    const scene = await makeScene(context, { buckets: ['aaa', 'bbb'] });
    const all = names(12, 'p', 'sub/');
    await scene.draw(...all);
    const agent = await scene.start();
    await agent.until(({ safeToStop, totals }) => safeToStop && totals.storedFiles === 12, 'A');
    await scene.expectStored(all, 'aaa');
    // On the running agent: the same process goes on with the other bucket.
    await scene.command(['config', 'set', 'R2_BUCKET=bbb']);
    await agent.until(({ store, safeToStop }) => store.bucket === 'bbb' && safeToStop, 'B');
    await scene.expectStored(all, 'bbb');
    const before = scene.double.requests.length;
    await scene.command(['config', 'set', 'R2_BUCKET=']);
    const seen = await agent.until(({ store, safeToStop }) => store.bucket === 'aaa' && safeToStop, 'A again');
    expect(seen.totals.storedFiles).toBe(12);
    expect(scene.double.requests.length).toBe(before);
  });
});

describe.concurrent('a lost ledger', () => {
  test('30 files are compared with a LIST and not sent again', async (context) => {
    const scene = await makeScene(context);
    const all = names(30, 'p', 'sub/');
    await scene.draw(...all);
    expect((await scene.command(['sync'])).code).toBe(0);
    await rm(join(scene.place.output, '.r2-sync'), { recursive: true });
    scene.double.requests.length = 0;
    const agent = await scene.start();
    const seen = await agent.until(({ safeToStop }) => safeToStop, 'compared');
    expect(seen.totals).toMatchObject({ storedFiles: 30, alreadyStored: 30 });
    expect(scene.count('PutObject')).toBe(0);
    expect(scene.double.requests.length).toBeLessThan(4);
    await scene.expectStored(all);
  });

  test('a backlog is announced, with what it will cost', async (context) => {
    const scene = await makeScene(context);
    await scene.draw(...names(30, 'p', 'sub/'));
    scene.double.fault = ({ operation }) => (operation === 'ListObjectsV2' ? { delayMs: 1500 } : undefined);
    const agent = await scene.start();
    await until(() => /30 files .* older than the agent.*R2_EXISTING=skip/.test(messages(agent)), 'announced');
    await agent.until(({ safeToStop }) => safeToStop, 'stored');
    expect(scene.count('ListObjectsV2')).toBe(1);
  });

  test('where LIST is not allowed the conditional PUT decides, and nothing is stored twice', async (context) => {
    const scene = await makeScene(context);
    const all = names(30, 'p', 'sub/');
    await scene.draw(...all);
    expect((await scene.command(['sync'])).code).toBe(0);
    await rm(join(scene.place.output, '.r2-sync'), { recursive: true });
    scene.double.fault = ({ operation }) =>
      operation === 'ListObjectsV2' ? { status: 403, code: 'AccessDenied' } : undefined;
    const agent = await scene.start();
    const seen = await agent.until(({ safeToStop }) => safeToStop, 'compared');
    expect(seen.totals).toMatchObject({ storedFiles: 30, alreadyStored: 30 });
    expect(seen.store.lastError).toBeNull();
    await scene.expectStored(all);
  });

  test('the objects that are missing are sent', async (context) => {
    const scene = await makeScene(context);
    const all = names(30, 'p', 'sub/');
    await scene.draw(...all);
    expect((await scene.command(['sync'])).code).toBe(0);
    await rm(join(scene.place.output, '.r2-sync'), { recursive: true });
    for (const key of [...scene.double.objects.keys()].slice(0, 5)) scene.double.objects.delete(key);
    const agent = await scene.start();
    const seen = await agent.until(({ safeToStop }) => safeToStop, 'compared');
    expect(seen.totals).toMatchObject({ storedFiles: 30, alreadyStored: 25 });
    await scene.expectStored(all);
  });

  test('R2_EXISTING=skip leaves what was there before alone, counts it, and takes what is new', async (context) => {
    const scene = await makeScene(context);
    await scene.draw(...names(5, 'old'));
    const settings = { R2_EXISTING: 'skip' };
    const agent = await scene.start(settings);
    await agent.until(({ safeToStop }) => safeToStop, 'ready');
    await scene.draw('new.png');
    const seen = await agent.until(({ totals }) => totals.storedFiles === 1, 'the new one');
    expect(seen.skipped).toEqual({ 'older than the agent (R2_EXISTING=skip)': 5 });
    await agent.stop();
    // The next start knows when the first one was.
    await scene.draw('later.png');
    const again = await scene.start(settings);
    await again.until(({ safeToStop, totals }) => safeToStop && totals.storedFiles === 2, 'what came meanwhile');
    await scene.expectStored(['new.png', 'later.png']);
  });
});

describe.concurrent('invariant 9: a state directory that is no use', () => {
  test('a file in its place: degraded, uploads go on, and the facts are written as soon as it is away', async (context) => {
    const scene = await makeScene(context);
    const state = join(scene.place.output, '.r2-sync');
    await writeFile(state, 'in the way');
    await scene.draw('a.png');
    const agent = await scene.start();
    const seen = await agent.until(({ totals, state }) => totals.storedFiles === 1 && state === 'degraded', 'stored');
    expect(seen.reasons.join()).toMatch(/ledger.*can't be .*Uploads go on/);
    expect((await fetch(`${agent.url}/healthz`)).status).toBe(200);
    await rename(state, `${state}-away`);
    await scene.draw('b.png');
    await agent.until(
      ({ reasons, totals }) => !reasons.join().includes('ledger') && totals.storedFiles === 2,
      'recovered',
    );
    expect(await agent.stop()).toBe(0);
    scene.double.requests.length = 0;
    const again = await scene.start();
    await again.until(({ safeToStop, totals }) => safeToStop && totals.storedFiles === 2, 'all known');
    expect(scene.double.requests).toHaveLength(0);
    await scene.expectStored(['a.png', 'b.png']);
  });

  test('read-only: the same', async (context) => {
    const scene = await makeScene(context);
    const stateDir = join(scene.place.base, 'state');
    await mkdir(stateDir, { mode: 0o555 });
    // Root writes where it likes, but not on a read-only volume.
    const root = process.getuid?.() === 0;
    if (root && !(await mountTiny(context, stateDir, 'ro'))) return context.skip("a volume can't be mounted here");
    await scene.draw('a.png');
    const agent = await scene.start({ R2_STATE_DIR: stateDir });
    const seen = await agent.until(({ totals, state }) => totals.storedFiles === 1 && state === 'degraded', 'stored');
    expect(seen.reasons.join()).toMatch(/ledger.*can't be .*Uploads go on/);
    if (root) await execa('mount', ['-o', 'remount,rw', stateDir]);
    else await chmod(stateDir, 0o755);
    await agent.until(({ reasons }) => !reasons.join().includes('ledger'), 'recovered');
    await agent.stop();
    await scene.expectStored(['a.png']);
  });

  test('a volume that is full: the same', async (context) => {
    const scene = await makeScene(context);
    const stateDir = join(scene.place.base, 'state');
    await mkdir(stateDir);
    if (!(await mountTiny(context, stateDir, 'rw'))) return context.skip("a volume can't be mounted here");
    await writeFile(join(stateDir, 'ballast'), Buffer.alloc(1 << 20)).catch(() => {});
    await scene.draw(...names(5));
    const agent = await scene.start({ R2_STATE_DIR: stateDir });
    const isSaid = (reasons: string[]) => /ledger.*volume is full.*Uploads go on/.test(reasons.join());
    await agent.until(
      ({ totals, state, reasons }) => totals.storedFiles === 5 && state === 'degraded' && isSaid(reasons),
      'stored',
    );
    await rm(join(stateDir, 'ballast'));
    await agent.until(({ reasons }) => !reasons.join().includes('ledger'), 'recovered');
    expect(await agent.stop()).toBe(0);
    scene.double.requests.length = 0;
    const again = await scene.start({ R2_STATE_DIR: stateDir });
    await again.until(({ safeToStop, totals }) => safeToStop && totals.storedFiles === 5, 'all known');
    expect(scene.double.requests).toHaveLength(0);
    await again.stop();
    await scene.expectStored(names(5));
  });
});

/** Mounts a volume of 64 KiB; false where that isn't allowed (it takes root). Gone after the test. */
async function mountTiny({ onTestFinished }: TestContext, directory: string, mode: 'ro' | 'rw'): Promise<boolean> {
  const options = `size=64k,${mode}`;
  const { failed } = await execa('mount', ['-t', 'tmpfs', '-o', options, 'tmpfs', directory], { reject: false });
  if (failed) return false;
  onTestFinished(async () => void (await execa('umount', ['-l', directory], { reject: false })));
  return true;
}

/** The notes on unfinished uploads in the state directory. */
async function notes(scene: Scene): Promise<string[]> {
  const state = join(scene.place.output, '.r2-sync');
  const files = await readdir(state, { recursive: true }).catch(() => []);
  return files.filter((file) => /uploads\/.*\.json$/.test(file));
}
