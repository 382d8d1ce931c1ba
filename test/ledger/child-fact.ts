// The facts of append-child.ts, which runs without vitest.
import { createHash } from 'node:crypto';
import type { LedgerFact } from '../../src/ledger/ledger.ts';

export function makeChildFact(number: number): LedgerFact {
  const sha256 = createHash('sha256').update(String(number)).digest('hex');
  const path = `folder${number % 3}/${number}.png`;
  return { path, size: number, mtimeNs: 1n, sha256, key: sha256, storedAt: 1, incomplete: false };
}
