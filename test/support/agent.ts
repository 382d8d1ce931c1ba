// A real agent for tests: dist/r2-sync.js as a child process, with an output directory, run directory and port of its
// own. `npm test` builds dist first.
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Snapshot } from '../../src/status/snapshot.ts';

/** As long as nothing is broken nobody waits so long, however busy the machine is: test files run at the same time. */
const PATIENCE_SECONDS = 60;

const BUNDLE = new URL('../../dist/r2-sync.js', import.meta.url).pathname;

export interface Place {
  /** Removed at the end. */
  base: string;
  output: string;
  runDir: string;
}

/** A directory of the test's own with an output directory and a run directory in it. */
export async function makePlace(): Promise<Place> {
  const base = await mkdtemp(join(tmpdir(), 'r2-sync-test-'));
  const place = { base, output: join(base, 'output'), runDir: join(base, 'run') };
  await mkdir(place.output);
  return place;
}

export async function removePlace(place: Place): Promise<void> {
  await rm(place.base, { recursive: true, force: true });
}

export interface Target {
  endpoint: string;
  bucket: string;
  accessKeyId: string;
  secretAccessKey: string;
}

export interface RunningAgent {
  readonly process: ChildProcess;
  readonly url: string;
  /** Everything that it printed so far. */
  log(): string;
  /** The log's JSON lines. */
  lines(): Record<string, unknown>[];
  /** The same, each with the moment at which it was heard: epoch ms by the clock of this process. */
  heard(): { at: number; line: Record<string, unknown> }[];
  snapshot(): Promise<Snapshot>;
  /** Waits until the snapshot is as wished; fails with the last one and the log after `seconds`. */
  until(wish: (snapshot: Snapshot) => boolean, what: string, seconds?: number): Promise<Snapshot>;
  /** Sends SIGTERM (or another signal) and resolves with the exit code, or the signal's name. */
  stop(signal?: NodeJS.Signals): Promise<number | string>;
}

/** What the command line needs to use this place and this target; nothing else of our environment goes along. */
export function agentEnv(
  place: Place,
  target: Target | undefined,
  settings: Record<string, string> = {},
): NodeJS.ProcessEnv {
  return {
    PATH: process.env.PATH,
    HOME: place.base,
    ...(target
      ? {
          R2_ENDPOINT: target.endpoint,
          R2_BUCKET: target.bucket,
          R2_ACCESS_KEY: target.accessKeyId,
          R2_SECRET_KEY: target.secretAccessKey,
        }
      : {}),
    COMFYUI_OUTPUT_DIR: place.output,
    R2_RUN_DIR: place.runDir,
    R2_STATUS_PORT: '0',
    // The machine that tests run on may have a full disk.
    R2_LOW_SPACE_MB: '0',
    ...settings,
  };
}

interface StartOptions {
  /** Whom it runs as; only root may choose. */
  uid?: number;
  gid?: number;
  /** For Node, before the program. */
  nodeArgs?: readonly string[];
  /** Default: the one in dist. */
  bundle?: string | undefined;
}

/** `r2-sync run`, once its status page answers. */
export async function startAgent(
  place: Place,
  target: Target | undefined,
  settings: Record<string, string> = {},
  { nodeArgs = [], bundle = BUNDLE, ...user }: StartOptions = {},
): Promise<RunningAgent> {
  const port = Number(settings.R2_STATUS_PORT ?? (await freePort()));
  const child = spawn(process.execPath, [...nodeArgs, bundle, 'run'], {
    env: agentEnv(place, target, { R2_STATUS_PORT: String(port), ...settings }),
    stdio: ['ignore', 'pipe', 'pipe'],
    ...user,
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (output += chunk.toString()));
  const heard: { at: number; line: Record<string, unknown> }[] = [];
  createInterface({ input: child.stdout }).on('line', (line) => {
    if (line.startsWith('{') && line.endsWith('}')) heard.push({ at: Date.now(), line: JSON.parse(line) });
  });
  const ended = new Promise<number | string>((resolve) =>
    child.on('exit', (code, signal) => resolve(code ?? signal ?? -1)),
  );
  const url = `http://127.0.0.1:${port}`;
  // Beyond loopback the page asks for its token: without it a start would never be noticed, nor the agent ended.
  const token = settings.R2_STATUS_TOKEN;
  // As our own commands ask: for the state as it is now.
  const headers = { 'x-r2-sync': '1', ...(token === undefined ? {} : { authorization: `Bearer ${token}` }) };
  const snapshot = async () => (await (await fetch(`${url}/api/status`, { headers })).json()) as Snapshot;
  const agent: RunningAgent = {
    process: child,
    url,
    log: () => output,
    lines: () => output.split('\n').flatMap((line) => (line.startsWith('{') ? [JSON.parse(line)] : [])),
    heard: () => heard,
    snapshot,
    until: async (wish, what, seconds = PATIENCE_SECONDS) => {
      let last: Snapshot | undefined;
      const deadline = performance.now() + seconds * 1000;
      while (performance.now() < deadline) {
        if (child.exitCode !== null || child.signalCode !== null)
          throw new Error(`the agent ended while waiting for: ${what}\n${output}`);
        last = await snapshot().catch(() => undefined);
        if (last && wish(last)) return last;
        await pause(25);
      }
      throw new Error(`waited ${seconds} s in vain for: ${what}\n${JSON.stringify(last, null, 1)}\n${output}`);
    },
    stop: (signal = 'SIGTERM') => {
      child.kill(signal);
      return ended;
    },
  };
  // Nobody else would end it: it isn't known to the test yet.
  await agent
    .until(() => true, 'the status page')
    .catch((error) => {
      void agent.stop('SIGKILL');
      throw error;
    });
  return agent;
}

/** Any other command, run to its end. */
export async function runCommand(
  args: readonly string[],
  env: NodeJS.ProcessEnv,
  input = '',
): Promise<{ code: number | string; stdout: string; stderr: string }> {
  const child = spawn(process.execPath, [BUNDLE, ...args], { env, stdio: ['pipe', 'pipe', 'pipe'] });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  child.stdin.on('error', () => {});
  child.stdin.end(input);
  const code = await new Promise<number | string>((resolve) =>
    child.on('close', (exit, signal) => resolve(exit ?? signal ?? -1)),
  );
  return { code, stdout, stderr };
}

/** Waits for a condition; fails after `seconds`. */
export async function until(
  wish: () => boolean | Promise<boolean>,
  what: string,
  seconds = PATIENCE_SECONDS,
): Promise<void> {
  const deadline = performance.now() + seconds * 1000;
  while (performance.now() < deadline) {
    if (await wish()) return;
    await pause(20);
  }
  throw new Error(`waited ${seconds} s in vain for: ${what}`);
}

const PORTS_EACH = 2000;
const firstPort = 20_000 + (Number(process.env.VITEST_POOL_ID ?? 0) % 6) * PORTS_EACH;
let portsGiven = Math.floor(Math.random() * PORTS_EACH);

/**
 * A port that nobody listens on, and that isn't given again soon. Each worker has its own, below those that the system
 * takes for connections: between the look and its use nobody else gets it.
 */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = firstPort + (portsGiven++ % PORTS_EACH);
    const server = createServer();
    const isFree = await new Promise<boolean>((resolve) => {
      server.once('error', () => resolve(false));
      server.listen(port, '127.0.0.1', () => resolve(true));
    });
    if (!isFree) continue;
    await new Promise((resolve) => server.close(resolve));
    return port;
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
