// The volume fails, for one pod or for all. Needs a volume that can: not a local file system.
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import type { SharedVolume, VolumeFaults } from '../support/shared-volume.ts';
import { expectAllWell } from './checks.ts';
import { drawMany } from './files.ts';
import { startTeam } from './team.ts';

export function survivesVolumeFaults(volume: () => SharedVolume): void {
  const faults = (): VolumeFaults => volume().faults!;

  describe('the volume fails', () => {
    test('it is unmounted under a holder: another pod takes over, and it is one of the team again afterwards', async (context) => {
      const { team, holder } = await teamAtWork(context, volume());
      const moment = Date.now();
      await faults().unmount(holder.number - 1);
      context.onTestFinished(() => faults().remount(holder.number - 1));
      await team.takenOver('alice', holder, moment);
      await team.everythingInBucket();
      await faults().remount(holder.number - 1);
      await drawMany(team, holder.number, 'afterwards', 3);
      await team.everythingStored();
      // Before it sees that its directory is gone it finds that it can claim nothing there.
      expectAllWell(team, { faults: 1, without: ['alice', 'bob'] });
    });

    test('it is read-only for a holder: another pod takes over', async (context) => {
      const { team, holder } = await teamAtWork(context, volume());
      // It goes on without a lease: there must be something left for whoever takes over.
      team.store.settings.latencyMs = 2000;
      const moment = Date.now();
      await faults().setReadOnly(holder.number - 1, true);
      context.onTestFinished(() => faults().setReadOnly(holder.number - 1, false));
      await team.takenOver('alice', holder, moment);
      team.store.settings.latencyMs = 200;
      await team.everythingStored();
      await faults().setReadOnly(holder.number - 1, false);
      await drawMany(team, holder.number, 'afterwards', 3);
      await team.everythingStored();
      // It goes on without a lease until another has the folder, which then finds in the bucket what nobody noted.
      expectAllWell(team, { faults: 1, without: ['alice', 'bob'] });
    });

    test('it is full, and a holder dies: what is on it gets in, and what could not be noted is noted afterwards', async (context) => {
      const { team, holder } = await teamAtWork(context, volume());
      const empty = await faults().fill();
      context.onTestFinished(empty);
      await holder.kill();
      await team.everythingInBucket();
      await empty();
      await holder.start();
      await drawMany(team, holder.number, 'afterwards', 3);
      await team.everythingStored();
      for (const pod of team.pods) await pod.until(({ state }) => state === 'ok', 'all to be well');
      // Nobody can claim anything meanwhile, so several may send the same.
      expectAllWell(team, { faults: 1, contested: ['alice', 'bob'] });
    });

    test('it hangs: page and log go on, and when it answers again so do the uploads', async (context) => {
      const { team } = await teamAtWork(context, volume());
      const comeBack = await faults().hang();
      context.onTestFinished(comeBack);
      for (const pod of team.pods) {
        await pod.until(({ state }) => state === 'degraded', 'the page to say that the volume hangs');
        await team.until(() => pod.agent.lines().some(({ msg }) => /volume/.test(String(msg))), 'the log to say so');
      }
      // Told to stop, a pod ends although what it waits for never comes: the rest of it is the kernel's.
      const told = team.pod(3);
      const ended = told.drain();
      await team.until(() => isDead(told.agent.process.pid!), 'the process to end');
      await comeBack();
      expect([3, 'SIGKILL']).toContain(await ended);
      await told.start();
      await drawMany(team, 1, 'afterwards', 3);
      await team.everythingStored();
      expectAllWell(team, { faults: 3 });
    }, 240_000);
  });
}

/** Whether the process runs no more, even if threads of it are kept until the volume answers them. */
function isDead(pid: number): boolean {
  try {
    return readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)!.startsWith('Z');
  } catch {
    return true;
  }
}

/** Three pods, one of which is in the middle of uploading what alice made. */
async function teamAtWork(context: Parameters<typeof startTeam>[0], volume: SharedVolume) {
  const pod = { settings: { R2_DRAIN_SECONDS: '2' } };
  const team = await startTeam(context, volume, { pods: [pod, pod, pod] });
  team.store.settings.latencyMs = 200;
  await Promise.all([drawMany(team, 1, 'alice', 60, 40_000), drawMany(team, 2, 'bob', 5)]);
  const holder = await team.holderOf('alice');
  await team.until(() => team.storedOf('alice') >= 8, 'the upload to be under way');
  return { team, holder };
}
