// One attempt to deliver a message. Nothing that is said about it names more of the address than its host: the rest is
// the secret.
import type { WebhookFormat } from '../config/types.ts';
import { errorCode } from '../errors.ts';
import { formatMessage } from './formats.ts';
import type { Message } from './message.ts';

export type Outcome =
  | { is: 'delivered' }
  /** Worth another attempt, not before `afterMs`. */
  | { is: 'later'; problem: string; afterMs: number }
  /** Asking again changes nothing. `problem` and what to do, for people. */
  | { is: 'refused'; problem: string };

/** An answer may be so long in coming. */
const PATIENCE_MS = 10_000;
const LONGEST_WAIT_MS = 15 * 60_000;

const refusals: Readonly<Record<number, string>> = {
  401: 'it wants another password or token',
  403: 'it forbids this address to send',
  404: 'it knows no such address: it may have been deleted',
  410: 'the address was deleted',
};

/** @param wall ms, for a Retry-After that names a time. Never rejects. */
export async function postMessage(
  url: URL,
  format: WebhookFormat,
  message: Message,
  { wall, signal }: { wall: number; signal?: AbortSignal },
): Promise<Outcome> {
  const { headers, body } = formatMessage(format, message);
  const target = new URL(url);
  // fetch takes no address with a password in it.
  const [user, password] = [target.username, target.password].map(decodeURIComponent);
  target.username = '';
  target.password = '';
  const login = user || password ? `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}` : undefined;
  const patience = AbortSignal.timeout(PATIENCE_MS);
  let reply: Response;
  try {
    reply = await fetch(target, {
      method: 'POST',
      headers: { ...headers, 'user-agent': 'r2-sync', ...(login && { authorization: login }) },
      body,
      redirect: 'manual',
      signal: signal ? AbortSignal.any([signal, patience]) : patience,
    });
    await reply.body?.cancel();
  } catch (error) {
    const code = errorCode((error as Error).cause) ?? (error as Error).name;
    const what = patience.aborted ? `doesn't answer within ${PATIENCE_MS / 1000} s` : `can't be reached (${code})`;
    return { is: 'later', problem: what, afterMs: 0 };
  }
  return judge(reply, wall);
}

function judge({ ok, status, headers }: Response, wall: number): Outcome {
  if (ok) return { is: 'delivered' };
  if (status === 429 || status === 408 || status >= 500) {
    const afterMs = status === 429 || status === 503 ? retryAfter(headers.get('retry-after'), wall) : 0;
    return { is: 'later', problem: status === 429 ? 'asks for fewer messages (429)' : `answers ${status}`, afterMs };
  }
  if (status >= 300 && status < 400) {
    const why = 'it sends us to another address, and messages go to no other than the one that was set';
    return { is: 'refused', problem: `answers ${status}: ${why}` };
  }
  return { is: 'refused', problem: `answers ${status}${refusals[status] ? `: ${refusals[status]}` : ''}` };
}

/** Milliseconds; seconds and dates are both in use. */
function retryAfter(text: string | null, wall: number): number {
  const seconds = Number(text ?? Number.NaN);
  const ms = Number.isFinite(seconds) ? seconds * 1000 : Date.parse(text ?? '') - wall;
  return Number.isFinite(ms) ? Math.min(Math.max(ms, 0), LONGEST_WAIT_MS) : 0;
}
