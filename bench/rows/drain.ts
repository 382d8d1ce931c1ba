// The pod is stopped with ten pictures just finished: are they in the bucket before the agent is gone?
import { join } from 'node:path';
import { now } from '../support/clock.ts';
import type { Row } from '../support/row.ts';
import { makeSample, writeSample } from '../support/samples.ts';
import { awaitStored, warmUp, withSession } from '../support/session.ts';

const FILES = 10;
/** R2_DRAIN_SECONDS as it comes. */
const DRAIN_SECONDS = 8;
const LATENCY_MS = 50;

export const drain: Row = {
  id: 'drain',
  title: () => `SIGTERM right after ${FILES} PNGs of 2 MB, ${LATENCY_MS} ms of round trip`,
  metrics: {
    seconds: { label: 'signal to exit', unit: 's', digits: 2, rounds: 'worst' },
    left: { label: 'not stored', unit: 'files', digits: 0, rounds: 'worst' },
  },
  goals: [
    { contender: 'agent', metric: 'seconds', text: `within the default ${DRAIN_SECONDS} s`, atMost: DRAIN_SECONDS },
    { contender: 'agent', metric: 'left', text: 'none left', atMost: 0 },
    { contender: 'agent-plain', metric: 'left', text: 'none left without inotifywait', atMost: 0 },
  ],
  contenders: ['agent', 'agent-plain', 'boto3'],
  baseline: 'agent',
  rounds: ({ quick }, contender) => (quick || contender !== 'agent' ? 1 : 3),
  run: (contender, { quick: _, ...place }) =>
    withSession({ ...place, latencyMs: LATENCY_MS }, async (session) => {
      const running = await contender.start(session.stage, 0);
      try {
        await running.ready();
        await warmUp(session);
        const samples = Array.from({ length: FILES }, (_, index) => makeSample(100 + index));
        const written = samples.map((sample, index) => writeSample(join(session.dir, `picture-${index}.png`), sample));
        const signalledAt = now();
        process.kill(running.child.pid, 'SIGTERM');
        await running.child.exit;
        const seconds = (now() - signalledAt) / 1000;
        const arrived = await awaitStored(session.store, written, 0);
        return { seconds, left: written.length - arrived.size };
      } finally {
        await running.child.stop();
      }
    }),
};
