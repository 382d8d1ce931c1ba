// Close to stored: pictures at the pace of a quick sampler.
import { join } from 'node:path';
import { now, pause } from '../support/clock.ts';
import type { ContenderId } from '../support/contender.ts';
import type { Row } from '../support/row.ts';
import { makeSample, type Written, writeSample } from '../support/samples.ts';
import { awaitStored, latencies, measureCost, warmUp, withSession } from '../support/session.ts';
import { percentile } from '../support/statistics.ts';

const EVERY_MS = 200;
const OFTEN: readonly ContenderId[] = ['boto3', 'agent'];
const filesOf = (quick: boolean) => (quick ? 20 : 60);

export const latency: Row = {
  id: 'latency',
  title: ({ quick }) => `close to stored: ${filesOf(quick)} PNGs of 2 MB, one every ${EVERY_MS / 1000} s`,
  metrics: {
    p50: { label: 'p50', unit: 'ms', digits: 1, rounds: 'median' },
    p99: { label: 'p99', unit: 'ms', digits: 1, rounds: 'median' },
    requests: { label: 'requests per file', unit: '', digits: 2, rounds: 'median' },
    cpu: { label: 'CPU per file', unit: 'ms', digits: 2, rounds: 'median' },
    lost: { label: 'lost', unit: 'files', digits: 0, rounds: 'worst' },
  },
  goals: [
    { contender: 'agent', metric: 'p50', text: "p50 no worse than boto3's", atMost: 1, against: 'boto3' },
    { contender: 'agent', metric: 'p99', text: "p99 no worse than boto3's", atMost: 1, against: 'boto3' },
    { contender: 'agent-plain', metric: 'p50', text: 'p50 under 150 ms without inotifywait', atMost: 150 },
    { contender: 'agent', metric: 'lost', text: 'none lost', atMost: 0 },
    { contender: 'agent-plain', metric: 'lost', text: 'none lost', atMost: 0 },
  ],
  contenders: ['boto3', 'agent', 'agent-plain', 'rclone', 's5cmd', 'old-loop', 'floor'],
  baseline: 'boto3',
  rounds: ({ quick }, contender) => (quick || !OFTEN.includes(contender) ? 1 : 3),
  run: (contender, { quick, ...place }) =>
    withSession(place, async (session) => {
      const { child } = await session.start(contender);
      await warmUp(session);
      const samples = Array.from({ length: filesOf(quick) }, (_, index) => makeSample(100 + index));
      const before = (await session.store.requests()).length;
      const cost = measureCost(child.pid);
      const start = now();
      const written: Written[] = [];
      for (const [index, sample] of samples.entries()) {
        await pause(start + index * EVERY_MS - now());
        written.push(writeSample(join(session.dir, `picture-${index}.png`), sample));
      }
      const arrived = await awaitStored(session.store, written);
      const { cpuMs } = cost.stop();
      const times = latencies(written, arrived);
      return {
        p50: percentile(times, 0.5),
        p99: percentile(times, 0.99),
        requests: ((await session.store.requests()).length - before) / written.length,
        cpu: cpuMs / written.length,
        lost: written.length - arrived.size,
      };
    }),
};
