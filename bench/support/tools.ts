// Finds the programs that contenders need, and installs what is missing where that is possible.
import { execFile } from 'node:child_process';
import { accessSync, constants, existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';

/** Where a program is, or why it isn't there. */
export type Tool = { path: string } | { missing: string };

const INSTALL_LIMIT_MS = 180_000;
const run = promisify(execFile);
const cache = join(import.meta.dirname, '../.cache');

/** A program on the PATH; where it isn't, root gets it from the system's packages. */
export async function provideProgram(name: string, systemPackage: string): Promise<Tool> {
  const found = findOnPath(name);
  if (found !== undefined) return { path: found };
  const install = `apt-get install -y ${systemPackage}`;
  if (process.getuid?.() !== 0) return { missing: `${name} isn't installed (as root: ${install})` };
  const error =
    (await tryRun('apt-get', ['install', '-y', '-q', systemPackage])) &&
    ((await tryRun('apt-get', ['update', '-q'])) ?? (await tryRun('apt-get', ['install', '-y', '-q', systemPackage])));
  const path = findOnPath(name);
  return path !== undefined ? { path } : { missing: `${name} isn't installed and "${install}" failed: ${error}` };
}

/** A Python that has boto3: one of our own under .cache, else the machine's if it happens to have it. */
export async function providePythonWithBoto3(): Promise<Tool> {
  const own = join(cache, 'venv/bin/python');
  if (await hasBoto3(own)) return { path: own };
  const system = findOnPath('python3');
  if (system === undefined) return { missing: "python3 isn't installed" };
  const error =
    (await tryRun(system, ['-m', 'venv', join(cache, 'venv')])) ??
    (await tryRun(own, ['-m', 'pip', 'install', '--quiet', 'boto3']));
  if (await hasBoto3(own)) return { path: own };
  if (await hasBoto3(system)) return { path: system };
  return { missing: `boto3 can't be installed into bench/.cache/venv: ${error}` };
}

function findOnPath(name: string): string | undefined {
  const directories = (process.env.PATH ?? '').split(delimiter).filter((directory) => directory !== '');
  return directories.map((directory) => join(directory, name)).find(isExecutable);
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

async function hasBoto3(python: string): Promise<boolean> {
  return existsSync(python) && (await tryRun(python, ['-c', 'import boto3'])) === undefined;
}

/** Undefined when it worked, else the last line of what went wrong. */
async function tryRun(command: string, args: readonly string[]): Promise<string | undefined> {
  try {
    const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
    await run(command, [...args], { timeout: INSTALL_LIMIT_MS, env });
    return undefined;
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    return text.trim().split('\n').at(-1) ?? 'failed';
  }
}
