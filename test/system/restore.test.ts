// A disk that is full for real: a tmpfs of a few megabytes, which needs root to be mounted.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import * as fs from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { agentEnv, makePlace, removePlace, runCommand } from '../support/agent.ts';
import { startStoreDouble } from '../support/store-double.ts';
import { putStored } from '../support/stored.ts';

const mountable = (() => {
  const made = spawnSync('sh', [
    '-c',
    'd=$(mktemp -d) && mount -t tmpfs -o size=1m none "$d" && umount "$d"; rmdir "$d"',
  ]);
  return made.status === 0 && existsSync('/proc/mounts');
})();
if (!mountable) {
  const why = 'NOT RUN: restore to a full disk (needs root and `mount -t tmpfs`)';
  if (process.env.R2_REQUIRE_SYSTEM === '1') throw new Error(why);
  console.warn(why);
}

describe.skipIf(!mountable)('restore to a disk that gets full', () => {
  test('ends at once, says so, and goes on when there is room: nothing half has a name', async () => {
    const place = await makePlace();
    const double = await startStoreDouble();
    const disk = join(place.base, 'disk');
    await fs.mkdir(disk);
    expect(spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=8m', 'none', disk]).status).toBe(0);
    onTestFinished(async () => {
      spawnSync('umount', [disk]);
      await double.close();
      await removePlace(place);
    });
    const mtimeNs = 1_795_176_000_000_000_000n;
    for (let n = 0; n < 60; n += 1) putStored(double, { path: `${n}.png`, body: Buffer.alloc(300_000, n), mtimeNs });
    const { accessKeyId, secretAccessKey } = double.settings;
    const env = agentEnv(place, { endpoint: double.endpoint, bucket: 'runpod', accessKeyId, secretAccessKey });

    const full = await runCommand(['restore', disk], env);
    expect(full.code).toBe(3);
    expect(full.stdout).toMatch(/Given up: .*the disk is full \(ENOSPC\)/);
    expect(full.stdout).toMatch(/files left\. Run it again/);
    for (const name of await fs.readdir(disk))
      if (!name.startsWith('.'))
        expect((await fs.readFile(join(disk, name))).equals(Buffer.alloc(300_000, Number.parseInt(name, 10)))).toBe(
          true,
        );

    expect(spawnSync('mount', ['-o', 'remount,size=64m', disk]).status).toBe(0);
    expect(await runCommand(['restore', disk], env)).toMatchObject({ code: 0 });
    expect((await fs.readdir(disk)).sort()).toEqual(Array.from({ length: 60 }, (_, n) => `${n}.png`).sort());
  });
});
