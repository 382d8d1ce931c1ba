// A start on a volume with a long history: everything is in the ledger, nothing is to be done.
import { now, poll } from '../support/clock.ts';
import { READY_LIMIT_MS } from '../support/contender.ts';
import { readMemory } from '../support/process-tree.ts';
import type { Row } from '../support/row.ts';
import { withSession } from '../support/session.ts';
import { median } from '../support/statistics.ts';
import { makeStoredFiles } from '../support/stored-files.ts';

interface History {
  id: string;
  files(quick: boolean): number;
  starts: number;
  goals: Row['goals'];
  contenders: Row['contenders'];
}

export const start = startOn({
  id: 'start',
  files: (quick) => (quick ? 10_000 : 100_000),
  starts: 3,
  goals: [
    { contender: 'agent', metric: 'seconds', text: 'under 3 s to steady', atMost: 3 },
    { contender: 'agent', metric: 'requests', text: 'no request', atMost: 0 },
  ],
  contenders: ['agent'],
});

export const million = startOn({
  id: 'million',
  files: (quick) => (quick ? 100_000 : 1_000_000),
  starts: 1,
  goals: [
    { contender: 'agent', metric: 'seconds', text: 'under 30 s to steady', atMost: 30 },
    { contender: 'agent', metric: 'memory', text: 'peak memory under 400 MB', atMost: 400e6 / 2 ** 20 },
    { contender: 'agent', metric: 'requests', text: 'no request', atMost: 0 },
  ],
  contenders: ['agent'],
});

function startOn({ id, files, starts, goals, contenders }: History): Row {
  return {
    id,
    title: ({ quick }) => `start on ${files(quick)} files that are all in the ledger (middle of ${starts} starts)`,
    metrics: {
      seconds: { label: 'process start to steady', unit: 's', digits: 2, rounds: 'median' },
      memory: { label: 'peak memory', unit: 'MiB', digits: 0, rounds: 'worst' },
      requests: { label: 'requests', unit: '', digits: 0, rounds: 'worst' },
    },
    goals,
    contenders,
    baseline: 'agent',
    rounds: () => 1,
    run: (contender, { quick, ...place }) =>
      withSession(place, async (session) => {
        const count = files(quick);
        await makeStoredFiles(session.stage, count);
        const seconds: number[] = [];
        let memory = 0;
        for (let turn = 0; turn < starts; turn += 1) {
          const startedAt = now();
          const running = await contender.start(session.stage, 0);
          try {
            // Steady: every file was seen by the first scan, none is pending, and the agent says that all is well.
            const steady = await poll(
              async () => {
                if (running.child.ended() !== undefined) throw new Error(`the agent ${running.child.ended()}`);
                const status = await running.status?.();
                if (status?.state !== 'ok' || !status.safeToStop || status.totals.pendingFiles > 0) return undefined;
                const seen = status.folders.reduce((sum, folder) => sum + folder.files, 0);
                return seen >= count ? now() : undefined;
              },
              25,
              READY_LIMIT_MS,
            );
            if (steady === undefined) throw new Error(`not steady after ${READY_LIMIT_MS / 1000} s`);
            seconds.push((steady - startedAt) / 1000);
            memory = Math.max(memory, readMemory(running.child.pid).peak);
          } finally {
            await running.child.stop();
          }
        }
        return { seconds: median(seconds), memory, requests: (await session.store.requests()).length };
      }),
  };
}
