// download_models.sh for tests: run for real, with aria2, against the model host of the tests.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { onTestFinished } from 'vitest';
import { commit, type HostedFile, type ModelHost, startModelHost } from './model-host.ts';

const script = fileURLToPath(new URL('../../download_models.sh', import.meta.url));

/** What keeps these tests from running here, if anything does. Loud, and an error where everything must run. */
export function downloadsMissing(): string | undefined {
  const missing = ['aria2c', 'jq', 'curl'].filter((tool) => {
    try {
      execFileSync('sh', ['-c', `command -v ${tool}`]);
      return false;
    } catch {
      return true;
    }
  });
  if (missing.length === 0) return undefined;
  const why = `NOT RUN: downloads (${missing.join(', ')} not installed)`;
  if (process.env.R2_REQUIRE_SYSTEM === '1') throw new Error(why);
  console.warn(why);
  return why;
}

export interface Entry {
  repo?: string;
  file?: string;
  version?: number;
  to?: string;
  size?: number | null;
  sha256?: string | null;
}

/** A list of models, as far as tests write in it. */
export interface List {
  format: number;
  repos: Record<string, { repo: string; revision: string }>;
  files: Record<string, object>;
  snapshots: Record<string, object>;
  civitai: Record<string, object>;
  toggles: { name: string; title: string; group: string; nodes: string[]; fetches: string[]; ids?: object }[];
}

export interface Outcome {
  code: number | string;
  log: string;
}

export interface Run {
  readonly process: ChildProcess;
  log(): string;
  readonly ended: Promise<Outcome>;
}

export interface Scene {
  host: ModelHost;
  models: string;
  manifest: string;
  /** Puts a file on the host and an entry for it into the list; `ENABLE_<id>` in upper case fetches it. */
  offer(id: string, bytes: Buffer, faults?: Partial<HostedFile>, entry?: Entry): HostedFile;
  /** Changes the list. */
  edit(change: (list: List) => void): void;
  start(settings?: Record<string, string>): Run;
  run(settings?: Record<string, string>, ...args: string[]): Promise<Outcome>;
  /** Path of a model. */
  at(path: string): string;
  partials(): string[];
}

/** A host, a directory for models and a list of its own; gone with the test. */
export async function makeScene(at = mkdtempSync(join(tmpdir(), 'downloads-test-'))): Promise<Scene> {
  mkdirSync(at, { recursive: true });
  const host = await startModelHost();
  const models = join(at, 'models');
  const manifest = join(at, 'models.json');
  const list: List = {
    format: 1,
    repos: { repo: { repo: 'owner/repo', revision: commit } },
    files: {},
    snapshots: {},
    civitai: {},
    toggles: [],
  };
  const write = () => writeFileSync(manifest, JSON.stringify(list, null, 2));
  const children = new Set<ChildProcess>();
  onTestFinished(async () => {
    for (const child of children) killGroup(child);
    await host.close();
    rmSync(at, { recursive: true, force: true });
  });
  write();

  const start = (settings: Record<string, string> = {}, args: string[] = []): Run => {
    const child = spawn('bash', [script, ...args], {
      // Its own group, so that all that it started can be ended with it.
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: {
        PATH: process.env.PATH,
        MODELS_DIR: models,
        MODELS_MANIFEST: manifest,
        HF_ENDPOINT: host.url,
        CIVITAI_ENDPOINT: host.url.replace('127.0.0.1', 'localhost'),
        SHARED_MODELS_DIR: join(at, 'shared'),
        MODELS_RETRY_SECONDS: '0',
        MODELS_PROGRESS_SECONDS: '1',
        ...settings,
      },
    });
    children.add(child);
    let log = '';
    for (const stream of [child.stdout!, child.stderr!])
      stream.on('data', (chunk: Buffer) => (log += chunk.toString()));
    const ended = new Promise<Outcome>((resolve, reject) => {
      child.on('error', reject);
      child.on('close', (code, signal) => {
        children.delete(child);
        resolve({ code: code ?? signal ?? 'unknown', log });
      });
    });
    return { process: child, log: () => log, ended };
  };

  return {
    host,
    models,
    manifest,
    offer: (id, bytes, faults = {}, entry = {}) => {
      const hosted: HostedFile = { bytes, ...faults };
      const { repo, file = `files/${id}.safetensors`, version, to = `checkpoints/${id}.safetensors` } = entry;
      const { size = bytes.length, sha256 = hashOf(bytes) } = entry;
      if (version === undefined) {
        host.files.set(`${repo ?? 'owner/repo'}/${file}`, hosted);
        list.files[id] = { repo: 'repo', file, to, size, sha256 };
      } else {
        host.versions.set(`${version}`, Object.assign(hosted, { name: `${id}.safetensors` }));
        list.civitai[id] = { version, to, size, sha256 };
      }
      list.toggles.push({ name: `ENABLE_${id.toUpperCase()}`, title: id, group: 'image', nodes: [], fetches: [id] });
      write();
      return hosted;
    },
    edit: (change) => {
      change(list);
      write();
    },
    start: (settings) => start(settings),
    run: (settings, ...args) => start(settings, args).ended,
    at: (path) => join(models, path),
    partials: () => filesBelow(models).filter((path) => path.endsWith('.partial')),
  };
}

/** Kills a run with all that it started. */
export function killGroup(child: ChildProcess): void {
  try {
    process.kill(-child.pid!, 'SIGKILL');
  } catch {
    // It is gone.
  }
}

export const hashOf = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');
export const hashOfFile = (path: string) => hashOf(readFileSync(path));
/** Bytes that compress and repeat nowhere. */
export const makeBytes = (mebibytes: number) => randomBytes(mebibytes * 2 ** 20);

export function filesBelow(directory: string): string[] {
  if (!existsSync(directory)) return [];
  return readdirSync(directory, { recursive: true, encoding: 'utf8' })
    .filter((path) => statSync(join(directory, path), { throwIfNoEntry: false })?.isFile())
    .sort();
}

export function put(path: string, bytes: Buffer | string): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, bytes);
}

/** Whether aria2's notes say that a piece of a file of up to 24 MiB is whole. */
export function hasWhole(notes: string): boolean {
  return readFileSync(notes)
    .subarray(34, 37)
    .some((byte) => byte !== 0);
}

/** The directory for temporary files of a run that fetches. */
export function runDirOf({ process }: Run): string {
  const links = readdirSync(`/proc/${process.pid}/fd`).map((fd) => readlinkSync(`/proc/${process.pid}/fd/${fd}`));
  const outcomes = links.find((link) => link.endsWith('/outcomes'));
  if (outcomes === undefined) throw new Error('it fetches nothing yet');
  return dirname(outcomes);
}
