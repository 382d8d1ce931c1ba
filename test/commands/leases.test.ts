// `r2-sync leases` in words: a table for a terminal, a line for each folder for a pipe, and no waiting for a dead volume.
import { stripVTControlCharacters } from 'node:util';
import { expect, test } from 'vitest';
import { type LeaseSurvey, renderLines, renderTable, unlessHung } from '../../src/commands/leases.ts';
import type { FolderLease } from '../../src/lease/survey.ts';
import { createFakeClock } from '../support/fake-clock.ts';

const now = Date.parse('2026-11-20T12:00:00.000Z');

function lease(folder: string, change: Partial<FolderLease> = {}): FolderLease {
  const since = '2026-11-20T11:00:00.000Z';
  const whose = { pod: '3f2a9c1b77aa', host: '4c1e5f6a7b8c', thisPod: false };
  return { folder, state: 'held', ...whose, epoch: 3, since, silentSeconds: 3, problem: null, ...change };
}

const survey = (leases: FolderLease[], change: Partial<LeaseSurvey> = {}): LeaseSurvey => {
  return { directory: '/out/.r2-sync/abc', pod: 'a1b2', takesPart: true, leaseSeconds: 45, leases, ...change };
};
const table = (of: LeaseSurvey, width = 80) => stripVTControlCharacters(renderTable(of, width, now));
const nothing = { pod: null, host: null, since: null, silentSeconds: null };
const problem = 'Its claim is empty. It heals by itself.';

const all = survey([
  lease('.', { thisPod: true, epoch: 12 }),
  lease('alice'),
  lease('bob', { silentSeconds: 7200 }),
  lease('carol', { state: 'silent', silentSeconds: 7200 }),
  lease('dave', { state: 'released', silentSeconds: 300 }),
  lease('erin', { ...nothing, state: 'unreadable', problem }),
  lease('frank', { silentSeconds: null }),
]);

test('on a terminal: who holds what in one table that fits 80 columns, what is odd below', () => {
  expect(table(all)).toBe(
    `
7 folders: 1 held by this pod, 3 held by other pods, 1 silent, 1 unreadable, 1
free.

Folder       Held by                       Claim  Since    Last beat
(top level)  this pod                         12  1 h ago  about 3 s ago
alice        3f2a9c1b77aa on 4c1e5f6a7b8c      3  1 h ago  about 3 s ago
bob          3f2a9c1b77aa on 4c1e5f6a7b8c      3  1 h ago  about 2 h ago
carol        3f2a9c1b77aa on 4c1e5f6a7b8c      3  1 h ago  silent for 2 h
dave         nobody                            3  1 h ago  given back
erin         unknown                           3  -        unreadable
frank        3f2a9c1b77aa on 4c1e5f6a7b8c      3  -        clock differs

! Silent: no sign of life for more than 45 s. Another pod may take such a folder
  over, and does as soon as something is due in it.
! Clock differs: the holder's clock isn't set as this one, so nobody can say
  when. No lease depends on it.
! erin: Its claim is empty. It heals by itself.
`.trim(),
  );
});

test('in a pipe: a line for each folder says all that there is about it', () => {
  expect(renderLines(all).split('\n')).toEqual([
    '(top level): this pod, claim 12 since 2026-11-20T11:00:00.000Z, last beat about 3 s ago',
    'alice: pod 3f2a9c1b77aa on 4c1e5f6a7b8c, claim 3 since 2026-11-20T11:00:00.000Z, last beat about 3 s ago',
    'bob: pod 3f2a9c1b77aa on 4c1e5f6a7b8c, claim 3 since 2026-11-20T11:00:00.000Z, last beat about 2 h ago',
    'carol: pod 3f2a9c1b77aa on 4c1e5f6a7b8c, claim 3 since 2026-11-20T11:00:00.000Z, silent for 2 h, another pod may take it over',
    'dave: nobody, claim 3 since 2026-11-20T11:00:00.000Z, given back',
    'erin: unknown, claim 3. Its claim is empty. It heals by itself.',
    'frank: pod 3f2a9c1b77aa on 4c1e5f6a7b8c, claim 3 since 2026-11-20T11:00:00.000Z, clock differs',
  ]);
});

test('a pod that is alone gets one plain sentence above its table', () => {
  const alone = survey([lease('alice', { thisPod: true })]);
  expect(table(alone).split('\n')[0]).toBe('1 folder: held by this pod.');
  expect(table(alone)).not.toContain('!');
});

test('where nobody has claimed anything it says where it looked', () => {
  const text = 'No pod has claimed a folder yet: there is no claim in /out/.r2-sync/abc.';
  expect(table(survey([]), 200)).toBe(text);
  expect(renderLines(survey([]))).toBe(text);
});

test('R2_LEASE=off is said', () => {
  const off = survey([lease('alice')], { takesPart: false });
  expect(table(off)).toMatch(/^! R2_LEASE=off/m);
  expect(renderLines(off)).toMatch(/^R2_LEASE=off.*\nalice/);
});

test('a volume that hangs is not waited for, one that is only slow is', async () => {
  const clock = createFakeClock();
  let waiting = 0;
  const gate = { overdueMs: () => waiting };
  const slow = unlessHung(
    clock.sleep(60_000).then(() => 'done'),
    gate,
    clock,
  );
  await clock.advance(60_000);
  expect(await slow).toBe('done');
  const hung = unlessHung(new Promise(() => {}), gate, clock);
  await clock.advance(5_000);
  waiting = 10_000;
  await clock.advance(1_000);
  expect(await hung).toBe('hung');
});
