// Whatever goes wrong with one file is told with what to do, costs no other file, and loses no bytes that are right.
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import {
  downloadsMissing,
  filesBelow,
  hashOf,
  hashOfFile,
  hasWhole,
  makeBytes,
  makeScene,
  put,
  runDirOf,
  type Scene,
} from '../support/downloads.ts';
import { eventually } from '../support/eventually.ts';
import type { Faults } from '../support/model-host.ts';

/** A broken file and a good one; what the log says of the broken one, and that the good one came. */
async function runBeside(scene: Scene, faults: Faults & { token?: string }, settings: Record<string, string> = {}) {
  const [broken, good] = [makeBytes(12), makeBytes(1)];
  const hosted = scene.offer('broken', broken, faults);
  scene.offer('good', good);
  const { code, log } = await scene.run({ ENABLE_BROKEN: 'true', ENABLE_GOOD: 'true', ...settings });
  expect(hashOfFile(scene.at('checkpoints/good.safetensors')), log).toBe(hashOf(good));
  const summary = log.split('\n').filter((line) => line.includes('missing: checkpoints/broken'));
  return { code, log, hosted, summary: summary.join('\n'), broken };
}

/** The first connections bring something, the later ones nothing. */
function cutForGood() {
  let cuts = 0;
  return {
    get bytes() {
      cuts += 1;
      return cuts < 10 ? 1.5 * 2 ** 20 : 1000;
    },
  };
}

const arrived = (scene: Scene) => filesBelow(scene.at('checkpoints')).includes('broken.safetensors');

describe.skipIf(downloadsMissing())('a download that fails', () => {
  test.each<[string, Faults & { token?: string }, Record<string, string>, string]>([
    ['401 without a token', { token: 'hf_secret' }, {}, 'Set HF_TOKEN'],
    ['401 with a token', { hubStatus: { status: 401 } }, { HF_TOKEN: 'hf_old' }, "doesn't accept HF_TOKEN"],
    ['403 for terms that were not accepted', { token: 'hf_secret' }, { HF_TOKEN: 'hf_other' }, 'accept its terms'],
    ['404', { hubStatus: { status: 404 } }, {}, 'has no such file (404)'],
    ['429 all the time', { hubStatus: { status: 429 } }, {}, 'ask too often (429)'],
    ['500 all the time', { hubStatus: { status: 500 } }, {}, 'answered 500'],
    ['a web page from the hub', { html: 'hub' }, {}, 'a web page instead of a model'],
    ['a web page from the storage', { html: 'storage' }, {}, 'a web page instead of a model'],
    ['404 from the storage', { storageStatus: { status: 404 } }, {}, 'has no such file (404)'],
    ['403 from the storage all the time', { storageStatus: { status: 403 } }, {}, '(403)'],
    ['other bytes each time', { wrongBytes: {} }, {}, "aren't the file's"],
  ])('%s: is told with what to do, and the others come', async (_, faults, settings, words) => {
    const scene = await makeScene();
    const { code, log, summary } = await runBeside(scene, faults, settings);
    expect(code).toBe(3);
    expect(summary, log).toContain(words);
    expect(arrived(scene)).toBe(false);
  });

  test.each<[string, Faults]>([
    ['429 twice', { hubStatus: { status: 429, times: 2, headers: { 'retry-after': '0' } } }],
    ['503 of the hub once', { hubStatus: { status: 503, times: 1 } }],
    ['429 of the storage once', { storageStatus: { status: 429, times: 1 } }],
    ['503 of the storage once', { storageStatus: { status: 503, times: 1 } }],
    ['an address that has run out once', { storageStatus: { status: 403, times: 1 } }],
    ['connections that are cut thirty times', { cutAfter: { bytes: 2.5 * 2 ** 20, times: 30 } }],
    ['a host that knows no ranges', { noRanges: true }],
  ])('%s: is tried again by itself, and comes', async (_, faults) => {
    const scene = await makeScene();
    const { code, log, broken } = await runBeside(scene, faults);
    expect(code, log).toBe(0);
    expect(hashOfFile(scene.at('checkpoints/broken.safetensors'))).toBe(hashOf(broken));
  });

  test('wrong bytes are thrown away, so that the next start gets it right', async () => {
    const scene = await makeScene();
    const { hosted, broken } = await runBeside(scene, { wrongBytes: {} });
    expect(scene.partials()).toEqual([]);
    delete hosted.wrongBytes;
    const { code, log } = await scene.run({ ENABLE_BROKEN: 'true' });
    expect(code, log).toBe(0);
    expect(hashOfFile(scene.at('checkpoints/broken.safetensors'))).toBe(hashOf(broken));
  });

  test('what was kept of a file that has been replaced meanwhile is thrown away, and the file comes in the same run', async () => {
    const scene = await makeScene();
    const { hosted, code } = await runBeside(scene, { cutAfter: cutForGood() });
    expect(code).toBe(3);
    expect(scene.partials().length).toBe(1);
    delete hosted.cutAfter;
    hosted.bytes = makeBytes(12);
    scene.edit((list) => Object.assign(list.files.broken!, { sha256: hashOf(hosted.bytes) }));
    const { log, ...again } = await scene.run({ ENABLE_BROKEN: 'true' });
    expect(again.code, log).toBe(0);
    expect(log).toContain('fetched anew');
    expect(hashOfFile(scene.at('checkpoints/broken.safetensors'))).toBe(hashOf(hosted.bytes));
  });

  test('a file of another size or hash than the list says is refused before its bytes are fetched', async () => {
    const scene = await makeScene();
    scene.offer('size', makeBytes(1), {}, { size: 5 });
    scene.offer('hash', makeBytes(1), {}, { sha256: '0'.repeat(64) });
    const { code, log } = await scene.run({ ENABLE_SIZE: 'true', ENABLE_HASH: 'true' });
    expect(code).toBe(3);
    expect(log).toContain('has another file of that name: 1048576 bytes instead of 5');
    expect(log).toContain(`instead of ${'0'.repeat(64)}`);
    expect(scene.host.sentBytes()).toBe(0);
  });

  test('connections that are cut keep what came: the next start fetches only the rest', async () => {
    const scene = await makeScene();
    const { hosted, code, summary, broken } = await runBeside(scene, { cutAfter: cutForGood() });
    expect(code).toBe(3);
    expect(summary).toContain('What came is kept');
    delete hosted.cutAfter;
    scene.host.seen.length = 0;
    const { log, ...again } = await scene.run({ ENABLE_BROKEN: 'true' });
    expect(again.code, log).toBe(0);
    expect(log).toContain('going on with checkpoints/broken.safetensors');
    expect(scene.host.sentBytes()).toBeLessThan(broken.length);
    expect(hashOfFile(scene.at('checkpoints/broken.safetensors'))).toBe(hashOf(broken));
  });

  test('a host that is gone is told, for each file', async () => {
    const scene = await makeScene();
    scene.offer('a', makeBytes(1));
    await scene.host.close();
    const { code, log } = await scene.run({ ENABLE_A: 'true' });
    expect(code).toBe(3);
    expect(log).toMatch(/missing: checkpoints\/a\.safetensors \(ENABLE_A\): 127\.0\.0\.1:\d+ can't be reached/);
  });

  test('models that are there stay usable without a network, also those whose size nobody knows', async () => {
    const scene = await makeScene();
    scene.offer('a', makeBytes(1), {}, { size: null, sha256: null });
    put(scene.at('checkpoints/a.safetensors'), 'something');
    await scene.host.close();
    const { code, log } = await scene.run({ ENABLE_A: 'true' });
    expect(code).toBe(0);
    expect(log).toContain("whether it is whole can't be checked now");
    expect(readFileSync(scene.at('checkpoints/a.safetensors'), 'utf8')).toBe('something');
  });

  test('a CivitAI version that asks for a key says so, and its login page is never saved', async () => {
    const scene = await makeScene();
    scene.offer('lora', makeBytes(1), { token: 'key' }, { version: 5 });
    const { code, log } = await scene.run({ ENABLE_LORA: 'true' });
    expect(code).toBe(3);
    expect(log).toContain('Set CIVITAI_API_KEY');
    expect(filesBelow(scene.at('checkpoints'))).toEqual([]);
  });

  test('a list of files that cannot be got is a problem of its toggle alone', async () => {
    const scene = await makeScene();
    scene.offer('a', makeBytes(1));
    scene.edit((list) => {
      list.repos.gone = { repo: 'owner/gone', revision: 'main' };
      list.snapshots.gone = { repo: 'gone', to: 'gone', files: null };
      list.toggles.push({ name: 'ENABLE_GONE', title: 'gone', group: 'sound', nodes: [], fetches: ['gone'] });
    });
    const { code, log } = await scene.run({ ENABLE_A: 'true', ENABLE_GONE: 'true' });
    expect(code).toBe(3);
    expect(log).toContain('skipped: ENABLE_GONE: the files of owner/gone: ');
    expect(filesBelow(scene.at('checkpoints'))).toEqual(['a.safetensors']);
  });

  test('a models directory that cannot be written is told, and ends nothing else', async () => {
    const scene = await makeScene();
    scene.offer('a', makeBytes(1));
    put(scene.models, 'a file where the directory should be');
    const { code, log } = await scene.run({ ENABLE_A: 'true' });
    expect(code).toBe(3);
    expect(log).toContain("can't be written");
  });

  test.skipIf(process.getuid?.() === 0)('a models directory of somebody else is told', async () => {
    const scene = await makeScene();
    scene.offer('a', makeBytes(1));
    mkdirSync(scene.models);
    chmodSync(scene.models, 0o500);
    const { code, log } = await scene.run({ ENABLE_A: 'true' });
    expect(code).toBe(3);
    expect(log).toContain("can't be written");
  });

  test('a tool that is missing is named with how to install it', async () => {
    const scene = await makeScene();
    const bin = mkdtempSync(join(tmpdir(), 'downloads-bin-'));
    for (const tool of ['bash', 'jq', 'curl', 'dirname', 'readlink', 'cut'])
      execFileSync('ln', [
        '-s',
        execFileSync('sh', ['-c', `command -v ${tool}`])
          .toString()
          .trim(),
        join(bin, tool),
      ]);
    const { code, log } = await scene.run({ PATH: bin });
    expect(code).toBe(2);
    expect(log).toContain("aria2c isn't installed");
    expect(log).toContain('apt-get install aria2');
  });
});

const mayMount = process.getuid?.() === 0 && canMount();
if (!mayMount) {
  const why = 'NOT RUN: downloads onto a full disk (mounting a tmpfs takes root)';
  if (process.env.R2_REQUIRE_SYSTEM === '1') throw new Error(why);
  console.warn(why);
}

describe.skipIf(!mayMount || downloadsMissing())('a disk that is too small', () => {
  test('toggles that fit come whole, the others not at all, and both are told before anything is fetched', async () => {
    const scene = await makeScene(join(mountSmall('24m'), 'scene'));
    scene.offer('large', makeBytes(30));
    scene.offer('small', makeBytes(2));
    const { code, log } = await scene.run({ ENABLE_LARGE: 'true', ENABLE_SMALL: 'true' });
    expect(code).toBe(3);
    expect(log).toMatch(/no room for everything: 33 MB are to be fetched, 2\d MB are free/);
    expect(log).toMatch(/missing: checkpoints\/large\.safetensors \(ENABLE_LARGE\): There is no room for ENABLE_LARGE/);
    expect(filesBelow(scene.at('checkpoints'))).toEqual(['small.safetensors']);
    expect(scene.host.sentBytes()).toBe(2 * 2 ** 20);
  });

  test('a disk that fills up meanwhile: it is told, what came is kept, and the next start goes on from there', async () => {
    const place = mountSmall('40m');
    const scene = await makeScene(join(place, 'scene'));
    const bytes = makeBytes(24);
    const hosted = scene.offer('a', bytes, { slow: 4e5 });
    const run = scene.start({ ENABLE_A: 'true', MODELS_LEASE_SECONDS: '9' });
    // Something else takes the room, once there is something to keep.
    await eventually(() => expect(hasWhole(join(runDirOf(run), 'notes.0'))).toBe(true));
    // And its first pieces have come.
    await eventually(() => expect(scene.host.sentBytes()).toBeGreaterThan(6e6));
    expect(() => put(join(place, 'ballast'), makeBytes(40))).toThrow('ENOSPC');
    const { code, log } = await run.ended;
    expect(code, log).toBe(3);
    expect(log).toContain('The disk is full. What came is kept.');
    put(join(place, 'ballast'), '');
    delete hosted.slow;
    const again = await scene.run({ ENABLE_A: 'true' });
    expect(again.code, again.log).toBe(0);
    expect(again.log).toMatch(/going on with checkpoints\/a\.safetensors: [1-9]\d* MB are there/);
    // What was sent doesn't tell: aria2 asks for the whole file first and cuts that off, with megabytes in the socket.
    expect(hashOfFile(scene.at('checkpoints/a.safetensors'))).toBe(hashOf(bytes));
    expect(statSync(scene.at('checkpoints/a.safetensors')).size).toBe(bytes.length);
  });
});

/** A small disk of the test's own. */
function mountSmall(size: string): string {
  const place = mkdtempSync(join(tmpdir(), 'downloads-small-'));
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${size}`, 'tmpfs', place]);
  onTestFinished(() => void execFileSync('umount', ['-l', place]));
  return place;
}

function canMount(): boolean {
  const place = mkdtempSync(join(tmpdir(), 'downloads-probe-'));
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', place], { stdio: 'pipe' });
    execFileSync('umount', [place]);
    return true;
  } catch {
    return false;
  }
}
