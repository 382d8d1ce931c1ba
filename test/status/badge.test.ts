import { expect, it } from 'vitest';
import { viewBadge } from '../../src/status/badge.ts';
import type { Snapshot } from '../../src/status/snapshot.ts';
import { sampleNow, sampleSnapshot, sampleTotals } from './sample.ts';

const parked = {
  path: 'alice/a\u001b[2J.png',
  reason: 'Its name is too long.',
  fix: 'Rename it.',
  since: '2026-11-20T11:59:57.000Z',
};

it.each<[string, Partial<Snapshot>, string, string]>([
  ['all is in the bucket', {}, 'fine', 'All safe'],
  ['files are on their way', { safeToStop: false, ...sampleTotals({ pendingFiles: 3 }) }, 'busy', '3 pending'],
  ['only other pods have files on their way', sampleTotals({ pendingFiles: 3 }), 'fine', 'Safe to stop'],
  [
    'files are parked',
    { safeToStop: false, parked: [parked], ...sampleTotals({ parkedFiles: 1 }) },
    'busy',
    '1 parked',
  ],
  [
    'the store refuses',
    { state: 'failing', reasons: ['The keys are wrong.'], safeToStop: false },
    'bad',
    'Uploads failing',
  ],
  ['the first look is not over', { safeToStop: false }, 'busy', 'Looking'],
])('the badge says in two words that %s', (_, change, mood, label) => {
  expect(viewBadge(sampleSnapshot(change), sampleNow)).toMatchObject({ mood, label });
});

it('behind the two words are the headline and what to do', () => {
  const failing = sampleSnapshot({ state: 'failing', reasons: ['The keys are wrong. Make a new token.'] });
  expect(viewBadge(failing, sampleNow).text).toContain('The keys are wrong. Make a new token.');
  const stuck = sampleSnapshot({ parked: [parked], ...sampleTotals({ parkedFiles: 1 }) });
  expect(viewBadge(stuck, sampleNow).text).toMatch(/^1 file can't be uploaded.* Its name is too long\. Rename it\.$/);
  const degraded = sampleSnapshot({ state: 'degraded', reasons: ['The volume is\u001b[2J slow.'] });
  expect(viewBadge(degraded, sampleNow).text).toContain('You may stop the pod. The volume is');
  expect(viewBadge(degraded, sampleNow).text).not.toContain('\u001b');
});

it('the badge, which a public ComfyUI shows, keeps the number of the account to itself', () => {
  const reasons = [
    `R2_ENDPOINT is https://${'0123456789abcdef'.repeat(2)}.r2.cloudflarestorage.com: it isn't reached.`,
  ];
  const { text } = viewBadge(sampleSnapshot({ state: 'failing', reasons }), sampleNow);
  expect(text).toContain('R2_ENDPOINT is https://….r2.cloudflarestorage.com');
});
