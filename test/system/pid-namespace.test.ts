// A sync pod's situation for real: the agent in a pid namespace of its own, where /proc doesn't show the writer.
import { spawn, spawnSync } from 'node:child_process';
import { closeSync, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import type { Snapshot } from '../../src/status/snapshot.ts';
import { agentEnv, freePort, makePlace, removePlace, until } from '../support/agent.ts';
import { makeFlac } from '../support/media.ts';
import { startStoreDouble } from '../support/store-double.ts';

const UNSHARE = ['--pid', '--fork', '--mount-proc', '--kill-child'];
const possible = spawnSync('unshare', [...UNSHARE, 'true']).status === 0;
if (!possible) {
  const why = 'NOT RUN: a writer in another pid namespace (needs root and `unshare --pid --mount-proc`)';
  if (process.env.R2_REQUIRE_SYSTEM === '1') throw new Error(why);
  console.warn(why);
}

describe.skipIf(!possible)('R2_WRITERS=remote, and a writer in another pid namespace', () => {
  test('invariant 3: half a FLAC never leaves, however long its writer pauses', async () => {
    const place = await makePlace();
    const store = await startStoreDouble({});
    const { accessKeyId, secretAccessKey } = store.settings;
    const target = { endpoint: store.endpoint, bucket: 'runpod', accessKeyId, secretAccessKey };
    const port = await freePort();
    const bundle = new URL('../../dist/r2-sync.js', import.meta.url).pathname;
    const agent = spawn('unshare', [...UNSHARE, process.execPath, bundle, 'run'], {
      env: agentEnv(place, target, { R2_STATUS_PORT: `${port}`, R2_WRITERS: 'remote', R2_QUIET_SECONDS: '0.3' }),
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let log = '';
    for (const stream of [agent.stdout, agent.stderr]) stream.on('data', (chunk: Buffer) => (log += chunk));
    onTestFinished(async () => {
      const ended = new Promise((resolve) => agent.once('exit', resolve));
      agent.kill('SIGKILL');
      await ended;
      await store.close();
      await removePlace(place);
    });
    await until(() => log.includes('watching for finished files with'), 'the agent to watch');
    const keys = () => [...store.objects.keys()];
    const write = (descriptor: number, bytes: Buffer) => writeSync(descriptor, bytes);

    const song = makeFlac({ bytes: 200_000, seed: 1 });
    const slow = openSync(join(place.output, 'slow.flac'), 'w');
    write(slow, song.subarray(0, song.length / 2));
    // Three more, one after the other, each of which must be quiet for longer than the slow one's format asks for.
    for (const name of ['a', 'b', 'c']) {
      const descriptor = openSync(join(place.output, `${name}.flac`), 'w');
      write(descriptor, makeFlac({ bytes: 100_000, seed: name.charCodeAt(0) }));
      closeSync(descriptor);
      await until(() => keys().some((key) => key.includes(`/${name}-`)), `${name}.flac to arrive`);
    }
    expect(keys().filter((key) => key.includes('/slow-'))).toEqual([]);
    write(slow, song.subarray(song.length / 2));
    closeSync(slow);
    await until(() => keys().some((key) => key.includes('/slow-')), 'slow.flac to arrive once it is closed');
    const objects = [...store.objects].filter(([key]) => key.includes('/slow-'));
    expect(objects.map(([, { size }]) => size)).toEqual([song.length]);
    expect(objects[0]![1].body?.equals(song)).toBe(true);
    await until(async () => {
      const snapshot = (await (await fetch(`http://127.0.0.1:${port}/api/status`)).json()) as Snapshot;
      return snapshot.state === 'ok' && snapshot.totals.pendingFiles === 0;
    }, 'all to be well');
  });
});
