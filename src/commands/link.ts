// `r2-sync link`: a URL that opens one file for whoever has it, for a while, without keys.
import { keyInBucket, keyInLedger } from '../bucket/find-key.ts';
import { systemClock } from '../clock.ts';
import type { Config } from '../config/types.ts';
import { ExitCode, UserError } from '../errors.ts';
import { joinPath, printable, type RelPath } from '../paths.ts';
import { duration, size } from '../status/words.ts';
import type { ObjectHead, Store } from '../upload/store.ts';
import { withBucket } from './bucket.ts';
import { printJson } from './output.ts';
import { createCommandLog } from './settings.ts';
import { locateOutput } from './survey.ts';

export interface LinkOptions {
  /** Seconds, at most 7 days. */
  expires: number;
  json: boolean;
}

/** Prints the URL alone on standard output. Exit codes: done, left where there is no such object, refused, usage. */
export function link(path: string, { expires, json }: LinkOptions): Promise<ExitCode> {
  return withBucket(async ({ config, store }) => {
    const key = await findKey(path, config, store);
    const head = key === undefined ? undefined : await store.head(key);
    if (key === undefined || head === undefined) throw notThere(path, key, config);
    const url = await store.presign(key, expires);
    const until = new Date(systemClock.wall() + expires * 1000).toISOString();
    if (json) printJson({ url, key, bytes: head.size, expiresAt: until });
    else console.log(url);
    if (!json) console.error(describeLink(key, head, until, expires, config));
    return ExitCode.done;
  });
}

function describeLink(key: string, head: ObjectHead, until: string, expires: number, config: Config): string {
  const earlier = config.sessionToken === undefined ? '' : ', or until the temporary credentials end';
  const when = `${until.slice(0, 16).replace('T', ' ')} UTC (${duration(expires)})`;
  return `Opens ${printable(key)} (${size(head.size)}) until ${when}${earlier}. Whoever has the link can read that file and its metadata.`;
}

/** What may be meant: a key, a file of the output directory by its path, or, elsewhere, a file by the path it had. */
async function findKey(given: string, config: Config, store: Store): Promise<string | undefined> {
  const literal = config.keyTemplate.slice(0, config.keyTemplate.indexOf('{'));
  if (literal !== '' && given.startsWith(literal) && (await store.head(given))) return given;
  const local = await locateOutput(config).catch((error: unknown) => {
    // A machine without an output directory has no ledger either.
    if (error instanceof UserError && !given.startsWith('/')) return undefined;
    throw error;
  });
  const path = relativePath(given, config, local);
  const log = createCommandLog('error', [config.accessKeyId, config.secretAccessKey]);
  const known = local && (await keyInLedger(local.targetDir, path, { clock: systemClock, log }));
  if (known !== undefined) return known;
  if (!given.startsWith('/') && (await store.head(given))) return given;
  return await keyInBucket(store, config.keyTemplate, path);
}

/** Paths are relative to where the state lies, which may be above the output directory. */
function relativePath(given: string, config: Config, local: { root: string; prefix: RelPath } | undefined): RelPath {
  const prefix = local?.prefix ?? '';
  const trimmed = given.replace(/^(\.\/)+/, '');
  if (!trimmed.startsWith('/')) return joinPath(prefix, trimmed);
  const bases: [string, RelPath][] = local
    ? [
        [local.root, ''],
        [config.outputDir, prefix],
      ]
    : [];
  for (const [base, below] of bases)
    if (trimmed.startsWith(`${base}/`)) return joinPath(below, trimmed.slice(base.length + 1));
  const fix = 'Give its path relative to the output directory, or its key: `r2-sync ls` lists them.';
  throw new UserError(`${printable(given)} is not in the output directory ${config.outputDir}`, fix, ExitCode.usage);
}

function notThere(path: string, key: string | undefined, { bucket }: Config): UserError {
  const message =
    key === undefined
      ? `nothing in the bucket "${bucket}" is called ${printable(path)}`
      : `${printable(path)} was stored as ${printable(key)}, but the bucket "${bucket}" doesn't have it any more`;
  const fix =
    key === undefined
      ? '`r2-sync ls` lists what is there; `r2-sync status` says what still waits.'
      : '`r2-sync verify` compares all of it.';
  return new UserError(message, fix, ExitCode.left);
}
