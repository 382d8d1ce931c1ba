// What the other tests with Docker rely on: an engine of the test's own that leaves nothing behind.
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import { until } from '../../support/agent.ts';

export function privateEngine(): void {
  describe.skipIf(!existsSync('/usr/sbin/dockerd'))('a private Docker engine', () => {
    test('is gone with its containers and its files when the test that started it is killed', async () => {
      const networks = await readdir('/sys/class/net');
      const program = `
      const { startEngine } = await import(process.argv[1]);
      const engine = await startEngine();
      console.log(engine.env.DOCKER_HOST.slice('unix://'.length, -'/docker.sock'.length));
      await new Promise(() => setInterval(() => {}, 1000));`;
      const module = new URL('../../support/docker.ts', import.meta.url).href;
      const child = spawn(process.execPath, ['--input-type=module', '-e', program, module], {
        env: { ...process.env, R2_TEST_DOCKER: 'private' },
      });
      let output = '';
      for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (output += chunk));
      await until(() => output.endsWith('\n') || child.exitCode !== null, 'its engine');
      const base = output.trim();
      expect((await programsOf(base)).length, output).toBeGreaterThan(0);
      child.kill('SIGKILL');
      await until(() => !existsSync(base), 'its directory to go');
      expect(await programsOf(base)).toEqual([]);
      expect(await readFile('/proc/self/mounts', 'utf8')).not.toContain(base);
      // Another engine's docker0 among them, where there is one.
      const now = await readdir('/sys/class/net');
      expect(now.includes('docker0')).toBe(networks.includes('docker0'));
      expect(now.filter((name) => name.startsWith('r2s') && !networks.includes(name))).toEqual([]);
    });
  });
}

/** The command lines of what runs with that directory. */
async function programsOf(base: string): Promise<string[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const lines = await Promise.all(pids.map((pid) => readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')));
  return lines.filter((line) => line.includes(base));
}
