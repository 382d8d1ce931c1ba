// `r2-sync doctor` as people run it: on set-ups that are right, wrong and half-broken, beside an agent, killed half-way.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { chmod, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { bundleFile, makeScene, names, type Scene, uniqueText } from '../agent/scene.ts';
import { until } from '../support/agent.ts';
import { startMiniflare } from '../support/miniflare.ts';

interface Diagnosis {
  code: number | string;
  stdout: string;
  /** The worst mark of each check, by its id. */
  marks: Record<string, string>;
  /** All that is said of a check. */
  words(check: string): string;
  left: string[];
}

const WORST = ['bad', 'warning', 'skipped', 'note', 'good'];

async function diagnose(scene: Scene, settings: Record<string, string> = {}): Promise<Diagnosis> {
  const { code, stdout, stderr } = await scene.command(['doctor', '--json'], settings);
  expect(stderr).toBe('');
  return read(code, stdout);
}

function read(code: number | string, stdout: string): Diagnosis {
  const { checks, left, exitCode } = JSON.parse(stdout);
  expect(exitCode).toBe(code);
  const marks: Record<string, string> = {};
  for (const { check, mark, result, fix } of checks) {
    // Whatever isn't good says what to do.
    if (mark === 'bad' || mark === 'warning') expect(fix, result).toMatch(/^[A-Z`].*[.!?)]$/);
    if (WORST.indexOf(mark) < WORST.indexOf(marks[check] ?? 'good')) marks[check] = mark;
    marks[check] ??= mark;
  }
  const words = (check: string) =>
    checks
      .filter((one: { check: string }) => one.check === check)
      .map(({ result, fix }: { result: string; fix: string | null }) => `${result} ${fix ?? ''}`)
      .join('\n');
  return { code, stdout, marks, words, left };
}

/** The checks with one of these marks. */
const marked = ({ marks }: Diagnosis, ...which: string[]) =>
  Object.keys(marks).filter((check) => which.includes(marks[check]!));

const BUCKET_CHECKS = ['put', 'head', 'get', 'list', 'conditional', 'winner'];

describe.concurrent('a set-up that is right', () => {
  test('0, nothing on the volume afterwards, and three small objects in the bucket however often it runs', async (context) => {
    const scene = await makeScene(context);
    await scene.draw('a.png');
    const first = await diagnose(scene);
    expect(first.code).toBe(0);
    expect(marked(first, 'bad', 'skipped')).toEqual([]);
    for (const check of ['output', 'state', 'writers', 'store', 'clock', ...BUCKET_CHECKS])
      expect(first.marks[check], check).toBe('good');
    expect(await readdir(scene.place.output)).toEqual(['a.png']);
    const again = await diagnose(scene);
    expect(again.code).toBe(0);
    expect(again.words('winner')).toMatch(/of 5 puts at once one succeeded/);
    expect([...scene.double.objects.keys()].sort()).toEqual([...again.left].sort());
    expect(again.left).toHaveLength(3);
    expect(again.left.every((key) => key.startsWith('outputs/'))).toBe(true);
    expect(first.left.sort()).toEqual(again.left.sort());
    // Invariant 4: it never deletes.
    expect(scene.count('DeleteObject')).toBe(0);
  });

  test("Cloudflare's own simulator, and words for people that name what stays", async (context) => {
    const scene = await makeScene(context);
    const miniflare = await startMiniflare();
    context.onTestFinished(() => miniflare.close());
    const { code, stdout } = await scene.command(['doctor'], {
      R2_ENDPOINT: miniflare.endpoint,
      R2_ACCESS_KEY: miniflare.accessKeyId,
      R2_SECRET_KEY: miniflare.secretAccessKey,
    });
    expect(code, stdout).toBe(0);
    expect(stdout).toMatch(/^✔ Bucket: one winner +of 5 puts to one key at once one succeeded$/m);
    expect(stdout).toMatch(/^In the bucket "runpod" stay.*r2-sync-probe-\w+\.txt.*r2-sync never deletes an object/m);
    expect(stdout).not.toContain('\u001b');
  });

  test('beside a running agent it disturbs nothing, and says how that is', async (context) => {
    const scene = await makeScene(context);
    await scene.draw('alice/a.png', 'b.png');
    const agent = await scene.start();
    await agent.until(({ safeToStop, totals }) => safeToStop && totals.storedFiles === 2, 'stored');
    const state = () => readdir(join(scene.place.output, '.r2-sync'), { recursive: true });
    const before = (await state()).sort();
    const logged = agent.log();
    const seen = await diagnose(scene, { R2_STATUS_PORT: new URL(agent.url).port });
    expect(seen.code).toBe(0);
    expect(seen.marks).toMatchObject({ agent: 'good', 'status-page': 'good', leases: 'good' });
    expect(seen.words('agent')).toMatch(/ok\. All 2 files are in the bucket.*You may stop the pod/);
    expect(seen.words('leases')).toMatch(/2 folders: 2 held by this pod/);
    expect((await state()).sort()).toEqual(before);
    expect(agent.log()).toBe(logged);
    // Nothing of the doctor's was taken for an output.
    const { totals } = await agent.snapshot();
    expect(totals).toMatchObject({ storedFiles: 2, pendingFiles: 0, parkedFiles: 0 });
    scene.double.fault = ({ key }) => (/c-\w+\.png/.test(key) ? { status: 400, code: 'KeyTooLongError' } : undefined);
    await scene.draw('c.png');
    await agent.until((snapshot) => snapshot.totals.parkedFiles === 1, 'parked');
    const parked = await diagnose(scene, { R2_STATUS_PORT: new URL(agent.url).port });
    expect([parked.code, parked.marks.agent]).toEqual([0, 'warning']);
    expect(parked.words('agent')).toMatch(/1 file can't be uploaded.*`r2-sync status`/);
  });
});

describe.concurrent('settings that are wrong', () => {
  test('2: every mistake at once, where settings come from, and the local checks all the same', async (context) => {
    const scene = await makeScene(context);
    await scene.command(['config', 'set', 'R2_CONCURRENCY=3']);
    const seen = await diagnose(scene, { R2_SECRET_KEY: '', R2_ACCESS_KEY: '', R2_BUCKT: 'mine' });
    expect(seen.code).toBe(2);
    expect(seen.words('settings')).toMatch(/R2_ACCESS_KEY.*isn't set[\s\S]*R2_SECRET_KEY.*isn't set/);
    expect(seen.words('settings')).toMatch(/did you mean R2_BUCKET/);
    expect(seen.words('settings')).toMatch(/R2_CONCURRENCY from .*set \(r2-sync config set\)/);
    expect(seen.marks).toMatchObject({ output: 'good', state: 'good', name: 'skipped', put: 'skipped' });
    expect(seen.words('put')).toMatch(/because of the settings/);
    const worse = await diagnose(scene, { R2_SCAN_SECONDS: 'often' });
    expect(worse.code).toBe(2);
    expect(worse.marks).toMatchObject({ output: 'skipped', program: 'good', 'watch-limits': 'good' });
    expect(scene.double.requests).toHaveLength(0);
  });

  test('invariant 8: no secret in what it prints, whatever the store repeats', async (context) => {
    const secret = uniqueText('secret-');
    const scene = await makeScene(context);
    scene.double.fault = () => ({ status: 403, code: 'AccessDenied', message: `you sent ${secret}` });
    for (const args of [['doctor'], ['doctor', '--json']]) {
      const settings = {
        R2_SECRET_KEY: secret,
        R2_STATUS_HOST: '0.0.0.0',
        R2_STATUS_PORT: '8190',
        R2_STATUS_TOKEN: `${secret}-2`,
      };
      const { code, stdout, stderr } = await scene.command(args, settings);
      expect(code).toBe(4);
      expect(stdout + stderr).not.toContain(secret);
    }
  });
});

describe.concurrent('a volume that is wrong', () => {
  test('3 where the output directory is missing or a file', async (context) => {
    const scene = await makeScene(context);
    await rm(scene.place.output, { recursive: true });
    const missing = await diagnose(scene);
    expect(missing.code).toBe(3);
    expect(missing.words('output')).toMatch(/doesn't exist.*COMFYUI_OUTPUT_DIR/);
    // What doesn't need it is looked at all the same.
    expect(missing.marks).toMatchObject({ state: 'skipped', hints: 'skipped', put: 'good', winner: 'good' });
    await writeFile(scene.place.output, 'x');
    expect((await diagnose(scene)).words('output')).toMatch(/is not a directory/);
  });

  test('3 where this user may not write the state, and what that means', async (context) => {
    const scene = await makeScene(context);
    await chmod(scene.place.base, 0o755);
    await chmod(scene.place.output, 0o555);
    const { code, stdout } = await runAsNobody(scene);
    const seen = read(code, stdout);
    expect(seen.code).toBe(3);
    expect(seen.words('state')).toMatch(/EACCES.*as the user \d+.*Make it writable.*R2_STATE_DIR/);
    expect(seen.marks).toMatchObject({ output: 'good', hints: 'skipped', put: 'good' });
  });

  test('a state that an agent began in a folder alone is told', async (context) => {
    const scene = await makeScene(context);
    await mkdir(join(scene.place.output, 'alice', '.r2-sync'), { recursive: true });
    const seen = await diagnose(scene);
    expect(seen.code).toBe(0);
    expect(seen.words('other-states')).toMatch(/alice\/\.r2-sync.*delete that directory/);
  });

  test('watching that the kernel refuses is a warning: files are found by scanning', async (context) => {
    const inside = ['unshare', '-Ur', 'sh', '-c', 'echo 0 >/proc/sys/user/max_inotify_instances && exec "$@"', 'sh'];
    if (spawnSync(inside[0]!, [...inside.slice(1), 'true']).status !== 0) {
      console.warn('!!! WARNING: no user namespaces here: doctor without inotify was NOT TRIED.');
      return context.skip();
    }
    const scene = await makeScene(context);
    const [program, ...args] = [...inside, process.execPath, bundleFile, 'doctor', '--json'];
    const { code, stdout } = await collect(spawn(program!, args, { env: scene.env() }));
    const seen = read(code, stdout);
    expect(seen.code).toBe(0);
    expect(seen.marks.hints).toBe('warning');
    expect(seen.words('hints')).toMatch(/max_user_instances.*found by scanning/);
  });

  test('without inotifywait the other watcher is said to work', async (context) => {
    const scene = await makeScene(context);
    const seen = await diagnose(scene, { PATH: '/nonexistent' });
    expect([seen.code, seen.marks.hints]).toEqual([0, 'note']);
    expect(seen.words('hints')).toMatch(/not installed; @parcel\/watcher tells of a file.*inotify-tools/);
  });
});

describe.concurrent('killed half-way', () => {
  const leftovers = async (scene: Scene) =>
    (await readdir(scene.place.output)).filter((name) => name.startsWith('.r2-sync-doctor'));

  /** A doctor that hangs in its first question to the bucket, with its scratch directory on the volume. */
  async function startHangingDoctor(scene: Scene): Promise<ChildProcess> {
    let asked = false;
    scene.double.fault = ({ operation }) => {
      if (operation !== 'PutObject') return undefined;
      asked = true;
      return 'hang';
    };
    const child = spawn(process.execPath, [bundleFile, 'doctor'], { env: scene.env(), stdio: 'ignore' });
    await until(() => asked, 'the question');
    expect(await leftovers(scene)).toHaveLength(1);
    return child;
  }

  test('what it leaves is never uploaded, and the next one removes it', async (context) => {
    const scene = await makeScene(context);
    const child = await startHangingDoctor(scene);
    const ended = new Promise((resolve) => child.once('exit', resolve));
    // The process that makes the checks, which else would clean up.
    const checking = await readFile(`/proc/${child.pid}/task/${child.pid}/children`, 'utf8');
    process.kill(Number(checking.trim()), 'SIGKILL');
    expect(await ended).toBe(1);
    scene.double.fault = undefined;
    await scene.draw(...names(2));
    expect(await leftovers(scene)).toHaveLength(1);
    expect((await scene.command(['sync'])).code).toBe(0);
    await scene.expectStored(names(2));
    expect((await diagnose(scene)).code).toBe(0);
    expect(await leftovers(scene)).toEqual([]);
  });

  test('another doctor at work is left alone; SIGTERM, Ctrl-C and a kill leave nothing', async (context) => {
    const scene = await makeScene(context);
    for (const signal of ['SIGTERM', 'SIGINT', 'SIGKILL'] as const) {
      const child = await startHangingDoctor(scene);
      const ended = new Promise((resolve) => child.once('exit', resolve));
      scene.double.fault = undefined;
      expect((await diagnose(scene)).code).toBe(0);
      expect(await leftovers(scene)).toHaveLength(1);
      child.kill(signal);
      expect(await ended).toBe(signal === 'SIGKILL' ? null : 130);
      await until(async () => (await leftovers(scene)).length === 0, 'its directory to go');
    }
  });
});

async function runAsNobody(scene: Scene) {
  const user = process.getuid?.() === 0 ? { uid: 65_534, gid: 65_534 } : {};
  const settings = { R2_RUN_DIR: join(scene.place.base, 'run-of-nobody') };
  return collect(spawn(process.execPath, [bundleFile, 'doctor', '--json'], { env: scene.env(settings), ...user }));
}

async function collect(child: ChildProcess): Promise<{ code: number | string; stdout: string }> {
  let stdout = '';
  child.stdout!.on('data', (chunk: Buffer) => (stdout += chunk));
  const code = await new Promise<number | string>((resolve) =>
    child.on('close', (exit, signal) => resolve(exit ?? signal ?? -1)),
  );
  return { code, stdout };
}
