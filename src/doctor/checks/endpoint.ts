// The way to the store, step by step: its name, a connection, encryption, whether S3 answers there, and what its clock says.
import { lookup } from 'node:dns/promises';
import { request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { isIP, connect as tcpConnect } from 'node:net';
import { type TLSSocket, connect as tlsConnect } from 'node:tls';
import { ExitCode } from '../../errors.ts';
import { printable } from '../../paths.ts';
import { bareHost } from '../../status/client.ts';
import { duration } from '../../status/words.ts';
import { notS3, toStoreError } from '../../upload/failures.ts';
import { bad, type Check, type Finding, good, sentence, warning } from '../check.ts';
import type { Subject } from '../subject.ts';

/** How far clocks may be apart for signatures to hold, by S3's rule. */
const SIGNATURE_MS = 15 * 60_000;
/** Clocks that are set by the network agree within this. */
const CLOCK_MS = 10_000;
const DAY_MS = 86_400_000;
const EXPIRES_SOON_DAYS = 7;
/** Of a reply: a proxy's page may be long. */
const REPLY_BYTES = 64 * 1024;

export const endpointChecks: readonly Check[] = [
  { id: 'name', title: 'Endpoint: name', needs: ['keys'], exitCode: ExitCode.unexpected, look: lookUpName },
  {
    id: 'connection',
    title: 'Endpoint: connection',
    needs: ['name'],
    exitCode: ExitCode.unexpected,
    look: tryConnection,
  },
  {
    id: 'encryption',
    title: 'Endpoint: TLS',
    needs: ['connection'],
    exitCode: ExitCode.unexpected,
    look: tryEncryption,
  },
  { id: 'store', title: 'Endpoint: S3', needs: ['encryption'], exitCode: ExitCode.refused, look: tryStore },
  {
    id: 'clock',
    title: 'Clock',
    needs: ['store'],
    exitCode: ExitCode.left,
    look: async (subject) => describeClock(subject.storeClock),
  },
];

interface Address {
  host: string;
  port: number;
  encrypted: boolean;
}

function addressOf({ config }: Subject): Address {
  const { hostname, port, protocol } = new URL(config.endpoint);
  const encrypted = protocol === 'https:';
  return { host: bareHost(hostname), port: Number(port) || (encrypted ? 443 : 80), encrypted };
}

async function lookUpName(subject: Subject): Promise<Finding> {
  const { host } = addressOf(subject);
  return await within(subject, async () => {
    const addresses = await lookup(host, { all: true });
    const [first, ...more] = addresses.map(({ address }) => address);
    if (isIP(host)) return good(`${host} is an address`);
    return good(`${host} is ${first}${more.length > 0 ? ` (and ${more.length} more)` : ''}`);
  });
}

async function tryConnection(subject: Subject, signal: AbortSignal): Promise<Finding> {
  const { host, port } = addressOf(subject);
  return await within(subject, async () => {
    const began = subject.clock.monotonic();
    await new Promise<void>((resolve, reject) => {
      const socket = tcpConnect({ host, port, signal }, () => {
        socket.destroy();
        resolve();
      });
      socket.once('error', reject);
    });
    return good(`port ${port} answers after ${Math.ceil(subject.clock.monotonic() - began)} ms`);
  });
}

async function tryEncryption(subject: Subject, signal: AbortSignal): Promise<Finding> {
  const { host, port, encrypted } = addressOf(subject);
  if (!encrypted) return good('none: the store is on this machine');
  return await within(subject, async () => {
    const socket = await new Promise<TLSSocket>((resolve, reject) => {
      const name = isIP(host) ? {} : { servername: host };
      const socket = tlsConnect({ host, port, ...name }, () => resolve(socket));
      signal.addEventListener('abort', () => socket.destroy(), { once: true });
      socket.once('error', reject);
    });
    const { issuer, valid_to } = socket.getPeerCertificate();
    const by = printable([issuer?.O ?? issuer?.CN ?? 'unknown'].flat().join(' '));
    const days = Math.floor((Date.parse(valid_to) - subject.clock.wall()) / DAY_MS);
    const words = `${socket.getProtocol()}, certificate by ${by}, valid for ${days} more days`;
    socket.destroy();
    return days < EXPIRES_SOON_DAYS ? warning(words, 'Its owner must renew it before that.') : good(words);
  });
}

/** An unsigned question: a store says no, in S3's words, and what time it has. */
async function tryStore(subject: Subject, signal: AbortSignal): Promise<Finding> {
  const { endpoint, bucket } = subject.config;
  return await within(subject, async () => {
    const began = subject.clock.wall();
    const { status, date, server, body } = await ask(`${endpoint}/${bucket}?list-type=2&max-keys=1`, signal);
    const ended = subject.clock.wall();
    if (!/<(Error|ListBucketResult)[\s>]/.test(body)) {
      const { message, fix } = notS3({ endpoint, bucket }, status);
      return bad(message, sentence(fix));
    }
    // The date has whole seconds: on average it is half a second old.
    const theirs = Date.parse(date) + 500;
    const uncertainMs = 500 + (ended - began) / 2;
    if (!Number.isNaN(theirs)) subject.storeClock = { aheadMs: theirs - (began + ended) / 2, uncertainMs };
    return good(`S3 answers${server === '' ? '' : ` (${printable(server)})`}`);
  });
}

interface Answer {
  status: number;
  /** Headers; '' where they are missing. */
  date: string;
  server: string;
  body: string;
}

function ask(url: string, signal: AbortSignal): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const send = url.startsWith('https:') ? httpsRequest : httpRequest;
    const request = send(url, { agent: false, signal }, (reply) => {
      const { date = '' } = reply.headers;
      const server = String(reply.headers.server ?? '');
      let body = '';
      const finish = () => resolve({ status: reply.statusCode ?? 0, date, server, body });
      reply.setEncoding('latin1');
      reply.on('data', (chunk: string) => {
        body += chunk;
        if (body.length < REPLY_BYTES) return;
        finish();
        reply.destroy();
      });
      reply.on('end', finish);
      reply.on('error', reject);
    });
    request.on('error', reject);
    request.end();
  });
}

export function describeClock(clock: Subject['storeClock']): Finding {
  if (!clock) return { mark: 'skipped', result: 'the store did not say what time it has' };
  const apart = Math.abs(clock.aheadMs);
  if (apart <= Math.max(CLOCK_MS / 10, clock.uncertainMs)) return good("agrees with the store's, to a second");
  const words = `this machine's is ${duration(apart / 1000)} ${clock.aheadMs > 0 ? 'behind' : 'ahead of'} the store's`;
  if (apart < CLOCK_MS) return good(words);
  const fix = `Set this machine's clock, on the host where this is a container: signatures hold only for ${SIGNATURE_MS / 60_000} minutes.`;
  return apart < SIGNATURE_MS ? warning(words, fix) : bad(words, fix);
}

/** What fails on the way is told in the words of an upload that fails. */
async function within({ config }: Subject, work: () => Promise<Finding>): Promise<Finding> {
  try {
    return await work();
  } catch (error) {
    const { message, fix } = toStoreError(error, { bucket: config.bucket, endpoint: config.endpoint });
    return bad(message, sentence(fix), ExitCode.unexpected);
  }
}
