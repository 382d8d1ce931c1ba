// ComfyUI's web server without ComfyUI (comfyui-page/server.py): real aiohttp and, where a test wants it, the real front
// end. Both come from PyPI, once for a machine, into the directory for temporary files.
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort, until } from './agent.ts';

const REPO = new URL('../../', import.meta.url).pathname;
/** What ComfyUI 0.38.1 asks for, the release that the image is built from. */
export const FRONT_END = '1.53.10';

/**
 * For `describe.skipIf(!pythonIsThere('…'))`: installs what the server needs. Where that can't be done it says loudly which
 * tests don't run, and throws where they must (R2_REQUIRE_SYSTEM=1). `COMFYUI_FRONT_END` names another front end.
 */
export function pythonIsThere(what: string): boolean {
  const trouble = install();
  if (trouble === undefined) return true;
  const why = `NOT RUN: ${what} (needs python3 with venv, and PyPI: ${trouble})`;
  if (process.env.R2_REQUIRE_SYSTEM === '1') throw new Error(why);
  console.warn(why);
  return false;
}

export interface ComfyUIPage {
  /** Without a slash at its end. */
  readonly url: string;
  log(): string;
  close(): Promise<void>;
}

/** `env`: what ComfyUI's environment has beside PATH. */
export async function startComfyUIPage(
  env: Record<string, string>,
  options: { frontEnd?: boolean; nodes?: string } = {},
): Promise<ComfyUIPage> {
  const port = await freePort();
  const args = ['--port', String(port), '--nodes', options.nodes ?? join(REPO, 'docker/nodes')];
  if (options.frontEnd) args.push('--front-end', frontEndDirectory());
  const server = spawn(python(), [join(REPO, 'test/support/comfyui-page/server.py'), ...args], {
    env: { PATH: process.env.PATH, PYTHONDONTWRITEBYTECODE: '1', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let log = '';
  for (const stream of [server.stdout, server.stderr]) stream.on('data', (chunk: Buffer) => (log += chunk));
  const ended = new Promise<void>((resolve) => server.once('exit', () => resolve()));
  const url = `http://127.0.0.1:${port}`;
  await until(async () => {
    if (server.exitCode !== null) throw new Error(`the stand-in for ComfyUI's page ended:\n${log}`);
    return (await fetch(`${url}/queue`).catch(() => undefined))?.ok === true;
  }, "the stand-in for ComfyUI's page");
  return {
    url,
    log: () => log,
    async close() {
      server.kill('SIGKILL');
      await ended;
    },
  };
}

// Test files run at the same time: who comes second waits until the first has installed it.
const INSTALL = `
set -e
if [ -e "$place/done" ]; then exit; fi
rm -rf "$place"
python3 -m venv "$place"
"$place/bin/python" -m pip --disable-pip-version-check install --quiet --no-cache-dir "$@"
touch "$place/done"
`;

/** Undefined once everything is there; else why it isn't. */
function install(): string | undefined {
  const args = [`${place()}.lock`, 'sh', '-c', INSTALL, 'sh', ...requirements()];
  const env = { ...process.env, place: place() };
  const { status, stderr, error } = spawnSync('flock', args, { env, encoding: 'utf8' });
  return status === 0 ? undefined : (error?.message ?? stderr).trim().split('\n').pop();
}

/** aiohttp as the image has it. */
function requirements(): string[] {
  const pins = readFileSync(join(REPO, 'docker/constraints.txt'), 'utf8');
  const aiohttp = /^aiohttp==\S+/m.exec(pins)![0];
  return [aiohttp, `comfyui-frontend-package==${process.env.COMFYUI_FRONT_END || FRONT_END}`];
}

function place(): string {
  const key = createHash('sha256').update(requirements().join()).digest('hex').slice(0, 12);
  return join(tmpdir(), `r2-sync-test-python-${key}`);
}

function python(): string {
  return join(place(), 'bin/python');
}

function frontEndDirectory(): string {
  const code = 'import comfyui_frontend_package as p, os; print(os.path.join(os.path.dirname(p.__file__), "static"))';
  return spawnSync(python(), ['-c', code], { encoding: 'utf8' }).stdout.trim();
}
