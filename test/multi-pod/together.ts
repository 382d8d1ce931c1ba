// Nothing goes wrong, but everybody wants everything at the same time.
import { describe, expect, test } from 'vitest';
import type { SharedVolume } from '../support/shared-volume.ts';
import { expectAllWell } from './checks.ts';
import { drawMany, TWELVE_FOLDERS, writeEverywhere } from './files.ts';
import { CALM } from './pod.ts';
import { startTeam } from './team.ts';

interface Contest {
  /** How often two pods are started at the same instant … */
  starts: number;
  /** … and how many folders they find then, each of which only one of them may get. */
  folders: number;
}

export function worksTogether(volume: () => SharedVolume, { starts, folders }: Contest): void {
  describe('invariant 5: one pod uploads a folder', () => {
    test('four pods, twelve folders, files on every mount at once: each is sent once, by who holds its folder', async (context) => {
      const team = await startTeam(context, volume(), { pods: Array(4).fill({ settings: CALM }) });
      await writeEverywhere(team, TWELVE_FOLDERS);
      await team.everythingStored();
      expectAllWell(team);
      expect(new Set(team.sent.map(({ folder }) => folder).filter((folder) => folder !== '')).size).toBe(12);
      // A second wave, while the folders are still held.
      await Promise.all(team.pods.map(({ number }) => drawMany(team, number, TWELVE_FOLDERS[number]!, 5)));
      await team.everythingStored();
      expectAllWell(team);
    });

    test(`two pods started at the same instant, ${starts * folders} contests for a folder: nothing is sent twice`, async (context) => {
      const hold = async () => {
        const team = await startTeam(context, volume(), {
          pods: 2,
          prepare: async (others) => {
            for (let nth = 1; nth <= folders; nth += 1) await drawMany(others, 1 + (nth % 2), `user-${nth}`, 3, 20_000);
          },
        });
        await team.everythingStored();
        expectAllWell(team);
        await team.close();
      };
      let begun = 0;
      const inTurn = async () => {
        while (begun++ < starts) await hold();
      };
      // Each contest waits more than it works.
      await Promise.all([inTurn(), inTurn()]);
    }, 300_000);
  });
}
