// Nothing is overlooked, nothing is said to be safe that isn't, and no fault becomes a flood: what a review looked for.
import { mkdir, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { Snapshot } from '../../src/status/snapshot.ts';
import { freePort, until } from '../support/agent.ts';
import { NO_PROGRAMS } from './bucket.ts';
import { makeScene, messages, names, picture } from './scene.ts';

test('invariant 2: the output directory is a symlink that is set anew while the agent runs', async (context) => {
  const scene = await makeScene(context);
  const { base } = scene.place;
  const link = join(base, 'link');
  const [first, second] = [join(base, 'first'), join(base, 'second')];
  await Promise.all([first, second].map((dir) => mkdir(dir)));
  await symlink(first, link);
  const agent = await scene.start({ COMFYUI_OUTPUT_DIR: link });
  await writeFile(join(first, 'before.png'), picture('before'));
  await agent.until(({ safeToStop, totals }) => safeToStop && totals.storedFiles === 1, 'the first picture is stored');

  await symlink(second, `${link}.new`);
  await rename(`${link}.new`, link);
  await writeFile(join(second, 'after.png'), picture('after'));
  const paths = () => [...scene.double.objects.values()].map(({ metadata }) => metadata.path);
  await until(() => paths().includes('after.png'), 'what lies where the link leads now is stored');
  expect(messages(agent)).toMatch(/was replaced by another/);
  expect(paths()).toHaveLength(2);
});

test('invariant 10: where a file was that is not there any more is looked into soon, not when the next scan is due', async (context) => {
  const scene = await makeScene(context);
  const agent = await scene.start({ R2_SCAN_SECONDS: '3600' });
  await agent.until(({ safeToStop }) => safeToStop, 'ready');
  scene.double.fault = () => ({ status: 500, code: 'InternalError' });
  await scene.draw('sub/a.png');
  await agent.until(({ totals }) => totals.pendingFiles === 1, 'seen');
  await rm(join(scene.place.output, 'sub'), { recursive: true });
  scene.double.fault = undefined;
  await agent.until(({ totals }) => totals.pendingFiles === 0, 'it is missed');
  await agent.until(({ safeToStop }) => safeToStop, 'its directory was looked for');
});

test('a store that says of everything that it arrived damaged gets few requests, and people hear of it', async (context) => {
  const scene = await makeScene(context);
  scene.double.fault = ({ operation }) =>
    operation === 'PutObject' ? { status: 400, code: 'XAmzContentSHA256Mismatch' } : undefined;
  const agent = await scene.start();
  await scene.draw('a.png');
  await agent.until(({ pending }) => (pending[0]?.seconds ?? 0) >= 5, 'it has been tried for some seconds');
  expect(scene.count('PutObject')).toBeGreaterThan(1);
  expect(scene.count('PutObject')).toBeLessThan(15);
  await until(() => /can't upload a\.png yet, it is tried again/.test(messages(agent)), 'the warning');
  scene.double.fault = undefined;
  await agent.until(({ safeToStop }) => safeToStop, 'it arrives after all');
  await scene.expectStored(['a.png']);
});

test('invariant 10: while a directory can’t be read, it isn’t safe to stop, and `wait` says so', async (context) => {
  const scene = await makeScene(context);
  const { base, output } = scene.place;
  // Nobody can read a directory whose path is longer than the system takes, not even root.
  const apart = join(base, 'apart');
  const half = Array.from({ length: 11 }, () => 'd'.repeat(200)).join('/');
  for (const root of [apart, output]) await mkdir(join(root, half, 'end'), { recursive: true });
  const within = join(output, half, 'within');
  await rename(apart, within);
  const takeOut = () => rename(within, apart);
  context.onTestFinished(() => takeOut().catch(() => {}));
  const agent = await scene.start(NO_PROGRAMS);
  await scene.draw('a.png');
  const says = ({ reasons }: Snapshot) => reasons.some((reason) => /can't be read \(ENAMETOOLONG\)/.test(reason));
  const left = await agent.until(
    (snapshot) => says(snapshot) && snapshot.totals.storedFiles === 1 && snapshot.totals.pendingFiles === 0,
    'all that can be seen is stored',
  );
  expect(left).toMatchObject({ safeToStop: false, state: 'degraded' });
  const { code } = await scene.command(['wait', '--timeout', '2'], { R2_STATUS_PORT: new URL(agent.url).port });
  expect(code).not.toBe(0);

  await takeOut();
  const after = await agent.until(({ safeToStop }) => safeToStop, 'it is safe once all can be read');
  expect(says(after)).toBe(false);
});

test('R2_EXISTING=skip: thousands of old files are counted as skipped, and never in the way of a new one', async (context) => {
  const scene = await makeScene(context);
  const old = join(scene.place.output, 'old');
  await mkdir(old);
  await Promise.all(names(2000).map((name) => writeFile(join(old, name), name)));
  const port = await freePort();
  const seen: Snapshot[] = [];
  let over = false;
  const sample = async () => {
    while (!over) {
      const reply = await fetch(`http://127.0.0.1:${port}/api/status`).catch(() => undefined);
      if (reply?.ok) seen.push((await reply.json()) as Snapshot);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  };
  const sampling = sample();
  const settings = { R2_EXISTING: 'skip', R2_STATUS_PORT: String(port), R2_SCAN_SECONDS: '0.2', R2_LOG_LEVEL: 'debug' };
  const agent = await scene.start({ ...settings, ...NO_PROGRAMS });
  const passes = () => messages(agent).split('scan done').length - 1;
  await until(() => passes() > 0, 'the agent has begun');
  const fresh = names(3, 'new');
  for (const name of fresh) {
    const before = passes();
    await scene.draw(name);
    await agent.until(({ recent }) => recent.some(({ path }) => path === name), `${name} is stored`);
    await until(() => passes() > before + 1, 'the old ones were seen again');
  }
  over = true;
  await sampling;
  // Only new ones were ever pending, one at a time.
  expect(seen.length).toBeGreaterThan(10);
  expect(Math.max(...seen.map(({ totals }) => totals.pendingFiles))).toBeLessThanOrEqual(1);
  expect(seen.flatMap(({ pending }) => pending.filter(({ path }) => path.startsWith('old/')))).toEqual([]);
  const { skipped, safeToStop } = await agent.until(({ totals }) => totals.pendingFiles === 0, 'nothing is left');
  expect(safeToStop).toBe(true);
  expect(Object.values(skipped)).toEqual([2000]);
  await scene.expectStored(fresh);
});

test('R2_EXISTING=skip: a picture in an output directory that is made after the start is new', async (context) => {
  const scene = await makeScene(context);
  await rm(scene.place.output, { recursive: true });
  const agent = await scene.start({ R2_EXISTING: 'skip', R2_SCAN_SECONDS: '0.2' });
  await agent.until(
    ({ reasons }) => reasons.some((reason) => reason.includes("doesn't exist yet")),
    'it is waited for',
  );
  await mkdir(scene.place.output);
  await scene.draw('a.png');
  await agent.until(({ totals }) => totals.storedFiles === 1, 'the first picture');
  await scene.expectStored(['a.png']);
});
