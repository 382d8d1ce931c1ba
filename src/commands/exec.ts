// `r2-sync exec -- COMMAND`: the agent beside any command, for images without our start.sh. Signals are forwarded, a
// dead agent is started again, and at the end it drains. The command never sees the bucket's keys.
import { constants } from 'node:os';
import { execa } from 'execa';
import { systemClock } from '../clock.ts';
import { secretNames } from '../config/names.ts';
import type { ExitCode } from '../errors.ts';
import { mallocSettings } from '../memory.ts';
import { backOffMs } from '../upload/gate.ts';

/** How long after SIGTERM the agent waits for the command to end before it drains: what dies in mid-write is no output. */
const COMMAND_GRACE_MS = 1000;
/** An agent that ran this long before it died is started again at once. */
const STEADY_MS = 60_000;
const FORWARDED: readonly NodeJS.Signals[] = ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGUSR1', 'SIGUSR2', 'SIGWINCH'];
const STOPPING: ReadonlySet<NodeJS.Signals> = new Set(['SIGTERM', 'SIGINT']);

/** Who was asked to end takes the time it needs: it is not killed after five seconds. */
const patient = { reject: false, forceKillAfterDelay: false } as const;

/** Resolves with the command's exit code (128 + the signal's number if it was killed). */
export async function exec(command: string, args: readonly string[]): Promise<ExitCode> {
  const environment = { ...process.env };
  for (const name of secretNames()) delete environment[name];
  // Good for us, slow for whoever works with gigabytes.
  for (const [name, value] of Object.entries(mallocSettings)) if (environment[name] === value) delete environment[name];
  const ended = new AbortController();
  /** Asked to stop again while the agent drains. */
  const hurried = new AbortController();
  // Before anything runs: a signal that meets no listener ends us, and nobody tells the command.
  for (const signal of FORWARDED) {
    process.on(signal, () => {
      child.kill(signal);
      if (!STOPPING.has(signal)) return;
      if (ended.signal.aborted) hurried.abort();
      else void systemClock.sleep(COMMAND_GRACE_MS, ended.signal).then(() => ended.abort());
    });
  }
  const child = execa(command, args, { stdio: 'inherit', env: environment, extendEnv: false, ...patient });
  const agent = keepAgent(ended.signal, hurried.signal);
  const result = await child;
  ended.abort();
  await agent;
  if (result.exitCode === undefined && result.signal === undefined) {
    console.error(`r2-sync: can't run ${command}: ${result.originalMessage ?? 'unknown reason'}`);
    return 127 as ExitCode;
  }
  return (result.exitCode ?? 128 + constants.signals[result.signal as NodeJS.Signals]) as ExitCode;
}

/**
 * Runs `r2-sync run` until `end` is aborted, then drains it: also one that has only just begun, or is dead. `hurry` ends
 * the drain.
 */
async function keepAgent(end: AbortSignal, hurry: AbortSignal): Promise<void> {
  for (let deaths = 0; ; deaths += 1) {
    const started = systemClock.monotonic();
    // A process group of its own: Ctrl-C on a terminal reaches it through us, once.
    const agent = execa(process.execPath, [...process.execArgv, process.argv[1]!, 'run'], {
      stdio: ['ignore', 'inherit', 'inherit'],
      detached: true,
      ipc: true,
      ...patient,
    });
    // Before it listens for signals, one would end it without a drain.
    const listens = agent.getOneMessage().catch(() => {});
    // It has ended itself, but can't be gone before its last call on the volume returns.
    const hung = agent.getOneMessage({ filter: (message) => message === 'hung' }).catch(() => agent);
    let told = false;
    const stop = async () => {
      told = true;
      await Promise.race([listens, agent]);
      agent.kill('SIGTERM');
    };
    if (end.aborted) void stop();
    else end.addEventListener('abort', stop, { once: true });
    const stopNow = () => agent.kill('SIGTERM');
    hurry.addEventListener('abort', stopNow, { once: true });
    await Promise.race([agent, hung]);
    hurry.removeEventListener('abort', stopNow);
    end.removeEventListener('abort', stop);
    if (told) return;
    if (systemClock.monotonic() - started > STEADY_MS) deaths = 0;
    const wait = backOffMs(deaths);
    console.error(`r2-sync: the agent ended unexpectedly; it is started again in ${Math.round(wait / 100) / 10} s`);
    await systemClock.sleep(wait, end);
  }
}
