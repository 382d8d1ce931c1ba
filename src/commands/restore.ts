// `r2-sync restore`: from the bucket back to a directory, under the names and with the times that the files had.
import { resolve } from 'node:path';
import { prefixesOf, takeInventory } from '../bucket/inventory.ts';
import { PATIENCE } from '../bucket/patience.ts';
import { lookForMissing, type RestoreOutcome, type RestoreWork, restoreAll } from '../bucket/restore.ts';
import { targetFs, targetSilentMs } from '../bucket/restore-directory.ts';
import { originOf, planRestore, writtenAt } from '../bucket/restore-plan.ts';
import { createSelection } from '../bucket/selection.ts';
import { systemClock } from '../clock.ts';
import type { Config } from '../config/types.ts';
import { ExitCode, errorCode, UserError } from '../errors.ts';
import { decodeName, fsPath, printable } from '../paths.ts';
import { be, duration, files, number, size } from '../status/words.ts';
import type { Store } from '../upload/store.ts';
import { withBucket } from './bucket.ts';
import { printJson } from './output.ts';
import { endIfHung } from './output-directory.ts';
import { createProgress } from './progress.ts';
import { locateOutput } from './survey.ts';

export interface RestoreCommandOptions {
  folder: string[];
  match: string[];
  /** Wall ms. */
  since?: number;
  overwrite: boolean;
  dryRun: boolean;
  json: boolean;
}

/** Names that are shown of a long list. */
const SHOWN = 20;
/** A file is stored after it was written, if the clocks are right to a day. */
const CLOCKS_MS = 86_400_000;

/** Exit codes: done, left (something isn't back, and the result says what), refused, unexpected, usage. */
export function restore(directory: string | undefined, options: RestoreCommandOptions): Promise<ExitCode> {
  return withBucket((place) => {
    const where = directory ?? place.config.outputDir;
    return endIfHung(where, targetSilentMs, () => restoreFrom(place, directory, options));
  });
}

async function restoreFrom(
  { config, store }: { config: Config; store: Store },
  directory: string | undefined,
  options: RestoreCommandOptions,
): Promise<ExitCode> {
  const began = systemClock.monotonic();
  const { root, below } = await findTarget(directory, config, options.dryRun);
  const since = options.since;
  const isSelected = createSelection({ folders: options.folder, sinceMs: since, match: options.match, below });
  const stop = new AbortController();
  const interrupt = () => (stop.signal.aborted ? process.exit(ExitCode.left) : stop.abort());
  process.on('SIGINT', interrupt).on('SIGTERM', interrupt);

  const say = (text: string) => (options.json ? undefined : console.error(text));
  say(`looking for what is in the bucket "${config.bucket}" and what is in ${printable(root)} already`);
  const found = [];
  const inventory = takeInventory({
    store,
    prefixes: prefixesOf(config.keyTemplate, options.folder),
    isWanted: ({ modifiedAt }) => since === undefined || modifiedAt >= since - CLOCKS_MS,
    signal: stop.signal,
  });
  try {
    for await (const object of inventory) {
      const mtimeMs = Number(writtenAt(object) / 1_000_000n);
      if (isSelected(originOf(object, config.keyTemplate), mtimeMs)) found.push(object);
    }
  } catch (error) {
    if (!stop.signal.aborted) throw error;
  }
  const plan = planRestore(found, config.keyTemplate);
  const work = await lookForMissing(root, plan.entries, options.overwrite, stop.signal);
  work.failures.push(...plan.failures);

  const total = work.missing.reduce((sum, entry) => sum + entry.size, 0);
  const progress = { what: 'restored', done: 0, total: work.missing.length, bytes: 0, totalBytes: total };
  const view = createProgress();
  if (!options.dryRun) view.show(progress);
  const outcome = await restoreAll(
    {
      store,
      root,
      overwrite: options.overwrite,
      patience: PATIENCE,
      signal: stop.signal,
      onBytes: (bytes) => {
        progress.bytes += bytes;
      },
      onFile: () => {
        progress.done += 1;
      },
    },
    options.dryRun ? [] : work.missing,
  ).finally(() => view.end());

  const seconds = (systemClock.monotonic() - began) / 1000;
  const result: Result = {
    root,
    dryRun: options.dryRun,
    interrupted: stop.signal.aborted,
    work,
    total,
    outcome,
    seconds,
  };
  if (options.json) printJson(restoreFacts(result));
  else console.log(describeRestore(result));
  if (outcome.stopped?.refused) return ExitCode.refused;
  const isLeft = work.failures.length + outcome.failures.length + outcome.notTried > 0;
  return isLeft || stop.signal.aborted ? ExitCode.left : ExitCode.done;
}

interface Result {
  root: string;
  dryRun: boolean;
  interrupted: boolean;
  work: RestoreWork;
  /** Bytes that were missing. */
  total: number;
  outcome: RestoreOutcome;
  seconds: number;
}

/** Where files go, and which of them belong there: paths are relative to where the state lies, which may be above. */
async function findTarget(directory: string | undefined, config: Config, dryRun: boolean) {
  if (directory === undefined) {
    const { root, prefix } = await locateOutput(config, targetFs);
    return { root, below: prefix };
  }
  const path = resolve(directory);
  try {
    if (!dryRun) await targetFs.mkdir(fsPath(path), { recursive: true });
    const root = decodeName(await targetFs.realpath(fsPath(path), 'buffer'));
    if (!(await targetFs.stat(fsPath(root))).isDirectory()) throw Object.assign(new Error(), { code: 'ENOTDIR' });
    return { root, below: '' };
  } catch (error) {
    // Nothing is there yet: nothing has to be compared.
    if (dryRun && errorCode(error) === 'ENOENT') return { root: path, below: '' };
    const message = `${printable(path)} can't be used as a directory (${errorCode(error) ?? error})`;
    throw new UserError(message, 'Name another one: r2-sync restore DIRECTORY', ExitCode.usage, { cause: error });
  }
}

function restoreFacts({ root, dryRun, interrupted, work, total, outcome, seconds }: Result) {
  return {
    directory: printable(root),
    dryRun,
    interrupted,
    missing: { files: work.missing.length, bytes: total },
    restored: { files: outcome.files, bytes: outcome.bytes },
    alreadyThere: work.there,
    incomplete: outcome.incomplete.map(({ path }) => printable(path)),
    failed: [...work.failures, ...outcome.failures].map(({ path, key, reason }) => ({
      path: path === undefined ? null : printable(path),
      key: printable(key),
      reason,
    })),
    notTried: outcome.notTried,
    stopped: outcome.stopped?.reason ?? null,
    seconds,
  };
}

function describeSum({ root, dryRun, interrupted, work, total, outcome, seconds }: Result): string {
  const isAll = !interrupted && work.missing.length + work.failures.length === 0;
  if (isAll && work.there === 0)
    return 'Nothing in the bucket is what was asked for: nothing was restored. What is there, `r2-sync ls` shows.';
  if (isAll)
    return `Nothing to do: ${files(work.there)} ${be(work.there)} in ${printable(root)} already, and none is missing.`;
  const there = work.there > 0 ? `; ${files(work.there)} ${work.there === 1 ? 'was' : 'were'} there already` : '';
  return dryRun
    ? `${files(work.missing.length)} (${size(total)}) would be restored to ${printable(root)}${there}.`
    : `${files(outcome.files)} (${size(outcome.bytes)}) restored to ${printable(root)} in ${duration(seconds)}${there}.`;
}

function describeRestore(result: Result): string {
  const { dryRun, interrupted, work, outcome } = result;
  const lines = [describeSum(result)];
  if (dryRun) lines.push(...listed(work.missing, ({ path, size: bytes }) => `${printable(path)} (${size(bytes)})`));
  const { incomplete } = outcome;
  if (incomplete.length > 0) {
    lines.push(`${number(incomplete.length)} of them never became whole on the pod (a crash while they were written):`);
    lines.push(...listed(incomplete, ({ path }) => printable(path)));
  }
  const failures = [...work.failures, ...outcome.failures];
  if (failures.length > 0) {
    lines.push(`${files(failures.length)} couldn't be restored:`);
    lines.push(...listed(failures, ({ path, key, reason }) => `${printable(path ?? key)}: ${reason}`));
  }
  if (outcome.stopped) lines.push(`Given up: ${outcome.stopped.reason}`);
  if (interrupted && outcome.notTried === 0) lines.push('Stopped before all was looked at. Run it again.');
  else if (interrupted) lines.push('Stopped.');
  if (outcome.notTried > 0) lines.push(`${files(outcome.notTried)} left. Run it again: it goes on where it stopped.`);
  return lines.join('\n');
}

function listed<T>(items: readonly T[], describe: (item: T) => string): string[] {
  const rest = items.length - SHOWN;
  const shown = items.slice(0, SHOWN).map((item) => `  ${describe(item)}`);
  return rest > 0 ? [...shown, `  and ${number(rest)} more (--json lists all)`] : shown;
}
