// Finds the programs that contenders need, and installs what is missing where that is possible.
import { execFile } from 'node:child_process';
import {
  accessSync,
  constants,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';

/** Where a program is, or why it isn't there. */
export type Tool = { path: string } | { missing: string };

const INSTALL_LIMIT_MS = 180_000;
const GO_LIMIT_MS = 900_000;
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

/**
 * A program in Go of exactly this version, built from source into the user's cache (so once for all checkouts). A module
 * of our own requires it: `go install` would ask for the list of all versions, which a proxy may not give.
 */
export async function provideGoProgram(name: string, module: string, command: string, version: string): Promise<Tool> {
  const cached = join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'r2-sync-bench/go');
  const path = join(cached, `${name}-${version}`);
  if (isExecutable(path)) return { path };
  if (findOnPath('go') === undefined) return { missing: `${name} is built with Go, and go isn't installed` };
  mkdirSync(cached, { recursive: true });
  const work = mkdtempSync(join(tmpdir(), 'r2-sync-bench-go-'));
  process.stderr.write(`building ${name} ${version} from source, once; it may take minutes\n`);
  try {
    writeFileSync(join(work, 'go.mod'), `module tools\n\ngo 1.24\n\nrequire ${module} ${version}\n`);
    const error = await tryRun('go', ['build', '-mod=mod', '-o', join(work, 'built'), `${module}${command}`], {
      cwd: work,
      timeout: GO_LIMIT_MS,
    });
    if (error !== undefined) return { missing: `${name} ${version} can't be built: ${error}` };
    copyFileSync(join(work, 'built'), path);
    return { path };
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
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
async function tryRun(
  command: string,
  args: readonly string[],
  how: { cwd?: string; timeout?: number } = {},
): Promise<string | undefined> {
  try {
    const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
    await run(command, [...args], { timeout: INSTALL_LIMIT_MS, ...how, env });
    return undefined;
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    return text.trim().split('\n').at(-1) ?? 'failed';
  }
}
