// A handful of videos at once: hashing and sending side by side, without the memory that it would take to hold them.
import { bulkMetrics, runBulk } from '../support/bulk.ts';
import type { Row } from '../support/row.ts';
import { MIB } from '../support/samples.ts';

const filesOf = (quick: boolean) => (quick ? 4 : 8);
const BYTES = 64 * MIB;
const { megabytes, cpu, peak, requests, lost } = bulkMetrics;

export const videos: Row = {
  id: 'videos',
  title: ({ quick }) => `many large: ${filesOf(quick)} MP4s of ${BYTES / MIB} MiB at once`,
  metrics: { megabytes, cpu, peak, requests, lost },
  goals: [
    { contender: 'agent', metric: 'megabytes', text: "at least rclone's MB/s", atLeast: 1, against: 'rclone' },
    { contender: 'agent', metric: 'peak', text: 'memory as for small files (120 MB)', atMost: 120e6 / MIB },
    { contender: 'agent', metric: 'lost', text: 'none lost', atMost: 0 },
  ],
  contenders: ['rclone', 'agent', 'boto3', 's5cmd'],
  baseline: 'rclone',
  rounds: ({ quick }, contender) => (!quick && (contender === 'rclone' || contender === 'agent') ? 2 : 1),
  run: (contender, { quick, ...place }) =>
    runBulk(contender, place, { files: filesOf(quick), bytes: BYTES, kind: 'video' }),
};
