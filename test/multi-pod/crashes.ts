// A holder dies, or stands still for longer than its lease.
import { describe, expect, test } from 'vitest';
import type { SharedVolume } from '../support/shared-volume.ts';
import { expectAllWell, sentAgain } from './checks.ts';
import { drawMany, picture } from './files.ts';
import { CALM, LEASE_SECONDS, type Pod } from './pod.ts';
import { startTeam, type Team } from './team.ts';

export function survivesCrashes(volume: () => SharedVolume): void {
  describe('invariant 7: a holder', () => {
    test.concurrent('that is killed while it uploads is replaced, and what it left undone gets in', async (context) => {
      const { team, holder } = await teamAtWork(context, volume());
      const killed = await holder.kill();
      const taken = await team.takenOver('alice', holder, killed);
      expect(taken.how).toBe('silent');
      await team.everythingStored();
      print(volume(), 'take-over after kill -9', taken.at - killed, team);
      // It comes back, and everybody goes on.
      await holder.start();
      await Promise.all(team.pods.map(({ number }) => drawMany(team, number, `later-${number}`, 3)));
      await team.everythingStored();
      expectAllWell(team, { faults: 1 });
    });

    test.concurrent('that stands still for longer than its lease does not go on in its old epoch', async (context) => {
      const { team, holder } = await teamAtWork(context, volume());
      const stopped = holder.pause();
      const taken = await team.takenOver('alice', holder, stopped);
      expect(taken.how).toBe('silent');
      // Much is still to be done, and it believes that it holds the folder.
      holder.resume();
      const lost = await team.said(holder, 'lost', 'alice', stopped);
      expect(lost.epoch).toBeLessThan(taken.epoch);
      await team.everythingStored();
      print(volume(), 'take-over after SIGSTOP', taken.at - stopped, team);
      await drawMany(team, holder.number, 'alice', 3);
      await team.everythingStored();
      expectAllWell(team, { faults: 1 });
    });

    test.concurrent('whose agent is started again has its folders back without waiting', async (context) => {
      // A lease that others don't take over before a busy machine has started an agent.
      const { team, holder } = await teamAtWork(context, volume(), CALM);
      const killed = await holder.kill();
      await holder.start();
      const gained = await team.said(holder, 'gained', 'alice', killed);
      expect(gained.how).toBe('dead');
      await team.everythingStored();
      print(volume(), 'its own successor', gained.at - killed, team);
      expectAllWell(team, { faults: 1 });
    });
  });
}

/** Three pods, one of which is in the middle of uploading what alice made: small files and one in parts. */
async function teamAtWork(
  context: Parameters<typeof startTeam>[0],
  volume: SharedVolume,
  settings: Record<string, string> = {},
) {
  const team = await startTeam(context, volume, { pods: Array(3).fill({ settings }) });
  team.store.settings.latencyMs = 200;
  team.partBytesPerSecond = 4_000_000;
  await Promise.all([
    drawMany(team, 1, 'alice', 60, 40_000),
    drawMany(team, 2, 'bob', 5),
    team.write(1, 'alice/long.png', picture(9_000_000)),
  ]);
  const holder: Pod = await team.holderOf('alice');
  await team.until(() => team.storedOf('alice') >= 8, 'the upload to be under way');
  return { team, holder };
}

/** How long it took, in units of the lease time: shown, not judged, for the machine may be busy. */
function print({ kind }: SharedVolume, what: string, ms: number, team: Team): void {
  const leases = (ms / 1000 / LEASE_SECONDS).toFixed(2);
  console.log(`${kind}: ${what}: ${leases} lease times (${(ms / 1000).toFixed(1)} s), sent again: ${sentAgain(team)}`);
}
