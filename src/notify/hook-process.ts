// One run of the program that R2_ON_STORED names: what it gets to know, how long it may take, and that nothing of it is
// left behind.
import { constants, setPriority } from 'node:os';
import { StringDecoder } from 'node:string_decoder';
import { execa } from 'execa';
import { secretNames } from '../config/names.ts';
import { errorText } from '../errors.ts';
import { mallocSettings } from '../memory.ts';
import { encodeName, nameOf, percentEncode, printable } from '../paths.ts';
import type { StoredFact } from './fact.ts';

export interface HookResult {
  is: 'done' | 'failed' | 'timeout' | 'stopped';
  /** What happened, for people; '' when it is done. */
  problem: string;
}

/** How long it has between SIGTERM and SIGKILL. */
const GRACE_MS = 1000;
const LAST_LINE_LENGTH = 300;
const KEPT_BYTES = 4096;
/**
 * A name that isn't UTF-8 can't be put into an environment by Node. This puts the bytes there that printf makes of octal
 * escapes; no name is on a command line.
 */
const WITH_BYTES = [
  '/bin/sh',
  '-c',
  // biome-ignore lint/suspicious/noTemplateCurlyInString: the shell's
  'for v in R2_FILE_PATH R2_FILE_NAME R2_FILE_FOLDER R2_FILE_ABSOLUTE_PATH; do eval "t=\\$$v"; t=$(printf "%b." "$t"); export "$v=${t%.}"; done; exec "$@"',
  'sh',
] as const;

/** Runs it; resolves when it and all that it started has ended. Never rejects. `stop` ends it at once. */
export async function runHook(
  command: readonly string[],
  fact: StoredFact,
  { bucket, seconds, stop }: { bucket: string; seconds: number; stop: AbortSignal },
): Promise<HookResult> {
  const exact = fact.path.isWellFormed() && fact.root.isWellFormed();
  const [file, ...args] = exact ? command : [...WITH_BYTES, ...command];
  const environment = { ...hookEnvironment(), ...describeInEnvironment(fact, bucket, exact) };
  let last = '';
  let over: 'timeout' | 'stopped' | undefined;
  try {
    const child = execa(file!, args, {
      cwd: '/',
      env: environment,
      extendEnv: false,
      // A group of its own, so that all of it can be ended.
      detached: true,
      cleanup: false,
      input: `${JSON.stringify(describeAsJson(fact, bucket))}\n`,
      stdout: 'ignore',
      stderr: 'pipe',
      buffer: false,
      reject: false,
    });
    const { pid } = child;
    if (pid !== undefined) lowerPriority(pid);
    const decoder = new StringDecoder();
    child.stderr?.on('data', (chunk: Buffer) => {
      last = (last + decoder.write(chunk)).slice(-KEPT_BYTES);
    });
    const end = (why: typeof over) => {
      over ??= why;
      killGroup(pid, why === 'stopped' ? 'SIGKILL' : 'SIGTERM');
      timers.push(setTimeout(() => killGroup(pid, 'SIGKILL'), GRACE_MS));
    };
    const timers = [setTimeout(() => end('timeout'), seconds * 1000)];
    const onStop = () => end('stopped');
    if (stop.aborted) onStop();
    stop.addEventListener('abort', onStop, { once: true });
    // What it leaves running in its group ends with it: else nothing would bound that.
    child.nodeChildProcess.once('exit', () => killGroup(pid, 'SIGKILL'));
    const result = await child;
    for (const timer of timers) clearTimeout(timer);
    stop.removeEventListener('abort', onStop);
    if (over === 'timeout') return { is: 'timeout', problem: `took longer than ${seconds} s and was ended` };
    if (over === 'stopped') return { is: 'stopped', problem: 'was ended, as the agent stops' };
    if (result.exitCode === 0) return { is: 'done', problem: '' };
    if (result.exitCode === undefined && result.signal === undefined)
      return { is: 'failed', problem: `can't be started: ${result.originalMessage ?? 'unknown reason'}` };
    const how =
      result.exitCode === undefined ? `was ended by ${result.signal}` : `ended with exit code ${result.exitCode}`;
    return { is: 'failed', problem: `${how}${lastLine(last)}` };
  } catch (error) {
    return { is: 'failed', problem: `can't be started: ${errorText(error)}` };
  }
}

/** Ours, without what isn't for other people's programs. */
function hookEnvironment(): NodeJS.ProcessEnv {
  const environment = { ...process.env };
  for (const name of secretNames()) delete environment[name];
  for (const [name, value] of Object.entries(mallocSettings)) if (environment[name] === value) delete environment[name];
  return environment;
}

function describeInEnvironment(fact: StoredFact, bucket: string, exact: boolean): Record<string, string> {
  const { root, path, folder, key, sha256, size, mtimeNs, storedAt } = fact;
  const bytes = (text: string) => (exact ? text : octal(text));
  return {
    R2_FILE_PATH: bytes(path),
    R2_FILE_NAME: bytes(nameOf(path)),
    R2_FILE_FOLDER: bytes(folder),
    R2_FILE_ABSOLUTE_PATH: bytes(`${root}/${path}`),
    R2_FILE_KEY: key,
    R2_FILE_BUCKET: bucket,
    R2_FILE_SHA256: sha256,
    R2_FILE_SIZE: String(size),
    R2_FILE_MTIME: isoTime(mtimeNs),
    R2_FILE_STORED_AT: new Date(storedAt).toISOString(),
  };
}

/** As JSON can't hold every name either, `pathBytes` has it percent-encoded. */
function describeAsJson(fact: StoredFact, bucket: string): Record<string, string | number> {
  const { root, path, folder, key, sha256, size, mtimeNs, storedAt } = fact;
  return {
    path: path.toWellFormed(),
    pathBytes: percentEncode(path),
    name: nameOf(path).toWellFormed(),
    folder: folder.toWellFormed(),
    absolutePath: `${root}/${path}`.toWellFormed(),
    key,
    bucket,
    sha256,
    size,
    mtime: isoTime(mtimeNs),
    storedAt: new Date(storedAt).toISOString(),
  };
}

function isoTime(ns: bigint): string {
  const date = new Date(Number(ns / 1_000_000n));
  // A time that no calendar has is no reason not to run.
  return Number.isNaN(date.getTime()) ? '' : date.toISOString();
}

/** Every byte as `%b` of printf takes it. */
function octal(text: string): string {
  return [...encodeName(text)].map((byte) => `\\0${byte.toString(8).padStart(3, '0')}`).join('');
}

function lastLine(text: string): string {
  const line = text.trimEnd().split('\n').at(-1)?.trim() ?? '';
  return line === '' ? '' : `: ${printable(line.slice(0, LAST_LINE_LENGTH))}`;
}

/** ComfyUI comes first. */
function lowerPriority(pid: number): void {
  try {
    setPriority(pid, constants.priority.PRIORITY_BELOW_NORMAL);
  } catch {
    // It has ended already.
  }
}

function killGroup(pid: number | undefined, signal: NodeJS.Signals): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, signal);
  } catch {
    // All of it has ended.
  }
}
