// `r2-sync status`: what the running agent says, or, where none answers, what ledger and volume say.
import * as fs from 'node:fs/promises';
import { hostname } from 'node:os';
import { systemClock } from '../clock.ts';
import type { Config } from '../config/types.ts';
import { ExitCode } from '../errors.ts';
import { type LeaseView, noLease, uncontested } from '../lease/leases.ts';
import { readLease } from '../lease/survey.ts';
import { folderDirName } from '../ledger/location.ts';
import { podHash } from '../object/metadata.ts';
import { folderOf, printable } from '../paths.ts';
import { askAgent } from '../status/client.ts';
import { renderStatus } from '../status/render.ts';
import type { FolderStatus, Snapshot } from '../status/snapshot.ts';
import { version } from '../version.ts';
import { printJson, terminalWidth, wantsColor } from './output.ts';
import { createCommandLog, loadSettings, requireConfig } from './settings.ts';
import { countFolders, surveyOutput } from './survey.ts';

export async function status(options: { json: boolean }): Promise<ExitCode> {
  const snapshot = (await askAgent(loadSettings(false).partial, '/api/status')) ?? (await surveyWithoutAgent());
  if (options.json) printJson(snapshot);
  else console.log(renderStatus(snapshot, { color: wantsColor(), width: terminalWidth() }));
  return ExitCode.done;
}

/** The same picture from ledger and volume: no agent runs, so what is pending stays so. */
export async function surveyWithoutAgent(): Promise<Snapshot> {
  const { config, secrets } = requireConfig(false);
  const survey = await surveyOutput(config, createCommandLog('warn', secrets));
  const { ledger, skipped } = survey;
  // Like the agent: an empty file is shown by `plan` and left, so nobody waits for it.
  const candidates = survey.candidates.filter(({ verdict }) => verdict !== 'empty');
  const waiting = countFolders(candidates);
  const folders = new Map<string, FolderStatus>();
  const facts = [...ledger.index.folders()];
  for (const name of new Set([...facts.map(({ folder }) => folder), ...waiting.keys()])) {
    const stored = facts.find(({ folder }) => folder === name);
    const pending = waiting.get(name)?.files ?? 0;
    folders.set(name, {
      folder: printable(name),
      lease: await viewLease(survey.targetDir, name, config),
      files: (stored?.files ?? 0) + pending,
      stored: stored?.files ?? 0,
      pending,
      parked: 0,
      incomplete: stored?.incomplete ?? 0,
      lastStoredAt: stored ? new Date(stored.lastStoredAt).toISOString() : null,
      oldestPendingSeconds: null,
    });
  }
  const now = new Date(systemClock.wall()).toISOString();
  return {
    version,
    pod: '',
    uptimeSeconds: 0,
    startedAt: now,
    state: 'degraded',
    reasons: [
      'No agent is running here: nothing is uploaded. Start one with `r2-sync run`, or upload once with `r2-sync sync`.',
    ],
    safeToStop: candidates.length === 0 && survey.problems.length === 0,
    etaSeconds: null,
    leaseSeconds: config.lease ? config.leaseSeconds : null,
    store: { endpoint: config.endpoint, bucket: config.bucket, reachable: null, lastError: null },
    totals: {
      storedFiles: ledger.index.size,
      storedBytes: facts.reduce((sum, { bytes }) => sum + bytes, 0),
      pendingFiles: candidates.length,
      pendingBytes: candidates.reduce((sum, { size }) => sum + size, 0),
      parkedFiles: 0,
      foreignFiles: 0,
      pendingBy: { settling: candidates.length, leasing: 0, due: 0, working: 0, waiting: 0, recording: 0 },
      parkedBy: { refused: 0, unstorable: 0, unreadable: 0 },
      retries: 0,
      alreadyStored: 0,
      leases: uncontested.counts,
    },
    volume: { silentSeconds: 0, lastScan: null, space: null },
    folders: [...folders.values()],
    recent: [],
    parked: [],
    skipped,
    pending: candidates.slice(0, 100).map(({ path, size }) => ({
      path: printable(path),
      bytes: size,
      state: describeWait(folders.get(folderOf(path))),
      seconds: 0,
      since: now,
      uploading: false,
      sent: 0,
    })),
  };
}

/** As an agent would see the folder; who has been silent for too long holds it no more. */
async function viewLease(targetDir: string, folder: string, config: Config): Promise<LeaseView> {
  if (!config.lease) return noLease('off');
  const viewer = { pod: podHash(process.env, hostname()), leaseSeconds: config.leaseSeconds, now: systemClock.wall() };
  const lease = await readLease(fs, targetDir, folderDirName(folder), viewer);
  if (lease?.state !== 'held') return noLease('free');
  const { pod, thisPod, host, epoch, since, silentSeconds } = lease;
  return { state: thisPod ? 'mine' : 'theirs', holder: pod, host, epoch, since, silentSeconds };
}

function describeWait(folder: FolderStatus | undefined): string {
  const { state, holder } = folder?.lease ?? noLease('free');
  return state === 'theirs' ? `pod ${holder} uploads this folder` : 'no agent is running';
}
