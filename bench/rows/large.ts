// One large video. rclone and s5cmd are started at the very moment when the file is complete: the
// best that a loop can do.
import { join } from 'node:path';
import type { Row } from '../support/row.ts';
import { MIB, writeVideo } from '../support/samples.ts';
import { awaitStored, measureCost, warmUp, withSession } from '../support/session.ts';

const bytesOf = (quick: boolean) => (quick ? 256 : 1024) * MIB;

export const large: Row = {
  id: 'large',
  title: ({ quick }) => `one MP4 of ${bytesOf(quick) / MIB} MiB`,
  metrics: {
    rate: { label: 'close to stored', unit: 'MB/s', digits: 0, rounds: 'median' },
    cpu: { label: 'CPU', unit: 'ms', digits: 0, rounds: 'median' },
    peak: { label: 'peak memory', unit: 'MiB', digits: 0, rounds: 'worst' },
    requests: { label: 'requests', unit: '', digits: 0, rounds: 'median' },
  },
  goals: [
    { contender: 'agent', metric: 'rate', text: "at least rclone's MB/s", atLeast: 1, against: 'rclone' },
    { contender: 'agent', metric: 'peak', text: 'memory as for small files (120 MB)', atMost: 120e6 / MIB },
  ],
  contenders: ['rclone', 'agent', 'agent-plain', 'boto3', 's5cmd'],
  baseline: 'rclone',
  rounds: ({ quick }, contender) => (quick || (contender !== 'rclone' && contender !== 'agent') ? 1 : 2),
  run: (contender, { quick, ...place }) =>
    withSession(place, async (session) => {
      const write = () => writeVideo(join(session.dir, 'video-0.mp4'), bytesOf(quick));
      const early = contender.id === 'rclone' || contender.id === 's5cmd' ? write() : undefined;
      const { child } = await session.start(contender);
      if (early === undefined) await warmUp(session);
      const before = (await session.store.requests()).length;
      const cost = measureCost(child.pid);
      const written = early ?? write();
      const storedAt = (await awaitStored(session.store, [written])).get(written.stem);
      const { cpuMs, peakMib } = cost.stop();
      if (storedAt === undefined) throw new Error('the video was never stored');
      return {
        rate: written.size / 1e6 / ((storedAt - written.closedAt) / 1000),
        cpu: cpuMs,
        peak: peakMib,
        requests: (await session.store.requests()).length - before,
      };
    }),
};
