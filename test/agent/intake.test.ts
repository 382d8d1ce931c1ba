// What can't be read is tried again, whatever else has happened to it.
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
