// `r2-sync verify`: what it finds, what it says, and that what it repairs is right again. Everything real: agents, files, a
// store.
import { mkdir, readdir, readFile, rm, symlink, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { watchForHang } from '../../src/commands/output-directory.ts';
import { HUNG_MS } from '../../src/volume/volume.ts';
import { bigPicture, makeScene, names, picture, type Scene, sha256Of } from '../agent/scene.ts';
import type { StoredObject } from '../support/store-double-calls.ts';

interface Report {
  ok: boolean;
  compared: boolean;
  headline: string;
  notes: string[];
  stored: number;
  groups: {
    id: string;
    bad: boolean;
    count: number;
    todo: string;
    rows: { path?: string; key?: string; detail?: string }[];
  }[];
}

/** `r2-sync verify --json` and its exit code. */
async function verify(scene: Scene, args: string[] = [], settings: Record<string, string> = {}) {
  const { code, stdout, stderr } = await scene.command(['verify', '--json', ...args], settings);
  if (!stdout.startsWith('{')) throw new Error(`no report (${code}): ${stderr}`);
  const report = JSON.parse(stdout) as Report;
  const paths = Object.fromEntries(
    report.groups.map(({ id, rows }) => [id, rows.map(({ path, key }) => path ?? key).sort()]),
  );
  const bad = report.groups.filter((group) => group.bad).map(({ id }) => id);
  return { code, report, paths, bad, stderr };
}

/** Stores these pictures and ends the agent that did. */
async function store(scene: Scene, paths: string[]): Promise<void> {
  await scene.draw(...paths);
  const { code, stdout, stderr } = await scene.command(['sync']);
  expect({ code, said: code === 0 ? '' : stdout + stderr }).toEqual({ code: 0, said: '' });
}

function keyOf({ double }: Scene, path: string): string {
  for (const [key, { metadata }] of double.objects) if (metadata.path === path) return key;
  throw new Error(`no object of ${path}`);
}

function change({ double }: Scene, path: string, changes: (object: StoredObject) => Partial<StoredObject>): void {
  const object = double.objects.get(keyOf({ double } as Scene, path))!;
  Object.assign(object, changes(object));
}

/** Cuts the object off, as a copy that broke would. */
function truncateObject(scene: Scene, path: string): void {
  change(scene, path, ({ body, size }) => ({ body: body!.subarray(0, size - 10), size: size - 10 }));
}

/** Other bytes of the same size under the same metadata: nothing but the bytes shows it. */
function spoil(scene: Scene, path: string): void {
  change(scene, path, ({ body }) => ({ body: Buffer.concat([body!.subarray(0, -1), Buffer.from('?')]) }));
}

const THREE = ['alice/a.png', 'alice/b.png', 'bob/c.png'];

/** What the bucket holds: that nothing in it changes is invariant 4. */
function contents({ double }: Scene): Map<string, string> {
  return new Map([...double.objects].map(([key, { body }]) => [key, sha256Of(body!)]));
}

/** Each command is a process, most of its time is its start, and five tests share what a busy machine has left. */
const COMMANDS = { timeout: 120_000 };
const AGENTS = { timeout: 180_000 };

describe.concurrent('what is found', COMMANDS, () => {
  test('all is there: one LIST, no HEAD and no GET for any object, nothing written', async (context) => {
    const scene = await makeScene(context);
    await store(scene, names(30, 'picture', 'alice/'));
    scene.double.requests.length = 0;
    const { code, report } = await verify(scene);
    const { ok, stored, groups } = report;
    expect({ code, ok, stored, groups }).toEqual({ code: 0, ok: true, stored: 30, groups: [] });
    expect(scene.double.requests.map(({ operation }) => operation)).toEqual(['ListObjectsV2']);
    const said = (await scene.command(['verify'])).stdout;
    expect(said).toBe(
      'Everything is there: all 30 files that were stored are in the bucket "runpod", with their sizes.\n',
    );
  });

  test('every difference is named, with what to do about it', async (context) => {
    const scene = await makeScene(context);
    const at = (path: string) => join(scene.place.output, path);
    await store(scene, ['u/missing.png', 'u/cut.png', 'u/lost.png', 'u/deleted.png', 'u/changed.png', 'u/fine.png']);
    scene.double.objects.delete(keyOf(scene, 'u/missing.png'));
    truncateObject(scene, 'u/cut.png');
    scene.double.objects.delete(keyOf(scene, 'u/lost.png'));
    await rm(at('u/lost.png'));
    await rm(at('u/deleted.png'));
    await scene.write('u/changed.png', picture('another'));
    await scene.draw('v/new.png');
    await scene.write('v/empty.png', Buffer.alloc(0));
    const foreign = { ...[...scene.double.objects.values()][0]!, metadata: {} };
    scene.double.objects.set('outputs/other/2026-01-01/theirs-0123456789abcdef.png', foreign);
    scene.double.objects.set('elsewhere/not-ours.png', foreign);

    const { code, paths, bad } = await verify(scene);
    expect(code).toBe(3);
    expect(paths).toEqual({
      missing: ['u/missing.png'],
      lost: ['u/lost.png'],
      size: ['u/cut.png'],
      pending: ['v/new.png'],
      changed: ['u/changed.png'],
      onlyInBucket: [],
      foreign: ['outputs/other/2026-01-01/theirs-0123456789abcdef.png'],
      empty: [],
    });
    expect(bad.sort()).toEqual(['changed', 'lost', 'missing', 'pending', 'size']);
    const { stdout } = await scene.command(['verify']);
    expect(stdout).toMatch(/^Not everything is as it should be: 5 things need a look, beside 6 files/);
    expect(stdout).toMatch(/1 file is gone from the bucket: deleted there.*verify --repair/);
    expect(stdout).toMatch(
      /1 file is gone from the bucket, and not on the volume any more.*Nothing here can bring them back/,
    );
    expect(stdout).toMatch(/cut\.png \(.*bytes; still of the same size and time on the volume\)/);
    expect(stdout).toMatch(/1 file is on the volume and not in the bucket yet.*r2-sync sync/);
    expect(stdout).toMatch(/1 file is only in the bucket: deleted from the volume/);
    expect(stdout).toMatch(/1 object is in the bucket and not in this ledger/);
  });

  test('wrong bytes of the right size, in the bucket or on the volume, are found by reading them back', async (context) => {
    const scene = await makeScene(context);
    const file = join(scene.place.output, 'bob/c.png');
    await scene.draw('bob/c.png');
    await utimes(file, 1_700_000_000, 1_700_000_000);
    await store(scene, THREE.slice(0, 2));
    expect((await verify(scene, ['--deep'])).code).toBe(0);
    spoil(scene, 'alice/a.png');
    const bytes = await readFile(file);
    await writeFile(file, Buffer.concat([bytes.subarray(0, -1), Buffer.from('?')]));
    await utimes(file, 1_700_000_000, 1_700_000_000);
    expect((await verify(scene)).bad).toEqual([]);
    const { code, paths, bad } = await verify(scene, ['--deep']);
    expect({ code, bad }).toEqual({ code: 3, bad: ['bytes', 'damaged'] });
    expect(paths).toMatchObject({ bytes: ['alice/a.png'], damaged: ['bob/c.png'] });
  });

  test('an earlier version of an overwritten file is no stranger, and a folder is compared alone', async (context) => {
    const scene = await makeScene(context);
    const agent = await scene.start();
    await scene.draw(...THREE);
    await agent.until(({ totals }) => totals.storedFiles === 3, 'all to be stored');
    await rm(join(scene.place.output, 'bob/c.png'));
    await agent.until(({ totals }) => totals.storedFiles === 2, 'the name to be free again');
    await scene.write('bob/c.png', picture('the next pod counts from 1 again'));
    await agent.until(({ totals }) => totals.storedFiles === 3, 'the new picture to be stored');
    await agent.stop();
    const { code, report } = await verify(scene);
    expect(code).toBe(0);
    expect(report.groups).toMatchObject([{ id: 'earlier', count: 1 }]);
    scene.double.objects.delete(keyOf(scene, 'alice/a.png'));
    scene.double.requests.length = 0;
    expect((await verify(scene, ['--folder', 'bob'])).code).toBe(0);
    expect(scene.double.requests.map(({ query }) => new URLSearchParams(query).get('prefix'))).toEqual([
      'outputs/bob/',
    ]);
    expect((await verify(scene, ['--folder', 'alice'])).paths).toMatchObject({ missing: ['alice/a.png'] });
  });

  test('what was stored under an earlier template is looked for where it is', async (context) => {
    const scene = await makeScene(context);
    await store(scene, THREE);
    await scene.draw('bob/later.png');
    const settings = { R2_KEY_TEMPLATE: 'new/{path}/{name}-{hash16}{ext}' };
    expect((await scene.command(['sync'], settings)).code).toBe(0);
    expect((await verify(scene, [], settings)).report).toMatchObject({ ok: true, stored: 4 });
  });

  test('a lost ledger: files that seem to be in the bucket are told from those that are not; nothing is sent twice', async (context) => {
    const scene = await makeScene(context);
    await store(scene, THREE);
    await scene.draw('bob/new.png');
    await rm(join(scene.place.output, '.r2-sync'), { recursive: true });
    const lost = await verify(scene);
    expect(lost.report.headline).toMatch(/There is no ledger of the bucket "runpod" here/);
    expect(lost.paths).toMatchObject({ unrecorded: THREE, pending: ['bob/new.png'] });
    expect((await verify(scene, ['--deep'])).paths).toMatchObject({ unrecorded: THREE, pending: ['bob/new.png'] });
    const before = contents(scene);
    const { code, report } = await verify(scene, ['--repair']);
    expect({ code, stored: report.stored }).toEqual({ code: 0, stored: 4 });
    expect(scene.double.objects.size).toBe(before.size + 1);
    expect((await verify(scene)).code).toBe(0);
  });
});

describe.concurrent('what keeps it from comparing', COMMANDS, () => {
  test('a token that may not list: 4, and what to do', async (context) => {
    const scene = await makeScene(context);
    scene.double.fault = ({ operation }) =>
      operation === 'ListObjectsV2' ? { status: 403, code: 'AccessDenied' } : undefined;
    const { code, stderr } = await scene.command(['verify']);
    expect(code).toBe(4);
    expect(stderr).toMatch(/the store doesn't let us list or read the bucket "runpod"/);
    expect(stderr).toMatch(/Object Read only.*--folder/);
    const { stdout } = await scene.command(['verify', '--json']);
    expect(JSON.parse(stdout)).toMatchObject({ ok: false, code: 'AccessDenied' });
  });

  test('no output directory: the bucket alone can only be read back, and that is said', async (context) => {
    const scene = await makeScene(context);
    await store(scene, THREE);
    const settings = { COMFYUI_OUTPUT_DIR: join(scene.place.base, 'not-there') };
    const { code, report } = await verify(scene, [], settings);
    expect(code).toBe(2);
    expect(report.headline).toBe(
      `Nothing was compared, for there is no output directory here. The bucket "runpod" has 3 objects (${report.headline.match(/\((.*)\)/)?.[1]}).`,
    );
    expect(report.notes.join()).toMatch(/not-there.*COMFYUI_OUTPUT_DIR/);
    expect((await verify(scene, ['--deep'], settings)).code).toBe(0);
    spoil(scene, 'bob/c.png');
    expect(await verify(scene, ['--deep'], settings)).toMatchObject({ code: 3, bad: ['foreignBytes'] });
  });

  test('bytes that nobody could read or check are never called right', async (context) => {
    const scene = await makeScene(context);
    await store(scene, THREE);
    change(scene, 'alice/a.png', () => ({ metadata: {} }));
    const settings = { COMFYUI_OUTPUT_DIR: join(scene.place.base, 'not-there') };
    const unhashed = await verify(scene, ['--deep'], settings);
    expect(unhashed).toMatchObject({ code: 0, bad: [] });
    expect(unhashed.report.groups.find(({ id }) => id === 'unhashed')).toMatchObject({ bad: false, count: 1 });
    expect(unhashed.report.headline).toMatch(/has 3 objects \(.*\); the bytes of 1 weren't checked\.$/);
    const hidden = keyOf(scene, 'bob/c.png');
    // One that asking again doesn't change: everything else is asked for half a minute.
    scene.double.fault = ({ operation, key }) =>
      operation === 'GetObject' && key === hidden ? { status: 403, code: 'ObjectLockedByBucketPolicy' } : undefined;
    const unread = await verify(scene, ['--deep'], settings);
    expect(unread).toMatchObject({ code: 3, bad: ['foreignUnread'], paths: { foreignUnread: [hidden] } });
    expect(unread.report.ok).toBe(false);
    expect(unread.report.headline).toMatch(/; the bytes of 2 weren't checked\.$/);
    // With the ledger as well.
    expect(await verify(scene, ['--deep'])).toMatchObject({
      code: 3,
      bad: ['unread'],
      paths: { unread: ['bob/c.png'] },
    });
  });

  test('an empty output directory without a ledger, and a full bucket: not ok, and what to look at', async (context) => {
    const scene = await makeScene(context);
    await store(scene, THREE);
    await rm(scene.place.output, { recursive: true });
    await mkdir(scene.place.output);
    const { code, report, bad } = await verify(scene);
    expect({ code, ok: report.ok, bad }).toEqual({ code: 3, ok: false, bad: ['noLedger'] });
    expect(report.headline).toMatch(/There is no ledger of the bucket "runpod" here/);
    const noLedger = report.groups.find(({ id }) => id === 'noLedger');
    expect(noLedger).toMatchObject({ count: 3, todo: expect.stringMatching(/COMFYUI_OUTPUT_DIR.*r2-sync restore/) });
  });

  test('an empty bucket: is it the right one?', async (context) => {
    const scene = await makeScene(context);
    await store(scene, THREE);
    scene.double.objects.clear();
    const { code, report, paths } = await verify(scene);
    expect({ code, missing: paths.missing }).toEqual({ code: 3, missing: THREE });
    expect(report.headline).toMatch(/is empty: check R2_BUCKET and R2_ENDPOINT/);
  });

  test('a part of the ledger that cannot be read is told', async (context) => {
    const scene = await makeScene(context);
    await store(scene, THREE);
    const [target] = await readdir(join(scene.place.output, '.r2-sync'));
    const dir = join(scene.place.output, '.r2-sync', target!, 'bob');
    await rm(dir, { recursive: true });
    await symlink('bob', dir);
    const { stdout, code } = await scene.command(['verify']);
    expect(code).toBe(3);
    expect(stdout).toMatch(/The ledger in .*bob can't be read/);
  });

  test('a volume that hangs ends it with words', async () => {
    const { hung } = watchForHang('/workspace/output', () => HUNG_MS + 1);
    await expect(hung).rejects.toThrow("the volume of /workspace/output hasn't answered for 30 s");
  });
});

describe.concurrent('--repair', AGENTS, () => {
  const PATHS = ['alice/missing.png', 'alice/cut.png', 'alice/spoilt.png', 'bob/fine.png', 'bob/lost.png'];

  /** Everything that can go wrong with objects, and what the bucket holds then. */
  async function breakBucket(scene: Scene): Promise<Map<string, string>> {
    scene.double.objects.delete(keyOf(scene, 'alice/missing.png'));
    truncateObject(scene, 'alice/cut.png');
    spoil(scene, 'alice/spoilt.png');
    scene.double.objects.delete(keyOf(scene, 'bob/lost.png'));
    await rm(join(scene.place.output, 'bob/lost.png'));
    return contents(scene);
  }

  /** What is repaired is right, what was there is as it was, and no request could have changed it. */
  async function expectRepaired(scene: Scene, before: Map<string, string>, settings = {}): Promise<void> {
    const { code, report, paths } = await verify(scene, ['--deep', '--repair'], settings);
    expect(code).toBe(3);
    expect(paths).toMatchObject({ repaired: PATHS.slice(0, 3).sort(), lost: ['bob/lost.png'] });
    expect(report.groups.filter(({ bad }) => bad).map(({ id }) => id)).toEqual(['lost']);
    for (const [key, sha256] of before) expect({ key, sha256: contents(scene).get(key) }).toEqual({ key, sha256 });
    expect(scene.double.objects.size).toBe(before.size + 3);
    for (const path of PATHS.slice(0, 4)) {
      const sha256 = sha256Of(await readFile(join(scene.place.output, path)));
      const objects = [...scene.double.objects.values()].filter(({ metadata }) => metadata.path === path);
      expect(objects.map(({ body }) => sha256Of(body!))).toContain(sha256);
    }
    const changed = scene.double.requests.filter(({ operation }) => /Delete|Copy/.test(operation));
    expect(changed).toEqual([]);
  }

  test('without an agent: sent again, beside what is wrong; nothing is overwritten; then all is well', async (context) => {
    const scene = await makeScene(context);
    await store(scene, PATHS);
    await expectRepaired(scene, await breakBucket(scene));
    const after = await verify(scene, ['--deep']);
    expect(after.bad).toEqual(['lost']);
    const again = scene.count('PutObject');
    await verify(scene, ['--deep', '--repair']);
    expect(scene.count('PutObject')).toBe(again);
  });

  test('beside a running agent: the agent does it, under its own lease, and goes on', async (context) => {
    const scene = await makeScene(context);
    const agent = await scene.start();
    await scene.draw(...PATHS);
    await agent.until(({ totals }) => totals.storedFiles === 5, 'all to be stored');
    const before = await breakBucket(scene);
    await agent.until(({ totals }) => totals.storedFiles === 4, 'the deleted file to be noticed');
    const settings = { R2_STATUS_PORT: new URL(agent.url).port };
    await expectRepaired(scene, before, settings);
    await agent.until(({ safeToStop }) => safeToStop, 'the agent to be done');
    expect(agent.lines().filter(({ lease }) => lease === 'lost')).toEqual([]);
    const [target] = await readdir(join(scene.place.output, '.r2-sync'));
    // One claim of the folder, ever: nobody else wrote to its ledger.
    const claims = (await readdir(join(scene.place.output, '.r2-sync', target!, 'alice'))).filter((name) =>
      name.startsWith('lease.'),
    );
    expect(claims).toEqual(['lease.1.json']);
    await scene.draw('alice/next.png');
    await agent.until(({ totals }) => totals.storedFiles === 5, 'the next picture to be stored');
    expect((await verify(scene, ['--deep'], settings)).bad).toEqual(['lost']);
  });

  test('beside an agent that has given the folder back: it takes it again, and its own old lines do not mislead it', async (context) => {
    const scene = await makeScene(context);
    const agent = await scene.start({ R2_LEASE_SECONDS: '6' });
    await scene.draw('alice/a.png');
    await agent.until(({ folders }) => folders[0]?.stored === 1 && folders[0].lease.state !== 'mine', 'rest');
    scene.double.objects.clear();
    const { code, paths } = await verify(scene, ['--repair'], { R2_STATUS_PORT: new URL(agent.url).port });
    expect({ code, paths }).toEqual({ code: 0, paths: { repaired: ['alice/a.png'] } });
    await scene.expectStored(['alice/a.png']);
  });

  test('beside an agent of another pod: waits until that gives its folder back, and takes it by the rules', async (context) => {
    const scene = await makeScene(context);
    const lease = { R2_LEASE_SECONDS: '6' };
    const agent = await scene.start(lease);
    await scene.draw(...PATHS);
    await agent.until(({ totals }) => totals.storedFiles === 5, 'all to be stored');
    const before = await breakBucket(scene);
    await expectRepaired(scene, before, lease);
    expect(agent.lines().filter(({ lease: change }) => change === 'lost')).toEqual([]);
    await scene.draw('alice/next.png');
    await agent.until(
      ({ recent }) => recent.some(({ path }) => path === 'alice/next.png'),
      'the next picture to be stored by the agent',
    );
    expect((await verify(scene, ['--deep'], lease)).bad).toEqual(['lost']);
  });

  test('a key with the whole hash has no other name to go to: said, and left', async (context) => {
    const scene = await makeScene(context);
    const settings = { R2_KEY_TEMPLATE: 'all/{hash}{ext}' };
    await scene.draw('a.png');
    expect((await scene.command(['sync'], settings)).code).toBe(0);
    truncateObject(scene, 'a.png');
    const { code, report } = await verify(scene, ['--repair'], settings);
    expect(code).toBe(3);
    expect(report.groups[0]).toMatchObject({ id: 'size', rows: [{ path: 'a.png' }] });
    expect(report.groups[0]!.rows[0]!.detail).toMatch(/holds other bytes under all\/.*move that object away/);
    // Nor is one whose metadata is right taken for repaired.
    scene.double.objects.clear();
    expect((await verify(scene, ['--repair'], settings)).code).toBe(0);
    spoil(scene, 'a.png');
    const spoilt = await verify(scene, ['--deep', '--repair'], settings);
    expect(spoilt).toMatchObject({ code: 3, bad: ['bytes'] });
    expect(spoilt.report.groups[0]!.rows[0]!.detail).toMatch(/holds other bytes under all\/.*move that object away/);
  });

  test('other bytes of the same size and time are not what was stored: uploaded, and never called repaired', async (context) => {
    const scene = await makeScene(context);
    const file = join(scene.place.output, 'a.png');
    await scene.write('a.png', bigPicture(1, 1));
    await utimes(file, 1_700_000_000, 1_700_000_000);
    await store(scene, ['b.png']);
    scene.double.objects.clear();
    const other = bigPicture(1, 2);
    await writeFile(file, other);
    await utimes(file, 1_700_000_000, 1_700_000_000);
    const { code, paths, report } = await verify(scene, ['--repair']);
    expect({ code, ok: report.ok, paths }).toEqual({
      code: 3,
      ok: false,
      paths: { repaired: ['b.png'], overwritten: ['a.png'], earlierGone: [] },
    });
    expect(sha256Of(scene.double.objects.get(keyOf(scene, 'a.png'))!.body!)).toBe(sha256Of(other));
  });

  test('names that are no text, or a script, go there and come back, and are shown as escapes', async (context) => {
    const scene = await makeScene(context);
    const odd = ['alice/100% \u001b[31m.png', 'alice/new\nline.png', "alice/<img src=x onerror='x'>.png"];
    await mkdir(join(scene.place.output, 'alice'));
    await writeFile(
      Buffer.concat([Buffer.from(`${scene.place.output}/alice/`), Buffer.from([0xff, 0xfe]), Buffer.from('.png')]),
      picture('bytes'),
    );
    await store(scene, odd);
    scene.double.objects.clear();
    const { stdout } = await scene.command(['verify']);
    expect(stdout).not.toContain('\u001b');
    expect(stdout).toMatch(/new\\nline\.png/);
    expect(stdout).toMatch(/\\xff\\xfe\.png/);
    const agent = await scene.start();
    await agent.until(({ totals }) => totals.storedFiles === 4, 'the agent to know them');
    const { code, report } = await verify(scene, ['--repair'], { R2_STATUS_PORT: new URL(agent.url).port });
    expect({ code, groups: report.groups.map(({ id, count }) => ({ id, count })) }).toEqual({
      code: 0,
      groups: [{ id: 'repaired', count: 4 }],
    });
    expect(scene.double.objects.size).toBe(4);
  });
});
