// Fifty folders held at once: what the signs of life cost while nothing else happens.
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { pause } from '../support/clock.ts';
import { readCpuMs, readMemory } from '../support/process-tree.ts';
import type { Row } from '../support/row.ts';
import { makeSample, writeSample } from '../support/samples.ts';
import { awaitStored, withSession } from '../support/session.ts';

const FOLDERS = 50;
/** Until the agent has come to rest: it tidies its memory up to 10 s after the last file. */
const CALM_SECONDS = 11;
/** A folder is given back 30 s after its last file. */
const SECONDS = 15;

export const leases: Row = {
  id: 'leases',
  extra: true,
  title: () => `${FOLDERS} folders held for ${SECONDS} s after their last file`,
  metrics: {
    cpu: { label: 'CPU of one core', unit: '%', digits: 2, rounds: 'worst' },
    memory: { label: 'memory', unit: 'MiB', digits: 0, rounds: 'worst' },
    requests: { label: 'requests', unit: '', digits: 0, rounds: 'worst' },
  },
  goals: [
    { contender: 'agent', metric: 'cpu', text: 'CPU under 1 % of one core', atMost: 1 },
    { contender: 'agent', metric: 'requests', text: 'no request', atMost: 0 },
  ],
  contenders: ['boto3', 'agent'],
  baseline: 'boto3',
  rounds: () => 1,
  run: (contender, place) =>
    withSession(place, async (session) => {
      const folders = Array.from({ length: FOLDERS }, (_, index) => join(session.dir, `folder${index}`));
      for (const folder of folders) mkdirSync(folder);
      const running = await session.start(contender);
      const written = folders.map((folder, index) =>
        writeSample(join(folder, `picture-${index}.png`), makeSample(100 + index)),
      );
      await awaitStored(session.store, written);
      await pause(CALM_SECONDS * 1000);
      const cpuMs = readCpuMs(running.child.pid);
      const before = (await session.store.requests()).length;
      await pause(SECONDS * 1000);
      const cpu = ((readCpuMs(running.child.pid) - cpuMs) / (SECONDS * 1000)) * 100;
      const status = await running.status?.();
      const held = status?.folders.filter(({ lease }) => lease.state === 'mine').length ?? FOLDERS;
      if (held < FOLDERS) throw new Error(`only ${held} of ${FOLDERS} folders are held at the end`);
      return {
        cpu,
        memory: readMemory(running.child.pid).rss,
        requests: (await session.store.requests()).length - before,
      };
    }),
};
