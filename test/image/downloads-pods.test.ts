// Several starts on one volume, and starts that are killed: nobody writes another's file, and no byte comes twice that
// needn't.
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import {
  downloadsMissing,
  hashOf,
  hashOfFile,
  hasWhole,
  killGroup,
  makeBytes,
  makeScene,
  put,
  type Scene,
} from '../support/downloads.ts';
import { eventually } from '../support/eventually.ts';

const settings = { ENABLE_A: 'true' };
const model = 'checkpoints/a.safetensors';

/** Once so many bytes have come that aria2 has noted some of them. */
const halfway = (scene: Scene, bytes: number) =>
  eventually(() => expect(scene.host.sentBytes()).toBeGreaterThan(bytes));

/** Waits until aria2's notes of the partial say that something is whole; they are saved every few seconds. */
const noted = (scene: Scene) =>
  eventually(() => {
    const [notes] = readdirSync(scene.at('checkpoints')).filter((name) => name.endsWith('.partial.aria2'));
    expect(hasWhole(scene.at(`checkpoints/${notes}`))).toBe(true);
  });

/** A claim of a pod on another machine, with its sign of life. */
function claimElsewhere(scene: Scene, run: string, pod: string) {
  const claims = scene.at('.downloads/claims/checkpoints%2Fa.safetensors');
  put(join(claims, '1'), `${run} ${pod} 11111111-2222-3333-4444-555555555555 4026531836 1 1\n`);
  put(scene.at(`.downloads/runs/${run}`), '00000000000000000001\n');
}

describe.skipIf(downloadsMissing())('several starts', () => {
  test('two at once on one volume: one fetches, the other waits and says so, and the bytes come once', async () => {
    const scene = await makeScene();
    const bytes = makeBytes(24);
    const hosted = scene.offer('a', bytes, { slow: 2e6 });
    const first = scene.start(settings);
    await halfway(scene, 1);
    const second = scene.start({ ...settings, RUNPOD_POD_ID: 'second' });
    await eventually(() => expect(second.log()).toContain('waiting for it'));
    expect(scene.partials().length).toBe(1);
    delete hosted.slow;
    const [one, two] = await Promise.all([first.ended, second.ended]);
    expect([one.code, two.code], one.log + two.log).toEqual([0, 0]);
    expect(two.log).toContain('another pod has fetched it');
    expect(hashOfFile(scene.at(model))).toBe(hashOf(bytes));
    expect(scene.host.sentBytes()).toBeLessThan(bytes.length * 1.5);
    expect(scene.partials()).toEqual([]);
  });

  test('ten that begin at the same moment: one writer, one copy', async () => {
    const scene = await makeScene();
    const bytes = makeBytes(4);
    scene.offer('a', bytes, { slow: 4e6 });
    const outcomes = await Promise.all(Array.from({ length: 10 }, () => scene.run(settings)));
    expect(
      outcomes.map(({ code }) => code),
      outcomes.map(({ log }) => log).join('\n'),
    ).toEqual(Array(10).fill(0));
    expect(outcomes.filter(({ log }) => log.includes('fetched now')).length).toBe(1);
    expect(hashOfFile(scene.at(model))).toBe(hashOf(bytes));
  });

  test('kill -9 of everything in the middle: the next start goes on from there, at once', async () => {
    const scene = await makeScene();
    const bytes = makeBytes(24);
    const hosted = scene.offer('a', bytes, { slow: 1e6 });
    const first = scene.start(settings);
    await noted(scene);
    killGroup(first.process);
    await first.ended;
    expect(existsSync(scene.at(model))).toBe(false);
    delete hosted.slow;
    scene.host.seen.length = 0;
    const { code, log } = await scene.run(settings);
    expect(code, log).toBe(0);
    expect(log).toMatch(/going on with checkpoints\/a\.safetensors: \d+ MB are there/);
    expect(scene.host.sentBytes()).toBeLessThan(bytes.length);
    expect(hashOfFile(scene.at(model))).toBe(hashOf(bytes));
    expect(scene.partials()).toEqual([]);
  });

  test('kill -9 of the script alone: what it started ends by itself, and the next start waits for that', async () => {
    const scene = await makeScene();
    const bytes = makeBytes(24);
    const hosted = scene.offer('a', bytes, { slow: 1e6 });
    const first = scene.start(settings);
    await noted(scene);
    first.process.kill('SIGKILL');
    const second = scene.start(settings);
    await eventually(() => expect(second.log()).toContain('going on with'));
    expect(writersOf(scene.models).length).toBeLessThanOrEqual(1);
    delete hosted.slow;
    const { code, log } = await second.ended;
    expect(code, log).toBe(0);
    expect(hashOfFile(scene.at(model))).toBe(hashOf(bytes));
  });

  test('SIGTERM ends it soon, keeps what came, and gives the file to others at once', async () => {
    const scene = await makeScene();
    const bytes = makeBytes(24);
    const hosted = scene.offer('a', bytes, { slow: 1e6 });
    const first = scene.start(settings);
    await halfway(scene, 10 * 2 ** 20);
    first.process.kill('SIGTERM');
    const stopped = await first.ended;
    expect(stopped.code).toBe(143);
    expect(stopped.log).toContain('what came is kept');
    expect(writersOf(scene.models)).toEqual([]);
    delete hosted.slow;
    scene.host.seen.length = 0;
    const { code, log } = await scene.run({ ...settings, RUNPOD_POD_ID: 'another' });
    expect(code, log).toBe(0);
    expect(log).toContain('going on with');
    expect(scene.host.sentBytes()).toBeLessThan(bytes.length);
    expect(hashOfFile(scene.at(model))).toBe(hashOf(bytes));
  });

  test('a pod elsewhere that shows that it lives is waited for; once it is silent, its part is taken over and used', async () => {
    const scene = await makeScene();
    const bytes = makeBytes(24);
    const hosted = scene.offer('a', bytes, { slow: 1e6 });
    // What the other pod has left: a partial with notes, made by a real start.
    const first = scene.start(settings);
    await noted(scene);
    killGroup(first.process);
    await first.ended;
    delete hosted.slow;
    scene.host.seen.length = 0;
    claimElsewhere(scene, 'other-run', 'other-pod');
    const lease = { MODELS_LEASE_SECONDS: '2' };
    const second = scene.start({ ...settings, ...lease });
    // As long as the counter moves, it stays away: for longer, in all, than it would wait for one that is silent.
    for (let count = 2; count < 6; count += 1) {
      await eventually(() => expect(second.log()).toContain('is being fetched by other-pod'));
      writeFileSync(scene.at('.downloads/runs/other-run'), `${`${count}`.padStart(20, '0')}\n`);
      await new Promise((resolve) => setTimeout(resolve, 700));
      expect(scene.host.seen).toEqual([]);
    }
    const { code, log } = await second.ended;
    expect(code, log).toBe(0);
    expect(log).toContain('going on with checkpoints/a.safetensors');
    expect(scene.host.sentBytes()).toBeLessThan(bytes.length);
    expect(hashOfFile(scene.at(model))).toBe(hashOf(bytes));
  });

  test('a start whose file was taken over stops writing it, and uses what the other fetched', async () => {
    const scene = await makeScene();
    const bytes = makeBytes(24);
    scene.offer('a', bytes, { slow: 1e6 });
    const lease = { MODELS_LEASE_SECONDS: '9' };
    const run = scene.start({ ...settings, ...lease });
    await halfway(scene, 2 ** 20);
    // The other pod's claim is higher, so it is the holder.
    const claims = scene.at('.downloads/claims/checkpoints%2Fa.safetensors');
    put(join(claims, '2'), 'other-run other-pod 11111111-2222-3333-4444-555555555555 4026531836 1 1\n');
    await eventually(() => expect(run.log()).toContain('another pod has taken it over'));
    await eventually(() => expect(writersOf(scene.models)).toEqual([]));
    put(scene.at(model), bytes);
    put(join(claims, '2.free'), '');
    const { code, log } = await run.ended;
    expect(code, log).toBe(0);
    expect(
      createHash('sha256')
        .update(readFileSync(scene.at(model)))
        .digest('hex'),
    ).toBe(hashOf(bytes));
  });

  test('a partial without notes is worth nothing: it is thrown away, not taken for whole', async () => {
    const scene = await makeScene();
    const bytes = makeBytes(2);
    scene.offer('a', bytes);
    put(scene.at(`${model}.7.partial`), Buffer.alloc(bytes.length));
    put(scene.at(`${model}.6.partial`), Buffer.alloc(5));
    put(scene.at(`${model}.6.partial.aria2`), '');
    const { code, log } = await scene.run(settings);
    expect(code, log).toBe(0);
    expect(hashOfFile(scene.at(model))).toBe(hashOf(bytes));
    expect(scene.partials()).toEqual([]);
  });
});

/** Processes that have a partial below the directory open. */
function writersOf(directory: string): string[] {
  return readdirSync('/proc')
    .filter((pid) => /^\d+$/.test(pid))
    .filter((pid) => {
      try {
        return readdirSync(`/proc/${pid}/fd`).some((fd) => {
          const target = readlinkSync(`/proc/${pid}/fd/${fd}`);
          return target.startsWith(directory) && target.endsWith('.partial');
        });
      } catch {
        return false;
      }
    });
}
