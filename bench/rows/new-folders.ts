// Files in folders made a moment before: where a recursive watch that is told too late loses them.
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { now, pause } from '../support/clock.ts';
import type { Row } from '../support/row.ts';
import { makeSample, type Written, writeSample } from '../support/samples.ts';
import { awaitStored, latencies, warmUp, withSession } from '../support/session.ts';
import { percentile } from '../support/statistics.ts';

const EVERY_MS = 50;
const filesOf = (quick: boolean) => (quick ? 50 : 200);
/** A Python for every file: with more of them the machine is busy for minutes. */
const OLD_LOOP_FILES = 40;

export const newFolders: Row = {
  id: 'new-folders',
  title: ({ quick }) =>
    `${filesOf(quick)} PNGs of 2 MB, each in a folder made just before, one every ${EVERY_MS} ms (${OLD_LOOP_FILES} for one Python per file)`,
  metrics: {
    lost: { label: 'lost', unit: 'files', digits: 0, rounds: 'worst' },
    p50: { label: 'p50 of the rest', unit: 'ms', digits: 1, rounds: 'median' },
    p99: { label: 'p99 of the rest', unit: 'ms', digits: 1, rounds: 'worst' },
  },
  goals: ['agent' as const, 'agent-plain' as const].flatMap((contender) => [
    { contender, metric: 'lost', text: 'none lost', atMost: 0 },
    { contender, metric: 'p99', text: 'p99 under 1 s', atMost: 1000 },
  ]),
  contenders: ['boto3', 'agent', 'agent-plain', 'old-loop'],
  baseline: 'boto3',
  rounds: ({ quick }, contender) => (!quick && contender === 'agent' ? 2 : 1),
  run: (contender, { quick, ...place }) =>
    withSession(place, async (session) => {
      await session.start(contender);
      await warmUp(session);
      const samples = Array.from(
        { length: contender.id === 'old-loop' ? OLD_LOOP_FILES : filesOf(quick) },
        (_, index) => makeSample(100 + index),
      );
      const start = now();
      const written: Written[] = [];
      for (const [index, sample] of samples.entries()) {
        await pause(start + index * EVERY_MS - now());
        const folder = join(session.dir, `folder${index}`);
        mkdirSync(folder);
        written.push(writeSample(join(folder, `picture-${index}.png`), sample));
      }
      const arrived = await awaitStored(session.store, written);
      const times = latencies(written, arrived);
      return {
        lost: written.length - arrived.size,
        p50: percentile(times, 0.5),
        p99: percentile(times, 0.99),
      };
    }),
};
