// Several pods on one volume and one bucket, as a team has them: agents that are real processes, a store in this process
// that notes who sent what, and files that are written on any mount.

import { existsSync } from 'node:fs';
import * as fs from 'node:fs/promises';
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { TestContext } from 'vitest';
import { folderDirName, locateState } from '../../src/ledger/location.ts';
import { decodeName, directoryOf, folderOf, fsPath, printable } from '../../src/paths.ts';
import { storedVersions } from '../agent/bucket.ts';
import { until } from '../support/agent.ts';
import { percentDecode } from '../support/percent.ts';
import type { SharedVolume } from '../support/shared-volume.ts';
import { type FaultRequest, type StoreDouble, startStoreDouble } from '../support/store-double.ts';
import { type Holding, type LeaseLine, Pod, type PodOptions } from './pod.ts';

/** A request with a file's bytes, or the beginning of an upload in parts. Refused ones aren't among them. */
export interface Sent {
  pod: Pod;
  operation: 'PutObject' | 'CreateMultipartUpload' | 'UploadPart';
  key: string;
  /** Of `UploadPart`: which. */
  part: string;
  /** As logs print it. Not known of parts. */
  folder: string;
  /** Epoch ms: its headers were there. */
  at: number;
}

/**
 * Starting, claiming and sending, with two cores for the whole team; a large upload may wait a minute for its folder, and
 * on MooseFS the first read of a file that another pod is just making may hang for half a minute, more than once.
 */
const PATIENCE_SECONDS = 110;
/** What is killed while it reads a file that MooseFS gives nobody for two minutes is gone only then. */
const CLOSE_MS = 240_000;

let teams = 0;

export interface TeamOptions {
  pods: number | readonly PodOptions[];
  /** One after the other: the first is there when the second starts. Without it all start at the same instant. */
  inTurn?: boolean;
  /** Before any agent runs. */
  prepare?: (team: Team) => Promise<void>;
}

/** Starts a team in an output directory of its own on the volume; its end is the test's. */
export async function startTeam(
  { onTestFinished }: Pick<TestContext, 'onTestFinished'>,
  volume: SharedVolume,
  { pods, inTurn = false, prepare }: TeamOptions,
): Promise<Team> {
  teams += 1;
  const name = `team-${process.pid}-${teams}`;
  // Who asks is told by the access key, so that one pod alone can be refused; signatures are another test's business.
  const store = await startStoreDouble({ checkSignatures: false });
  const base = await mkdtemp(join(tmpdir(), 'r2-sync-team-'));
  // Agents of other users have their run directories in it.
  await chmod(base, 0o755);
  const options = typeof pods === 'number' ? Array.from({ length: pods }, () => ({})) : pods;
  const team = new Team(volume, store, name, base, options);
  onTestFinished(() => team.close(), CLOSE_MS);
  await team.makeOutput();
  await prepare?.(team);
  if (inTurn) await team.startInTurn();
  else await Promise.all(team.pods.map((pod) => pod.start()));
  return team;
}

export class Team {
  readonly volume: SharedVolume;
  readonly store: StoreDouble;
  readonly pods: readonly Pod[];
  /** What was written, by path as `decodeName` gives it. */
  readonly files = new Map<string, Buffer>();
  readonly sent: Sent[] = [];
  /** Pods whose keys are revoked. */
  readonly refused = new Set<Pod>();
  /** Large files go at this rate. */
  partBytesPerSecond: number | undefined;
  readonly #name: string;
  readonly #base: string;

  constructor(volume: SharedVolume, store: StoreDouble, name: string, base: string, pods: readonly PodOptions[]) {
    this.volume = volume;
    this.store = store;
    this.#name = name;
    this.#base = base;
    this.pods = pods.map((options, index) => {
      const target = {
        endpoint: store.endpoint,
        bucket: 'runpod',
        accessKeyId: `access-key-of-pod-${index + 1}`,
        secretAccessKey: 'secret-key-of-all-pods',
      };
      return new Pod(index + 1, { output: this.output(index + 1), base, target }, options);
    });
    store.fault = (request) => this.#admit(request);
  }

  /** Pods are counted from 1, the mounts of a volume from 0. */
  pod(number: number): Pod {
    return this.pods[number - 1]!;
  }

  /** The output directory as pod n sees it. */
  output(pod: number): string {
    return join(this.volume.mount(pod - 1), this.#name, 'output');
  }

  /** Where a folder's claims and beats lie; there as soon as somebody has wanted it. */
  async leaseDir(folder: string): Promise<string> {
    const endpointHost = new URL(this.store.endpoint).host;
    const { targetDir } = await locateState(fs, { outputDir: this.output(1), endpointHost, bucket: 'runpod' });
    return join(targetDir, folderDirName(folder));
  }

  /** Each pod finds the state that those before it have made: a status page is there a moment before it. */
  async startInTurn(): Promise<void> {
    for (const [index, pod] of this.pods.entries()) {
      const state = join(this.output(index + 1), '.r2-sync');
      if (index > 0) await until(() => existsSync(state), `pod ${index} to have made its state directory`);
      await pod.start();
    }
  }

  /** Anybody may write there: pods may run as different users. */
  async makeOutput(): Promise<void> {
    // A temporary directory is its owner's alone.
    for (let dir = this.volume.mount(0); dir !== tmpdir(); dir = dirname(dir)) await chmod(dir, 0o755);
    await mkdir(this.output(1), { recursive: true });
    await chmod(this.output(1), 0o777);
  }

  /** Writes as ComfyUI of pod n does, once its agent hears it; directories are made. */
  async write(pod: number, path: string, bytes: Buffer): Promise<void> {
    await this.pod(pod).hears();
    this.files.set(path, bytes);
    await mkdir(fsPath(join(this.output(pod), directoryOf(path))), { recursive: true });
    await writeFile(fsPath(join(this.output(pod), path)), bytes);
  }

  /** Resolves when everything that was written is in the bucket, and all pods that run know. */
  async everythingStored(seconds = PATIENCE_SECONDS): Promise<void> {
    await this.everythingInBucket(seconds);
    for (const pod of this.pods) {
      if (pod.alive) await pod.until(({ totals }) => totals.pendingFiles === 0, 'nothing to be pending', seconds);
    }
  }

  async everythingInBucket(seconds = PATIENCE_SECONDS): Promise<void> {
    const missing = new Map(this.files);
    let looked = -1;
    const complete = () => {
      // Looked at only when something came: the agents need the two cores.
      if (this.store.objects.size === looked) return false;
      looked = this.store.objects.size;
      const versions = storedVersions(this.store);
      for (const [path, bytes] of missing) {
        if (versions.get(path)?.some((stored) => stored.equals(bytes))) missing.delete(path);
      }
      return missing.size === 0;
    };
    await this.until(complete, 'everything in the bucket', seconds).catch((error: Error) => {
      throw new Error(`missing: ${[...missing.keys()].map(printable).join(', ')}\n${error.message}`);
    });
  }

  /** How many of a folder's files are in the bucket. */
  storedOf(folder: string): number {
    return [...storedVersions(this.store).keys()].filter((path) => folderOf(path) === folder).length;
  }

  /** All holdings of all pods, in the order in which they began. */
  holdings(): Holding[] {
    return this.pods.flatMap((pod) => pod.holdings()).sort((a, b) => a.from - b.from);
  }

  /** Waits until somebody that runs holds the folder; gives who. */
  async holderOf(folder: string): Promise<Pod> {
    let holder: Pod | undefined;
    await this.until(() => {
      holder = this.holdings().find((holding) => holding.folder === printable(folder) && holding.to === Infinity)?.pod;
      return holder !== undefined;
    }, `somebody to hold ${folder}`);
    return holder!;
  }

  /** Waits until another pod than this one gains the folder after that moment; gives its line. */
  async takenOver(folder: string, from: Pod, moment: number): Promise<LeaseLine & { pod: Pod }> {
    let line: (LeaseLine & { pod: Pod }) | undefined;
    await this.until(() => {
      line = this.pods
        .filter((pod) => pod !== from)
        .flatMap((pod) => pod.leaseLines().map((said) => ({ ...said, pod })))
        .find((said) => said.lease === 'gained' && said.folder === printable(folder) && said.at >= moment);
      return line !== undefined;
    }, `another pod to take ${folder} over from pod ${from.number}`);
    return line!;
  }

  /** Waits until this pod has said so of the folder, after that moment. */
  async said(pod: Pod, lease: LeaseLine['lease'], folder: string, moment = 0): Promise<LeaseLine> {
    const find = () =>
      pod.leaseLines().find((said) => said.lease === lease && said.folder === printable(folder) && said.at >= moment);
    await this.until(() => find() !== undefined, `pod ${pod.number} to say that ${folder} is ${lease}`);
    return find()!;
  }

  /** What the logs say about leases, and how each agent is: for the messages of failures. */
  story(): string {
    const lines = this.pods.flatMap((pod) => pod.leaseLines().map((line) => ({ ...line, pod: pod.number })));
    const leases = lines
      .sort((a, b) => a.at - b.at)
      .map(
        ({ at, pod, lease, folder, epoch, how = '' }) =>
          `${new Date(at).toISOString()} pod ${pod} ${lease} ${folder} ${epoch} ${how}`,
      );
    const ends = this.pods.map((pod) => `pod ${pod.number}:\n${pod.agent.log().slice(-3000)}`);
    return [...leases, ...ends].join('\n');
  }

  /** What the agents say of themselves now. */
  async #state(): Promise<string> {
    const states = this.pods.map(async ({ number, agent }) => {
      const { folders, pending, parked, reasons } = (await agent.snapshot().catch(() => undefined)) ?? {};
      const shown = { folders, pending: pending?.slice(0, 3), parked: parked?.slice(0, 3), reasons };
      return `pod ${number}: ${JSON.stringify(shown)}`;
    });
    return (await Promise.all(states)).join('\n');
  }

  /** Waits for a condition; fails with the story. */
  async until(wish: () => boolean | Promise<boolean>, what: string, seconds = PATIENCE_SECONDS): Promise<void> {
    await until(wish, what, seconds).catch(async (error: Error) => {
      throw new Error(`${error.message}\n${await this.#state()}\n${this.story()}`);
    });
  }

  /** Ends all agents the hard way and removes what they had. */
  async close(): Promise<void> {
    await Promise.all(this.pods.map((pod) => (pod.alive ? pod.agent.stop('SIGKILL') : undefined)));
    await this.store.close();
    await rm(join(this.volume.mount(0), this.#name), { recursive: true, force: true });
    await rm(this.#base, { recursive: true, force: true });
  }

  /** Sees every request first: who sends what. */
  #admit({ operation, key, query, headers }: FaultRequest) {
    const keyId = /Credential=([^/]+)\//.exec(headers.authorization ?? '')?.[1];
    const pod = this.pods.find(({ accessKeyId }) => accessKeyId === keyId);
    if (!pod || this.refused.has(pod)) return { status: 401, code: 'Unauthorized', message: 'Unauthorized' };
    if (operation === 'PutObject' || operation === 'CreateMultipartUpload' || operation === 'UploadPart') {
      const path = decodeName(percentDecode(String(headers['x-amz-meta-path'] ?? '')));
      const part = operation === 'UploadPart' ? `${query.get('uploadId')}/${query.get('partNumber')}` : '';
      this.sent.push({ pod, operation, key, part, folder: printable(folderOf(path)), at: Date.now() });
    }
    const rate = this.partBytesPerSecond;
    return operation === 'UploadPart' && rate !== undefined ? { bytesPerSecond: rate } : undefined;
  }
}
