// Prometheus' own programs, for tests: promtool checks and evaluates, prometheus scrapes.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { until } from './agent.ts';

/** What is missing for these tests, or undefined. */
export function prometheusMissing(): string | undefined {
  const missing = ['promtool', 'prometheus'].filter((program) => spawnSync(program, ['--version']).status !== 0);
  return missing.length === 0 ? undefined : `${missing.join(' and ')}, of Debian's package prometheus`;
}

/** Runs promtool; resolves with what it said, and whether it was content. */
export function promtool(args: readonly string[], input = ''): { ok: boolean; said: string } {
  const { status, stdout, stderr } = spawnSync('promtool', args, { input, encoding: 'utf8' });
  return { ok: status === 0, said: `${stdout}${stderr}` };
}

export interface Prometheus {
  /** The answer of its HTTP API: `data` of `/api/v1/<path>`. */
  ask(path: string): Promise<Record<string, never>>;
  stop(): Promise<void>;
}

/** A Prometheus with this configuration file, once it is ready. Its data are in `base`. */
export async function startPrometheus(base: string, configuration: string, port: number): Promise<Prometheus> {
  const child: ChildProcess = spawn(
    'prometheus',
    [
      `--config.file=${configuration}`,
      `--storage.tsdb.path=${join(base, 'tsdb')}`,
      `--web.listen-address=127.0.0.1:${port}`,
    ],
    { stdio: ['ignore', 'pipe', 'pipe'] },
  );
  let log = '';
  for (const stream of [child.stdout!, child.stderr!]) stream.on('data', (chunk: Buffer) => (log += chunk));
  const ended = new Promise((resolve) => child.once('exit', resolve));
  const url = `http://127.0.0.1:${port}`;
  await until(async () => {
    if (child.exitCode !== null) throw new Error(`prometheus ended:\n${log}`);
    return (await fetch(`${url}/-/ready`).catch(() => undefined))?.ok === true;
  }, 'prometheus to be ready');
  return {
    ask: async (path) =>
      ((await (await fetch(`${url}/api/v1/${path}`)).json()) as { data: Record<string, never> }).data,
    stop: async () => {
      child.kill('SIGTERM');
      await ended;
    },
  };
}
