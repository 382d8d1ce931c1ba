// The rows that matter most once more, into a real S3 server on this machine: see support/real-store.ts. It hashes,
// checks and writes every byte, on the same two cores: contenders are closer to each other than with the double.
import type { Row } from '../support/row.ts';
import { burst } from './burst.ts';
import { latency } from './latency.ts';

export const realLatency = withRealStore(latency, 'real-latency');
export const realBurst = withRealStore(burst, 'real-burst');

function withRealStore(row: Row, id: string): Row {
  return {
    ...row,
    id,
    title: (scale) => `a real S3 server (versitygw), ${row.title(scale)}`,
    contenders: ['boto3', 'agent', 'floor'],
    goals: row.goals.filter(({ contender, metric }) => contender === 'agent' && metric !== 'peak'),
    rounds: () => 1,
    run: (contender, scale) => row.run(contender, { ...scale, store: 'real' }),
  };
}
