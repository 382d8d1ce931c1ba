// `r2-sync probe`: may this pod write to its bucket? One real upload says more than any check of settings. The bytes are
// always the same, so a bucket holds one such object a folder, however many pods ask.
import { systemClock } from '../clock.ts';
import type { Config } from '../config/types.ts';
import { ExitCode } from '../errors.ts';
import type { Ensured } from '../upload/ensure.ts';
import { ensureProbe, isRefusal, probeObject } from '../upload/probe-object.ts';
import { createS3Store } from '../upload/s3.ts';
import { StoreError } from '../upload/store.ts';
import { printJson } from './output.ts';
import { createCommandLog, requireConfig } from './settings.ts';

/** A start waits for the answer: what takes longer is told as no answer. */
const PATIENCE_MS = 15_000;

export interface ProbeOptions {
  /** A folder of the output directory: where a token may write a part of the bucket only. Default: the root. */
  folder?: string;
  json: boolean;
}

/**
 * Prints one line: where the object is, or why it isn't and what to do. Exit codes: done, usage (settings), refused, and
 * unexpected where the store doesn't answer.
 */
export async function probe({ folder = '', json }: ProbeOptions): Promise<ExitCode> {
  const { config, warnings, secrets } = requireConfig(true);
  const log = createCommandLog(config.logLevel, secrets);
  for (const warning of warnings) log.warn(warning);
  const began = systemClock.monotonic();
  try {
    const { key, already } = await putProbe(config, folder);
    const seconds = (systemClock.monotonic() - began) / 1000;
    if (json) printJson({ ok: true, bucket: config.bucket, endpoint: config.endpoint, key, already, seconds });
    else console.log(`ok: the bucket "${config.bucket}" takes uploads (${key}, ${seconds.toFixed(1)} s)`);
    return ExitCode.done;
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    const { message, fix, code } = error;
    if (json) printJson({ ok: false, bucket: config.bucket, endpoint: config.endpoint, code, message, fix });
    else console.log(`${message}: ${fix}`);
    return isRefusal(error) ? ExitCode.refused : ExitCode.unexpected;
  }
}

async function putProbe(config: Config, folder: string): Promise<Ensured> {
  const store = createS3Store(config);
  const timeout = new AbortController();
  const timer = setTimeout(() => timeout.abort(), PATIENCE_MS);
  const { signal } = timeout;
  try {
    return await ensureProbe(store, config, folder, probeObject, signal);
  } catch (error) {
    if (signal.aborted) throw noAnswer(config);
    throw error;
  } finally {
    clearTimeout(timer);
    store.close();
  }
}

function noAnswer({ endpoint }: Config): StoreError {
  return new StoreError(
    'transient',
    'TimeoutError',
    `no answer from ${new URL(endpoint).host} within ${PATIENCE_MS / 1000} s`,
    "the agent goes on trying by itself; if this stays, check R2_ENDPOINT and the pod's network",
  );
}
