// Commands that run in a process of their own: what they say arrives whole, and a Ctrl-C ends them whatever that process does.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { appendFile, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, type TestContext, test } from 'vitest';
import { bundleFile, makeScene, type Scene } from '../agent/scene.ts';
import { until } from '../support/agent.ts';

const FILES = 3000;

/** A place whose ledger has more to tell than a pipe holds. */
async function longLedger(context: TestContext): Promise<Scene> {
  const scene = await makeScene(context);
  await scene.draw('a.png');
  expect((await scene.command(['sync'])).code).toBe(0);
  const state = join(scene.place.output, '.r2-sync');
  const names = await readdir(state, { recursive: true });
  const segment = join(state, names.find((name) => /ledger\..*\.jsonl$/.test(name))!);
  const line = await readFile(segment, 'utf8');
  const more = Array.from({ length: FILES - 1 }, (_, nth) => line.replace('"path":"a.png"', `"path":"b${nth}.png"`));
  await appendFile(segment, more.join(''));
  return scene;
}

describe('a command in a process of its own', () => {
  test('says all of it into a file, and into a pipe that nobody is quick to read', async (context) => {
    const scene = await longLedger(context);
    const file = join(scene.place.base, 'manifest.jsonl');
    const descriptor = openSync(file, 'w');
    const options = { env: scene.env() };
    const intoFile = spawn(process.execPath, [bundleFile, 'manifest'], {
      ...options,
      stdio: ['ignore', descriptor, 2],
    });
    closeSync(descriptor);
    expect(await once(intoFile, 'close')).toEqual([0, null]);
    const whole = await readFile(file, 'utf8');
    expect(whole.split('\n').filter(Boolean)).toHaveLength(FILES);

    // The shell's reader begins when the writer has had time to fill the pipe and to end, if it doesn't wait.
    const shell = '"$0" "$1" manifest | { sleep 1; cat; }';
    const intoPipe = spawn('sh', ['-c', shell, process.execPath, bundleFile], options);
    const pieces: Buffer[] = [];
    intoPipe.stdout.on('data', (piece: Buffer) => pieces.push(piece));
    await once(intoPipe, 'close');
    expect(Buffer.concat(pieces).toString()).toBe(whole);
  });

  test('ends quietly where nobody reads any more', async (context) => {
    const scene = await longLedger(context);
    const shell = '"$0" "$1" manifest | head -n 1';
    const child = spawn('sh', ['-c', shell, process.execPath, bundleFile], { env: scene.env() });
    let errors = '';
    child.stderr.on('data', (piece: Buffer) => (errors += piece));
    await once(child, 'close');
    expect(errors).toBe('');
  });

  test('gives the prompt back at Ctrl-C, even if that process can not end', async (context) => {
    const scene = await makeScene(context);
    let asked = false;
    scene.double.fault = () => {
      asked = true;
      return 'hang';
    };
    const child = spawn(process.execPath, [bundleFile, 'manifest', '--from', 'bucket'], { env: scene.env() });
    await until(() => asked, 'its first request');
    const apart = Number(await readFile(`/proc/${child.pid}/task/${child.pid}/children`, 'utf8'));
    context.onTestFinished(() => void process.kill(apart, 'SIGKILL'));
    // As good as a process whose call on a volume never comes back: no signal but this test's last ends it.
    process.kill(apart, 'SIGSTOP');
    child.kill('SIGINT');
    expect(await once(child, 'exit')).toEqual([130, null]);
  });
});
