// The store of a run: the project's fast double, in a process of its own, alike for every contender.
import { join } from 'node:path';
import type { LoggedRequest } from '../../test/support/store-double.ts';
import { type Child, startChild } from './children.ts';

const CLI = join(import.meta.dirname, '../../test/support/store-double-cli.ts');
const START_LIMIT_MS = 30_000;

export interface StoredFile {
  key: string;
  /** Bytes. */
  size: number;
  /** Hex; undefined where the client announced no hash. */
  sha256?: string;
  /** Epoch milliseconds. */
  storedAt: number;
}

/** What every store's log tells of a request. `status` 0: no reply was sent. */
export interface StoreRequest {
  operation: string;
  key: string;
  status: number;
  /** Epoch ms: its headers were there. Only the double tells. */
  startedAt?: number;
}

export interface BenchStore {
  endpoint: string;
  bucket: string;
  accessKey: string;
  secretKey: string;
  objects(): Promise<StoredFile[]>;
  /** A number that moves with every request, cheaply had. */
  activity(): Promise<number>;
  /** Every S3 request so far but for the first `from`, in the order in which they ended. */
  requests(from?: number): Promise<StoreRequest[]>;
  child: Child;
}

/** How far away the store seems to be. */
export interface Distance {
  /** Before every reply. */
  latencyMs?: number;
  /** Share of requests that end in 503, 0 to 1. */
  errorRate?: number;
}

export interface DoubleStore extends BenchStore {
  requests(from?: number): Promise<LoggedRequest[]>;
}

/**
 * Bodies are counted and forgotten, and neither hashes nor signatures are checked: the store has to answer at once,
 * or the rows would measure the double. (That bytes arrive whole is what the tests prove.)
 */
export async function startStore({ latencyMs = 0, errorRate = 0 }: Distance = {}): Promise<DoubleStore> {
  const child = startChild(
    process.execPath,
    [
      ...[CLI, '--bucket', 'bench', '--no-verify', '--no-signatures', '--discard'],
      ...['--latency-ms', String(latencyMs), '--error-rate', String(errorRate)],
    ],
    { PATH: process.env.PATH ?? '', NODE_NO_WARNINGS: '1' },
  );
  const line = await child.line((text) => text.startsWith('{'), START_LIMIT_MS);
  const { endpoint, bucket, accessKeyId, secretAccessKey } = JSON.parse(line) as Record<
    'endpoint' | 'bucket' | 'accessKeyId' | 'secretAccessKey',
    string
  >;
  return {
    endpoint,
    bucket,
    accessKey: accessKeyId,
    secretKey: secretAccessKey,
    objects: () => ask<StoredFile[]>(child, `${endpoint}/-/objects`),
    requests: (from = 0) => ask<LoggedRequest[]>(child, `${endpoint}/-/log?from=${from}`),
    activity: async () => (await ask<{ requests: number }>(child, `${endpoint}/-/count`)).requests,
    child,
  };
}

/** How many times a client made an object that was there already, under the same key or another. */
export function countStoredTwice(requests: readonly StoreRequest[], distinctFiles: number): number {
  const made = requests.filter((request) => MAKES_AN_OBJECT.has(request.operation) && request.status === 200);
  return Math.max(0, made.length - distinctFiles);
}

const MAKES_AN_OBJECT: ReadonlySet<string> = new Set(['PutObject', 'CompleteMultipartUpload']);

async function ask<T>(child: Child, url: string): Promise<T> {
  const reply = await fetch(url).catch((error: unknown) => {
    throw new Error(`the store double doesn't answer (${child.ended() ?? 'it runs'}): ${String(error)}`);
  });
  return (await reply.json()) as T;
}
