// `r2-sync verify`: is everything there? Ledger, volume and bucket against each other, and what to do about differences.
import type { Findings } from '../bucket/findings.ts';
import { scopeOf } from '../bucket/scope.ts';
import { compare } from '../bucket/verify.ts';
import { describeGroup, groupsOf, headlineOf, type Outcome } from '../bucket/verify-report.ts';
import { systemClock } from '../clock.ts';
import type { Config } from '../config/types.ts';
import { ExitCode, UserError } from '../errors.ts';
import type { Log } from '../log.ts';
import { collectOften } from '../memory.ts';
import { createS3Store } from '../upload/s3.ts';
import { type Store, StoreError } from '../upload/store.ts';
import { runApart } from './apart.ts';
import { printJson } from './output.ts';
import { oldestOf, withOutputDirectory } from './output-directory.ts';
import { createProgress, type ProgressView } from './progress.ts';
import { createCommandLog, requireConfig } from './settings.ts';
import { repair } from './verify-repair.ts';

export interface VerifyCommandOptions {
  json: boolean;
  /** Read the bytes back, of the bucket and of the volume. */
  deep: boolean;
  /** Upload again what is missing or wrong. */
  repair: boolean;
  folder?: string;
}

/** Connections to the store: for reading back. */
const CONNECTIONS = 16;

/** Exit codes: done, left where something is missing or wrong, refused where the bucket can't be listed. */
export function verify(options: VerifyCommandOptions): Promise<ExitCode> {
  return runApart(() => compareAll(options));
}

async function compareAll(options: VerifyCommandOptions): Promise<ExitCode> {
  const { config, warnings, secrets } = requireConfig(true);
  const log = createCommandLog('warn', secrets);
  for (const warning of warnings) log.warn(warning);
  const store = createS3Store({ ...config, concurrency: CONNECTIONS });
  const progress = createProgress();
  const over = new AbortController();
  void collectOften(systemClock, over.signal);
  try {
    return await verifyWith(options, { config, log, store, progress });
  } catch (error) {
    progress.end();
    if (!(error instanceof StoreError)) throw error;
    const told = describeRefusal(error, config);
    if (!options.json) throw told;
    printJson({ ok: false, bucket: config.bucket, code: error.code, message: told.message, fix: told.fix });
    return told.exitCode;
  } finally {
    over.abort();
    store.close();
  }
}

interface Means {
  config: Config;
  log: Log;
  store: Store;
  progress: ProgressView;
}

async function verifyWith(options: VerifyCommandOptions, { config, log, store, progress }: Means): Promise<ExitCode> {
  const found = await withOutputDirectory(config, async (opened, volumeGate) => {
    const directory = opened instanceof UserError ? undefined : opened;
    const { keyTemplate, timezone } = config;
    const findings = await compare({
      store,
      directory,
      notBefore: directory ? await oldestOf(config, directory) : 0,
      keyTemplate,
      timezone,
      scope: scopeOf(directory?.prefix ?? '', options.folder),
      deep: options.deep,
      clock: systemClock,
      log,
      onProgress: progress.show,
    });
    let outcome: Outcome = { repaired: [], reasons: new Map(), overwritten: [] };
    if (options.repair && directory)
      outcome = await repair(findings, { config, store, log, volumeGate, onProgress: progress.show });
    const notes = opened instanceof UserError ? [`${opened.message}. ${opened.fix}`] : [];
    return { findings, outcome, notes, compared: directory !== undefined };
  });
  progress.end();
  return tell(options, config, found);
}

interface Found {
  findings: Findings;
  outcome: Outcome;
  notes: string[];
  /** Whether there is an output directory to compare the bucket with. */
  compared: boolean;
}

function tell({ json, deep, folder }: VerifyCommandOptions, config: Config, found: Found): ExitCode {
  const { findings, outcome, notes, compared } = found;
  const { bucket, endpoint, outputDir } = config;
  const subject = { bucket, deep, compared };
  const groups = groupsOf(findings, outcome, subject);
  const isWhole = groups.every(({ bad }) => !bad);
  const headline = headlineOf(findings, groups, subject);
  if (json)
    printJson({
      ok: isWhole,
      bucket,
      endpoint,
      outputDir,
      folder: folder ?? null,
      deep,
      compared,
      headline,
      notes,
      stored: findings.recorded.files.size,
      listed: findings.listed,
      groups: groups.map((group) => ({ ...group, rows: [...group.rows()] })),
    });
  else console.log([headline, ...notes, ...groups.flatMap(describeGroup)].join('\n'));
  if (!isWhole) return ExitCode.left;
  // Nothing was compared: nobody can say that all is well.
  return compared || deep ? ExitCode.done : ExitCode.usage;
}

function describeRefusal(error: StoreError, { bucket }: Config): UserError {
  const refused = error.failure === 'refused' || error.code === 'SignatureDoesNotMatch';
  const message = refused
    ? `the store doesn't let us list or read the bucket "${bucket}": ${error.message}`
    : error.message;
  const fix = refused
    ? `verify needs a token that may list: R2's “Object Read only” and “Object Read & Write” may; one for a part of the bucket may only with --folder. Otherwise: ${error.fix}`
    : 'Try again later; if this stays, check R2_ENDPOINT and the network.';
  return new UserError(message, fix, refused ? ExitCode.refused : ExitCode.unexpected);
}
