// Commands that act: sync, run, exec, config set.

import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, type TestContext, test } from 'vitest';
import { bigPicture, bundleFile, makeScene, messages, names, picture, type Scene } from '../agent/scene.ts';
import { freePort, until } from '../support/agent.ts';

describe.concurrent('sync: one pass', () => {
  test('0 when all is stored, with facts as JSON', async (context) => {
    const scene = await makeScene(context);
    await scene.draw(...names(5, 'p', 'sub/'));
    await scene.write('big.png', bigPicture(9));
    const { code, stdout } = await scene.command(['sync', '--json']);
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ safeToStop: true, totals: { storedFiles: 6, pendingFiles: 0 } });
    await scene.expectStored([...names(5, 'p', 'sub/'), 'big.png']);
    const again = await scene.command(['sync']);
    expect(again.code).toBe(0);
    expect(again.stdout).toMatch(/All 6 files are in the bucket/);
    expect(scene.count('PutObject')).toBe(5);
  });

  test('3 when something is left, 4 when the store refuses us, 2 when the settings are wrong', async (context) => {
    const scene = await makeScene(context);
    await scene.draw('a.png');
    await scene.write('torn.png', picture('torn').subarray(0, 400));
    expect((await scene.command(['sync'])).code).toBe(3);
    await scene.draw('b.png');
    const refused = await scene.command(['sync'], { R2_ACCESS_KEY: 'x'.repeat(32) });
    expect(refused.code).toBe(4);
    expect(refused.stdout).toMatch(/R2_ACCESS_KEY and R2_SECRET_KEY/);
    const unreachable = await scene.command(['sync'], { R2_ENDPOINT: `http://127.0.0.1:${await freePort()}` });
    expect(unreachable.code).toBe(3);
    expect(unreachable.stdout).toMatch(/nothing listens there/);
    expect((await scene.command(['sync'], { R2_BUCKET: '-' })).code).toBe(2);
    await scene.expectStored(['a.png']);
  });
});

describe.concurrent('run', () => {
  test('waits for an output directory that is made later, and says so', async (context) => {
    const scene = await makeScene(context);
    await rm(scene.place.output, { recursive: true });
    const agent = await scene.start();
    const seen = await agent.until(({ state }) => state === 'degraded', 'degraded');
    expect(seen.reasons.join()).toMatch(/output directory .* doesn't exist yet; it is waited for.*COMFYUI_OUTPUT_DIR/);
    expect(seen.safeToStop).toBe(false);
    await scene.draw('sub/a.png', 'b.png');
    await agent.until(({ safeToStop, totals }) => safeToStop && totals.storedFiles === 2, 'stored');
    await scene.expectStored(['sub/a.png', 'b.png']);
  });

  test('an output directory that is a file is said to be one', async (context) => {
    const scene = await makeScene(context);
    const file = join(scene.place.base, 'a-file');
    await writeFile(file, 'x');
    const agent = await scene.start({ COMFYUI_OUTPUT_DIR: file });
    await agent.until(({ reasons }) => /is not a directory.*COMFYUI_OUTPUT_DIR/.test(reasons.join()), 'said');
    expect(await agent.stop()).toBe(3);
  });

  test('goes on when the output directory is removed and made again', async (context) => {
    const scene = await makeScene(context);
    await scene.draw('a.png');
    const agent = await scene.start();
    await agent.until(({ safeToStop, totals }) => safeToStop && totals.storedFiles === 1, 'stored');
    await rm(scene.place.output, { recursive: true });
    await agent.until(({ reasons }) => /doesn't exist/.test(reasons.join()), 'missed');
    await scene.draw('b.png');
    await agent.until(({ safeToStop }) => safeToStop, 'stored');
    await until(() => scene.double.objects.size === 2, 'the new one');
  });
});

describe.concurrent('exec: the agent beside any command', () => {
  test("passes the command's exit code on, after what it wrote is stored", async (context) => {
    const scene = await makeScene(context);
    await writeFile(join(scene.place.base, 'a.png'), picture('a'));
    // Over before the agent has begun.
    const { code } = await scene.command(['exec', '--', 'sh', '-c', 'cp "$HOME/a.png" "$COMFYUI_OUTPUT_DIR"; exit 7']);
    expect(code).toBe(7);
    await scene.expectStored(['a.png']);
  });

  test('127 for a command that is not there', async (context) => {
    const scene = await makeScene(context);
    const { code, stderr } = await scene.command(['exec', '--', 'no-such-command-here']);
    expect(code).toBe(127);
    expect(stderr).toMatch(/can't run no-such-command-here/);
  });

  test('forwards signals, and drains what the command leaves', async (context) => {
    const scene = await makeScene(context);
    await writeFile(join(scene.place.base, 'last.png'), picture('last'));
    // A program that writes its last output when it is told to stop.
    const script = `trap 'cp "$HOME/last.png" "$COMFYUI_OUTPUT_DIR"; exit 5' TERM; trap 'echo usr1' USR1; echo up; while :; do sleep 0.05; done`;
    const { child, printed, ended } = startExec(scene, ['sh', '-c', script], context);
    await until(() => printed().includes('up'), 'the command');
    child.kill('SIGUSR1');
    await until(() => printed().includes('usr1'), 'the signal');
    child.kill('SIGTERM');
    expect(await ended).toBe(5);
    await scene.expectStored(['last.png']);
  });

  test('a second Ctrl-C ends a drain that would take long', async (context) => {
    const scene = await makeScene(context);
    await scene.draw('a.png');
    scene.double.fault = () => 'hang';
    const settings = { R2_DRAIN_SECONDS: '600' };
    const { child, printed, ended } = startExec(scene, ['sh', '-c', 'echo up; exec sleep 600'], context, settings);
    await until(() => printed().includes('up'), 'the command');
    child.kill('SIGINT');
    await until(() => printed().includes('stopping: uploading what is there'), 'the drain');
    child.kill('SIGINT');
    expect(await ended).toBe(130);
    expect(scene.double.objects.size).toBe(0);
  });

  test('the command and the drain get the time they need, not five seconds', async (context) => {
    const scene = await makeScene(context);
    await writeFile(join(scene.place.base, 'last.png'), picture('last'));
    // It takes no upload before it has been asked for longer than that.
    let first = Number.POSITIVE_INFINITY;
    scene.double.fault = ({ operation }) => {
      if (operation === 'PutObject') first = Math.min(first, performance.now());
      return performance.now() - first < 6000 ? { status: 503, code: 'SlowDown' } : undefined;
    };
    const script = `trap 'cp "$HOME/last.png" "$COMFYUI_OUTPUT_DIR"; sleep 6; exit 5' TERM; echo up; while :; do sleep 0.05; done`;
    const { child, printed, ended } = startExec(scene, ['sh', '-c', script], context, { R2_DRAIN_SECONDS: '50' });
    await until(() => printed().includes('up'), 'the command');
    child.kill('SIGTERM');
    expect(await ended).toBe(5);
    await scene.expectStored(['last.png']);
  });

  test('an exec that is killed takes its agent along, once that has uploaded what is there', async (context) => {
    const scene = await makeScene(context);
    await scene.draw('a.png');
    const { child, printed } = startExec(scene, ['sh', '-c', 'echo up; exec sleep 600'], context);
    await until(() => scene.double.objects.size === 1, 'the upload');
    const [agent] = await childrenOf(child.pid!, 'run');
    const [sleeper] = await childrenOf(child.pid!, 'sleep');
    context.onTestFinished(() => void process.kill(sleeper!, 'SIGKILL'));
    child.kill('SIGKILL');
    await until(() => printed().includes('stopped: all 1 files are in the bucket'), 'the drain');
    await until(() => !existsSync(`/proc/${agent}`), 'the end');
  });

  test("invariant 9: the command gets its own environment: neither our keys nor our malloc's settings", async (context) => {
    const scene = await makeScene(context);
    // As people start it: by its name, whose first line sets what malloc reads.
    const command = [bundleFile, 'exec', '--', 'sh', '-c', 'env > "$HOME/env"; env | grep -c MALLOC'];
    const { child, printed, ended } = startBundle(scene, command, context, { MALLOC_PERTURB_: '0' });
    expect(child.pid).toBeGreaterThan(0);
    expect([await ended, printed()]).toEqual([0, expect.stringMatching(/^1$/m)]);
    const environment = await readFile(join(scene.place.base, 'env'), 'utf8');
    expect(environment).toContain('MALLOC_PERTURB_=0');
    expect(environment).not.toContain(scene.target.secretAccessKey);
  });

  test('128 and the number of the signal that killed the command', async (context) => {
    const scene = await makeScene(context);
    const { code } = await scene.command(['exec', '--', 'sh', '-c', 'kill -9 $$']);
    expect(code).toBe(137);
  });

  test('an agent that dies is started again; the command does not notice', async (context) => {
    const scene = await makeScene(context);
    const port = await freePort();
    const settings = { R2_STATUS_PORT: String(port) };
    const { child, printed, ended } = startExec(scene, ['sh', '-c', 'echo up; read line'], context, settings);
    const page = () =>
      fetch(`http://127.0.0.1:${port}/api/status`).then(
        (r) => r.ok,
        () => false,
      );
    await until(page, 'the agent');
    const [agent] = await childrenOf(child.pid!, 'run');
    for (const watcher of await childrenOf(agent!, 'inotifywait')) process.kill(watcher, 'SIGKILL');
    process.kill(agent!, 'SIGKILL');
    await until(() => /ended unexpectedly; it is started again/.test(printed()), 'its end is noticed');
    await scene.draw('a.png');
    await until(() => scene.double.objects.size === 1, 'the next agent uploads');
    child.stdin.end('\n');
    expect(await ended).toBe(0);
    await scene.expectStored(['a.png']);
  });

  test('an agent that is dead when the command ends is started once more to drain', async (context) => {
    const scene = await makeScene(context);
    const port = await freePort();
    const settings = { R2_STATUS_PORT: String(port) };
    const { child, printed, ended } = startExec(scene, ['sh', '-c', 'echo up; read line'], context, settings);
    await until(
      () =>
        fetch(`http://127.0.0.1:${port}/healthz`).then(
          (r) => r.ok,
          () => false,
        ),
      'the agent',
    );
    const [agent] = await childrenOf(child.pid!, 'run');
    for (const watcher of await childrenOf(agent!, 'inotifywait')) process.kill(watcher, 'SIGKILL');
    process.kill(agent!, 'SIGKILL');
    await until(() => /ended unexpectedly/.test(printed()), 'its end is noticed');
    await scene.draw('a.png');
    child.stdin.end('\n');
    expect(await ended).toBe(0);
    await scene.expectStored(['a.png']);
  });
});

describe.concurrent('config set', () => {
  test('an unknown name is refused with the nearest one: 2', async (context) => {
    const scene = await makeScene(context);
    const { code, stderr } = await scene.command(['config', 'set', 'R2_BUCKT=mine']);
    expect(code).toBe(2);
    expect(stderr).toMatch(/R2_BUCKT is no setting[\s\S]*Did you mean R2_BUCKET\?/);
  });

  test('a wrong value is refused and nothing is kept: 2', async (context) => {
    const scene = await makeScene(context);
    const { code, stderr } = await scene.command(['config', 'set', 'R2_SCAN_SECONDS=often']);
    expect(code).toBe(2);
    expect(stderr).toMatch(/R2_SCAN_SECONDS/);
    await expect(stat(join(scene.place.runDir, 'set'))).rejects.toThrow(/ENOENT/);
    expect((await scene.command(['config', 'set', 'R2_SECRET_KEY'], {}, '')).code).toBe(2);
  });

  test('several at once, for us alone to read, and an empty value forgets', async (context) => {
    const scene = await makeScene(context);
    const file = join(scene.place.runDir, 'set');
    const set = await scene.command(['config', 'set', 'R2_BUCKET=mine', 'R2_SCAN_SECONDS=30']);
    expect(set).toMatchObject({ code: 0 });
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    expect(await readFile(file, 'utf8')).toMatch(/R2_BUCKET=.*mine[\s\S]*R2_SCAN_SECONDS=.*30/);
    const forget = await scene.command(['config', 'set', 'R2_BUCKET=']);
    expect(forget.stdout).toMatch(/R2_BUCKET is forgotten/);
    expect(await readFile(file, 'utf8')).not.toMatch(/R2_BUCKET/);
  });

  test('the running agent takes it up and says so, without losing an upload that is under way', async (context) => {
    const scene = await makeScene(context);
    scene.double.settings.latencyMs = 200;
    await scene.draw(...names(12));
    const agent = await scene.start({ R2_CONCURRENCY: '2' });
    await until(() => scene.double.objects.size >= 2, 'under way');
    await scene.command(['config', 'set', 'R2_CONCURRENCY=3']);
    await until(() => messages(agent).includes('the settings have changed'), 'noticed');
    await agent.until(({ safeToStop, totals }) => safeToStop && totals.storedFiles === 12, 'stored');
    await scene.expectStored(names(12));
  });
});

function startExec(
  scene: Scene,
  command: string[],
  context: Pick<TestContext, 'onTestFinished'>,
  settings: Record<string, string> = {},
) {
  return startBundle(scene, [process.execPath, bundleFile, 'exec', '--', ...command], context, settings);
}

/** Any command line that leads to the bundle. */
function startBundle(
  scene: Scene,
  [program, ...args]: readonly string[],
  { onTestFinished }: Pick<TestContext, 'onTestFinished'>,
  settings: Record<string, string> = {},
) {
  const child = spawn(program!, args, { env: scene.env(settings) });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (output += chunk.toString()));
  const ended = new Promise<number | string>((resolve) =>
    child.on('exit', (code, signal) => resolve(code ?? signal ?? -1)),
  );
  onTestFinished(() => void child.kill('SIGTERM'));
  return { child, ended, printed: () => output };
}

/** Children of a process whose command line has this word. */
async function childrenOf(pid: number, word: string): Promise<number[]> {
  const text = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8').catch(() => '');
  const found: number[] = [];
  for (const child of text.split(' ').filter(Boolean).map(Number)) {
    const words = (await readFile(`/proc/${child}/cmdline`, 'utf8').catch(() => '')).split('\0');
    if (words.includes(word)) found.push(child);
  }
  return found;
}
