// How the demo asks the agent: over its status page's API, and through the command that a person would use.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { agentFile } from './build.ts';
import { runDirectory } from './data.ts';
import type { Screen } from './screen.ts';
import { cleanEnvironment } from './settings.ts';

const LOOK_MS = 50;
const START_MS = 20_000;

/** Waits until the agent answers at its address, for a while; says so if it doesn't. */
export async function untilAnswers(statusUrl: string, screen: Screen, signal: AbortSignal): Promise<void> {
  const end = AbortSignal.any([signal, AbortSignal.timeout(START_MS)]);
  while (!end.aborted) {
    const answers = await fetch(`${statusUrl}api/status`, { signal: end }).then(
      (reply) => reply.ok,
      () => false,
    );
    if (answers) return;
    await sleep(LOOK_MS, undefined, { signal: end }).catch(() => {});
  }
  if (!signal.aborted) screen.line('demo', `The agent doesn't answer at ${statusUrl}`, 'yellow');
}

/** `r2-sync wait`, as from another terminal: ends when nothing is pending, or nothing moves, or after `seconds`. */
export async function waitUntilStored(
  data: string,
  seconds: number,
  screen: Screen,
  signal: AbortSignal,
): Promise<void> {
  const command = spawn(process.execPath, [agentFile, 'wait', '--timeout', String(seconds)], {
    env: { ...cleanEnvironment(process.env), R2_RUN_DIR: runDirectory(data) },
    stdio: ['ignore', 'pipe', 'inherit'],
    // Out of the terminal's reach, like the agent: it ends with `signal`.
    detached: true,
    signal,
  });
  let said = '';
  command.stdout.setEncoding('utf8').on('data', (text) => {
    said += text;
  });
  // The signal's abort is an error event as well.
  command.on('error', () => {});
  await Promise.race([once(command, 'close'), once(command, 'error')]).catch(() => {});
  if (!signal.aborted && said !== '') screen.line('wait', said.trim());
}
