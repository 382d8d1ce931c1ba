// A real S3 server as the store of a run: versitygw, which keeps objects as files on this machine's disk. It checks
// signatures, hashes and conditions, writes every byte, and so answers as a server does and not as a double.
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { startChild } from './children.ts';
import { poll } from './clock.ts';
import { findFreePort } from './ports.ts';
import type { BenchStore, StoredFile, StoreRequest } from './store.ts';
import { provideGoProgram, type Tool } from './tools.ts';

const BUCKET = 'bench';
const ACCESS_KEY = 'bench-access-key';
const SECRET_KEY = 'bench-secret-key-0000000000';
const START_LIMIT_MS = 30_000;
/** `… s3_PutObject outputs/a.png /bench/outputs/a.png 200 - 0 3 …`: what follows the request's id in the access log. */
const LOG_LINE = / s3_(\w+) (\S+) \/\S* (\d{3}) /;

export function provideRealStore(): Promise<Tool> {
  return provideGoProgram('versitygw', 'github.com/versity/versitygw', '/cmd/versitygw', 'v1.8.0');
}

/** Starts it on an empty directory of its own in `directory`. */
export async function startRealStore(directory: string): Promise<BenchStore> {
  const tool = await provideRealStore();
  if ('missing' in tool) throw new Error(tool.missing);
  const root = mkdtempSync(join(directory, 'store-'));
  const [data, log, bucket] = [join(root, 'data'), join(root, 'access.log'), join(root, 'data', BUCKET)];
  mkdirSync(bucket, { recursive: true });
  const port = await findFreePort();
  const child = startChild(
    tool.path,
    ['--port', `127.0.0.1:${port}`, '--region', 'auto', '--keep-alive', '--quiet', '--access-log', log, 'posix', data],
    { PATH: process.env.PATH ?? '', HOME: root, ROOT_ACCESS_KEY: ACCESS_KEY, ROOT_SECRET_KEY: SECRET_KEY },
  );
  const endpoint = `http://127.0.0.1:${port}`;
  const answers = () =>
    fetch(endpoint).then(
      () => child.ended() === undefined || undefined,
      () => undefined,
    );
  if ((await poll(answers, 50, START_LIMIT_MS)) !== true)
    throw new Error(`versitygw doesn't answer (${child.ended() ?? 'it runs'}): ${child.complaints()}`);
  const requests = async (from = 0) => readLog(log).slice(from);
  return {
    endpoint,
    bucket: BUCKET,
    accessKey: ACCESS_KEY,
    secretKey: SECRET_KEY,
    objects: async () => listObjects(bucket),
    requests,
    activity: async () => statSync(log, { throwIfNoEntry: false })?.size ?? 0,
    child,
  };
}

/** The moment when an object's name appeared is its inode's last change: kernel's clock, steps of up to 4 ms. */
function listObjects(bucket: string): StoredFile[] {
  return readdirSync(bucket, { recursive: true, withFileTypes: true }).flatMap((entry) => {
    if (!entry.isFile()) return [];
    const path = join(entry.parentPath, entry.name);
    const { size, ctimeMs } = statSync(path);
    return [{ key: path.slice(bucket.length + 1), size, storedAt: ctimeMs }];
  });
}

function readLog(log: string): StoreRequest[] {
  const lines = statSync(log, { throwIfNoEntry: false }) === undefined ? [] : readFileSync(log, 'utf8').split('\n');
  return lines.flatMap((line) => {
    const [, operation, key, status] = LOG_LINE.exec(line) ?? [];
    return operation === undefined ? [] : [{ operation, key: key!, status: Number(status) }];
  });
}
