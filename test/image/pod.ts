// A pod without a container: start.sh for real, with the stand-in ComfyUI, the built agent, and every directory in a
// place of the test's own. `npm test` builds dist first.
import { spawn } from 'node:child_process';
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Snapshot } from '../../src/status/snapshot.ts';
import { freePort, type Target, until } from '../support/agent.ts';

const REPO = new URL('../../', import.meta.url).pathname;

export interface PodPlace {
  base: string;
  workspace: string;
  output: string;
}

/** What pods share: a workspace, and the programs that they find on PATH. */
export async function makePodPlace(): Promise<PodPlace> {
  const base = await mkdtemp(join(tmpdir(), 'pod-test-'));
  const workspace = join(base, 'workspace');
  await mkdir(join(base, 'bin'));
  await mkdir(workspace);
  // Whom ComfyUI runs as has to get there.
  for (const path of [base, workspace]) await chmod(path, 0o755);
  await program(base, 'r2-sync', `exec '${process.execPath}' '${REPO}dist/r2-sync.js' "$@"`);
  await program(base, 'python', 'exec python3 "$@"');
  await program(base, 'nvidia-smi', 'echo "No devices were found"; exit 6');
  return { base, workspace, output: join(workspace, 'ComfyUI', 'output') };
}

export async function removePodPlace(place: PodPlace): Promise<void> {
  await rm(place.base, { recursive: true, force: true });
}

/** A stand-in that the pods of this place find first. */
export async function program(base: string, name: string, script: string): Promise<void> {
  await writeFile(join(base, 'bin', name), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
}

export interface Pod {
  readonly pid: number;
  readonly comfyui: string;
  readonly statusPage: string;
  /** Where its run-time files are. */
  readonly runDir: string;
  log(): string;
  /** Waits until the log has this. */
  says(text: string | RegExp): Promise<void>;
  /** Waits until ComfyUI answers. */
  ready(): Promise<void>;
  /** Has ComfyUI make pictures; resolves with their paths below its output directory once they are there. */
  make(prefix: string, options?: Picture): Promise<string[]>;
  /** The same, without waiting. */
  ask(prefix: string, options?: Picture): Promise<string>;
  snapshot(): Promise<Snapshot>;
  /** The pid of `ComfyUI`, `r2-sync`, … as start.sh knows it. */
  pidOf(service: string): Promise<number>;
  signal(signal?: NodeJS.Signals): void;
  ended: Promise<number | string>;
  /** Whatever state it is in: nothing of it is left afterwards. */
  end(): Promise<void>;
}

export interface Picture {
  width?: number;
  height?: number;
  count?: number;
  color?: number;
}

/** What a pod's template sets for this store. */
export function storeSettings(target: Target): Record<string, string> {
  return {
    ENABLE_R2_SYNC: 'true',
    R2_ENDPOINT: target.endpoint,
    R2_BUCKET: target.bucket,
    R2_ACCESS_KEY: target.accessKeyId,
    R2_SECRET_KEY: target.secretAccessKey,
  };
}

let started = 0;

export async function startPod(place: PodPlace, settings: Record<string, string> = {}): Promise<Pod> {
  started += 1;
  const own = join(place.base, `pod-${started}`);
  const port = await freePort();
  const statusPort = await freePort();
  await mkdir(own);
  await chmod(own, 0o755);
  const env = {
    PATH: `${join(place.base, 'bin')}:${process.env.PATH}`,
    HOME: own,
    WORKSPACE: place.workspace,
    COMFYUI_DIR: join(REPO, 'test/support/comfyui'),
    COMFYUI_PORT: String(port),
    SHARED_MODELS_DIR: join(place.base, 'shared'),
    HEARMEMAN_RUN_DIR: join(own, 'run'),
    HEARMEMAN_LOCAL_DIR: join(own, 'local'),
    HEARMEMAN_SSH_DIR: join(own, 'ssh'),
    HEARMEMAN_ROOT_SSH_DIR: join(own, 'root-ssh'),
    HEARMEMAN_SSH_PORT: String(await freePort()),
    HEARMEMAN_GPU_DEVICE: join(own, 'nvidia'),
    HEARMEMAN_PROFILE: join(own, 'profile.sh'),
    R2_RUN_DIR: join(own, 'r2-run'),
    R2_STATUS_PORT: String(statusPort),
    // Nobody downloads anything here.
    MODELS_MANIFEST: join(own, 'no-models.json'),
    ...settings,
  };
  await writeFile(env.MODELS_MANIFEST, '{}');
  const child = spawn('bash', [join(REPO, 'start.sh')], { env, stdio: ['ignore', 'pipe', 'pipe'] });
  let log = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (log += chunk.toString()));
  const ended = new Promise<number | string>((resolve) =>
    child.on('exit', (code, signal) => resolve(code ?? signal ?? -1)),
  );
  const comfyui = `http://127.0.0.1:${port}`;
  const isOver = () => child.exitCode !== null || child.signalCode !== null;
  const wait = async (wish: () => boolean | Promise<boolean>, what: string) => {
    try {
      await until(async () => {
        if (isOver()) throw new Error(`the pod ended while waiting for: ${what}`);
        return wish();
      }, what);
    } catch (error) {
      throw new Error(`${error instanceof Error ? error.message : error}\n${log}`);
    }
  };
  const getJson = async (url: string, headers = {}) => (await fetch(url, { headers })).json();
  const pod: Pod = {
    pid: child.pid!,
    comfyui,
    statusPage: `http://127.0.0.1:${statusPort}`,
    runDir: env.HEARMEMAN_RUN_DIR,
    log: () => log,
    says: (text) => wait(() => (typeof text === 'string' ? log.includes(text) : text.test(log)), `the words ${text}`),
    ready: () => wait(() => getJson(`${comfyui}/system_stats`).then(Boolean, () => false), 'ComfyUI'),
    async ask(prefix, { width = 64, height = 64, count = 1, color = 0 } = {}) {
      const prompt = {
        1: { class_type: 'EmptyImage', inputs: { width, height, batch_size: count, color } },
        2: { class_type: 'SaveImage', inputs: { images: ['1', 0], filename_prefix: prefix } },
      };
      const reply = await fetch(`${comfyui}/prompt`, { method: 'POST', body: JSON.stringify({ prompt }) });
      if (reply.status !== 200) throw new Error(`POST /prompt: ${reply.status} ${await reply.text()}`);
      return ((await reply.json()) as { prompt_id: string }).prompt_id;
    },
    async make(prefix, options) {
      const id = await pod.ask(prefix, options);
      let images: { filename: string; subfolder: string }[] = [];
      await wait(async () => {
        const entry = ((await getJson(`${comfyui}/history/${id}`)) as History)[id];
        images = entry?.outputs['2']?.images ?? [];
        return entry !== undefined;
      }, `the pictures of ${prefix}`);
      return images.map(({ subfolder, filename }) => join(subfolder, filename));
    },
    snapshot: async () => (await getJson(`${pod.statusPage}/api/status`, { 'x-r2-sync': '1' })) as Snapshot,
    async pidOf(service) {
      let pid = 0;
      await wait(async () => {
        pid = Number(await readFile(join(env.HEARMEMAN_RUN_DIR, `${service}.pid`), 'utf8').catch(() => ''));
        return pid > 0;
      }, `the pid of ${service}`);
      return pid;
    },
    signal: (signal = 'SIGTERM') => child.kill(signal),
    ended,
    async end() {
      // Twice: the second one ends everything at once.
      while (!isOver()) {
        child.kill('SIGTERM');
        await Promise.race([ended, new Promise((resolve) => setTimeout(resolve, 100))]);
      }
    },
  };
  return pod;
}

type History = Record<string, { outputs: Record<string, { images: { filename: string; subfolder: string }[] }> }>;

/** Command lines of a process and all that descend from it, by pid. */
export async function commandLines(root: number): Promise<Map<number, string>> {
  const parents = new Map<number, number>();
  for (const name of await readdir('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const stat = await readFile(`/proc/${name}/stat`, 'utf8').catch(() => '');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    if (stat !== '') parents.set(Number(name), Number(fields[1]));
  }
  const found = new Map<number, string>();
  for (const pid of parents.keys()) {
    let at: number | undefined = pid;
    while (at !== undefined && at !== root) at = parents.get(at);
    if (at === root) found.set(pid, await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => ''));
  }
  return found;
}
