// Takes the figures of the last run and the last soak into docs/benchmarks, and writes the page and its charts anew:
//   npx node bench/docs.ts
import { writeBenchmarks } from '../scripts/docs/benchmarks/write.ts';
import { publish } from './support/published.ts';

const taken = publish();
if (taken.length === 0) console.error('bench/results holds no run and no soak: npm run bench, npx node bench/soak.ts');
for (const path of taken) console.log(`taken: ${path}`);
writeBenchmarks();
console.log('written: docs/benchmarks.md and its charts');
