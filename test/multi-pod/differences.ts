// Pods of one volume that aren't alike.
import { existsSync, writeFileSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { FolderStatus } from '../../src/status/snapshot.ts';
import type { SharedVolume } from '../support/shared-volume.ts';
import { expectAllWell } from './checks.ts';
import { drawMany } from './files.ts';
import { CALM, LEASE_SECONDS, type Pod } from './pod.ts';
import { startTeam } from './team.ts';

const isRoot = process.getuid?.() === 0;
const FAKETIME = '/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1';
const canFakeTime = existsSync(FAKETIME);
if (!isRoot) notRun('pods of different users (needs root)');
if (!canFakeTime) notRun('pods whose clocks differ (needs libfaketime)');

export function getsAlong(volume: () => SharedVolume): void {
  describe('pods that differ', () => {
    test.skipIf(!isRoot).concurrent('agents of different users: each can take over from each', async (context) => {
      const team = await startTeam(context, volume(), { pods: [{ uid: 1001 }, { uid: 1000 }, { uid: 0 }] });
      team.store.settings.latencyMs = 100;
      for (const round of [1, 2]) {
        const user = `user-${round}`;
        await drawMany(team, round, user, 40, 20_000);
        const holder = await team.holderOf(user);
        await team.until(() => team.storedOf(user) >= 8, 'the upload to be under way');
        await team.takenOver(user, holder, await holder.kill());
        await team.everythingStored();
      }
      expectAllWell(team, { faults: 2 });
    });

    test.concurrent('a sync pod on output and a pod on output/alice: one root, one folder, one key, one lease', async (context) => {
      const team = await startTeam(context, volume(), {
        pods: [{ settings: { R2_WRITERS: 'remote' } }, { below: 'alice' }],
        inTurn: true,
        prepare: async (others) => void (await mkdir(join(others.output(2), 'alice'))),
      });
      // Slow enough that both have something to ask for while one of them is at work.
      team.store.settings.latencyMs = 500;
      await Promise.all([
        drawMany(team, 2, 'alice', 40, 20_000),
        drawMany(team, 1, 'bob', 5),
        drawMany(team, 1, '.', 2),
      ]);
      const leaseOf = async (pod: Pod) => {
        const known = ({ folder, lease }: FolderStatus) => folder === 'alice' && lease.holder !== null;
        const { folders } = await pod.until((snapshot) => snapshot.folders.some(known), 'alice to have a holder');
        return folders.find(known)!.lease;
      };
      const holder = await team.holderOf('alice');
      const other = team.pods.find((pod) => pod !== holder)!;
      const [his, theirs] = await Promise.all([leaseOf(holder), leaseOf(other)]);
      expect(his).toMatchObject({ state: 'mine', holder: await holder.hash() });
      expect(theirs).toMatchObject({ state: 'theirs', holder: his.holder, epoch: his.epoch });
      team.store.settings.latencyMs = 100;
      await team.everythingStored();
      await drawMany(team, 2, 'alice', 20, 21_000);
      await team.until(() => team.storedOf('alice') >= 44, 'the upload to be under way');
      const last = await team.holderOf('alice');
      await last.kill();
      await team.everythingStored();
      expectAllWell(team, { faults: 1 });
    });

    test.concurrent('two pods with one id: nothing is sent twice, and they do not fight for ever', async (context) => {
      // Silence of one's own pod is borne for two beats only.
      const twin = { id: 'twin', settings: CALM };
      const team = await startTeam(context, volume(), { pods: [twin, twin] });
      team.store.settings.latencyMs = 50;
      await Promise.all([1, 2].map((pod) => drawMany(team, pod, 'alice', 30, 20_000)));
      await Promise.all([1, 2].map((pod) => drawMany(team, pod, `user-${pod}`, 10, 20_000)));
      await team.everythingStored();
      expectAllWell(team);
      expect(team.holdings().filter(({ folder }) => folder === 'alice').length).toBe(1);
      const ways = team.holdings().map(({ how }) => how);
      expect(ways.filter((how) => how === 'silent' || how === 'dead')).toEqual([]);
    });

    test.concurrent('an agent of a later version holds a folder: it is left alone until it falls silent', async (context) => {
      let later: Awaited<ReturnType<typeof actLaterAgent>> | undefined;
      const team = await startTeam(context, volume(), {
        pods: 2,
        prepare: async (others) => {
          later = await actLaterAgent(await others.leaseDir('alice'), 7);
          context.onTestFinished(later.stop);
        },
      });
      await drawMany(team, 1, 'alice', 3);
      await drawMany(team, 1, 'bob', 3);
      await team.until(() => team.storedOf('bob') === 3, 'bob to be served');
      await team.until(() => later!.beats() > 16, 'the later agent to hold for more than a lease time');
      expect(team.storedOf('alice')).toBe(0);
      later!.stop();
      await team.everythingStored();
      expect(team.holdings().find(({ folder }) => folder === 'alice')).toMatchObject({ epoch: 8, how: 'silent' });
      expectAllWell(team);
    });

    test.skipIf(!canFakeTime).concurrent('a clock that is an hour ahead, then steps back by two', async (context) => {
      const dir = await mkdtemp(join(tmpdir(), 'r2-sync-clock-'));
      context.onTestFinished(() => rm(dir, { recursive: true }));
      const clock = join(dir, 'clock');
      await writeFile(clock, '+1h');
      // Only what the agent reads of the clock: times of files come from elsewhere.
      const switches = { DONT_FAKE_MONOTONIC: '1', NO_FAKE_STAT: '1', FAKETIME_CACHE_DURATION: '1' };
      const settings = { LD_PRELOAD: FAKETIME, FAKETIME_TIMESTAMP_FILE: clock, ...switches };
      const team = await startTeam(context, volume(), { pods: [{ ownClock: true, settings }, {}] });
      const [first] = team.pod(1).agent.heard();
      expect(Math.abs(Date.parse(String(first!.line.time)) - first!.at)).toBeGreaterThan(3000_000);
      team.store.settings.latencyMs = 100;
      await Promise.all([1, 2].map((pod) => drawMany(team, pod, `user-${pod}`, 20, 20_000)));
      await team.until(() => team.storedOf('user-1') >= 8, 'the upload to be under way');
      await writeFile(clock, '-1h');
      await team.everythingStored();
      expectAllWell(team);
      await drawMany(team, 1, 'user-1', 1);
      await team.pod(1).kill();
      await drawMany(team, 2, 'user-1', 1);
      await team.everythingStored();
      expectAllWell(team, { faults: 1 });
    });
  });
}

/** An agent whose files nobody of today understands: it has claimed an epoch, and beats until it is stopped. */
async function actLaterAgent(dir: string, epoch: number) {
  let beats = 0;
  await mkdir(dir, { recursive: true });
  await writeFile(join(dir, `lease.${epoch}.json`), JSON.stringify({ v: 2, epoch, claimant: 'of a later time' }));
  const beat = () => {
    beats += 1;
    writeFileSync(join(dir, `beat.${epoch}.json`), JSON.stringify({ v: 2, alive: beats }));
  };
  beat();
  const timer = setInterval(beat, (LEASE_SECONDS * 1000) / 9);
  return { beats: () => beats, stop: () => clearInterval(timer) };
}

function notRun(what: string): void {
  if (process.env.R2_REQUIRE_SYSTEM === '1') throw new Error(`NOT RUN: ${what}`);
  console.warn(`NOT RUN: ${what}`);
}
