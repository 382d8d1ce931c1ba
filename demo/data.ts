// What the demo keeps in its data directory: one demo at a time, the simulator at the same address every time (the
// agent takes another address for another bucket), and the settings that `r2-sync` reads in another terminal.
import { chmodSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { type RunningMiniflare, startMiniflare } from '../test/support/miniflare.ts';
import type { S3Place } from '../test/support/s3-client.ts';
import { DemoError } from './errors.ts';

/** Makes the directory ours until the process ends. Throws DemoError if a demo uses it already. */
export function claimData(data: string): void {
  mkdirSync(data, { recursive: true });
  const file = join(data, 'demo.pid');
  for (;;) {
    try {
      writeFileSync(file, `${process.pid}\n`, { flag: 'wx' });
      process.once('exit', () => rmSync(file, { force: true }));
      return;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
    const pid = Number(readFileSync(file, 'utf8'));
    if (isDemo(pid)) {
      throw new DemoError(`A demo runs on ${data} already (process ${pid}): stop it with Ctrl-C where it runs, or
give this one directories of its own: npm run demo -- --output DIR --data DIR`);
    }
    rmSync(file, { force: true });
  }
}

function isDemo(pid: number): boolean {
  if (!(pid > 0) || pid === process.pid) return false;
  try {
    process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
  try {
    // Numbers of processes come again.
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('demo');
  } catch {
    return true;
  }
}

/** The simulator that keeps its bucket in the data directory. Rejects with DemoError if it can't be started. */
export async function startSimulator(data: string): Promise<RunningMiniflare> {
  const port = Number(new URL(readSimulator(data)?.endpoint ?? 'http://127.0.0.1').port);
  const simulator = await startMiniflare({
    persist: join(data, 'bucket'),
    port: port > 0 ? await freePort(port) : 0,
  }).catch((cause) => {
    throw new DemoError(`Cloudflare's R2 simulator doesn't start: ${cause}`, { cause });
  });
  const { endpoint, bucket, accessKeyId, secretAccessKey } = simulator;
  writePrivately(
    join(data, 'simulator.json'),
    JSON.stringify({ endpoint, bucket, accessKeyId, secretAccessKey } satisfies S3Place, null, 2),
  );
  return simulator;
}

/** Where the simulator is, or was when it last ran. */
export function readSimulator(data: string): S3Place | undefined {
  try {
    return JSON.parse(readFileSync(join(data, 'simulator.json'), 'utf8')) as S3Place;
  } catch {
    return undefined;
  }
}

/** The preferred port if nobody listens there, else any other. */
export function freePort(preferred = 0): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', (error) => (preferred === 0 ? reject(error) : resolve(freePort())));
    server.listen(preferred, '127.0.0.1', () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });
}

/** The agent's R2_RUN_DIR. */
export function runDirectory(data: string): string {
  return join(data, 'run');
}

/** Notes settings where `R2_RUN_DIR=… r2-sync …` finds them, and forgets those of an earlier demo. */
export function noteSettings(data: string, settings: Record<string, string>): void {
  const directory = runDirectory(data);
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory, { mode: 0o700 });
  const lines = Object.entries(settings).map(([name, value]) => `${name}=${JSON.stringify(value)}\n`);
  writePrivately(join(directory, 'env'), lines.join(''));
}

function writePrivately(file: string, text: string): void {
  writeFileSync(file, text, { mode: 0o600 });
  chmodSync(file, 0o600);
}
