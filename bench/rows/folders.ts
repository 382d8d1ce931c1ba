// A team's volume: pictures in fifty folders at once, so fifty leases to be taken.
import { bulkMetrics, runBulk } from '../support/bulk.ts';
import type { Row } from '../support/row.ts';

const FOLDERS = 50;
const filesOf = (quick: boolean) => (quick ? 100 : 300);
const { rate, cpu, requests, lost } = bulkMetrics;

export const folders: Row = {
  id: 'folders',
  title: ({ quick }) => `${FOLDERS} folders: ${filesOf(quick)} PNGs of 2 MB at once, in turn`,
  metrics: { rate, cpu, requests, lost },
  goals: [
    { contender: 'agent', metric: 'rate', text: "at least boto3's files per second", atLeast: 1, against: 'boto3' },
    { contender: 'agent', metric: 'requests', text: 'one request per file', atMost: 1 },
    { contender: 'agent', metric: 'lost', text: 'none lost', atMost: 0 },
  ],
  contenders: ['boto3', 'agent', 'rclone', 's5cmd'],
  baseline: 'boto3',
  rounds: ({ quick }, contender) => (!quick && (contender === 'boto3' || contender === 'agent') ? 2 : 1),
  run: (contender, { quick, ...place }) => runBulk(contender, place, { files: filesOf(quick), folders: FOLDERS }),
};
