// `r2-sync run`: the agent, until it is told to stop. Wrong settings don't end it: it says what is wrong and goes on
// when they are put right, because on a rented pod a restart may cost the very files that wait.
import { Agent } from '../agent.ts';
import { systemClock } from '../clock.ts';
import { UnusableFile, writeRunFile } from '../config/files.ts';
import { runDirOf } from '../config/sources.ts';
import { ExitCode } from '../errors.ts';
import { createLog, type Log } from '../log.ts';
import { collectWhenIdle, hastenStart } from '../memory.ts';
import { ensureToken } from '../status/client.ts';
import { createMetrics } from '../status/metrics.ts';
import { headline } from '../status/render.ts';
import { type StatusServer, startStatusServer } from '../status/server.ts';
import type { Snapshot } from '../status/snapshot.ts';
import { VolumeGate } from '../volume/gate.ts';
import { type Companions, createCompanions } from './companions.ts';
import { describeProblem, fingerprintSettings, loadSettings } from './settings.ts';

/** How often the settings files are looked at. */
const SETTINGS_MS = 5000;

export async function run(): Promise<ExitCode> {
  let generation: Generation | undefined;
  const volumeGate = new VolumeGate(systemClock);
  const onReady = hastenStart(systemClock);
  const stopping = listenForSignals(() => generation?.agent.isHung() ?? false);
  void collectWhenIdle(systemClock, () => generation?.agent.activity() ?? 0, stopping.signal);
  for (;;) {
    generation = await startGeneration(volumeGate, onReady);
    const reason = await waitForEnd(generation.fingerprint, stopping.signal);
    if (reason === 'settings changed') {
      generation.log.info('the settings have changed: starting over with them');
      await Promise.all([generation.close(), generation.companions.letGo()]);
      continue;
    }
    return finish(generation);
  }
}

interface Generation {
  agent: Agent;
  log: Log;
  fingerprint: string;
  drainSeconds: number;
  companions: Companions;
  close(): Promise<void>;
}

/** One agent with its status page, under one set of settings. */
async function startGeneration(volumeGate: VolumeGate, onReady: () => void): Promise<Generation> {
  const fingerprint = fingerprintSettings();
  const loaded = loadSettings(true);
  const { config, partial } = loaded;
  const log = createLog({ level: partial.logLevel, secrets: loaded.secrets });
  for (const warning of loaded.warnings) log.warn(warning);
  const problems = loaded.problems.map(describeProblem);
  for (const problem of problems) log.error(problem);
  const asides = loaded.asides.map(describeProblem);
  for (const aside of asides) log.warn(aside);
  if (problems.length > 0)
    log.error('nothing is uploaded until the settings are right; ComfyUI and its files are not touched');
  let server: StatusServer | undefined;
  const metrics = createMetrics();
  const agent = new Agent({
    config,
    problems,
    log,
    clock: systemClock,
    hints: true,
    volumeGate,
    onUpload: (fact) => {
      metrics.observeUpload(fact.seconds, fact.size);
      companions.noteStored(fact);
    },
    onReady,
    onRequest: metrics.countRequest,
    reasons: () => [
      ...asides,
      ...(server?.trouble ? [`The status page can't be shown: ${server.trouble}`] : []),
      ...companions.troubles,
    ],
  });
  const companions = createCompanions({ loaded, agent, log, clock: systemClock, metrics, volumeGate });
  agent.start();
  companions.start();
  if (partial.statusPort !== 0) {
    server = startStatusServer({
      host: partial.statusHost,
      port: partial.statusPort,
      token: await ensureToken(partial, log),
      snapshot: () => agent.snapshot(),
      rescan: () => agent.rescan(),
      outputs: () => agent.outputs(),
      repair: (wanted) => agent.repair(wanted),
      metrics,
      log,
      clock: systemClock,
    });
  }
  if (config) {
    log.info(
      { outputDir: config.outputDir, bucket: config.bucket, endpoint: config.endpoint },
      `r2-sync uploads finished files from ${config.outputDir} to the bucket "${config.bucket}" at ${config.endpoint}`,
    );
  }
  return {
    agent,
    log,
    fingerprint,
    drainSeconds: config?.drainSeconds ?? 0,
    companions,
    close: async () => {
      await Promise.all([agent.close(), server?.close()]);
    },
  };
}

async function waitForEnd(fingerprint: string, stop: AbortSignal): Promise<'stop' | 'settings changed'> {
  while (!stop.aborted) {
    await systemClock.sleep(SETTINGS_MS, stop);
    if (!stop.aborted && fingerprintSettings() !== fingerprint) return 'settings changed';
  }
  return 'stop';
}

/** Drains, says what is left, and tells it by the exit code. */
async function finish({ agent, log, drainSeconds, companions, close }: Generation): Promise<ExitCode> {
  const deadline = systemClock.monotonic() + drainSeconds * 1000;
  log.info(`stopping: uploading what is there, for at most ${drainSeconds} s`);
  const left = await agent.drain(drainSeconds);
  // Told before closing: a volume that hangs may let nothing happen afterwards.
  log.info(describeEnd(left));
  await Promise.all([close(), companions.finish(deadline)]);
  if (agent.isHung()) await dieHung();
  return left.safeToStop ? ExitCode.done : ExitCode.left;
}

/**
 * With the volume hung, an exit would wait for it: a kill doesn't. What is left of the process goes when its last call
 * returns; `exec` is told, for it can't wait for that.
 */
async function dieHung(): Promise<void> {
  if (process.send) await new Promise((resolve) => process.send?.('hung', resolve));
  process.kill(process.pid, 'SIGKILL');
}

function describeEnd(left: Snapshot): string {
  const { pendingFiles, parkedFiles, storedFiles } = left.totals;
  if (left.safeToStop && pendingFiles > 0)
    return `stopped: what this pod made is in the bucket; ${pendingFiles} files of other pods are on their way there`;
  if (left.safeToStop) return `stopped: all ${storedFiles} files are in the bucket`;
  if (pendingFiles + parkedFiles === 0) return `stopped: ${headline(left)}`;
  const names = [...left.pending, ...left.parked].slice(0, 10).map(({ path }) => path);
  const more = pendingFiles + parkedFiles - names.length;
  const count = pendingFiles + parkedFiles;
  return `stopped with ${count === 1 ? '1 file' : `${count} files`} not in the bucket: ${names.join(', ')}${more > 0 ? ` and ${more} more` : ''}. What is on the volume stays there; the next start uploads it.`;
}

/** Aborted by the first SIGTERM or SIGINT; the second ends the process at once. */
function listenForSignals(isHung: () => boolean): AbortController {
  const stopping = new AbortController();
  const onSignal = () => {
    if (stopping.signal.aborted && isHung()) void dieHung();
    else if (stopping.signal.aborted) process.exit(ExitCode.left);
    stopping.abort();
  };
  // `exec` is gone, and with it the command that we were started for.
  process.once('disconnect', () => stopping.abort());
  process.on('SIGTERM', onSignal);
  process.on('SIGINT', onSignal);
  // `exec` waits for this before it tells us to stop, and the image's start script for the file.
  process.send?.('listening');
  writePidFile();
  return stopping;
}

/** `<runDir>/pid`: who was started without a channel to us can see by it that we listen. Nobody needs it to go on. */
function writePidFile(): void {
  try {
    writeRunFile(runDirOf(process.env), 'pid', `${process.pid}\n`);
  } catch (error) {
    if (!(error instanceof UnusableFile)) throw error;
  }
}
