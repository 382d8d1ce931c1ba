// What tests of the whole agent share: a store double with an agent on it, and what must be true of every object.
import { createHash } from 'node:crypto';
import { access, mkdir, writeFile } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { expect } from 'vitest';
import { decodeName } from '../../src/paths.ts';
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
import { percentDecode } from '../support/percent.ts';
import { type StoreDouble, startStoreDouble } from '../support/store-double.ts';

/** So that what waits for quiet, or for a scan, doesn't wait long. */
const QUICK = { R2_SCAN_SECONDS: '0.5', R2_QUIET_SECONDS: '0.3' };

/** No program is found there, inotifywait least of all. */
export const NO_PROGRAMS = { PATH: '/nonexistent' };

export interface Bench {
  store: StoreDouble;
  place: Place;
  target: Target;
  /** `r2-sync run`. */
  start(settings?: Record<string, string>): Promise<RunningAgent>;
  /** Any other command, to its end. */
  command(args: readonly string[], settings?: Record<string, string>): ReturnType<typeof runCommand>;
  /** A path in the output directory. */
  at(path: string): string;
  /** Ends what was started and removes everything. */
  close(): Promise<void>;
}

export async function makeBench(): Promise<Bench> {
  const store = await startStoreDouble();
  const place = await makePlace();
  const { accessKeyId, secretAccessKey } = store.settings;
  const target = { endpoint: store.endpoint, bucket: 'runpod', accessKeyId, secretAccessKey };
  const agents: RunningAgent[] = [];
  return {
    store,
    place,
    target,
    start: async (settings = {}) => {
      const agent = await startAgent(place, target, { ...QUICK, ...settings });
      agents.push(agent);
      return agent;
    },
    command: (args, settings = {}) => runCommand(args, agentEnv(place, target, { ...QUICK, ...settings })),
    at: (path) => join(place.output, path),
    close: async () => {
      // The first signal begins a drain, the second ends it.
      for (const agent of agents) void agent.stop();
      for (const agent of agents) await agent.stop();
      // The inotifywait of an agent that was killed ends with its next event.
      await mkdir(place.output, { recursive: true }).catch(() => {});
      await writeFile(join(place.output, 'end'), '').catch(() => {});
      await store.close();
      await removePlace(place);
    },
  };
}

/** Invariant 3, for everything that is in the bucket: the bytes hash to what metadata and key say. */
export function expectTrueObjects({ objects }: StoreDouble): void {
  for (const [key, { body, metadata }] of objects) {
    const sha256 = hashOf(body!);
    expect({ key, sha256: metadata.sha256 }).toEqual({ key, sha256 });
    expect(key).toContain(`-${sha256.slice(0, 16)}`);
  }
}

/** The bytes that are in the bucket of each path (as `decodeName` gives it), in the order in which they came. */
export function storedVersions({ objects }: StoreDouble): Map<string, Buffer[]> {
  const versions = new Map<string, Buffer[]>();
  for (const { body, metadata } of [...objects.values()].sort((a, b) => a.storedAt - b.storedAt)) {
    const path = decodeName(percentDecode(metadata.path!));
    versions.set(path, [...(versions.get(path) ?? []), body!]);
  }
  return versions;
}

/** What came last of a path. */
export function lastVersion(store: StoreDouble, path: string): Buffer | undefined {
  return storedVersions(store).get(path)?.at(-1);
}

export function hashOf(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** Whether a file of the snapshot waits for this reason. */
export function waits(snapshot: { pending: { path: string; state: string }[] }, path: string, reason: RegExp): boolean {
  return snapshot.pending.some((file) => file.path === path && reason.test(file.state));
}

/** The source of hints that says when a writer closed is there. */
export const inotifywaitIsInstalled = await Promise.any(
  (process.env.PATH ?? '').split(delimiter).map((dir) => access(join(dir, 'inotifywait'))),
).then(
  () => true,
  () => false,
);
