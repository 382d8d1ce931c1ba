// The images `cpu` and `pod`, really built and really run: from bases made here, and with a stand-in for ComfyUI, since
// neither an image registry nor GitHub need be in reach. All else is what ships.
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { freePort, until } from '../../support/agent.ts';
import type { Container, Engine, RunOptions } from '../../support/docker.ts';
import { type Bases, type GitHost, makeContext, startGitHost } from '../../support/docker-images.ts';
import { makePng } from '../../support/media.ts';
import type { RunningMiniflare } from '../../support/miniflare.ts';
import { createS3Client } from '../../support/s3-client.ts';
import type { Shared } from './shared.ts';

const ROOT = join(import.meta.dirname, '../../..');
/** What another Dockerfile can name. */
const OURS = 'r2-sync-test/cpu:built';
const STAND_IN = join(ROOT, 'test/support/comfyui');
/** Its requirements can be met, and its install.py runs. */
const GOOD_NODE = {
  '__init__.py': 'NODE_CLASS_MAPPINGS = {}\n',
  'requirements.txt': 'torch>=2.0\nsix\n',
  'install.py': 'import six\nopen("installed", "w").write(six.__version__)\n',
};
const MINIMAL_NODE = { '__init__.py': 'NODE_CLASS_MAPPINGS = {}\n' };

export function comfyuiImages(shared: () => Shared): void {
  describe('images with ComfyUI', { timeout: 300_000 }, () => {
    let engine: Engine;
    let bases: Bases;
    let git: GitHost;
    let store: RunningMiniflare;
    let images: { cpu: string; pod: string };
    let context: string;
    let args: Record<string, string>;
    let goodNode: string;

    beforeAll(async () => {
      ({ engine, bases, store } = shared());
      git = await startGitHost();
      const comfyui: Record<string, string> = {};
      for (const name of ['main.py', 'requirements.txt', 'manager_requirements.txt'])
        comfyui[name] = await readFile(join(STAND_IN, name), 'utf8');
      goodNode = `acme/good-node ${await git.add('acme/good-node', GOOD_NODE)}`;
      context = await makeContext(
        ['# nodes of this test', goodNode, `acme/minimal ${await git.add('acme/minimal', MINIMAL_NODE)} # no packages`],
        'six==1.16.0\n',
      );
      args = {
        NODE_IMAGE: bases.node,
        AGENT_IMAGE: bases.debian,
        CPU_BASE_IMAGE: bases.python,
        BASE_IMAGE: bases.gpu,
        GIT_MIRROR: git.url,
        COMFYUI_COMMIT: await git.add('Comfy-Org/ComfyUI', comfyui),
        TORCH_INDEX_URL: 'file:///srv/cpu',
        EXTRA_PACKAGES: 'wheel',
        VERSION: '1.2.3',
        REVISION: 'abcdef',
      };
      const build = (target: string) => engine.build({ context, target, args });
      images = { cpu: await build('cpu'), pod: await build('pod') };
      await engine.docker('tag', images.cpu, OURS);
    }, 300_000);
    afterAll(async () => {
      await git?.close();
      if (context) await rm(context, { recursive: true });
    }, 60_000);

    const makeVolume = async () => {
      const volume = await mkdtemp(join(tmpdir(), 'r2-sync-volume-'));
      onTestFinished(() => rm(volume, { recursive: true, force: true }));
      return volume;
    };
    const start = async (image: string, options: RunOptions = {}) => {
      const port = await freePort();
      const env = { ...(await podSettings(store)), COMFYUI_PORT: String(port), ...options.env };
      const container = await engine.run(image, { ...options, env });
      onTestFinished(async () => void (await engine.docker('rm', '--force', container.id)));
      return { container, url: `http://127.0.0.1:${port}` };
    };
    /** What a command says in a container of the image, instead of its own. */
    const say = async (image: string, script: string) => {
      const flags = ['--entrypoint', 'bash'];
      const container = await engine.run(image, { flags, network: 'none', command: ['-c', script] });
      const code = await container.ended();
      const said = await container.logs();
      if (code !== 0) throw new Error(`exit code ${code}: ${said}`);
      return said;
    };
    const inspect = async (image: string) => JSON.parse(await engine.docker('image', 'inspect', image))[0].Config;

    test.each(['cpu', 'pod'] as const)(
      '%s makes a picture through its API that is in the bucket, and docker stop in mid-write loses none that is whole',
      async (target) => {
        // The program that the build workflow runs before it pushes.
        const script = join(ROOT, 'scripts/prove-image.ts');
        const env = { ...engine.env, COMFYUI_STANDIN_WRITE_MS: '400' };
        const { all, exitCode } = await execa(process.execPath, [script, images[target]], {
          env,
          all: true,
          reject: false,
        });
        expect(all).toContain('proved: ');
        expect(exitCode).toBe(0);
      },
    );

    test('prove-image says no to an image that uploads nothing', async () => {
      const file = join(await makeVolume(), 'Dockerfile');
      await writeFile(file, `FROM ${OURS}\nRUN ln -sf /bin/false /usr/local/bin/r2-sync\n`);
      const image = await engine.build({ context: join(file, '..'), file });
      const script = join(ROOT, 'scripts/prove-image.ts');
      const env = { ...engine.env, PROVE_UPLOAD_SECONDS: '5' };
      const { all, exitCode } = await execa(process.execPath, [script, image], { env, all: true, reject: false });
      expect(all).toMatch(/NOT PROVED: waited 5 s in vain for .*_00001_\.png in the bucket/);
      expect(exitCode).toBe(1);
    });

    test.each([
      [
        'kills its agent when it is stopped',
        'kill -KILL "$agent"; exit 0',
        /\d+ of \d+ whole pictures aren't in the bucket/,
      ],
      [
        'ends with another exit code than 0 when it is stopped',
        'kill "$agent"; wait "$agent"; exit 3',
        /docker stop ended with exit code 3/,
      ],
    ])('prove-image says no to an image that %s', async (_, atStop, said) => {
      const directory = await makeVolume();
      // start.sh tells an agent to stop once it has said that it listens, by its process id: that is the script's.
      const script = [
        '#!/bin/bash',
        'if [[ $1 != run ]]; then exec /opt/r2-sync/bin/r2-sync "$@"; fi',
        'R2_RUN_DIR=/run/agent /opt/r2-sync/bin/r2-sync run &',
        'agent=$!',
        `trap '${atStop}' TERM`,
        'echo $$ >/run/r2-sync/pid',
        'wait "$agent"',
      ];
      await writeFile(join(directory, 'r2-sync'), `${script.join('\n')}\n`, { mode: 0o755 });
      const file = join(directory, 'Dockerfile');
      await writeFile(file, `FROM ${OURS}\nRUN rm /usr/local/bin/r2-sync\nCOPY r2-sync /usr/local/bin/\n`);
      const image = await engine.build({ context: directory, file });
      const prove = join(ROOT, 'scripts/prove-image.ts');
      const env = { ...engine.env, COMFYUI_STANDIN_WRITE_MS: '400' };
      const { all, exitCode } = await execa(process.execPath, [prove, image], { env, all: true, reject: false });
      expect(all).toMatch(said);
      expect(all).toContain('NOT PROVED: ');
      expect(exitCode).toBe(1);
    });

    test('with nothing set, without network, GPU and volume it starts and says what it decided', async () => {
      const container = await engine.run(images.pod, { network: 'none' });
      await until(async () => answers(container), 'ComfyUI');
      const said = await container.logs();
      expect(said).toContain("ENABLE_R2_SYNC isn't set");
      expect(said).toContain('--cpu');
      await container.exec(['/opt/hearmeman/docker/healthcheck.sh']);
      await container.stop();
    });

    test('ComfyUI killed inside comes back, the container lives', async () => {
      const { container, url } = await start(images.pod);
      await until(() => isUp(url), 'ComfyUI');
      const { StartedAt } = await container.state();
      await killInside(container, 'main.py --listen');
      await until(async () => !(await isUp(url)), 'ComfyUI to be gone');
      await until(() => isUp(url), 'ComfyUI again');
      expect(await container.state()).toMatchObject({ Running: true, StartedAt });
    });

    test('the agent killed inside comes back and uploads what came meanwhile', async () => {
      const volume = await makeVolume();
      const { container, url } = await start(images.cpu, { volumes: [`${volume}:/workspace`] });
      await until(() => isUp(url), 'ComfyUI');
      await killInside(container, 'r2-sync.js run');
      const picture = makePng({ seed: 4711 });
      await writeFile(join(volume, 'ComfyUI/output/meanwhile.png'), picture);
      await until(async () => (await stored(store, 'meanwhile')).some((body) => body.equals(picture)), 'its upload');
      await container.exec(['r2-sync', 'status']);
    });

    test("the base's torch is kept, the constraints are kept to, and a node's install.py ran", async () => {
      for (const [target, torch] of [
        ['cpu', 'torch==2.8.0+cpu'],
        ['pod', 'torch==2.8.0+cu128'],
      ] as const) {
        const packages = await say(images[target], 'python -m pip list --format=freeze');
        expect(packages.split('\n')).toEqual(expect.arrayContaining([torch, 'six==1.16.0']));
        const constraints = await say(images[target], 'cat /opt/hearmeman/constraints.txt');
        expect(constraints.split('\n')).toEqual(expect.arrayContaining([torch, 'six==1.16.0']));
        expect(await say(images[target], 'cat /opt/ComfyUI/custom_nodes/good-node/installed')).toBe('1.16.0');
      }
    });

    test('ComfyUI and nodes are at their commits, and know where they are from', async () => {
      const [, commit] = goodNode.split(' ');
      const state = await say(
        images.pod,
        'cd /opt/ComfyUI/custom_nodes/good-node && git rev-parse HEAD && git remote get-url origin',
      );
      expect(state).toBe(`${commit}\nhttps://github.com/acme/good-node`);
      expect(await say(images.pod, 'git -C /opt/ComfyUI rev-parse HEAD')).toBe(args.COMFYUI_COMMIT);
    });

    test('the badge and the status page on the port of ComfyUI are there, and for other images beside the agent', async () => {
      for (const target of ['cpu', 'pod'] as const)
        await say(images[target], 'cd /opt && diff -r r2-sync/custom_nodes/r2-sync ComfyUI/custom_nodes/r2-sync');
      const files = await say(images.pod, 'cd /opt/ComfyUI/custom_nodes/r2-sync && find . -type f | sort');
      expect(files).toBe('./__init__.py\n./web/badge.js');
    });

    test.each([
      [
        'whose requirements would replace torch',
        { ...MINIMAL_NODE, 'requirements.txt': 'torch==1.13.0\n' },
        'packages of bad',
      ],
      ['whose install.py fails', { ...MINIMAL_NODE, 'install.py': 'raise SystemExit(1)\n' }, 'install.py of bad'],
      ['that is not there', undefined, 'acme/bad: commit 1234567890123456789012345678901234567890'],
    ])('a node %s, fails the build and is named', async (_, files, said) => {
      const commit = files ? await git.add('acme/bad', files) : '1234567890'.repeat(4);
      onTestFinished(() => git.remove('acme/bad'));
      const broken = await makeContext([goodNode, `acme/bad ${commit}`], 'six==1.16.0\n');
      onTestFinished(() => rm(broken, { recursive: true }));
      const build = engine.build({ context: broken, target: 'cpu', args });
      await expect(build).rejects.toThrow(new RegExp(`BUILD FAILED: .*${said}`));
    });

    test('a node that is pinned to a branch fails the build', async () => {
      const broken = await makeContext(['acme/good-node main']);
      onTestFinished(() => rm(broken, { recursive: true }));
      const build = engine.build({ context: broken, target: 'cpu', args });
      await expect(build).rejects.toThrow('BUILD FAILED: acme/good-node is pinned to "main": a whole commit is needed');
    });

    test.each(['cpu', 'pod'] as const)(
      '%s has tini, a health check, labels, no volume and no secrets',
      async (target) => {
        const config = await inspect(images[target]);
        expect(config.Entrypoint).toEqual(['tini', '-s', '--']);
        expect(config.Healthcheck.Test).toEqual(['CMD', '/opt/hearmeman/docker/healthcheck.sh']);
        expect(config.Volumes ?? {}).toEqual({});
        expect(config.Labels).toMatchObject({
          'org.opencontainers.image.version': '1.2.3',
          'org.opencontainers.image.revision': 'abcdef',
          'org.opencontainers.image.licenses': 'MIT',
        });
        expect(config.Env.filter((line: string) => /KEY|SECRET|TOKEN|PASSWORD/.test(line))).toEqual([]);
      },
    );

    test('no layer has SSH host keys, files of secrets, or a cache', async () => {
      const names = await filesInLayers(engine, images.pod);
      expect(names).toEqual(expect.arrayContaining(['usr/sbin/sshd', 'opt/hearmeman/start.sh']));
      const secrets = /(^|\/)(ssh_host_.*|id_(rsa|ed25519)|\.env|\.netrc|\.git-credentials)$/;
      expect(names.filter((name) => secrets.test(name))).toEqual([]);
      expect(names.filter((name) => /^(root\/\.cache\/pip|root\/\.npm)\/./.test(name))).toEqual([]);
    });

    test('README: the lines that add r2-sync to another ComfyUI image do so', async () => {
      const { file, command } = await readmeLines();
      const directory = await makeVolume();
      await engine.build({ context, target: 'agent', args, name: 'r2-sync-test/agent:readme' });
      expect(file.split('\n')).toHaveLength(3);
      await mkdir(join(directory, 'ComfyUI'));
      await writeFile(join(directory, 'ComfyUI/main.py'), await readFile(join(STAND_IN, 'main.py')));
      // Somebody's image, and the README's lines with nothing but the image's name replaced.
      const lines = file.replace(/--from=\S+/, '--from=r2-sync-test/agent:readme');
      await writeFile(
        join(directory, 'Dockerfile'),
        `FROM ${bases.python}\nCOPY ComfyUI /ComfyUI\nWORKDIR /ComfyUI\n${lines}\n`,
      );
      const image = await engine.build({ context: directory, file: join(directory, 'Dockerfile') });
      const volume = await makeVolume();
      const port = await freePort();
      const { container } = await start(image, {
        volumes: [`${volume}:/ComfyUI/output`],
        // The README's command, on a port of the test's own.
        command: [...command, '--port', String(port)],
      });
      await until(() => isUp(`http://127.0.0.1:${port}`), 'ComfyUI of the other image');
      const picture = makePng({ seed: 1234 });
      await writeFile(join(volume, 'elsewhere.png'), picture);
      await until(async () => (await stored(store, 'elsewhere')).some((body) => body.equals(picture)), 'the upload');
      await writeFile(join(volume, 'atlast.png'), picture);
      await container.stop();
      expect(await stored(store, 'atlast')).toEqual([picture]);
    });
  });
}

async function podSettings(store: RunningMiniflare): Promise<Record<string, string>> {
  return {
    ENABLE_R2_SYNC: 'true',
    R2_ENDPOINT: store.endpoint,
    R2_BUCKET: store.bucket,
    R2_ACCESS_KEY: store.accessKeyId,
    R2_SECRET_KEY: store.secretAccessKey,
    R2_STATUS_PORT: String(await freePort()),
  };
}

/** The Dockerfile lines of the README's section, and the command in them. */
async function readmeLines(): Promise<{ file: string; command: string[] }> {
  const readme = await readFile(join(ROOT, 'README.md'), 'utf8');
  const section = /^## Add r2-sync to another ComfyUI image$([\s\S]*?)^## /m.exec(readme)?.[1] ?? '';
  const file = /^```dockerfile\n([\s\S]*?)\n```$/m.exec(section)?.[1] ?? '';
  return { file, command: JSON.parse(/^CMD (\[.*\])$/m.exec(file)?.[1] ?? '[]') };
}

async function isUp(url: string): Promise<boolean> {
  return (await fetch(`${url}/system_stats`).catch(() => undefined))?.ok === true;
}

async function answers(container: Container): Promise<boolean> {
  const asked = container.exec(['curl', '-fsS', 'http://127.0.0.1:8188/system_stats']);
  return asked.then(
    () => true,
    () => false,
  );
}

async function killInside(container: Container, part: string): Promise<void> {
  await container.exec(['pkill', '-KILL', '-f', part]);
}

async function stored(store: RunningMiniflare, name: string): Promise<Buffer[]> {
  const client = createS3Client(store);
  const keys = (await client.list('')).filter(({ key }) => key.includes(name));
  return Promise.all(keys.map(async ({ key }) => (await client.get(key)).body));
}

/** The names of all files that any layer brings, also of those that a later layer removes. */
async function filesInLayers(engine: Engine, image: string): Promise<string[]> {
  const directory = await mkdtemp(join(tmpdir(), 'r2-sync-layers-'));
  try {
    await engine.docker('save', '--output', join(directory, 'image.tar'), image);
    await execa('tar', ['--extract', '--file', 'image.tar'], { cwd: directory });
    const manifest = JSON.parse(await readFile(join(directory, 'manifest.json'), 'utf8'));
    const lists = [];
    for (const layer of manifest[0].Layers as string[])
      lists.push((await execa('tar', ['--list', '--file', layer], { cwd: directory })).stdout.split('\n'));
    return lists.flat();
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}
