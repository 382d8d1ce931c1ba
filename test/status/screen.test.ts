// The picture of `r2-sync top`: the window is filled exactly, what matters most has its rows first, speeds are believable.
import { stripVTControlCharacters } from 'node:util';
import { describe, expect, test } from 'vitest';
import { type Pace, PaceMeter } from '../../src/status/pace.ts';
import { renderScreen, shareRows } from '../../src/status/screen.ts';
import type { Snapshot, WaitingFile } from '../../src/status/snapshot.ts';
import { bar, clip } from '../../src/status/terminal.ts';
import { sampleFolder, sampleNow, sampleSnapshot, sampleStored, sampleTotals } from './sample.ts';

const waiting = (path: string, change: Partial<WaitingFile> = {}): WaitingFile => {
  const rest = { seconds: 3, since: '2026-11-20T11:59:57.000Z', uploading: false, sent: 0 };
  return { path, bytes: 2_000_000, state: 'waits for its turn', ...rest, ...change };
};
const still: Pace = { total: undefined, byPath: new Map<string, number>() };

const busy: Partial<Snapshot> = {
  state: 'degraded',
  safeToStop: false,
  etaSeconds: 20,
  reasons: [
    'The volume is slow: something that takes a whole line and a half of words to be told to everybody who looks.',
  ],
  ...sampleTotals({ pendingFiles: 500, parkedFiles: 3 }),
  folders: Array.from({ length: 50 }, (_, i) => sampleFolder({ folder: `user-${i}`, files: 9, stored: 8, pending: 1 })),
  pending: [
    waiting('a/quick.png', { uploading: true }),
    waiting('a/large.mp4', { uploading: true, bytes: 1_000_000_000, sent: 250_000_000 }),
    ...Array.from({ length: 98 }, (_, i) => waiting(`b/${i}.png`)),
  ],
  parked: ['a', 'b', 'c'].map((name) => {
    return { path: `p/${name}.png`, reason: 'The key is too long.', fix: 'Give it a shorter path.', since: '' };
  }),
  recent: Array.from({ length: 50 }, (_, i) => sampleStored({ path: `r/${i}.png` })),
  skipped: { '.safetensors': 2 },
};

const render = (change: Partial<Snapshot>, width: number, height: number, pace = still) =>
  renderScreen(sampleSnapshot(change), { color: false, width, height, now: sampleNow, pace });

describe('the window', () => {
  test.each([
    [80, 24],
    [120, 40],
    [40, 15],
    [200, 100],
    [20, 5],
    [10, 2],
  ])('of %i × %i is filled exactly, whatever there is to say', (width, height) => {
    for (const change of [busy, {}, { state: 'failing' as const, reasons: ['no '.repeat(500)] }]) {
      const lines = render(change, width, height);
      expect(lines).toHaveLength(height);
      for (const line of lines) expect(line.length, line).toBeLessThanOrEqual(width);
      expect(lines.at(-1)).toMatch(/^q quits/);
    }
  });

  test('80 × 24: what is uploaded, what must be fixed and how, then the rest', () => {
    const text = render(busy, 80, 24, { total: 12_000_000, byPath: new Map([['a/large.mp4', 10_000_000]]) }).join('\n');
    expect(text).toBe(
      `
500 files are on their way, about 20 s left: don't stop the pod yet.
! The volume is slow: something that takes a whole line and a half of words to
  be told to everybody who looks.

Being uploaded now, 12 MB/s in all
  a/large.mp4  ████░░░░░░░░░░░░  25 %  1.0 GB  1 min left
  a/quick.png  ················        2.0 MB

Parked: something must be fixed first
  p/a.png and 2 more
    → Give it a shorter path.
    The key is too long.

On their way
  b/0.png   2.0 MB  3 s  waits for its turn
  … and 497 more

Folder   Files  Stored  Pending  Last stored
user-0       9       8        1  -
  … and 49 more

Left alone by the settings
  2 .safetensors
q quits · r2-sync 0.1.0 on pod a1b2c3d4, up 2 h 5 min, bucket runpod at https:/…
`.trim(),
    );
  });

  test('a large window has room for the last pictures and what is left alone', () => {
    const text = render(busy, 120, 60).join('\n');
    expect(text).toMatch(/Stored last\n {2}r\/0\.png/);
    expect(text).toMatch(/Left alone by the settings\n {2}2 \.safetensors/);
    expect(text.split('\n').filter((line) => line === '').length).toBeLessThan(8);
  });

  test('colours only where they are asked for, and none that a line is cut by', () => {
    const options = { width: 80, height: 24, now: sampleNow, pace: still };
    const painted = renderScreen(sampleSnapshot(busy), { ...options, color: true });
    expect(painted[0]).toMatch(/^\u001b\[33m500 files/);
    expect(painted.map(stripVTControlCharacters)).toEqual(
      renderScreen(sampleSnapshot(busy), { ...options, color: false }),
    );
  });
});

test('rows are shared in rounds: the least for as many as possible, then enough, then all', () => {
  const wishes = [
    [3, 6, 20],
    [3, 6, 50],
    [2, 2, 2],
  ];
  expect(shareRows(wishes, 100)).toEqual([20, 50, 2]);
  expect(shareRows(wishes, 11)).toEqual([3, 3, 2]);
  expect(shareRows(wishes, 13)).toEqual([5, 3, 2]);
  expect(shareRows(wishes, 20)).toEqual([9, 6, 2]);
  expect(shareRows(wishes, 9)).toEqual([4, 3, 0]);
  expect(shareRows(wishes, 0)).toEqual([0, 0, 0]);
  expect(shareRows([], 10)).toEqual([]);
});

test('a line is cut at its end, wide characters and all; a bar is full only at the end', () => {
  expect(clip('short', 5)).toBe('short');
  expect(clip('longer', 5)).toBe('long…');
  expect(clip('画像🎨.png', 6)).toBe('画像…');
  expect(bar(0.999, 4)).toBe('███░');
  expect([bar(1, 4), bar(7, 4), bar(-1, 4)]).toEqual(['████', '████', '░░░░']);
});

describe('speed', () => {
  const at = (sent: number, storedBytes: number) =>
    sampleSnapshot({
      ...sampleTotals({ storedBytes }),
      pending: [waiting('a.mp4', { uploading: true, bytes: 100e6, sent })],
    });

  test('is that of the last seconds, of each file and in all', () => {
    const meter = new PaceMeter();
    expect(meter.observe(at(0, 0), 0)).toEqual({ total: undefined, byPath: new Map() });
    meter.observe(at(10e6, 0), 1000);
    const { total, byPath } = meter.observe(at(20e6, 5e6), 2000);
    expect([total, byPath.get('a.mp4')]).toEqual([12.5e6, 10e6]);
    // Slower from here on: what was long ago counts no more.
    for (let s = 3; s <= 60; s += 1) meter.observe(at(20e6 + (s - 2) * 1e6, 5e6), s * 1000);
    expect(meter.observe(at(79e6, 5e6), 61_000).byPath.get('a.mp4')).toBeCloseTo(1e6, -4);
  });

  test('is unknown where nothing moves, where an upload starts again, and where the agent was started anew', () => {
    const meter = new PaceMeter();
    meter.observe(at(50e6, 9e6), 0);
    expect(meter.observe(at(50e6, 9e6), 1000)).toEqual({ total: undefined, byPath: new Map() });
    expect(meter.observe(at(0, 0), 2000)).toEqual({ total: undefined, byPath: new Map() });
  });
});
