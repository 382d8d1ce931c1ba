// Many pictures at once: see support/bulk.ts.
import { bulkMetrics, runBulk } from '../support/bulk.ts';
import type { ContenderId } from '../support/contender.ts';
import type { Row } from '../support/row.ts';

const filesOf = (quick: boolean) => (quick ? 120 : 400);
/** A Python of 60 MB for every file: more of them at once, and the machine is out of memory before the row is over. */
const OLD_LOOP_FILES = 40;
const OFTEN: readonly ContenderId[] = ['boto3', 'agent'];
const { rate, cpu, peak, requests, twice, lost, storeCpu } = bulkMetrics;

export const burst: Row = {
  id: 'burst',
  title: ({ quick }) => `${filesOf(quick)} PNGs of 2 MB at once (${OLD_LOOP_FILES} for one Python per file)`,
  metrics: { rate, cpu, peak, requests, twice, lost, storeCpu },
  goals: [
    { contender: 'agent', metric: 'rate', text: "1.2 times boto3's files per second", atLeast: 1.2, against: 'boto3' },
    { contender: 'agent', metric: 'cpu', text: "CPU per file 0.8 times boto3's", atMost: 0.8, against: 'boto3' },
    { contender: 'agent', metric: 'peak', text: 'peak memory under 120 MB', atMost: 120e6 / 2 ** 20 },
    { contender: 'agent-plain', metric: 'peak', text: 'peak memory under 120 MB', atMost: 120e6 / 2 ** 20 },
    { contender: 'agent', metric: 'requests', text: 'one request per file', atMost: 1 },
    { contender: 'agent-plain', metric: 'requests', text: 'one request per file', atMost: 1 },
    { contender: 'agent', metric: 'lost', text: 'none lost', atMost: 0 },
    { contender: 'agent-plain', metric: 'lost', text: 'none lost', atMost: 0 },
  ],
  contenders: ['boto3', 'agent', 'agent-plain', 'rclone', 's5cmd', 'old-loop', 'floor'],
  baseline: 'boto3',
  rounds: ({ quick }, contender) => (quick || !OFTEN.includes(contender) ? 1 : 3),
  run: (contender, { quick, ...place }) =>
    runBulk(contender, place, { files: contender.id === 'old-loop' ? OLD_LOOP_FILES : filesOf(quick) }),
};
