// A process that records facts until it is killed. It says which are on disk: one path a line.
import { systemClock } from '../../src/clock.ts';
import { Ledger } from '../../src/ledger/ledger.ts';
import { createLog } from '../../src/log.ts';
import { makeChildFact } from './child-fact.ts';

const ledger = await Ledger.open({
  targetDir: process.argv[2]!,
  log: createLog({ level: 'silent', secrets: [] }),
  clock: systemClock,
});
let next = 0;
async function recordForEver(): Promise<void> {
  for (;;) {
    const fact = makeChildFact(next++);
    await ledger.record(fact);
    if (ledger.trouble === undefined) process.stdout.write(`${fact.path}\n`);
  }
}
await Promise.all([recordForEver(), recordForEver(), recordForEver()]);
