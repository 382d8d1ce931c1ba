// What is looked at again, and what comes of it.
import { expect, test } from 'vitest';
import { Intake, type IntakeOptions } from '../../src/agent/intake.ts';
import { PendingTable } from '../../src/agent/pending.ts';
import { createLog } from '../../src/log.ts';
import { createFakeClock } from '../support/fake-clock.ts';

const MINUTE = 60_000;

test('a file that a volume does not let us read is tried after 1, 2, 4 ... minutes, however often the store failed before', async () => {
  const clock = createFakeClock();
  const table = new PendingTable(clock);
  const looks: number[] = [];
  const intake = new Intake({
    config: { writers: 'local' },
    clock,
    log: createLog({ level: 'silent', secrets: [], stream: { write: () => {} } }),
    table,
    networkVolume: false,
    examiner: { examine: async () => void looks.push(clock.monotonic() / MINUTE) },
  } as unknown as IntakeOptions);
  const file = table.add('alice/a.png');
  file.attempts = 9;
  const error = Object.assign(new Error('EIO'), { code: 'EIO' });
  for (let nth = 0; nth < 3; nth += 1) {
    intake.cannotRead(file, error);
    await clock.advance(MINUTE * 2 ** nth);
  }
  expect(looks).toEqual([1, 3, 7]);
});

test('a file that was torn and is whole now stays so, also if its lease comes only after that was seen', async () => {
  const clock = createFakeClock();
  const table = new PendingTable(clock);
  let size = 0;
  let ready = 0;
  const intake = new Intake({
    config: { writers: 'local', quietSeconds: 1 },
    clock,
    table,
    filter: { skipReason: () => undefined },
    index: { matches: () => false, storedAt: () => undefined },
    networkVolume: false,
    examiner: {
      examine: async () => ({
        look: { is: 'file', identity: { dev: 1n, ino: 2n, size, mtimeNs: BigInt(size + 1), ctimeNs: 1n } },
        writers: 'none',
      }),
    },
    onReady: () => {
      ready += 1;
    },
  } as unknown as IntakeOptions);
  const file = table.add('alice/a.png');
  intake.examineNow(file);
  await clock.advance(2000);
  expect([file.state, file.until, ready]).toEqual(['empty', 'whole', 0]);
  size = 1000;
  intake.examineNow(file);
  await clock.advance(0);
  expect(ready).toBe(1);
  // It waits for the lease of its folder, and is looked at once more when that is ours.
  file.state = 'leasing';
  intake.examineNow(file);
  await clock.advance(0);
  expect([file.state, ready]).toEqual(['leasing', 2]);
});
