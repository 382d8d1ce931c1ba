import { expect, test } from 'vitest';
import { NewestFacts, RECENT_FILES, storedFileOf } from '../../src/agent/recent-files.ts';

const fact = (storedAt: number, key: string | undefined = 'k') => ({
  path: `a/${storedAt}.png`,
  size: 1,
  mtimeNs: BigInt(storedAt - 250) * 1_000_000n,
  sha256: '0'.repeat(64),
  storedAt,
  incomplete: false,
  key,
});

test('of a long ledger in any order, the newest are kept, newest first', () => {
  const newest = new NewestFacts();
  const times = Array.from({ length: 5000 }, (_, i) => (i * 2939) % 5000);
  for (const time of times) newest.offer(fact(time));
  expect(newest.list().map(({ storedAt }) => storedAt)).toEqual(
    Array.from({ length: RECENT_FILES }, (_, i) => 4999 - i),
  );
});

test('a line that only notes a new time of a file is none: it has no key', () => {
  const newest = new NewestFacts();
  newest.offer({ ...fact(2), key: undefined });
  newest.offer(fact(1));
  expect(newest.list().map(({ storedAt }) => storedAt)).toEqual([1]);
});

test('how long it took is told by the time of the file, unless that says nothing', () => {
  const stored = { ...fact(1000), key: 'k' };
  expect(storedFileOf(stored)).toMatchObject({
    path: 'a/1000.png',
    bytes: 1,
    seconds: 0.25,
    at: '1970-01-01T00:00:01.000Z',
  });
  expect(storedFileOf(stored, 3).seconds).toBe(3);
  expect(storedFileOf({ ...stored, mtimeNs: 10n ** 18n }).seconds).toBe(0);
});
