// What the agent's tests share: a place, a store double and agents, all gone when the test is over; files to write, and
// the question that matters: is everything in the bucket, whole and once?
import { createHash } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { expect, type TestContext } from 'vitest';
import {
  agentEnv,
  makePlace,
  type Place,
  type RunningAgent,
  removePlace,
  runCommand,
  startAgent,
  type Target,
} from '../support/agent.ts';
import { makePng, makePngOfSize, noise } from '../support/media.ts';
import {
  type LoggedRequest,
  type StoreDouble,
  type StoreDoubleOptions,
  startStoreDouble,
} from '../support/store-double.ts';

/** What `npm test` builds first. */
export const bundleFile = new URL('../../dist/r2-sync.js', import.meta.url).pathname;

/** Scans often and waits little: no test depends on the defaults being waited for. */
const BRISK = { R2_SCAN_SECONDS: '1', R2_QUIET_SECONDS: '0.2' };

export interface Scene {
  place: Place;
  double: StoreDouble;
  /** The double's first bucket, with keys that fit. */
  target: Target;
  start(settings?: Record<string, string>, target?: Target | null): Promise<RunningAgent>;
  /** The environment of a command on this place. */
  env(settings?: Record<string, string>, target?: Target | null): NodeJS.ProcessEnv;
  command(args: readonly string[], settings?: Record<string, string>, input?: string): ReturnType<typeof runCommand>;
  /** Writes a small picture of its own bytes under each path. */
  draw(...paths: string[]): Promise<void>;
  /** Writes these bytes; directories are made. */
  write(path: string, bytes: Buffer): Promise<void>;
  /** Requests of this kind so far. */
  count(operation: LoggedRequest['operation']): number;
  /** Fails unless the bucket holds exactly these files, each once, whole, under a key with its hash. */
  expectStored(paths: readonly string[], bucket?: string): Promise<void>;
}

export async function makeScene(
  { onTestFinished }: Pick<TestContext, 'onTestFinished'>,
  options: StoreDoubleOptions = {},
): Promise<Scene> {
  const place = await makePlace();
  const double = await startStoreDouble(options);
  const agents: RunningAgent[] = [];
  onTestFinished(async () => {
    await Promise.all(agents.map(crash));
    await double.close();
    await removePlace(place);
  });
  const target = {
    endpoint: double.endpoint,
    bucket: [...double.buckets.keys()][0] ?? 'runpod',
    accessKeyId: double.settings.accessKeyId,
    secretAccessKey: double.settings.secretAccessKey,
  };
  const scene: Scene = {
    place,
    double,
    target,
    async start(settings = {}, other) {
      const agent = await startAgent(place, other === null ? undefined : (other ?? target), { ...BRISK, ...settings });
      agents.push(agent);
      return agent;
    },
    env: (settings = {}, other) =>
      agentEnv(place, other === null ? undefined : (other ?? target), { ...BRISK, ...settings }),
    command: (args, settings = {}, input = '') => runCommand(args, scene.env(settings), input),
    async draw(...paths) {
      for (const path of paths) await scene.write(path, picture(path));
    },
    async write(path, bytes) {
      const file = join(place.output, path);
      await mkdir(dirname(file), { recursive: true });
      await writeFile(file, bytes);
    },
    count: (operation) => double.requests.filter((request) => request.operation === operation).length,
    async expectStored(paths, bucket = target.bucket) {
      const expected = await Promise.all(
        paths.map(async (path) => ({ path, sha256: sha256Of(await readFile(join(place.output, path))) })),
      );
      const found = [...double.buckets.get(bucket)!].map(([key, object]) => {
        // Invariant 3: the bytes of every object hash to its key.
        const sha256 = object.body ? sha256Of(object.body) : object.sha256!;
        expect(key).toContain(sha256.slice(0, 16));
        expect(object.metadata.sha256).toBe(sha256);
        expect(object.metadata).not.toHaveProperty('incomplete');
        return { path: decodeURIComponent(object.metadata.path!), sha256 };
      });
      const byPath = (a: { path: string }, b: { path: string }) => (a.path < b.path ? -1 : 1);
      expect(found.sort(byPath)).toEqual(expected.sort(byPath));
    },
  };
  return scene;
}

/** A small PNG whose bytes depend on the text. */
export function picture(text: string): Buffer {
  return makePng({ seed: createHash('md5').update(text).digest().readInt32LE() });
}

/** A PNG of exactly so many MiB: above 8 it goes in parts. */
export function bigPicture(mebibytes: number, seed = 1): Buffer {
  return makePngOfSize(mebibytes * 2 ** 20, seed);
}

/** A text that is in no other text: a secret to look for. */
export function uniqueText(name: string): string {
  return `${name}${noise(16, Date.now() % 2 ** 31).toString('hex')}`;
}

export function sha256Of(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}

export function hasEnded({ process: child }: RunningAgent): boolean {
  return child.exitCode !== null || child.signalCode !== null;
}

/** Ends it the hard way. What it had started is ended too: nobody else would. */
export async function crash(agent: RunningAgent): Promise<void> {
  if (hasEnded(agent)) return;
  const { pid } = agent.process;
  const children = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8').catch(() => '');
  await agent.stop('SIGKILL');
  for (const child of children.split(' ').filter(Boolean)) {
    try {
      process.kill(Number(child), 'SIGKILL');
    } catch {
      // It ended by itself.
    }
  }
}

/** The log as people read it: the messages, one a line. */
export function messages(agent: RunningAgent): string {
  return agent
    .lines()
    .map(({ msg }) => String(msg))
    .join('\n');
}

/** `name-01.png` … */
export function names(count: number, name = 'picture', folder = ''): string[] {
  return Array.from({ length: count }, (_, at) => `${folder}${name}-${String(at + 1).padStart(3, '0')}.png`);
}
