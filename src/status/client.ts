// How the commands find and ask the agent that runs beside them, and the token that both sides share.
import { randomBytes } from 'node:crypto';
import { chmod, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { isIPv4, isIPv6 } from 'node:net';
import { join } from 'node:path';
import * as z from 'zod/mini';
import { errorCode, errorText, UserError } from '../errors.ts';
import type { Log } from '../log.ts';
import type { Repair } from './repair.ts';
import { pendingStates, type Snapshot, stuckReasons } from './snapshot.ts';

export interface TokenSettings {
  /** Where the agent listens: a name or an address, IPv6 with or without brackets. */
  statusHost: string;
  statusToken?: string | undefined;
  /** Directory for what only lives as long as the pod. */
  runDir: string;
}

export interface AgentSettings extends TokenSettings {
  statusPort: number;
}

/** The header that every answer of the agent carries (value: 1), and that a request that does something must carry. */
export const agentHeader = 'x-r2-sync';

/** A scan of a large volume takes its time; the state is at hand. */
const timeouts = { '/api/status': 5_000, '/api/scan': 120_000, '/api/repair': 60_000 };

type Route = keyof typeof timeouts;

/**
 * Asks the agent for its state; `/api/scan` makes it look at the whole output directory before it answers.
 * undefined: nobody answers there, or somebody who isn't r2-sync. Throws UserError when r2-sync is there but doesn't
 * give its state: wrong token, no answer in time (`timeoutMs`), an answer that this version can't read.
 */
export async function askAgent(
  settings: AgentSettings,
  path: '/api/status' | '/api/scan',
  options: { timeoutMs?: number } = {},
): Promise<Snapshot | undefined> {
  const answer = await ask(settings, path, options);
  if (!answer) return undefined;
  const snapshot = answer.ok ? parseSnapshot(answer.body) : undefined;
  if (snapshot === undefined) {
    const fix = 'See the log of r2-sync. If another version of it is running, use the command of that version.';
    throw new UserError(`r2-sync at ${answer.url} answers ${answer.status} and not with its state.`, fix);
  }
  return snapshot;
}

/**
 * Asks the agent to send files again; says how many of them its ledger has as they are described. undefined: nobody
 * answers there. Throws UserError as `askAgent` does.
 */
export async function askForRepair(settings: AgentSettings, wanted: readonly Repair[]): Promise<number | undefined> {
  const answer = await ask(settings, '/api/repair', { body: JSON.stringify(wanted) });
  if (!answer) return undefined;
  const { taken } = answer.ok ? (JSON.parse(answer.body) as { taken?: unknown }) : {};
  if (typeof taken === 'number') return taken;
  throw new UserError(
    `r2-sync at ${answer.url} answers ${answer.status} and doesn't send files again.`,
    'See the log of r2-sync. If another version of it is running, use the command of that version.',
  );
}

/** undefined: nobody answers there, or somebody who isn't r2-sync. */
async function ask(
  settings: AgentSettings,
  path: Route,
  options: { timeoutMs?: number; body?: string },
): Promise<{ url: string; status: number; ok: boolean; body: string } | undefined> {
  const url = `${agentUrl(settings.statusHost, settings.statusPort)}${path}`;
  const token = settings.statusToken || (await readToken(settings.runDir));
  const timeoutMs = options.timeoutMs ?? timeouts[path];
  let reply: Response;
  let body: string;
  try {
    reply = await fetch(url, {
      method: path === '/api/status' ? 'GET' : 'POST',
      headers: { [agentHeader]: '1', ...(token === undefined ? {} : { authorization: `Bearer ${token}` }) },
      ...(options.body === undefined ? {} : { body: options.body }),
      redirect: 'manual',
      signal: AbortSignal.timeout(timeoutMs),
    });
    if (!reply.headers.has(agentHeader)) {
      await reply.body?.cancel();
      return undefined;
    }
    body = await reply.text();
  } catch (error) {
    if ((error as Error).name !== 'TimeoutError') return undefined;
    const fix = 'See the log of r2-sync; a volume that hangs is a usual cause.';
    throw new UserError(`${url} doesn't answer within ${timeoutMs / 1000} s.`, fix, undefined, { cause: error });
  }
  if (reply.status === 401) {
    const fix = `Set R2_STATUS_TOKEN to its token, or run this as the user who can read ${tokenFile(settings.runDir)}.`;
    throw new UserError(`r2-sync at ${url} refuses the token.`, fix);
  }
  return { url, status: reply.status, ok: reply.ok, body };
}

/**
 * The token that the status page asks for: none on loopback; beyond it the one that is set, or one that is made up,
 * kept in `<runDir>/token` (mode 600) for the next start, and logged when it is made.
 */
export async function ensureToken(settings: TokenSettings, log: Log): Promise<string | undefined> {
  if (isLoopback(settings.statusHost)) return undefined;
  if (settings.statusToken) return settings.statusToken;
  const file = tokenFile(settings.runDir);
  const kept = await readToken(settings.runDir);
  if (kept !== undefined) {
    log.info(`The status page asks for the token in ${file}.`);
    return kept;
  }
  const token = randomBytes(16).toString('hex');
  log.info(`The status page can be reached from outside, so it asks for a token: open it with /?token=${token}`);
  try {
    await mkdir(settings.runDir, { recursive: true, mode: 0o700 });
    const temporary = `${file}.${process.pid}.tmp`;
    await rm(temporary, { force: true });
    await writeFile(temporary, `${token}\n`, { flag: 'wx', mode: 0o600 });
    await chmod(temporary, 0o600);
    await rename(temporary, file);
  } catch (error) {
    log.warn(
      `The token of the status page can't be kept in ${file} (${errorText(error)}): the next start makes up another. Set R2_STATUS_TOKEN to have one of your own.`,
    );
  }
  return token;
}

/** Whether only programs on this machine can reach what listens on this host. */
export function isLoopback(host: string): boolean {
  const name = bareHost(host).toLowerCase();
  return name === 'localhost' || name === '::1' || (isIPv4(name) && name.startsWith('127.'));
}

/** `[::1]` → `::1`. */
export function bareHost(host: string): string {
  return host.startsWith('[') && host.endsWith(']') ? host.slice(1, -1) : host;
}

/** Where to ask somebody who listens on this host, without a slash at the end. */
export function agentUrl(host: string, port: number): string {
  const name = bareHost(host);
  const address = name === '0.0.0.0' ? '127.0.0.1' : name === '::' ? '::1' : name;
  return `http://${isIPv6(address) ? `[${address}]` : address}:${port}`;
}

function tokenFile(runDir: string): string {
  return join(runDir, 'token');
}

async function readToken(runDir: string): Promise<string | undefined> {
  try {
    const text = (await readFile(tokenFile(runDir), 'utf8')).trim();
    return /^[0-9a-f]{32}$/.test(text) ? text : undefined;
  } catch (error) {
    if (errorCode(error) === undefined) throw error;
    return undefined;
  }
}

function parseSnapshot(body: string): Snapshot | undefined {
  try {
    const value: unknown = JSON.parse(body);
    // The value itself and not the parsed copy: what a newer agent adds is kept for --json.
    return snapshotShape.safeParse(value).success ? (value as Snapshot) : undefined;
  } catch {
    return undefined;
  }
}

const count = z.number();
const lease = z.object({
  state: z.enum(['mine', 'theirs', 'free', 'off']),
  holder: z.nullable(z.string()),
  host: z.nullable(z.string()),
  epoch: z.nullable(count),
  since: z.nullable(z.string()),
  silentSeconds: z.nullable(count),
});
const snapshotShape = z.object({
  version: z.string(),
  pod: z.string(),
  uptimeSeconds: count,
  startedAt: z.string(),
  state: z.enum(['ok', 'degraded', 'failing']),
  reasons: z.array(z.string()),
  safeToStop: z.boolean(),
  etaSeconds: z.nullable(count),
  leaseSeconds: z.nullable(count),
  store: z.object({
    endpoint: z.string(),
    bucket: z.string(),
    reachable: z.nullable(z.boolean()),
    lastError: z.nullable(z.string()),
  }),
  totals: z.object({
    storedFiles: count,
    storedBytes: count,
    pendingFiles: count,
    pendingBytes: count,
    parkedFiles: count,
    foreignFiles: count,
    pendingBy: z.record(z.enum(pendingStates), count),
    parkedBy: z.record(z.enum(stuckReasons), count),
    retries: count,
    alreadyStored: count,
    leases: z.object({ free: count, released: count, silent: count, dead: count, lost: count }),
  }),
  volume: z.object({
    silentSeconds: count,
    lastScan: z.nullable(z.object({ at: z.string(), seconds: count })),
    space: z.nullable(z.object({ free: count, total: count, low: z.boolean() })),
  }),
  folders: z.array(
    z.object({
      folder: z.string(),
      lease,
      files: count,
      stored: count,
      pending: count,
      parked: count,
      incomplete: count,
      lastStoredAt: z.nullable(z.string()),
      oldestPendingSeconds: z.nullable(count),
    }),
  ),
  recent: z.array(
    z.object({
      path: z.string(),
      encodedPath: z.string(),
      key: z.string(),
      sha256: z.string(),
      incomplete: z.boolean(),
      bytes: count,
      seconds: count,
      at: z.string(),
    }),
  ),
  parked: z.array(z.object({ path: z.string(), reason: z.string(), fix: z.string(), since: z.string() })),
  skipped: z.record(z.string(), count),
  pending: z.array(
    z.object({
      path: z.string(),
      bytes: count,
      state: z.string(),
      seconds: count,
      since: z.string(),
      uploading: z.boolean(),
      sent: count,
    }),
  ),
}) satisfies z.ZodMiniType<Snapshot>;
