// What is found out before anything runs: where root and state lie, what kind of volume it is, what the ledger knows.
import type { Clock } from '../clock.ts';
import type { Config } from '../config/types.ts';
import { Ledger, type LedgerFact } from '../ledger/ledger.ts';
import { findRoot, locateState } from '../ledger/location.ts';
import type { Log } from '../log.ts';
import { networkFileSystem } from '../settle/file-system.ts';
import type { VolumeFs } from '../volume/gate.ts';
import { startVolume, type Volume } from '../volume/volume.ts';
import { readFirstStart } from './first-start.ts';

export interface Ground {
  root: string;
  prefix: string;
  targetDir: string;
  /** State directories in folders below the root. */
  below: readonly string[];
  volume: Volume;
  networkVolume: boolean;
  ledger: Ledger;
  /** Wall ms; undefined where it can't be noted. */
  firstStart: number | undefined;
}

export interface GroundOptions {
  config: Config;
  clock: Clock;
  log: Log;
  fs: VolumeFs;
  /** Wall ms: when the agent started. */
  startedAt: number;
  /** Gets every fact that the ledger holds. */
  onFact: (fact: LedgerFact) => void;
  /** The thread that reads the volume has ended by itself. */
  onVolumeDied: () => void;
}

/** Opens the ledger and the worker. Rejects with the system's error where the directory can't be used. */
export async function openGround(options: GroundOptions): Promise<Ground> {
  const { config, clock, log, fs, startedAt, onFact, onVolumeDied } = options;
  const location = await locateState(fs, {
    outputDir: config.outputDir,
    ...(config.stateDir === undefined ? {} : { stateDir: config.stateDir }),
    endpointHost: new URL(config.endpoint).host,
    bucket: config.bucket,
  });
  const { below } = await findRoot(fs, config.outputDir);
  const volume = startVolume((error) => {
    log.error(`the part of the agent that reads the volume has ended (${error.message}); it is started again`);
    onVolumeDied();
  });
  const magic = await volume.ask('fileSystem', { path: config.outputDir }).catch(() => 0);
  return {
    ...location,
    below,
    volume,
    networkVolume: networkFileSystem(magic) !== undefined,
    ledger: await Ledger.open({ targetDir: location.targetDir, log, clock, io: fs, onFact }),
    firstStart: await readFirstStart(fs, location.targetDir, startedAt),
  };
}
