// The images `agent`, `sync` and `local-r2`, really built and really run.
import { randomBytes } from 'node:crypto';
import { chmod, chown, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { freePort, type Target, until } from '../../support/agent.ts';
import type { Container, Engine, RunOptions } from '../../support/docker.ts';
import { type Bases, makeContext } from '../../support/docker-images.ts';
import { makePng } from '../../support/media.ts';
import type { RunningMiniflare } from '../../support/miniflare.ts';
import { createS3Client } from '../../support/s3-client.ts';
import type { Shared } from './shared.ts';

const OUTPUT = '/workspace/ComfyUI/output';
const MB = 1e6;

export function agentImages(shared: () => Shared): void {
  describe('images of the agent', { timeout: 300_000 }, () => {
    let engine: Engine;
    let bases: Bases;
    let store: RunningMiniflare;
    let images: Record<'agent' | 'sync' | 'local-r2', string>;
    /** A volume of each test, and the container's settings for it. */
    let volume: string;
    let settings: Record<string, string>;

    beforeAll(async () => {
      ({ engine, bases, store } = shared());
      const context = await makeContext([]);
      try {
        const args = { NODE_IMAGE: bases.node, AGENT_IMAGE: bases.debian };
        const build = (target: string) => engine.build({ context, target, args });
        images = { agent: await build('agent'), sync: await build('sync'), 'local-r2': await build('local-r2') };
      } finally {
        await rm(context, { recursive: true });
      }
    }, 300_000);
    beforeEach(async () => {
      volume = await mkdtemp(join(tmpdir(), 'r2-sync-volume-'));
      await chmod(volume, 0o755);
      onTestFinished(() => rm(volume, { recursive: true, force: true }));
      settings = { ...storeSettings(store), R2_STATUS_PORT: String(await freePort()) };
    });

    const run = async (image: string, options: RunOptions = {}): Promise<Container> => {
      const env = { ...settings, ...options.env };
      const container = await engine.run(image, { volumes: [`${volume}:${OUTPUT}`], ...options, env });
      onTestFinished(async () => void (await engine.docker('rm', '--force', container.id)));
      return container;
    };
    const startAgent = async (options: RunOptions = {}) => {
      const container = await run(images.agent, { command: ['run'], ...options });
      await untilReady(container);
      return container;
    };
    // The foreign writer's quiet times are what is waited for, not what is tested.
    const startSync = async (options: RunOptions = {}) => {
      const env = { R2_QUIET_SECONDS: '1', R2_FOREIGN_SECONDS: '0', R2_SCAN_SECONDS: '1', ...options.env };
      const container = await run(images.sync, { ...options, env });
      await untilReady(container);
      return container;
    };
    const untilReady = async (container: Container) => {
      const answers = async () => {
        if (!(await container.state()).Running) throw new Error(`the container ended:\n${await container.logs()}`);
        return (
          (await fetch(`http://127.0.0.1:${settings.R2_STATUS_PORT}/healthz`).catch(() => undefined)) !== undefined
        );
      };
      await until(answers, "the agent's status page");
    };
    const paint = async (name: string) => {
      const picture = makePng({ seed: randomBytes(4).readUInt32LE() });
      await mkdir(join(volume, name, '..'), { recursive: true });
      await writeFile(join(volume, name), picture);
      return picture;
    };
    /** The bodies of all objects whose names hold `name`. */
    const stored = (name: string, place: Target = store) => storedBodies(place, name);
    const untilStored = (name: string, bytes: Buffer) =>
      until(async () => (await stored(name)).some((body) => body.equals(bytes)), `${name} in the bucket`);
    /** The processes whose command line has `part` in it. */
    const processesOf = async (container: Container, part: string) => {
      const script = `exec 2>/dev/null; for p in /proc/[0-9]*; do
      if ! tr '\\0' ' ' <$p/cmdline 2>/dev/null | grep -q -- "$PART"; then continue; fi
      echo "\${p#/proc/} $(stat -c %u $p) $(tr '\\0' ' ' <$p/cmdline)$(tr '\\0' '\\n' <$p/environ | grep ^MALLOC_ | tr '\\n' ' ')"
    done`;
      const lines = (await container.exec(['bash', '-c', script], ['--env', `PART=${part}`])).trim().split('\n');
      return lines.map((line) => {
        const [pid, uid, ...rest] = line.split(' ');
        return { pid: pid!, uid: Number(uid), line: rest.join(' ') };
      });
    };
    const AGENT = 'r2-sync.js run';
    const userOfAgent = async (container: Container) => (await processesOf(container, AGENT)).map(({ uid }) => uid);

    test('agent is at most 60 MB over its Node', async () => {
      const script = 'for f in /opt/r2-sync /opt/r2-sync/lib/node; do du -sb $f | cut -f1; done';
      const container = await run(images.agent, { flags: ['--entrypoint', 'sh'], command: ['-c', script] });
      await container.ended();
      const [all, node] = (await container.logs()).trim().split('\n').map(Number) as [number, number];
      const overhead = (all - node) / MB;
      console.log(`agent: ${overhead.toFixed(1)} MB over its Node (${(node / MB).toFixed(1)} MB)`);
      expect(overhead).toBeLessThan(60);
      // The whole image over its base: nothing else came along.
      const sizes = await Promise.all(
        [images.agent, bases.debian].map((image) => engine.docker('image', 'inspect', '--format', '{{.Size}}', image)),
      );
      expect(Number(sizes[0]) - Number(sizes[1])).toBeLessThan(node + 60 * MB);
    });

    test('agent has only what runs: no development packages, no other Node, no keys', async () => {
      const flags = ['--entrypoint', 'sh'];
      const script = 'ls /opt/r2-sync /opt/r2-sync/lib /opt/r2-sync/lib/node_modules; command -v npm node; ls /etc/ssh';
      const container = await run(images.agent, { flags, command: ['-c', `(${script}) 2>/dev/null`] });
      await container.ended();
      expect((await container.logs()).split('\n').filter((line) => line !== '' && !line.endsWith(':'))).toEqual(
        'LICENSE THIRD-PARTY-LICENSES.txt bin custom_nodes lib node node_modules package.json r2-sync.js @parcel detect-libc is-extglob is-glob picomatch'.split(
          ' ',
        ),
      );
    });

    test('agent asks for no newer glibc than 2.28', async () => {
      const script = "find /opt/r2-sync -type f | xargs grep -aohE 'GLIBC_2\\.[0-9]+' | sort -uV | tail -n 1";
      const container = await run(images.agent, { flags: ['--entrypoint', 'sh'], command: ['-c', script] });
      await container.ended();
      expect(Number(/^GLIBC_2\.(\d+)$/.exec((await container.logs()).trim())?.[1])).toBeLessThanOrEqual(28);
    });

    test("agent for arm64 gets arm64's native watcher, wherever it is built", async () => {
      const args = { NODE_IMAGE: bases.node, AGENT_IMAGE: bases.debian, TARGETARCH: 'arm64' };
      const context = await makeContext([]);
      onTestFinished(() => rm(context, { recursive: true }));
      const image = await engine.build({ context, target: 'agent-files', args });
      const container = await engine.run(image, { network: 'none', command: ['ls', '/out/lib/node_modules/@parcel'] });
      await container.ended();
      expect((await container.logs()).split('\n')).toEqual(['watcher', 'watcher-linux-arm64-glibc']);
    });

    test("agent's launcher gives Node what the bundle's first line asks for", async () => {
      const container = await startAgent();
      const [agent] = await processesOf(container, AGENT);
      const expected =
        '/opt/r2-sync/lib/node --max-semi-space-size=1 --no-node-snapshot /opt/r2-sync/lib/r2-sync.js run';
      expect(agent!.line).toContain(expected);
      expect(agent!.line.match(/MALLOC_\w+=\d+/g)).toHaveLength(3);
    });

    test('agent watches with its own native watcher: there is no inotifywait in the image', async () => {
      const container = await startAgent({ env: { R2_SCAN_SECONDS: '3600' } });
      await untilStored('heard.png', await paint('heard.png'));
      expect(await container.logs()).toContain('@parcel/watcher');
    });

    test('a file written into the volume arrives, and docker stop delivers the one written just before it', async () => {
      const container = await startAgent();
      await untilStored('first.png', await paint('alice/first.png'));
      const last = await paint('alice/justbefore.png');
      expect(await container.stop()).toBe(0);
      expect(await stored('justbefore.png')).toEqual([last]);
    });

    test('agent says what it is when it is given no command, and what is missing when it is given no settings', async () => {
      const help = await engine.run(images.agent);
      expect(await help.ended()).toBe(0);
      expect(await help.logs()).toContain('Usage: r2-sync');
      const lost = await engine.run(images.agent, { command: ['sync'] });
      expect(await lost.ended()).toBe(2);
      expect(await lost.logs()).toContain("R2_ENDPOINT isn't set");
    });

    test('sync with nothing set stays up, says what is missing, and is unhealthy', async () => {
      const flags = ['--health-interval', '1s', '--health-retries', '1', '--health-start-period', '1ms'];
      const container = await engine.run(images.sync, { flags, network: 'none' });
      await until(async () => (await container.state()).Health?.Status === 'unhealthy', 'the health check to fail');
      await until(
        async () => (await container.logs()).includes("R2_ENDPOINT isn't set"),
        'the log to say what is missing',
      );
      expect((await container.state()).Running).toBe(true);
      expect(await container.stop()).toBe(0);
    });

    test("sync is the outputs' owner and not root, and uploads what others write", async () => {
      await chown(volume, 1234, 2345);
      const container = await startSync();
      await untilStored('theirs.png', await paint('bob/theirs.png'));
      expect(await userOfAgent(container)).toEqual([1234]);
      expect(await container.logs()).toContain('running as user 1234:2345');
      // For whoever looks in as root, too.
      expect(await container.exec(['r2-sync', 'status'])).toContain('bob');
      await until(async () => (await container.state()).Health?.Status !== 'unhealthy', 'health');
      await container.exec(['/opt/hearmeman/docker/agent-health.sh']);
    });

    test('sync is user 1000 where root owns the outputs and everybody may read them; PUID and PGID choose another', async () => {
      const container = await startSync();
      await untilStored('roots.png', await paint('roots.png'));
      expect(await userOfAgent(container)).toEqual([1000]);
      await container.stop();
      const other = await startSync({ env: { PUID: '4321', PGID: '99' } });
      expect(await userOfAgent(other)).toEqual([4321]);
      expect(await other.logs()).toContain('running as user 4321:99');
    });

    test('sync stays root where nobody else can read the outputs, and says so', async () => {
      await mkdir(join(volume, 'private'), { mode: 0o700 });
      const container = await startSync();
      expect(await userOfAgent(container)).toEqual([0]);
      expect(await container.logs()).toMatch(
        /running as root: user 1000:1000 was to do the work, but it can't read .*private/,
      );
      await untilStored('secret.png', await paint('private/secret.png'));
    });

    test('a PUID that is no number ends sync with a clear word', async () => {
      const container = await run(images.sync, { env: { PUID: 'alice' } });
      expect(await container.ended()).toBe(2);
      expect(await container.logs()).toContain('PUID is "alice", which isn\'t a user\'s number');
    });

    test('sync: the agent killed inside comes back in the same container, and docker stop still drains', async () => {
      const container = await startSync();
      const { StartedAt } = await container.state();
      for (const { pid } of await processesOf(container, AGENT))
        await container.exec(['bash', '-c', `kill -KILL ${pid}`]);
      await until(async () => (await container.logs()).includes('started again'), 'the word of its death');
      await untilReady(container);
      await untilStored('after.png', await paint('carol/after.png'));
      expect((await container.state()).StartedAt).toBe(StartedAt);
      const last = await paint('carol/drained.png');
      await container.stop();
      expect(await stored('drained.png')).toEqual([last]);
    });

    test('local-r2 is a bucket without an account, which keeps what it has', async () => {
      const port = String(await freePort());
      const start = () =>
        run(images['local-r2'], { env: { LOCAL_R2_PORT: port }, volumes: [`${volume}-bucket:/data`] });
      await mkdir(`${volume}-bucket`);
      await chown(`${volume}-bucket`, 1000, 1000);
      onTestFinished(() => rm(`${volume}-bucket`, { recursive: true, force: true }));
      const simulator = await start();
      await until(async () => (await simulator.logs()).includes('R2_ENDPOINT='), 'the simulator');
      const said = await simulator.logs();
      const told = (name: string) => new RegExp(`${name}=(\\S+)`).exec(said)?.[1] ?? '';
      const place = {
        endpoint: told('R2_ENDPOINT'),
        bucket: told('R2_BUCKET'),
        accessKeyId: told('R2_ACCESS_KEY'),
        secretAccessKey: told('R2_SECRET_KEY'),
      };
      settings = { ...settings, ...storeSettings(place) };
      await startAgent();
      const picture = await paint('kept.png');
      await until(async () => (await stored('kept.png', place)).length > 0, 'the picture in the local bucket');
      await simulator.stop();
      const again = await start();
      await until(async () => (await again.logs()).includes('R2_ENDPOINT='), 'the simulator');
      expect(await stored('kept.png', place)).toEqual([picture]);
      await again.exec(['node', 'docker/local-r2.ts', 'check']);
    });
  });
}

function storeSettings(place: Target): Record<string, string> {
  return {
    R2_ENDPOINT: place.endpoint,
    R2_BUCKET: place.bucket,
    R2_ACCESS_KEY: place.accessKeyId,
    R2_SECRET_KEY: place.secretAccessKey,
  };
}

async function storedBodies(place: Target, name: string): Promise<Buffer[]> {
  const client = createS3Client(place);
  const stem = name.replace(/\.\w+$/, '');
  const keys = (await client.list('')).filter(({ key }) => key.includes(stem));
  return Promise.all(keys.map(async ({ key }) => (await client.get(key)).body));
}
