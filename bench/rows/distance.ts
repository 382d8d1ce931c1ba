// A store that is far away, and one that is far away and fails now and then: every reply 50 ms late, and then one request
// in a hundred ended with 503 besides.
import { bulkMetrics, runBulk } from '../support/bulk.ts';
import type { Row } from '../support/row.ts';

const LATENCY_MS = 50;
const ERROR_RATE = 0.01;
const filesOf = (quick: boolean) => (quick ? 100 : 300);
const { rate, cpu, requests, lost } = bulkMetrics;

export const distance: Row = {
  id: 'distance',
  title: ({ quick }) =>
    `${filesOf(quick)} PNGs of 2 MB at once, ${LATENCY_MS} ms of round trip; and again with ${ERROR_RATE * 100} % of errors`,
  metrics: {
    rate: { ...rate, label: `files per second at ${LATENCY_MS} ms` },
    faulty: { ...rate, label: 'the same with errors' },
    share: { label: 'share of the fault-free rate', unit: '', digits: 2, rounds: 'median' },
    cpu: { ...cpu, label: 'CPU per file with errors' },
    requests: { ...requests, label: 'requests per file with errors' },
    lost: { ...lost, label: 'lost with errors' },
  },
  goals: [
    { contender: 'agent', metric: 'share', text: 'at least 0.9 of the fault-free rate', atLeast: 0.9 },
    { contender: 'agent', metric: 'rate', text: "at least boto3's files per second", atLeast: 1, against: 'boto3' },
    { contender: 'agent', metric: 'lost', text: 'none lost', atMost: 0 },
  ],
  contenders: ['boto3', 'agent', 'rclone', 's5cmd'],
  baseline: 'boto3',
  rounds: ({ quick }, contender) => (!quick && contender === 'agent' ? 2 : 1),
  run: async (contender, { quick, ...place }) => {
    const bulk = { files: filesOf(quick) };
    const far = { ...place, latencyMs: LATENCY_MS };
    const clean = await runBulk(contender, far, bulk);
    const faulty = await runBulk(contender, { ...far, errorRate: ERROR_RATE }, bulk);
    return { ...faulty, rate: clean.rate, faulty: faulty.rate, share: faulty.rate / clean.rate };
  },
};
