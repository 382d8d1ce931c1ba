// Invariant 2 where a folder is very large. Alone in its file, because it takes a while.
import { mkdirSync, writeFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { until } from '../support/agent.ts';
import { expectTrueObjects, makeBench } from './bucket.ts';

it('invariant 2: 20,000 small files in one folder all arrive, with one request each', async () => {
  const bench = await makeBench();
  const { store } = bench;
  try {
    mkdirSync(bench.at('many'));
    for (let nth = 0; nth < 20_000; nth += 1) writeFileSync(bench.at(`many/${nth}.txt`), `${nth}`);
    // What takes the time is the double, in this process; asking the agent how far it is would take as much.
    store.settings.checkSignatures = false;
    const agent = await bench.start({ R2_CONCURRENCY: '16', R2_LOG_LEVEL: 'warn' });
    await until(() => store.objects.size >= 20_000, 'all of them in the bucket', 150);
    const done = await agent.until(({ totals }) => totals.pendingFiles === 0, 'the ledger');
    expect(done.totals.storedFiles).toBe(20_000);
    expect(store.objects.size).toBe(20_000);
    expect(store.requests.filter(({ operation }) => operation === 'PutObject')).toHaveLength(20_000);
    expectTrueObjects(store);
  } finally {
    await bench.close();
  }
}, 180_000);
