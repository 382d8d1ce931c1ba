// Thousands of small files: where what is done once a file counts, and not what is done once a byte.
import { bulkMetrics, runBulk } from '../support/bulk.ts';
import type { Row } from '../support/row.ts';

const filesOf = (quick: boolean) => (quick ? 500 : 2000);
const BYTES = 40 * 1024;
const { rate, cpu, peak, requests, lost, storeCpu } = bulkMetrics;

export const small: Row = {
  id: 'small',
  title: ({ quick }) => `many small: ${filesOf(quick)} PNGs of 40 KiB at once`,
  metrics: { rate, cpu, peak, requests, lost, storeCpu },
  goals: [
    { contender: 'agent', metric: 'rate', text: "at least boto3's files per second", atLeast: 1, against: 'boto3' },
    { contender: 'agent', metric: 'cpu', text: "CPU per file at most boto3's", atMost: 1, against: 'boto3' },
    { contender: 'agent', metric: 'requests', text: 'one request per file', atMost: 1 },
    { contender: 'agent', metric: 'lost', text: 'none lost', atMost: 0 },
  ],
  contenders: ['boto3', 'agent', 'rclone', 's5cmd', 'floor'],
  baseline: 'boto3',
  rounds: ({ quick }, contender) => (!quick && (contender === 'boto3' || contender === 'agent') ? 2 : 1),
  run: (contender, { quick, ...place }) => runBulk(contender, place, { files: filesOf(quick), bytes: BYTES }),
};
