// What the Dockerfile takes from image registries and from GitHub, made here: bases by debootstrap, ComfyUI and nodes as
// repositories that a git daemon of the test's own serves.
import { createHash } from 'node:crypto';
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { execa } from 'execa';
import { freePort, until } from './agent.ts';
import { type Engine, npmDirectory } from './docker.ts';

const ROOT = join(import.meta.dirname, '../..');
const RECIPES = join(import.meta.dirname, 'docker');
/** Where this machine's certificates are in the bases: downloads may pass a proxy with a certificate of its own. */
const CA_FILE = '/etc/ssl/test-ca.crt';
const HOST_CA_FILE = '/etc/ssl/certs/ca-certificates.crt';

export interface Bases {
  debian: string;
  node: string;
  /** With an index of CPU builds of torch at file:///srv/cpu. */
  python: string;
  /** With a torch of its own, 2.8.0+cu128. */
  gpu: string;
}

/**
 * Makes the base images. On an engine that lasts they stay, so that the next run needn't make them again:
 * `docker image rm $(docker image ls -q 'r2-sync-test/*')` removes them.
 */
export async function makeBases(engine: Engine): Promise<Bases> {
  const work = await mkdtemp(join(tmpdir(), 'r2-sync-bases-'));
  try {
    const [ca, recipes] = [await readFile(HOST_CA_FILE), await readRecipes()];
    const tag = createHash('sha256').update(ca).update(recipes).digest('hex').slice(0, 12);
    const name = (image: string) => `r2-sync-test/${image}:${tag}`;
    await engine.removeImages('r2-sync-test/*', (image) => !image.endsWith(`:${tag}`));
    const bases = { debian: name('debian'), node: name('node'), python: name('python'), gpu: name('gpu') };
    if (!(await engine.hasImage(bases.debian))) await bootstrap(engine, join(work, 'debian'), bases.debian);
    const context = join(work, 'context');
    await cp(RECIPES, context, { recursive: true });
    await cp(join(ROOT, 'docker/build/system.sh'), join(context, 'system.sh'));
    await cp(join(ROOT, 'node_modules/node/bin/node'), join(context, 'node'));
    await cp(npmDirectory(), join(context, 'npm'), { recursive: true });
    const args = { BASE: bases.debian };
    const build = async (image: keyof Bases, recipe: string, target?: string) => {
      if (await engine.hasImage(bases[image])) return;
      const file = join(context, recipe);
      await engine.build({ context, file, args, name: bases[image], lasting: true, ...(target ? { target } : {}) });
    };
    await build('node', 'node.Dockerfile');
    await build('python', 'python.Dockerfile', 'cpu');
    await build('gpu', 'python.Dockerfile', 'gpu');
    return bases;
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

async function readRecipes(): Promise<string> {
  const files = [
    import.meta.filename,
    join(ROOT, 'docker/build/system.sh'),
    ...['node.Dockerfile', 'python.Dockerfile', 'stub_wheels.py'].map((name) => join(RECIPES, name)),
  ];
  return `${process.version} ${(await Promise.all(files.map((file) => readFile(file, 'utf8')))).join('\0')}`;
}

async function bootstrap(engine: Engine, directory: string, name: string): Promise<void> {
  await execa('debootstrap', ['--variant=minbase', '--include=ca-certificates', 'bookworm', directory], { all: true });
  await cp(HOST_CA_FILE, join(directory, CA_FILE), { dereference: true });
  const variables = ['NODE_EXTRA_CA_CERTS', 'PIP_CERT', 'SSL_CERT_FILE'].map(
    (variable) => `ENV ${variable}=${CA_FILE}`,
  );
  await engine.importImage(directory, name, [...variables, 'CMD ["bash"]']);
}

/** A directory with what a build of the image needs of this checkout, for a test to change. */
export async function makeContext(nodes: readonly string[], constraints = ''): Promise<string> {
  const context = await mkdtemp(join(tmpdir(), 'r2-sync-context-'));
  const parts = [
    ...['.dockerignore', 'LICENSE', 'package.json', 'package-lock.json', 'start.sh', 'download_models.sh'],
    ...['src', 'docker', 'scripts/build.ts', 'scripts/notices.ts', 'test/support/miniflare.ts'],
  ];
  for (const part of parts) await cp(join(ROOT, part), join(context, part), { recursive: true });
  await writeFile(join(context, 'docker/nodes.txt'), nodes.map((line) => `${line}\n`).join(''));
  await writeFile(join(context, 'docker/constraints.txt'), constraints);
  return context;
}

export interface GitHost {
  /** For the build argument GIT_MIRROR. */
  url: string;
  /** Makes a repository of files; its one commit. */
  add(repo: string, files: Record<string, string>): Promise<string>;
  remove(repo: string): Promise<void>;
  close(): Promise<void>;
}

/** Serves repositories as GitHub does: any commit may be asked for. */
export async function startGitHost(): Promise<GitHost> {
  const base = await mkdtemp(join(tmpdir(), 'r2-sync-git-'));
  const port = await freePort();
  // Ends with its standard input: also when the test is killed.
  const script = '"$(git --exec-path)/git-daemon" "$@" </dev/null & cat >/dev/null; kill $!; rm -rf "$base"';
  const flags = ['--export-all', '--reuseaddr', '--listen=127.0.0.1', `--port=${port}`, `--base-path=${base}`, base];
  const daemon = execa('sh', ['-c', script, 'sh', ...flags], {
    env: { base },
    stdin: 'pipe',
    stdout: 'ignore',
    stderr: 'ignore',
    detached: true,
    cleanup: false,
    reject: false,
  });
  const url = `git://127.0.0.1:${port}`;
  return {
    url,
    async add(repo, files) {
      const directory = join(base, repo);
      for (const [name, text] of Object.entries(files)) {
        await mkdir(dirname(join(directory, name)), { recursive: true });
        await writeFile(join(directory, name), text);
      }
      // The same files are the same commit in every run.
      const moment = '2026-01-01T00:00:00Z';
      const env = { GIT_AUTHOR_DATE: moment, GIT_COMMITTER_DATE: moment };
      const who = ['-c', 'user.name=test', '-c', 'user.email=test@example.com'];
      const git = (...args: string[]) => execa('git', ['-C', directory, ...who, ...args], { env });
      await git('init', '--quiet', '--initial-branch=main');
      await git('config', 'uploadpack.allowAnySHA1InWant', 'true');
      await git('add', '--all');
      await git('commit', '--quiet', '--message', 'all');
      const commit = (await git('rev-parse', 'HEAD')).stdout;
      await until(
        async () => (await execa('git', ['ls-remote', `${url}/${repo}`], { reject: false })).exitCode === 0,
        'git daemon',
      );
      return commit;
    },
    remove: (repo) => rm(join(base, repo), { recursive: true, force: true }),
    async close() {
      daemon.stdin.end();
      await daemon;
    },
  };
}
