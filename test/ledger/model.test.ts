import { rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import type { Ledger } from '../../src/ledger/ledger.ts';
import { createFakeClock } from '../support/fake-clock.ts';
import { makeFact, makeTarget, openLedger, readBack, TestDisk } from './support.ts';

const path = fc.constantFrom('a.png', 'alice/a.png', 'alice/b.png', 'bob/\udcff.png');
const step = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('record' as const), path, content: fc.string() }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('reopen' as const) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('hours pass' as const) }) },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('crash' as const),
      after: fc.nat({ max: 25 }),
      keep: fc.constantFrom(0, 0.3, 0.9, 1),
      writes: fc.array(fc.record({ path, content: fc.string() }), { maxLength: 6 }),
    }),
  },
);

it('invariant 7: whatever is recorded, reopened, compacted and cut short, what counted is known', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 70 }), async (steps) => {
      const { root, targetDir } = await makeTarget();
      /** What each path may be: the last fact that counted, or one that was under way after it. */
      const allowed = new Map<string, Set<string>>();
      const clock = createFakeClock(Date.now());
      let disk = new TestDisk();
      let ledger: Ledger = await openLedger(targetDir, { io: disk.io, clock });
      const check = async () => {
        const known = await readBack(targetDir);
        for (const [path, hashes] of allowed) expect(hashes).toContain(known.get(path) ?? 'nothing');
        for (const [path, hash] of known) allowed.set(path, new Set([hash]));
      };
      for (const step of steps) {
        if (step.kind === 'hours pass') await clock.advance(7_200_000);
        if (step.kind === 'record') {
          const fact = makeFact(step.path, step.content);
          await ledger.record(fact);
          expect(ledger.trouble).toBeUndefined();
          allowed.set(step.path, new Set([fact.sha256]));
        }
        if (step.kind === 'reopen') {
          // Recording once claims the next epoch, so that segments pile up.
          await ledger.record(makeFact('alice/a.png', 'reopen'));
          allowed.set('alice/a.png', new Set([makeFact('', 'reopen').sha256]));
          await ledger.close();
        }
        if (step.kind === 'crash') {
          disk.stopAfter = disk.effects + step.after;
          for (const { path, content } of step.writes) {
            const fact = makeFact(path, content);
            const hashes = allowed.get(path) ?? new Set(['nothing']);
            allowed.set(path, hashes.add(fact.sha256));
            const counted = await Promise.race([ledger.record(fact).then(() => true), disk.whenStopped()]);
            if (counted === true) allowed.set(path, new Set([fact.sha256]));
          }
          disk.stopAfter = 0;
          await disk.losePower(step.keep);
        }
        if (step.kind === 'reopen' || step.kind === 'crash') {
          await check();
          disk = new TestDisk();
          ledger = await openLedger(targetDir, { io: disk.io, clock });
          for (const [path, hashes] of allowed) {
            if (!hashes.has('nothing')) expect(hashes).toContain(ledger.index.get(path)?.sha256);
          }
        }
      }
      await ledger.close();
      await check();
      await rm(dirname(dirname(targetDir)), { recursive: true, force: true });
      expect(root).toBe(dirname(dirname(targetDir)));
    }),
    { numRuns: 60 },
  );
});
