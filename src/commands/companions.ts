// What goes along with a running agent and never holds it up: messages to R2_WEBHOOK_URL and runs of R2_ON_STORED.
import * as fs from 'node:fs/promises';
import { hostname } from 'node:os';
import type { Agent } from '../agent.ts';
import type { Clock } from '../clock.ts';
import type { Loaded } from '../config/types.ts';
import { type Log, redactor } from '../log.ts';
import { AlertBoard, memberName } from '../notify/board.ts';
import { AlertBoards } from '../notify/boards.ts';
import type { StoredFact } from '../notify/fact.ts';
import { formatOf } from '../notify/formats.ts';
import { Hooks } from '../notify/hooks.ts';
import { Notifier } from '../notify/notifier.ts';
import { podHash } from '../object/metadata.ts';
import type { Metrics } from '../status/metrics.ts';
import type { VolumeGate } from '../volume/gate.ts';

export interface CompanionsOptions {
  loaded: Loaded;
  agent: Agent;
  log: Log;
  clock: Clock;
  metrics: Metrics;
  volumeGate: VolumeGate;
}

export interface Companions {
  /** Messages may be sent from now on. */
  start(): void;
  noteStored(fact: StoredFact): void;
  /** What isn't as it should be, for people. */
  readonly troubles: readonly string[];
  /** Other settings take over: what waits may go on for as long as it always may, and nobody waits for it. */
  letGo(): void;
  /** Hooks may go on until `deadline` (monotonic ms); messages get one more attempt. */
  finish(deadline: number): Promise<void>;
}

export function createCompanions(options: CompanionsOptions): Companions {
  const { clock, loaded } = options;
  const hooks = createHooks(options);
  const notifier = createNotifier(options);
  return {
    start() {
      void notifier?.run();
    },
    noteStored(fact) {
      hooks?.run(fact);
      notifier?.noteStored(fact);
    },
    get troubles() {
      return [hooks?.trouble, notifier?.trouble].filter((trouble) => trouble !== undefined);
    },
    letGo() {
      const seconds = loaded.config?.onStoredSeconds ?? 0;
      void hooks?.finish(clock.monotonic() + seconds * 1000);
      void notifier?.finish();
    },
    async finish(deadline) {
      await Promise.all([hooks?.finish(deadline), notifier?.finish()]);
    },
  };
}

function createHooks({ loaded: { config }, clock, log, metrics }: CompanionsOptions): Hooks | undefined {
  if (config?.onStored === undefined) return undefined;
  const { onStored, onStoredSeconds, bucket } = config;
  return new Hooks({ command: onStored, seconds: onStoredSeconds, bucket, clock, log, count: metrics.countHook });
}

function createNotifier({ loaded, agent, clock, log, metrics, volumeGate }: CompanionsOptions): Notifier | undefined {
  const { config, partial, secrets } = loaded;
  const { webhookUrl, webhookFormat, webhookAfterSeconds, runDir } = partial;
  if (!webhookUrl) return undefined;
  const pod = podHash(process.env, hostname());
  const member = memberName(pod, runDir);
  let shared: { dir: string; board: AlertBoard } | undefined;
  const sharedBoard = () => {
    const dir = agent.targetDir;
    if (dir === undefined) return undefined;
    if (shared?.dir !== dir) shared = { dir, board: AlertBoard.shared(volumeGate.fs, dir, member) };
    return shared.board;
  };
  return new Notifier({
    url: webhookUrl,
    format: webhookFormat === 'auto' ? formatOf(webhookUrl) : webhookFormat,
    holdMs: webhookAfterSeconds * 1000,
    digestMs: (config?.webhookDigest ?? 0) * 60_000,
    timezone: config?.timezone ?? 'UTC',
    sender: { pod, bucket: config?.bucket ?? '', hide: redactor(secrets) },
    boards: new AlertBoards(sharedBoard, AlertBoard.local(fs, runDir, member), clock),
    clock,
    log,
    condition: () => agent.condition(),
    count: metrics.countNotification,
  });
}
