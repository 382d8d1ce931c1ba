// A Docker engine for tests: one that runs here already, or a private one in a temp directory that is gone afterwards.
// Everything that a test starts carries its label and is removed at the end, also when the test is killed.
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, realpath, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { execa } from 'execa';
import { until } from './agent.ts';

const LABEL = 'r2-sync.test';
const DEFAULT_SOCKET = '/var/run/docker.sock';

export interface Engine {
  /** `docker ARGS`; rejects if it fails. Resolves with both outputs, as a terminal would show them. */
  docker(...args: string[]): Promise<string>;
  /** The image's id. Rejects with the build's output if it fails. */
  build(options: BuildOptions): Promise<string>;
  /** Starts a container on the host's network. */
  run(image: string, options?: RunOptions): Promise<Container>;
  /** `tar` as an image. `changes` are Dockerfile lines such as `ENV A=b`. */
  importImage(directory: string, name: string, changes: readonly string[]): Promise<void>;
  hasImage(name: string): Promise<boolean>;
  removeImages(pattern: string, which: (name: string) => boolean): Promise<void>;
  /** For programs that run docker themselves: which, and at which engine. */
  readonly env: Record<string, string>;
  /** Whether it was started for this test; then nothing outlives it. */
  readonly isPrivate: boolean;
  close(): Promise<void>;
}

export interface BuildOptions {
  context: string;
  /** Default: docker/Dockerfile in the context. */
  file?: string;
  target?: string;
  args?: Record<string, string>;
  name?: string;
  /** Stays on an engine that lasts; all others are removed at the end. */
  lasting?: boolean;
}

export interface RunOptions {
  env?: Record<string, string>;
  /** `host:container`. */
  volumes?: readonly string[];
  command?: readonly string[];
  /** Default: `host`, where the tests' servers are. */
  network?: string;
  /** Further flags of `docker run`. */
  flags?: readonly string[];
}

export interface Container {
  readonly id: string;
  logs(): Promise<string>;
  /** `docker exec`, as root unless flags say otherwise; rejects if the command fails. */
  exec(command: readonly string[], flags?: readonly string[]): Promise<string>;
  /** `docker stop` with its 10 seconds; resolves with the exit code. */
  stop(): Promise<number>;
  /** Waits for it to end by itself: its exit code. */
  ended(): Promise<number>;
  state(): Promise<{ Running: boolean; ExitCode: number; StartedAt: string; Health?: { Status: string } }>;
}

interface Client {
  program: string;
  version: number;
}

/** Why there can be no engine here, or undefined if there can. */
export function dockerMissing(): string | undefined {
  if (findClient() === undefined) return 'no docker client that can build (docker.io, or docker with buildx)';
  if (runsByDefault() || process.getuid?.() === 0) {
    if (process.getuid?.() !== 0) return 'needs root, for debootstrap';
    const missing = ['debootstrap', ...(runsByDefault() ? [] : ['dockerd'])].filter((name) => !isInstalled(name));
    return missing.length > 0 ? `not installed: ${missing.join(', ')}` : undefined;
  }
  return 'no engine runs here, and starting one needs root';
}

/** The engine on the default socket, or a private one: always that with `R2_TEST_DOCKER=private`. */
export async function startEngine(): Promise<Engine> {
  const base = await realpath(await mkdtemp(join(tmpdir(), 'r2-sync-docker-')));
  const isPrivate = !runsByDefault();
  const env = {
    DOCKER: findClient()!.program,
    DOCKER_HOST: `unix://${isPrivate ? join(base, 'docker.sock') : DEFAULT_SOCKET}`,
    DOCKER_BUILDKIT: '1',
  };
  const guard = execa('sh', ['-c', GUARD], {
    env: { ...env, base, label: `${LABEL}=${base}`, private: isPrivate ? 'yes' : '' },
    stdin: 'pipe',
    detached: true,
    cleanup: false,
    reject: false,
  });
  await Promise.race([once(guard.stdout, 'data'), guard]);
  const close = async () => {
    guard.stdin.end();
    await guard;
  };
  try {
    if (isPrivate) await untilAnswers(base, env);
  } catch (error) {
    await close();
    throw error;
  }
  return makeEngine(base, env, isPrivate, close);
}

// The guard outlives the test. Once its standard input ends, because the engine is closed or because the test is gone,
// however that came, it removes the test's containers and images; and a private engine with all that it has.
const GUARD = `
if [ -n "$private" ]; then
  # No firewall rules: containers use the host's network, and another engine's network stays as it is. Told to have no
  # bridge, dockerd removes docker0, also when it is another engine's: then it gets one of its own.
  bridge=none
  if [ -e /sys/class/net/docker0 ]; then
    bridge=r2s$$
    ip link add "$bridge" type bridge && ip address add 198.51.100.1/24 dev "$bridge" || exit 1
  fi
  dockerd --data-root "$base/data" --exec-root "$base/exec" --host "$DOCKER_HOST" --pidfile "$base/pid" \\
    --bridge "$bridge" --iptables=false --ip6tables=false --containerd-namespace "r2-sync-test-$$" \\
    --containerd-plugins-namespace "r2-sync-test-plugins-$$" </dev/null >"$base/log" 2>&1 &
  daemon=$!
fi
echo ready
cat >/dev/null
exec >/dev/null 2>&1
$DOCKER ps --all --quiet --filter "label=$label" | xargs -r $DOCKER rm --force --volumes
# Newest first: an image goes before the one that it is built on.
$DOCKER image ls --all --quiet --filter "label=$label" | awk '!seen[$0]++' | xargs -r $DOCKER image rm --force
if [ -n "$private" ]; then
  kill "$daemon"
  wait "$daemon"
  if [ "$bridge" != none ]; then ip link delete "$bridge"; fi
  for mount in $(awk -v ours="$base/" 'index($5, ours) == 1 { print $5 }' /proc/self/mountinfo | sort -r); do umount -l "$mount"; done
fi
rm -rf --one-file-system "$base"
`;

function makeEngine(base: string, env: Record<string, string>, isPrivate: boolean, close: () => Promise<void>): Engine {
  const program = env.DOCKER!;
  const docker = async (...args: string[]) => {
    const result = await execa(program, args, { env, all: true, reject: false, stdin: 'ignore' });
    if (result.exitCode !== 0) throw new Error(`docker ${args.slice(0, 2).join(' ')} failed:\n${result.all}`);
    return result.all;
  };
  const label = `${LABEL}=${base}`;
  return {
    env,
    isPrivate,
    close,
    docker,
    async build({ context, file = join(context, 'docker/Dockerfile'), target, args = {}, name, lasting = false }) {
      const idFile = join(base, `image-${crypto.randomUUID()}`);
      await docker(
        'build',
        ...['--network', 'host', '--iidfile', idFile, '--file', file],
        ...(target === undefined ? [] : ['--target', target]),
        ...(name === undefined ? [] : ['--tag', name]),
        ...(lasting ? [] : ['--label', label]),
        ...Object.entries(args).flatMap(([key, value]) => ['--build-arg', `${key}=${value}`]),
        context,
      );
      return readFile(idFile, 'utf8');
    },
    async run(image, { env: settings = {}, volumes = [], command = [], network = 'host', flags = [] } = {}) {
      // Keys are no arguments, here neither.
      const envFile = join(base, `env-${crypto.randomUUID()}`);
      const lines = Object.entries(settings).map(([key, value]) => `${key}=${value}\n`);
      await writeFile(envFile, lines.join(''), { mode: 0o600 });
      const id = await docker(
        ...['run', '--detach', '--network', network, '--label', label, '--env-file', envFile],
        ...volumes.flatMap((volume) => ['--volume', volume]),
        ...flags,
        image,
        ...command,
      );
      return makeContainer(id.trim().split('\n').at(-1)!, docker);
    },
    async importImage(directory, name, changes) {
      const flags = changes.flatMap((change) => ['--change', change]);
      const tar = execa('tar', ['--create', '--numeric-owner', '--directory', directory, '.'], { buffer: false });
      await tar.pipe(program, ['import', ...flags, '-', name], { env });
    },
    async removeImages(pattern, which) {
      const names = await docker('image', 'ls', '--format', '{{.Repository}}:{{.Tag}}', pattern);
      for (const name of names.split('\n')) if (name !== '' && which(name)) await docker('image', 'rm', name);
    },
    hasImage: (name) =>
      docker('image', 'inspect', name).then(
        () => true,
        () => false,
      ),
  };
}

function makeContainer(id: string, docker: Engine['docker']): Container {
  const state: Container['state'] = async () => JSON.parse(await docker('inspect', '--format', '{{json .State}}', id));
  return {
    id,
    state,
    logs: () => docker('logs', id),
    exec: (command, flags = []) => docker('exec', ...flags, id, ...command),
    async stop() {
      await docker('stop', id);
      return (await state()).ExitCode;
    },
    ended: async () => Number((await docker('wait', id)).trim()),
  };
}

async function untilAnswers(base: string, env: Record<string, string>): Promise<void> {
  const answers = async () => (await execa(env.DOCKER!, ['version'], { env, reject: false })).exitCode === 0;
  try {
    await until(answers, 'a private dockerd to answer', 60);
  } catch (cause) {
    const log = await readFile(join(base, 'log'), 'utf8').catch(() => 'no log');
    throw new Error(`dockerd doesn't start:\n${log.slice(-4000)}`, { cause });
  }
}

/** The docker on PATH, or the distribution's: one that can build with BuildKit. From 23 on that takes buildx. */
function findClient(): Client | undefined {
  for (const program of ['docker', '/usr/bin/docker']) {
    const { stdout } = spawnSync(program, ['--version'], { encoding: 'utf8' });
    const version = Number(/version (\d+)/.exec(stdout ?? '')?.[1] ?? 0);
    if (version >= 20 && (version < 23 || spawnSync(program, ['buildx', 'version']).status === 0))
      return { program, version };
  }
  return undefined;
}

function runsByDefault(): boolean {
  if (process.env.R2_TEST_DOCKER === 'private' || !existsSync(DEFAULT_SOCKET)) return false;
  const env = { ...process.env, DOCKER_HOST: `unix://${DEFAULT_SOCKET}` };
  return spawnSync(findClient()!.program, ['version'], { env }).status === 0;
}

function isInstalled(name: string): boolean {
  return spawnSync('sh', ['-c', `command -v ${name}`]).status === 0;
}

/** Where npm itself lies, to put it into an image. */
export function npmDirectory(): string {
  const { stdout } = spawnSync('sh', ['-c', 'readlink -f "$(command -v npm)"'], { encoding: 'utf8' });
  return dirname(dirname(stdout.trim()));
}
