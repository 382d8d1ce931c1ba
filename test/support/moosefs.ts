// A real MooseFS of the test's own, the file system of RunPod's network volumes: a master, a chunk server, and a mount
// for each pod, in a network namespace and a temp directory of their own. Needs root; see mooseFsMissing.
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { accessSync, constants } from 'node:fs';
import {
  access,
  appendFile,
  copyFile,
  mkdir,
  mkdtemp,
  readFile,
  realpath,
  rm,
  statfs,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { until } from './agent.ts';
import type { SharedVolume } from './shared-volume.ts';

const PROGRAMS = ['mfsmaster', 'mfschunkserver', 'mfsmount', 'mfssetquota', 'unshare', 'nsenter', 'ip', 'umount'];
const EMPTY_METADATA = '/var/lib/mfs/metadata.mfs.empty';
/** The servers and the mount for the test's own use. A chunk server refuses 127.0.0.1. */
const SERVER = '10.77.0.1';
const MIB = 2 ** 20;

/** Why there can be no MooseFS here, or undefined if there can. */
export function mooseFsMissing(): string | undefined {
  if (process.getuid?.() !== 0) return 'needs root';
  const missing = PROGRAMS.filter((name) => spawnSync('sh', ['-c', `command -v ${name}`]).status !== 0);
  if (missing.length > 0) return `not installed: ${missing.join(', ')}`;
  for (const path of ['/dev/fuse', EMPTY_METADATA]) {
    try {
      accessSync(path, constants.R_OK);
    } catch (error) {
      return String(error);
    }
  }
  if (spawnSync('unshare', ['--net', 'ip', 'link', 'set', 'lo', 'up']).status !== 0)
    return 'no network namespaces here';
  return undefined;
}

// The guard holds the network namespace. Once its standard input ends, because the volume is closed or because the test
// is gone, however that came, it kills whatever runs in that namespace, and unmounts and removes everything.
const GUARD = `
ip link set lo up
for address in $addresses; do ip address add $address/24 dev lo; done
echo ready
cat >/dev/null
ours=$(readlink /proc/$$/ns/net | tr -dc 0-9)
# Whoever waits in a call to a server that is stopped cannot be killed before the call ends.
connections=/sys/fs/fuse/connections
mountpoint -q $connections || mount -t fusectl fusectl $connections 2>/dev/null
for id in $(awk -v ours="$base/mounts/" 'index($5, ours) == 1 { split($3, device, ":"); print device[2] }' /proc/self/mountinfo); do
  echo 1 2>/dev/null >$connections/$id/abort
done
again=yes
while [ -n "$again" ]; do
  again=
  for pid in $(find /proc -maxdepth 3 -path '/proc/[0-9]*/ns/net' -lname "net:?$ours?" 2>/dev/null | cut -d/ -f3); do
    if [ "$pid" != $$ ] && kill -KILL "$pid" 2>/dev/null; then again=yes; fi
  done
done
for mount in "$base"/mounts/*; do while umount -i -c -l "$mount" 2>/dev/null; do :; done; done
rm -rf --one-file-system "$base"
`;

/** A new, empty MooseFS with `mounts` mounts. Throws with the servers' logs if it doesn't start. */
export async function mooseFsVolume(mounts: number): Promise<SharedVolume> {
  const base = await realpath(await mkdtemp(join(tmpdir(), 'r2-sync-moosefs-')));
  const address = (pod: number) => `10.77.0.${10 + pod}`;
  const directory = (pod: number) => join(base, 'mounts', `pod${pod}`);
  const admin = join(base, 'mounts', 'admin');
  const pods = Array.from({ length: mounts }, (_, pod) => pod);
  const guard = execa('unshare', ['--net', 'sh', '-c', GUARD], {
    env: { base, addresses: [SERVER, ...pods.map(address)].join(' ') },
    detached: true, // Ctrl-C must not reach it
    cleanup: false,
    stderr: 'ignore',
  });
  const close = async () => {
    guard.stdin.end();
    await guard;
  };

  const inside = (...command: string[]) => ['nsenter', `--net=/proc/${guard.pid}/ns/net`, ...command];
  /** Starts a server or mount; the function it returns throws once that has ended. */
  const start = (log: string, ...command: string[]) => {
    const [file, ...args] = inside(...command) as [string, ...string[]];
    const output = { file: join(base, log) };
    const options = { detached: true, cleanup: false, reject: false, stdin: 'ignore' } as const;
    const child = execa(file, args, { ...options, stdout: output, stderr: output });
    let ended = false;
    void child.then(() => {
      ended = true;
    });
    const running = () => {
      if (ended) throw new Error(`${command.join(' ')} ended`);
      return true;
    };
    return { pid: child.pid!, running };
  };
  const tool = async (...command: string[]) => {
    const [file, ...args] = inside(...command) as [string, ...string[]];
    return (await execa(file, args)).stdout;
  };
  const logHas = async (log: string, text: string) =>
    (await readFile(join(base, log), 'utf8').catch(() => '')).includes(text);
  const mounted = async (path: string) => (await readFile('/proc/self/mounts', 'utf8')).includes(` ${path} fuse `);

  const exportTo = (readOnly: ReadonlySet<number>) =>
    // chown is refused to root, too, as on RunPod.
    writeFile(
      join(base, 'exports'),
      [
        `${SERVER} / rw,alldirs,admin,maproot=0`,
        ...pods.map((pod) => `${address(pod)} / ${readOnly.has(pod) ? 'ro' : 'rw'},alldirs,maproot=0,disable=chown`),
      ].join('\n'),
    );
  const mount = async (path: string, from: string) => {
    const options = 'nonempty,mfsnice=0,mfsallowoomkiller';
    const log = `${path.slice(path.lastIndexOf('/') + 1)}.log`;
    const { running } = start(log, 'mfsmount', path, '-f', '-H', SERVER, '-B', from, '-o', options);
    await until(async () => running() && (await mounted(path)), `${path} to be mounted`);
  };
  /** Each appends to one file: in its first seconds a MooseFS takes new files, but blocks writes to those of others. */
  const writeFrom = async (paths: string[]) => {
    for (const path of paths) await appendFile(join(path, '.probe'), 'probe');
    await rm(join(admin, '.probe'));
  };

  const startServers = async () => {
    await Promise.all(['master', 'chunk', 'disk'].map((name) => mkdir(join(base, name))));
    await Promise.all([admin, ...pods.map(directory)].map((path) => mkdir(path, { recursive: true })));
    await copyFile(EMPTY_METADATA, join(base, 'master', 'metadata.mfs'));
    await exportTo(new Set());
    await writeFile(join(base, 'disks'), join(base, 'disk'));
    const common = ['WORKING_USER = root', 'WORKING_GROUP = root', 'LOCK_MEMORY = 0', 'NICE_LEVEL = 0'];
    const settings = {
      master: [`EXPORTS_FILENAME = ${join(base, 'exports')}`],
      chunk: [`HDD_CONF_FILENAME = ${join(base, 'disks')}`, `MASTER_HOST = ${SERVER}`, 'MASTER_RECONNECTION_DELAY = 1'],
    };
    for (const name of ['master', 'chunk'] as const) {
      const lines = [...common, 'DISABLE_OOM_KILLER = 0', `DATA_PATH = ${join(base, name)}`, ...settings[name]];
      await writeFile(join(base, `${name}.cfg`), lines.join('\n'));
    }
    const master = start('master.log', 'mfsmaster', '-c', join(base, 'master.cfg'), '-f', 'start');
    // Earlier than this the others would find nobody, and wait seconds before they try again.
    await until(() => master.running() && logHas('master.log', 'initialized properly'), 'the master');
    const chunk = start('chunk.log', 'mfschunkserver', '-c', join(base, 'chunk.cfg'), '-f', 'start');
    await mount(admin, SERVER);
    await until(async () => chunk.running() && (await statfs(admin)).blocks > 0, 'the chunk server to give space');
    return [master.pid, chunk.pid];
  };

  let servers: number[];
  try {
    await Promise.race([once(guard.stdout, 'data'), guard]);
    servers = await startServers();
    await Promise.all(pods.map((pod) => mount(directory(pod), address(pod))));
    await writeFrom([admin, ...pods.map(directory)]);
  } catch (error) {
    const names = ['master', 'chunk', 'admin', ...pods.map((pod) => `pod${pod}`)];
    const logs = names.map((name) => readFile(join(base, `${name}.log`), 'utf8').catch(() => ''));
    const text = (await Promise.all(logs)).join('\n');
    await close();
    throw new Error(`MooseFS didn't start: ${error}\n${text}`, { cause: error });
  }

  const signal = async (name: 'SIGSTOP' | 'SIGCONT') => {
    for (const pid of servers) process.kill(pid, name);
    const stopped = async (pid: number) => /\) T /.test(await readFile(`/proc/${pid}/stat`, 'utf8'));
    for (const pid of servers) await until(async () => (await stopped(pid)) === (name === 'SIGSTOP'), name);
  };
  const readOnly = new Set<number>();
  return {
    kind: 'moosefs',
    mount: directory,
    close,
    faults: {
      unmount: async (pod) => void (await execa('umount', ['-i', '-c', '-l', directory(pod)])),
      remount: async (pod) => {
        if (!(await mounted(directory(pod)))) await mount(directory(pod), address(pod));
      },
      setReadOnly: async (pod, to) => {
        if (to) readOnly.add(pod);
        else readOnly.delete(pod);
        await exportTo(readOnly);
        process.kill(servers[0]!, 'SIGHUP'); // the master reads its exports anew
        const writable = () =>
          access(directory(pod), constants.W_OK).then(
            () => true,
            () => false,
          );
        await until(async () => (await writable()) !== to, `pod ${pod} to be ${to ? 'read-only' : 'writable'}`);
      },
      fill: async () => {
        // As full as users can make it: MooseFS refuses writes from 64 MiB (one chunk) below the quota on.
        const used = Number(/^ size +\| +(\d+)/m.exec(await tool('mfsgetquota', '-n', admin))![1]);
        await tool('mfssetquota', '-S', String(used + 32 * MIB), admin);
        return async () => void (await tool('mfsdelquota', '-S', admin));
      },
      hang: async () => {
        await signal('SIGSTOP');
        return async () => {
          await signal('SIGCONT');
          await writeFrom([admin]);
        };
      },
    },
  };
}
