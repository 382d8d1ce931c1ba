// Who shares the machine with the agent and may read what it knows.
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { expect, test } from 'vitest';
import { makeScene } from '../agent/scene.ts';

const isRoot = process.getuid?.() === 0;

test.skipIf(!isRoot)(
  'with another user for ComfyUI, nodes can read the keys neither in /proc nor in the run directory',
  async (context) => {
    const scene = await makeScene(context);
    const runDir = await mkdtemp(join(tmpdir(), 'r2-sync-security-'));
    context.onTestFinished(() => rm(runDir, { recursive: true, force: true }));
    const secret = scene.target.secretAccessKey;
    const agent = await scene.start({ R2_RUN_DIR: runDir });
    await scene.command(['config', 'set', 'R2_SCAN_SECONDS=2', `R2_BUCKET=${scene.target.bucket}`], {
      R2_RUN_DIR: runDir,
    });
    const files = [`/proc/${agent.process.pid}/environ`, join(runDir, 'set')];
    const read = (file: string, ...as: string[]) => execa('setpriv', [...as, 'cat', file], { reject: false });
    const nobody = ['--reuid=12345', '--regid=12345', '--clear-groups', '--'];
    for (const file of files) {
      const { exitCode, stdout } = await read(file, ...nobody);
      expect({ file, exitCode, told: stdout }).toEqual({ file, exitCode: 1, told: '' });
    }
    // What would be read otherwise, so that the test can fail.
    const [environ, set] = await Promise.all(files.map((file) => read(file, '--reuid=0', '--')));
    expect(environ!.stdout).toContain(secret);
    expect(set!.stdout).toContain('R2_SCAN_SECONDS');
    // Others may pass through the directory above, as through /run: it is the directory itself that is closed.
    await chmod(runDir, 0o755);
    expect((await read(files[1]!, ...nobody)).exitCode).toBe(1);
  },
);
