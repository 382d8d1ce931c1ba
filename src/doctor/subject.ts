// What the checks look at: the settings and what they lead to. Each thing is fetched once, by the check that first needs
// it. Takes no lease, opens no ledger, writes nothing but its scratch directory and, in the bucket, a few small objects.
import * as os from 'node:os';
import type { Clock } from '../clock.ts';
import type { Config, Loaded } from '../config/types.ts';
import { locateState } from '../ledger/location.ts';
import { podHash } from '../object/metadata.ts';
import { askAgent } from '../status/client.ts';
import type { Snapshot } from '../status/snapshot.ts';
import { createS3Store } from '../upload/s3.ts';
import type { Store } from '../upload/store.ts';
import type { VolumeFs, VolumeGate } from '../volume/gate.ts';
import { startVolume } from '../volume/volume.ts';
import type { Scratch } from './scratch.ts';

const CLOSE_MS = 2000;

/** Settings as `loadSettings` gives them, with where they come from. */
export interface KnownSettings extends Loaded {
  /** By the setting's name. */
  origins: Readonly<Record<string, string>>;
}

export interface SubjectOptions {
  settings: KnownSettings;
  /** The settings that are needed without a store, where those are right. */
  places: Config | undefined;
  /** Below this folder the bucket is tried: '' for the root. */
  folder: string;
  clock: Clock;
  gate: VolumeGate;
  /** Default: the store of the settings. */
  store?: Store;
  /** Default: the gate's. */
  fs?: VolumeFs;
}

export class Subject {
  readonly settings: KnownSettings;
  readonly folder: string;
  readonly clock: Clock;
  readonly fs: VolumeFs;
  /** For what can only be looked at by calls that nothing can stop. */
  readonly volume = startVolume();
  /** Short hash of this pod. */
  readonly pod = podHash(process.env, os.hostname());
  /** Made by the check of the state directory. */
  scratch: Scratch | undefined;
  /** The store's clock minus ours, by the reply of the check of the store: ms, and how much that may be off. */
  storeClock: { aheadMs: number; uncertainMs: number } | undefined;
  /** Where the probe object lies, once it does. */
  probeKey = '';
  /** Keys of objects that stay in the bucket. */
  readonly left = new Set<string>();
  readonly #gate: VolumeGate;
  readonly #places: Config | undefined;
  #store: Store | undefined;
  #location: ReturnType<typeof locateState> | undefined;
  #agent: Promise<Snapshot | undefined> | undefined;

  constructor({ settings, places, folder, clock, gate, store, fs = gate.fs }: SubjectOptions) {
    this.settings = settings;
    this.#places = settings.config ?? places;
    this.folder = folder;
    this.clock = clock;
    this.#gate = gate;
    this.fs = fs;
    this.#store = store;
  }

  has(need: 'places' | 'keys'): boolean {
    return (need === 'keys' ? this.settings.config : this.#places) !== undefined;
  }

  /** For checks that need `places` or `keys`. */
  get config(): Config {
    if (!this.#places) throw new Error('a check that needs settings was run without them');
    return this.#places;
  }

  get store(): Store {
    this.#store ??= createS3Store(this.config);
    return this.#store;
  }

  /** Where root and state lie. Rejects with the system's error where the output directory can't be looked at. */
  location(): ReturnType<typeof locateState> {
    const { outputDir, stateDir, endpoint, bucket } = this.config;
    this.#location ??= locateState(this.fs, {
      outputDir,
      ...(stateDir === undefined ? {} : { stateDir }),
      endpointHost: endpoint === '' ? '' : new URL(endpoint).host,
      bucket,
    });
    return this.#location;
  }

  /** As `askAgent`. */
  agent(): Promise<Snapshot | undefined> {
    this.#agent ??= askAgent(this.settings.partial, '/api/status');
    return this.#agent;
  }

  /** Whether a call on the volume doesn't come back: then this process can't end by itself, only be killed. */
  isHung(): boolean {
    return this.#gate.overdueMs() > 0 || this.volume.overdueMs() > 0;
  }

  /** Leaves nothing behind but what is in the bucket. Waits for the volume a little while. */
  async close(): Promise<void> {
    this.#store?.close();
    await Promise.race([this.scratch?.remove(), this.clock.sleep(CLOSE_MS)]);
    if (!this.isHung()) await this.volume.close();
  }
}
