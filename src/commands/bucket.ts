// What the commands that read the bucket have in common: its settings, a store for many small requests, how it ends.
import type { Config } from '../config/types.ts';
import { ExitCode, explain } from '../errors.ts';
import { createS3Store } from '../upload/s3.ts';
import { type Store, StoreError } from '../upload/store.ts';
import { createCommandLog, requireConfig } from './settings.ts';

/** Connections that are kept. */
const CONNECTIONS = 40;

/**
 * Runs a command's work with the bucket. What the store says against it is printed, and becomes the exit code: `refused`,
 * or `unexpected` where it doesn't answer.
 */
export async function withBucket(
  work: (place: { config: Config; store: Store }) => Promise<ExitCode>,
): Promise<ExitCode> {
  const { config, warnings, secrets } = requireConfig(true);
  const log = createCommandLog(config.logLevel, secrets);
  for (const warning of warnings) log.warn(warning);
  const store = createS3Store({ ...config, concurrency: CONNECTIONS });
  try {
    return await work({ config, store });
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    const refused = error.failure === 'refused' || error.code === 'SignatureDoesNotMatch';
    // The words of the table are the agent's, which goes on by itself; a command ends.
    const fix = refused ? error.fix : 'Try again later; if this stays, check R2_ENDPOINT and the network.';
    console.error(`r2-sync: ${explain({ message: error.message, fix })}`);
    return refused ? ExitCode.refused : ExitCode.unexpected;
  } finally {
    store.close();
  }
}
