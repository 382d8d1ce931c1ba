// Folders go from one pod to the next without anybody having to wait for silence.
import { describe, expect, test } from 'vitest';
import type { SharedVolume } from '../support/shared-volume.ts';
import { expectAllWell } from './checks.ts';
import { drawMany } from './files.ts';
import { startTeam } from './team.ts';

export function handsOver(volume: () => SharedVolume): void {
  describe('a folder goes on to the next pod', () => {
    test.concurrent('when its holder has had nothing to do for a while', async (context) => {
      const team = await startTeam(context, volume(), { pods: 2 });
      await drawMany(team, 1, 'alice', 3);
      const first = await team.holderOf('alice');
      const other = team.pods.find((pod) => pod !== first)!;
      await team.everythingStored();
      const released = await team.said(first, 'released', 'alice');
      // Whoever gave it back needn't be there any more.
      await first.kill();
      await drawMany(team, other.number, 'alice', 1);
      await team.everythingStored();
      expect(await team.said(other, 'gained', 'alice')).toMatchObject({ epoch: released.epoch + 1, how: 'released' });
      expectAllWell(team);
    });

    test.concurrent('when its holder is told to stop with files undone: not after the lease time, but at once', async (context) => {
      const drain = { settings: { R2_DRAIN_SECONDS: '1' } };
      const team = await startTeam(context, volume(), { pods: [drain, drain] });
      team.store.settings.latencyMs = 200;
      await drawMany(team, 1, 'alice', 60, 20_000);
      const first = await team.holderOf('alice');
      await team.until(() => team.storedOf('alice') >= 8, 'the upload to be under way');
      const told = Date.now();
      // 3: something is left.
      expect(await first.drain()).toBe(3);
      const taken = await team.takenOver('alice', first, told);
      expect(taken.how).toBe('released');
      await team.everythingStored();
      // What was being sent when its time was up is sent again.
      expectAllWell(team, { faults: 1 });
    });

    test.concurrent('when the store refuses its holder: one pod with revoked keys stops nobody, and fights with nobody', async (context) => {
      const team = await startTeam(context, volume(), { pods: 3 });
      team.store.settings.latencyMs = 100;
      await Promise.all([1, 2, 3].map((pod) => drawMany(team, pod, `user-${pod}`, 20, 20_000)));
      const revoked = await team.holderOf('user-1');
      await team.until(() => team.storedOf('user-1') >= 8, 'the upload to be under way');
      const moment = Date.now();
      team.refused.add(revoked);
      await revoked.until(({ state }) => state === 'failing', 'the refusal to be seen');
      const taken = await team.takenOver('user-1', revoked, moment);
      // What its own ComfyUI makes goes as well.
      await drawMany(team, revoked.number, `made-by-${revoked.number}`, 3);
      await drawMany(team, revoked.number, 'user-1', 3);
      await team.everythingInBucket();
      const failing = await revoked.agent.snapshot();
      expect(failing.state).toBe('failing');
      expect(failing.folders.filter(({ lease }) => lease.state === 'mine')).toEqual([]);
      // A claim that was on its way when it was refused may have been won, and was given back at once.
      const gained = revoked.leaseLines().filter(({ lease, at }) => lease === 'gained' && at > taken.at);
      expect(gained, `gained after ${new Date(taken.at).toISOString()}\n${team.story()}`).toEqual([]);
      expectAllWell(team);
      // Its keys are good again, and it is one of the team again.
      team.refused.delete(revoked);
      for (const pod of team.pods) if (pod !== revoked) await pod.kill();
      await drawMany(team, revoked.number, 'afterwards', 1);
      await team.everythingStored();
      expectAllWell(team, { faults: 2 });
    });
  });
}
