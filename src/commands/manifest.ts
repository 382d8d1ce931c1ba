// `r2-sync manifest`: a list of everything, from the ledger, the volume or the bucket. Lines go to standard output, what
// isn't in them to standard error.
import { type Manifest, manifestOfBucket, manifestOfLedger, manifestOfVolume } from '../bucket/manifest.ts';
import { scopeOf } from '../bucket/scope.ts';
import { systemClock } from '../clock.ts';
import type { Config } from '../config/types.ts';
import { ExitCode, UserError } from '../errors.ts';
import { objectKey } from '../object/key.ts';
import { runApart } from './apart.ts';
import { withBucket } from './bucket.ts';
import { oldestOf, withOutputDirectory } from './output-directory.ts';
import { createProgress } from './progress.ts';
import { createCommandLog, requireConfig } from './settings.ts';

export interface ManifestCommandOptions {
  from: 'ledger' | 'volume' | 'bucket';
  folder?: string;
}

/** Lines in one write. */
const BATCH = 1000;
const SHOWN = 20;

/** Exit codes: done, left where something couldn't be listed, and what the store gives. */
export function manifest(options: ManifestCommandOptions): Promise<ExitCode> {
  return runApart(() => list(options));
}

async function list(options: ManifestCommandOptions): Promise<ExitCode> {
  const progress = createProgress();
  const onProgress = progress.show;
  if (options.from === 'bucket') {
    return withBucket(async ({ config, store }) => {
      const scope = scopeOf('', options.folder);
      return print(await manifestOfBucket(store, { ...config, scope, onProgress }).finally(progress.end));
    });
  }
  const { config, warnings, secrets } = requireConfig(false);
  const log = createCommandLog('warn', secrets);
  for (const warning of warnings) log.warn(warning);
  const made = await withOutputDirectory(config, async (directory) => {
    if (directory instanceof UserError) throw directory;
    const scope = scopeOf(directory.prefix, options.folder);
    const { keyTemplate, timezone } = config;
    if (options.from === 'volume') {
      const notBefore = await oldestOf(config, directory);
      return manifestOfVolume(directory, { keyTemplate, timezone, scope, notBefore, onProgress });
    }
    const found = await manifestOfLedger({
      targetDir: directory.targetDir,
      io: directory.fs,
      clock: systemClock,
      log,
      inScope: scope.includes,
      keyOf: (fact) => objectKey(keyTemplate, timezone, fact),
    });
    if (!found) throw noLedger(config);
    return found;
  }).finally(progress.end);
  return print(made);
}

function noLedger({ bucket, endpoint }: Config): UserError {
  const where = endpoint === '' ? 'without R2_ENDPOINT nobody knows which' : `of the bucket "${bucket}" at ${endpoint}`;
  return new UserError(
    `there is no ledger here (${where})`,
    'Ask others: r2-sync manifest --from volume, or --from bucket.',
    ExitCode.usage,
  );
}

function print({ lines, missing }: Manifest): ExitCode {
  for (let at = 0; at < lines.length; at += BATCH) console.log(lines.slice(at, at + BATCH).join('\n'));
  for (const text of missing.slice(0, SHOWN)) console.error(`not listed: ${text}`);
  if (missing.length > SHOWN) console.error(`and ${missing.length - SHOWN} more`);
  return missing.length > 0 ? ExitCode.left : ExitCode.done;
}
