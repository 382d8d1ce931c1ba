import { describe, expect, it } from 'vitest';
import { noLease } from '../../src/lease/leases.ts';
import { headline, renderStatus } from '../../src/status/render.ts';
import type { Snapshot } from '../../src/status/snapshot.ts';
import { heldBy, sampleFolder, sampleNow, sampleSnapshot, sampleTotals, sampleWaiting } from './sample.ts';

const render = (change: Partial<Snapshot>, width = 100, color = false) =>
  renderStatus(sampleSnapshot(change), { color, width, now: sampleNow });

describe('"may I stop the pod now?" is answered in one sentence', () => {
  const busy = { safeToStop: false };
  const cases: [string, Partial<Snapshot>][] = [
    ['All 212 files are in the bucket, last one 3 s ago. You may stop the pod.', {}],
    ['The only file is in the bucket, stored 3 s ago. You may stop the pod.', sampleTotals({ storedFiles: 1 })],
    [
      'All 1,212 files are in the bucket. You may stop the pod.',
      { ...sampleTotals({ storedFiles: 1212 }), recent: [], folders: [] },
    ],
    ['There is nothing to upload yet. You may stop the pod.', sampleTotals({ storedFiles: 0 })],
    [
      "3 files are on their way, about 20 s left: don't stop the pod yet.",
      { ...busy, etaSeconds: 20, ...sampleTotals({ pendingFiles: 3 }) },
    ],
    ["1 file is on its way: don't stop the pod yet.", { ...busy, ...sampleTotals({ pendingFiles: 1 }) }],
    [
      "3 files are on their way, about 2 h 10 min left: don't stop the pod yet.",
      { ...busy, etaSeconds: 7800, ...sampleTotals({ pendingFiles: 3, parkedFiles: 2 }) },
    ],
    [
      'This pod has nothing left to upload; 3 files of other pods are still on the way. You may stop the pod.',
      sampleTotals({ pendingFiles: 3 }),
    ],
    [
      'Nothing can be uploaded. The store refuses us (403).',
      { state: 'failing', reasons: ['The store refuses us (403)'], ...sampleTotals({ pendingFiles: 3 }) },
    ],
    ["Still looking for files: don't stop the pod yet.", { ...busy, ...sampleTotals({ storedFiles: 0 }) }],
    ["All 212 files known so far are in the bucket; still looking for more: don't stop the pod yet.", busy],
    [
      "2 files can't be uploaded until something is fixed; the other 212 are in the bucket. Stop the pod only if you can do without them.",
      { ...busy, ...sampleTotals({ parkedFiles: 2 }) },
    ],
    [
      "1 file can't be uploaded until something is fixed. Stop the pod only if you can do without it.",
      { ...busy, ...sampleTotals({ parkedFiles: 1, storedFiles: 0 }) },
    ],
    [
      "Nothing can be uploaded. 12 files wait: don't stop the pod yet. The store refuses us (403): check R2_ACCESS_KEY.",
      {
        ...busy,
        state: 'failing',
        reasons: ['The store refuses us (403): check R2_ACCESS_KEY'],
        ...sampleTotals({ pendingFiles: 12 }),
      },
    ],
    [
      'Nothing can be uploaded. R2_BUCKET is missing.',
      { ...busy, state: 'failing', reasons: ['R2_BUCKET is missing.'] },
    ],
    ['Nothing can be uploaded. See the log.', { ...busy, state: 'failing' }],
  ];
  it.each(cases)('%s', (sentence, change) => {
    expect(headline(sampleSnapshot(change), sampleNow)).toBe(sentence);
  });

  it('and never in more than one line of the log', () => {
    const text = headline(sampleSnapshot({ state: 'failing', reasons: ['no\nsuch \u001b[31mbucket'] }), sampleNow);
    expect(text).toBe('Nothing can be uploaded. No\\nsuch \\u001b[31mbucket.');
  });

  it('a clock that was set back says "just now", not a negative time', () => {
    expect(headline(sampleSnapshot(), sampleNow - 60_000)).toContain('last one just now');
  });
});

describe('r2-sync status', () => {
  it('says everything that is not uploaded, why, and what to do (invariant 10)', () => {
    const text = render(
      {
        state: 'degraded',
        safeToStop: false,
        etaSeconds: 20,
        reasons: ['The state directory is full: the ledger is kept in memory. Make room on the volume.'],
        folders: [
          sampleFolder({ folder: '.', files: 12, stored: 12, lastStoredAt: '2026-11-20T11:00:00.000Z' }),
          sampleFolder({
            folder: 'alice',
            files: 203,
            stored: 199,
            pending: 3,
            parked: 1,
            incomplete: 1,
            lastStoredAt: '2026-11-20T11:59:57.000Z',
          }),
          sampleFolder({ folder: 'bob', files: 1, stored: 1, lease: heldBy('ffee') }),
        ],
        pending: [
          sampleWaiting({ path: 'alice/big.mp4', bytes: 1_400_000_000, state: 'uploading, 40 %', seconds: 75 }),
          sampleWaiting({ path: 'alice/a\nb.png', bytes: 820, state: 'its writer has it open', seconds: 2 }),
        ],
        parked: [
          {
            path: 'alice/secret.png',
            reason: 'The token may not write outputs/alice (403).',
            fix: 'Give the token Object Read & Write on the bucket.',
            since: '2026-11-20T11:00:00.000Z',
          },
        ],
        skipped: { '.safetensors': 2, '': 1, '.tmp': 0, 'over R2_MAX_MB': 4 },
        ...sampleTotals({ pendingFiles: 3, parkedFiles: 1 }),
      },
      100,
    );
    expect(text).toBe(
      `
3 files are on their way, about 20 s left: don't stop the pod yet.

! The state directory is full: the ledger is kept in memory. Make room on the volume.

Folder       Files  Stored  Pending  Parked  Incomplete  Last stored  Served by
alice          203     199        3       1           1  3 s ago      this pod
(top level)     12      12        0       0           0  1 h ago      this pod
bob              1       1        0       0           0  -            ffee on gpu-2

On their way
  alice/big.mp4      1.4 GB  1 min  uploading, 40 %
  alice/a\\nb.png  820 bytes    2 s  its writer has it open
  … and 1 more

Parked: something must be fixed first
  alice/secret.png
    Why: The token may not write outputs/alice (403).
    Fix: Give the token Object Read & Write on the bucket.

Left alone by the settings: 4 over R2_MAX_MB, 2 .safetensors, 1 without an extension.

r2-sync 0.1.0 on pod a1b2c3d4, up 2 h 5 min, bucket runpod at https://acct.r2.example (reachable).
`.trim(),
    );
  });

  it('is short when all is well', () => {
    expect(render({ folders: [] }, 60)).toBe(
      `
All 212 files are in the bucket, last one 3 s ago. You may
stop the pod.

r2-sync 0.1.0 on pod a1b2c3d4, up 2 h 5 min, bucket runpod
at https://acct.r2.example (reachable).
`.trim(),
    );
  });

  it('says nothing of leases to a pod that is alone, even right after it was started again', () => {
    const own = { holder: sampleSnapshot().pod, silentSeconds: 30 };
    const leases = [heldBy(own.holder, { state: 'mine' }), heldBy(own.holder, own), noLease('free'), noLease('off')];
    const text = render({ folders: leases.map((lease, nth) => sampleFolder({ folder: `f${nth}`, lease })) });
    expect(text).not.toMatch(/Served by|this pod|silent|gpu/);
  });

  it('with other pods there it says who serves each folder, and who has been silent for more than two beats', () => {
    const folders = [
      sampleFolder({ folder: 'a' }),
      sampleFolder({ folder: 'b', lease: heldBy('ffee') }),
      sampleFolder({ folder: 'c', lease: heldBy('ffee', { silentSeconds: 11 }) }),
      sampleFolder({ folder: 'd', lease: heldBy(null, { host: null }) }),
      sampleFolder({ folder: 'e', lease: noLease('free') }),
    ];
    const lines = render({ folders }).split('\n');
    expect(lines.slice(2, 8)).toEqual([
      'Folder  Files  Stored  Last stored  Served by',
      'a           0       0  -            this pod',
      'b           0       0  -            ffee on gpu-2',
      'c           0       0  -            ffee on gpu-2, silent for 11 s',
      'd           0       0  -            another pod',
      'e           0       0  -            -',
    ]);
    // Beats are further apart where the lease is longer.
    expect(render({ folders, leaseSeconds: 90 })).not.toContain('silent');
  });

  it('cuts long names in the middle, so that a line fits the terminal and the counter can be read', () => {
    const long = `${'very-long-'.repeat(20)}00042_.png`;
    const wide = `${'画像🎨'.repeat(40)}00043_.png`;
    const text = render(
      {
        folders: [],
        pending: [long, wide].map((path) => sampleWaiting({ path, bytes: 1, state: 'waits' })),
        ...sampleTotals({ pendingFiles: 2 }),
      },
      60,
    );
    const lines = text.split('\n').filter((line) => line.includes('…'));
    expect(lines).toHaveLength(2);
    expect(lines[0]).toHaveLength(60);
    expect(lines[0]).toContain('00042_.png');
    expect(lines[1]).toContain('00043_.png');
    // Two columns for each of these characters: the columns after it still line up.
    const doubled = lines[1]!.replace(/[画像]|🎨/gu, 'xx');
    expect(doubled).toHaveLength(60);
    expect(doubled.indexOf('1 byte')).toBe(lines[0]!.indexOf('1 byte'));
  });

  it('says the fix once for many files, and how many are not named', () => {
    const parked = Array.from({ length: 40 }, (_, i) => ({
      path: `a/${i}.png`,
      reason: 'why',
      fix: 'what to do',
      since: '2026-11-20T11:00:00.000Z',
    }));
    const text = render({ parked, ...sampleTotals({ parkedFiles: 40 }) });
    expect(text.match(/Fix: what to do/g)).toHaveLength(1);
    expect(text).toContain('… and 35 more');
  });

  it('has colours only where they are asked for', () => {
    expect(render({}, 80, false)).not.toContain('\u001b');
    expect(render({}, 80, true)).toContain('\u001b[32mAll 212 files');
  });
});
