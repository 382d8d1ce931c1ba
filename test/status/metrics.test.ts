import { describe, expect, it } from 'vitest';
import { noLease } from '../../src/lease/leases.ts';
import { createMetrics } from '../../src/status/metrics.ts';
import { heldBy, sampleFolder, sampleSnapshot, sampleTotals } from './sample.ts';

/** A strict reading of the Prometheus text format: every line is a comment or one sample, no series twice. */
function parse(text: string): Map<string, number> {
  const samples = new Map<string, number>();
  const label = String.raw`[a-zA-Z_]\w*="(?:[^"\\\n]|\\["\\n])*"`;
  const line = new RegExp(String.raw`^([a-zA-Z_:][\w:]*(?:\{${label}(?:,${label})*\})?) (\S+)$`);
  for (const row of text.split('\n')) {
    if (row === '' || /^# (HELP|TYPE) (r2_sync|process)_\w+ ./.test(row)) continue;
    const [, series, value] = line.exec(row) ?? expect.fail(`not a sample: ${row}`);
    expect(samples.has(series!), `twice: ${series}`).toBe(false);
    expect(Number(value), row).not.toBeNaN();
    samples.set(series!, Number(value));
  }
  return samples;
}

describe('the metrics', () => {
  it('say what the snapshot says', async () => {
    const snapshot = sampleSnapshot({
      state: 'degraded',
      etaSeconds: 20,
      skipped: { '.safetensors': 4, empty: 1 },
      ...sampleTotals({ pendingFiles: 3 }),
    });
    const samples = parse(await createMetrics().text(snapshot));
    expect(Object.fromEntries(samples)).toMatchObject({
      r2_sync_stored_files: 212,
      r2_sync_stored_bytes: 424_000_000,
      r2_sync_pending_files: 3,
      r2_sync_retries_total: 4,
      r2_sync_already_stored_files_total: 7,
      r2_sync_eta_seconds: 20,
      r2_sync_store_reachable: 1,
      r2_sync_safe_to_stop: 1,
      'r2_sync_state{state="ok"}': 0,
      'r2_sync_state{state="degraded"}': 1,
      'r2_sync_state{state="failing"}': 0,
      [`r2_sync_build_info{version="0.1.0",node="${process.version}"}`]: 1,
      'r2_sync_target_info{bucket="runpod",pod="a1b2c3d4"}': 1,
      r2_sync_last_stored_timestamp_seconds: Date.parse('2026-11-20T11:59:57.000Z') / 1000,
      r2_sync_last_scan_timestamp_seconds: Date.parse('2026-11-20T11:59:50.000Z') / 1000,
      r2_sync_last_scan_duration_seconds: 0.02,
      r2_sync_volume_silent_seconds: 0,
      r2_sync_volume_free_bytes: 70e9,
      r2_sync_volume_size_bytes: 100e9,
      r2_sync_volume_low_space: 0,
      r2_sync_oldest_pending_seconds: 0,
      r2_sync_skipped_files: 5,
      'r2_sync_folder_stored_files{folder="alice"}': 200,
      'r2_sync_folder_stored_files{folder="."}': 12,
      'r2_sync_folder_last_stored_timestamp_seconds{folder="."}': Date.parse('2026-11-20T11:00:00.000Z') / 1000,
      'r2_sync_folder_held{folder="alice"}': 1,
    });
    expect(samples.get('process_resident_memory_bytes')).toBeGreaterThan(1e6);
    expect(samples.get('process_cpu_seconds_total')).toBeGreaterThan(0);
    expect(samples.get('process_start_time_seconds')).toBeGreaterThan(1.5e9);
    expect([...samples.keys()].every((name) => /^(r2_sync|process)_/.test(name))).toBe(true);
  });

  it('leave out what is not known at the moment', async () => {
    let snapshot = sampleSnapshot({ etaSeconds: 20 });
    const metrics = createMetrics();
    await metrics.text(snapshot);
    snapshot = sampleSnapshot({
      store: { ...snapshot.store, reachable: null },
      volume: { silentSeconds: 0, lastScan: null, space: null },
      folders: [sampleFolder({ lease: noLease('off') })],
    });
    const samples = parse(await metrics.text(snapshot));
    const known = [...samples.keys()].map((series) => series.replace(/\{.*/, ''));
    for (const unknown of [
      'r2_sync_eta_seconds',
      'r2_sync_store_reachable',
      'r2_sync_last_stored_timestamp_seconds',
      'r2_sync_last_scan_timestamp_seconds',
      'r2_sync_volume_free_bytes',
      'r2_sync_volume_low_space',
      'r2_sync_last_scan_duration_seconds',
      'r2_sync_folder_last_stored_timestamp_seconds',
      'r2_sync_folder_held',
    ])
      expect(known).not.toContain(unknown);
  });

  it('counters never go down', async () => {
    let retries = 5;
    const metrics = createMetrics();
    const read = async () =>
      parse(await metrics.text(sampleSnapshot(sampleTotals({ retries })))).get('r2_sync_retries_total');
    expect(await read()).toBe(5);
    retries = 2;
    expect(await read()).toBe(5);
    retries = 9;
    expect(await read()).toBe(9);
  });

  it('invariant 10: what is pending or parked says what it waits for, and whose it is', async () => {
    const totals = sampleTotals({
      foreignFiles: 2,
      pendingBy: { settling: 1, leasing: 2, due: 3, working: 4, waiting: 5, recording: 6 },
      parkedBy: { refused: 7, unstorable: 8, unreadable: 9 },
    });
    const folders = [sampleFolder({ oldestPendingSeconds: 4 }), sampleFolder({ folder: 'b', oldestPendingSeconds: 9 })];
    const samples = parse(await createMetrics().text(sampleSnapshot({ folders, ...totals })));
    expect(Object.fromEntries(samples)).toMatchObject({
      r2_sync_pending_foreign_files: 2,
      'r2_sync_pending_state_files{state="settling"}': 1,
      'r2_sync_pending_state_files{state="recording"}': 6,
      'r2_sync_parked_files{reason="refused"}': 7,
      'r2_sync_parked_files{reason="unstorable"}': 8,
      'r2_sync_parked_files{reason="unreadable"}': 9,
      r2_sync_oldest_pending_seconds: 9,
      'r2_sync_folder_oldest_pending_seconds{folder="b"}': 9,
    });
  });

  it('leases: folders by who may upload them, those gained by how, those lost', async () => {
    const leases = { free: 2, released: 1, silent: 3, dead: 0, lost: 4 };
    const folders = [heldBy('a1b2c3d4', { state: 'mine' }), heldBy('ffee'), noLease('free'), noLease('free')].map(
      (lease, nth) => sampleFolder({ folder: `f${nth}`, lease }),
    );
    const samples = parse(await createMetrics().text(sampleSnapshot({ folders, ...sampleTotals({ leases }) })));
    expect(Object.fromEntries([...samples].filter(([name]) => /_leases?_|_folders\{/.test(name)))).toEqual({
      'r2_sync_folders{lease="mine"}': 1,
      'r2_sync_folders{lease="theirs"}': 1,
      'r2_sync_folders{lease="free"}': 2,
      'r2_sync_folders{lease="off"}': 0,
      'r2_sync_leases_gained_total{how="free"}': 2,
      'r2_sync_leases_gained_total{how="released"}': 1,
      'r2_sync_leases_gained_total{how="silent"}': 3,
      'r2_sync_leases_gained_total{how="dead"}': 0,
      r2_sync_leases_lost_total: 4,
    });
  });

  it('folders that are gone are gone, and any name is a valid label', async () => {
    let folders = [sampleFolder({ folder: 'old', files: 1 })];
    const metrics = createMetrics();
    expect(await metrics.text(sampleSnapshot({ folders }))).toContain('folder="old"');
    folders = ['a"b', 'a\\b', 'a\nb', 'é🎨', '\udcfe', '\udcff', '{x="y"} 1'].map((folder) => sampleFolder({ folder }));
    const samples = parse(await metrics.text(sampleSnapshot({ folders })));
    expect([...samples.keys()].filter((name) => name.startsWith('r2_sync_folder_pending_files{'))).toHaveLength(7);
    expect([...samples.keys()].join('\n')).not.toContain('"old"');
  });

  it('of thousands of folders 200 have series: those with trouble first, then those stored to last', async () => {
    const folders = Array.from({ length: 5000 }, (_, nth) =>
      sampleFolder({
        folder: `f${nth}`,
        parked: nth === 7 ? 1 : 0,
        pending: nth === 8 ? 1 : 0,
        lastStoredAt: new Date(Date.UTC(2026, 0, 1) + nth * 1000).toISOString(),
      }),
    );
    const samples = parse(await createMetrics().text(sampleSnapshot({ folders })));
    const shown = [...samples.keys()].flatMap(
      (series) => /^r2_sync_folder_held\{folder="(\w+)"/.exec(series)?.[1] ?? [],
    );
    expect(shown).toHaveLength(200);
    expect(shown).toEqual(expect.arrayContaining(['f7', 'f8', 'f4999', 'f4802']));
    expect(samples.get('r2_sync_folders{lease="mine"}')).toBe(5000);
    expect(samples.size).toBeLessThan(200 * 7 + 80);
  });

  it('requests to the store are counted by what was asked and answered', async () => {
    const metrics = createMetrics();
    metrics.countRequest('PutObject', '200');
    metrics.countRequest('PutObject', '200');
    metrics.countRequest('HeadObject', 'none');
    const samples = parse(await metrics.text(sampleSnapshot()));
    expect(samples.get('r2_sync_store_requests_total{operation="PutObject",code="200"}')).toBe(2);
    expect(samples.get('r2_sync_store_requests_total{operation="HeadObject",code="none"}')).toBe(1);
  });

  it('every uploaded file is counted once, with its bytes and its delay, and scraping adds none', async () => {
    const metrics = createMetrics();
    metrics.observeUpload(0.14, 1000);
    metrics.observeUpload(7, 200);
    metrics.observeUpload(-1, 30);
    await metrics.text(sampleSnapshot());
    const samples = parse(await metrics.text(sampleSnapshot()));
    expect(samples.get('r2_sync_uploaded_files_total')).toBe(3);
    expect(samples.get('r2_sync_uploaded_bytes_total')).toBe(1230);
    expect(samples.get('r2_sync_upload_delay_seconds_count')).toBe(3);
    expect(samples.get('r2_sync_upload_delay_seconds_sum')).toBeCloseTo(7.14);
    expect(samples.get('r2_sync_upload_delay_seconds_bucket{le="0.1"}')).toBe(1);
    expect(samples.get('r2_sync_upload_delay_seconds_bucket{le="0.25"}')).toBe(2);
    expect(samples.get('r2_sync_upload_delay_seconds_bucket{le="10"}')).toBe(3);
  });

  it('two agents in one process do not share figures', async () => {
    const first = createMetrics();
    first.observeUpload(1, 1);
    const second = createMetrics();
    expect(parse(await second.text(sampleSnapshot())).get('r2_sync_upload_delay_seconds_count')).toBe(0);
  });
});
