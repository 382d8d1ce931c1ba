// Settings, the program itself, the agent that runs beside it, and what the machine gives.
import { readFile } from 'node:fs/promises';
import { ExitCode, UserError } from '../../errors.ts';
import { printable } from '../../paths.ts';
import { agentUrl, isLoopback } from '../../status/client.ts';
import { headline } from '../../status/render.ts';
import { duration, number, size } from '../../status/words.ts';
import { version } from '../../version.ts';
import { bad, type Check, type Finding, good, note, warning } from '../check.ts';
import type { Subject } from '../subject.ts';

/** The agent is made for the first and bundled for the second. */
const NODE_MAJOR = 24;
const OLDEST_NODE_MAJOR = 22;
/** What the agent takes beside the bytes of uploads, generously: bytes. */
const AGENT_BYTES = 150e6;
const BODY_BYTES = 8 * 2 ** 20;
/** An agent with all its connections, watchers and files needs some hundred. */
const DESCRIPTORS = 1024;

export const machineChecks: readonly Check[] = [
  {
    id: 'settings',
    title: 'Settings',
    exitCode: ExitCode.usage,
    look: async ({ settings }) => {
      const problems = settings.problems.map(({ message, fix }) => bad(message, fix));
      const warnings = settings.warnings.map((text) => warning(text, 'Nothing fails for it; correct or unset it.'));
      const origin = describeOrigins(settings.origins);
      return [...problems, ...warnings, problems.length > 0 ? note(origin) : good(origin)];
    },
  },
  {
    id: 'program',
    title: 'Program',
    exitCode: ExitCode.left,
    look: async () => describeProgram(process.versions.node),
  },
  { id: 'agent', title: 'Agent', exitCode: ExitCode.left, look: lookAtAgent },
  { id: 'status-page', title: 'Status page', exitCode: ExitCode.left, look: lookAtStatusPage },
  {
    id: 'memory',
    title: 'Memory',
    exitCode: ExitCode.left,
    look: async (subject) =>
      describeMemory(process.availableMemory(), subject.has('places') ? subject.config.concurrency : 4),
  },
  {
    id: 'descriptors',
    title: 'Open files',
    exitCode: ExitCode.left,
    look: async () => describeDescriptors(await readFile('/proc/self/limits', 'utf8')),
  },
  {
    id: 'time-zone',
    title: 'Time zone',
    needs: ['places'],
    exitCode: ExitCode.left,
    look: async ({ config: { timezone }, clock }) => {
      const at = new Intl.DateTimeFormat('sv-SE', { timeZone: timezone, dateStyle: 'short', timeStyle: 'short' });
      return good(`days in object names are reckoned in ${timezone}, where it is ${at.format(clock.wall())}`);
    },
  },
];

/** Names only: a value may be a secret. */
export function describeOrigins(origins: Readonly<Record<string, string>>): string {
  const byPlace = Map.groupBy(Object.keys(origins), (name) => origins[name]!);
  const parts = [...byPlace].map(([place, names]) => `${names.join(', ')} from ${printable(place)}`);
  return parts.length === 0 ? 'none is set: all have their defaults' : `${parts.join('; ')}; all others are defaults`;
}

export function describeProgram(node: string): Finding {
  const major = Number(node.split('.')[0]);
  const words = `r2-sync ${version} on Node.js ${node}`;
  const fix = `Install Node.js ${NODE_MAJOR}.`;
  if (major < OLDEST_NODE_MAJOR) return bad(`${words}, which is too old`, fix);
  return major < NODE_MAJOR ? warning(`${words}, on which it isn't tested`, fix) : good(words);
}

async function lookAtAgent(subject: Subject): Promise<Finding> {
  const { statusHost, statusPort } = subject.settings.partial;
  if (statusPort === 0) return note('R2_STATUS_PORT=0: nobody can ask the agent how it is');
  const url = agentUrl(statusHost, statusPort);
  try {
    const seen = await subject.agent();
    if (!seen) {
      const fix = 'Nothing is uploaded without one. Start it with `r2-sync run`, or upload once with `r2-sync sync`.';
      return warning(`none answers at ${url}`, fix);
    }
    const words = `${printable(seen.version)}, up ${duration(seen.uptimeSeconds)}, ${seen.state}. ${headline(seen, subject.clock.wall())}`;
    if (seen.version !== version)
      return warning(words, `This is r2-sync ${version}: restart the agent, or use the command of its version.`);
    const { bucket, endpoint } = subject.has('keys') ? subject.config : seen.store;
    if (seen.state !== 'failing' && (seen.store.bucket !== bucket || seen.store.endpoint !== endpoint)) {
      const theirs = printable(`bucket "${seen.store.bucket}" at ${seen.store.endpoint}`);
      return warning(
        `it uploads to ${theirs}, and the settings here say otherwise`,
        'It was started with other settings than this command: see where they come from in the first line.',
      );
    }
    if (seen.state === 'ok' && seen.totals.parkedFiles > 0)
      return warning(words, '`r2-sync status` says which files, and what to do about them.');
    if (seen.state === 'ok') return good(words);
    const reasons = `It says: ${seen.reasons.map(printable).join(' ') || 'nothing more; see its log.'}`;
    return seen.state === 'failing' ? bad(words, reasons) : warning(words, reasons);
  } catch (error) {
    if (error instanceof UserError) return warning(error.message, error.fix);
    throw error;
  }
}

async function lookAtStatusPage(subject: Subject): Promise<Finding> {
  const { statusHost, statusPort, statusToken } = subject.settings.partial;
  if (statusPort === 0) return note('turned off (R2_STATUS_PORT=0)');
  const url = agentUrl(statusHost, statusPort);
  const answers = await subject.agent().then(
    (seen) => seen !== undefined,
    () => true,
  );
  if (!answers && (await isTaken(url))) {
    const fix = 'Set another one: `r2-sync config set R2_STATUS_PORT=8191`.';
    return warning(`port ${statusPort} is taken by another program`, fix);
  }
  if (isLoopback(statusHost)) return good(`${url}, for this machine alone`);
  if (statusToken) return good(`${printable(statusHost)} port ${statusPort}, also from outside, with R2_STATUS_TOKEN`);
  return note(
    `${printable(statusHost)} port ${statusPort}, also from outside, with a token that the agent makes up and logs once`,
    'Set R2_STATUS_TOKEN to have one of your own.',
  );
}

async function isTaken(url: string): Promise<boolean> {
  try {
    await (await fetch(url, { redirect: 'manual', signal: AbortSignal.timeout(2000) })).body?.cancel();
    return true;
  } catch (error) {
    const { code } = ((error as Error).cause ?? {}) as { code?: string };
    return code !== 'ECONNREFUSED' && code !== 'EADDRNOTAVAIL';
  }
}

/** @param available bytes that this process may still have */
export function describeMemory(available: number, concurrency: number): Finding {
  const needed = AGENT_BYTES + concurrency * BODY_BYTES;
  const words = `${size(available)} are free`;
  if (available >= needed) return good(words);
  return warning(
    `${words}, and up to ${size(concurrency * BODY_BYTES)} of files are held at a time (R2_CONCURRENCY=${concurrency})`,
    'Free some memory, or set a lower R2_CONCURRENCY.',
  );
}

/** @param limits the text of /proc/self/limits */
export function describeDescriptors(limits: string): Finding {
  const limit = /^Max open files\s+(\S+)/m.exec(limits)?.[1] ?? 'unlimited';
  const count = limit === 'unlimited' ? Number.POSITIVE_INFINITY : Number(limit);
  const words =
    limit === 'unlimited' ? 'a program may have any number open' : `a program may have ${number(count)} open`;
  if (count >= DESCRIPTORS) return good(words);
  return warning(words, `Raise the limit: \`ulimit -n ${DESCRIPTORS}\`, or --ulimit nofile=${DESCRIPTORS} for Docker.`);
}
