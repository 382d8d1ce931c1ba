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
    if (row === '' || /^# (HELP|TYPE) r2_sync_\w+ ./.test(row)) continue;
    const [, series, value] = line.exec(row) ?? expect.fail(`not a sample: ${row}`);
    expect(samples.has(series!), `twice: ${series}`).toBe(false);
    expect(Number(value), row).not.toBeNaN();
    samples.set(series!, Number(value));
  }
  return samples;
}

describe('the metrics', () => {
  it('say what the snapshot says', async () => {
    const snapshot = sampleSnapshot({ state: 'degraded', etaSeconds: 20, ...sampleTotals({ pendingFiles: 3 }) });
    const samples = parse(await createMetrics(() => snapshot).text());
    expect(Object.fromEntries(samples)).toMatchObject({
      r2_sync_stored_files: 212,
      r2_sync_stored_bytes: 424_000_000,
      r2_sync_pending_files: 3,
      r2_sync_retries_total: 4,
      r2_sync_already_stored_total: 7,
      r2_sync_eta_seconds: 20,
      r2_sync_store_reachable: 1,
      r2_sync_safe_to_stop: 1,
      r2_sync_uptime_seconds: 7500,
      'r2_sync_state{state="ok"}': 0,
      'r2_sync_state{state="degraded"}': 1,
      'r2_sync_state{state="failing"}': 0,
      'r2_sync_info{version="0.1.0"}': 1,
      'r2_sync_folder_stored_files{folder="alice"}': 200,
      'r2_sync_folder_files{folder="."}': 12,
    });
    expect(samples.get('r2_sync_process_resident_memory_bytes')).toBeGreaterThan(1e6);
    expect(samples.get('r2_sync_process_cpu_seconds_total')).toBeGreaterThan(0);
    expect([...samples.keys()].every((name) => name.startsWith('r2_sync_'))).toBe(true);
  });

  it('leave out what is not known at the moment', async () => {
    let snapshot = sampleSnapshot({ etaSeconds: 20 });
    const metrics = createMetrics(() => snapshot);
    await metrics.text();
    snapshot = sampleSnapshot({ store: { ...snapshot.store, reachable: null } });
    const samples = parse(await metrics.text());
    expect(samples.has('r2_sync_eta_seconds')).toBe(false);
    expect(samples.has('r2_sync_store_reachable')).toBe(false);
  });

  it('counters never go down', async () => {
    let retries = 5;
    const metrics = createMetrics(() => sampleSnapshot(sampleTotals({ retries })));
    const read = async () => parse(await metrics.text()).get('r2_sync_retries_total');
    expect(await read()).toBe(5);
    retries = 2;
    expect(await read()).toBe(5);
    retries = 9;
    expect(await read()).toBe(9);
  });

  it('leases: folders by who may upload them, those gained by how, those lost', async () => {
    const leases = { free: 2, released: 1, silent: 3, dead: 0, lost: 4 };
    const folders = [heldBy('a1b2c3d4', { state: 'mine' }), heldBy('ffee'), noLease('free'), noLease('free')].map(
      (lease, nth) => sampleFolder({ folder: `f${nth}`, lease }),
    );
    const samples = parse(await createMetrics(() => sampleSnapshot({ folders, ...sampleTotals({ leases }) })).text());
    expect(Object.fromEntries([...samples].filter(([name]) => name.includes('lease')))).toEqual({
      'r2_sync_folder_leases{state="mine"}': 1,
      'r2_sync_folder_leases{state="theirs"}': 1,
      'r2_sync_folder_leases{state="free"}': 2,
      'r2_sync_folder_leases{state="off"}': 0,
      'r2_sync_leases_gained_total{how="free"}': 2,
      'r2_sync_leases_gained_total{how="released"}': 1,
      'r2_sync_leases_gained_total{how="silent"}': 3,
      'r2_sync_leases_gained_total{how="dead"}': 0,
      r2_sync_leases_lost_total: 4,
    });
  });

  it('folders that are gone are gone, and any name is a valid label', async () => {
    let folders = [sampleFolder({ folder: 'old', files: 1 })];
    const metrics = createMetrics(() => sampleSnapshot({ folders }));
    expect(await metrics.text()).toContain('folder="old"');
    folders = ['a"b', 'a\\b', 'a\nb', 'é🎨', '\udcfe', '\udcff', '{x="y"} 1'].map((folder) => sampleFolder({ folder }));
    const samples = parse(await metrics.text());
    expect([...samples.keys()].filter((name) => name.startsWith('r2_sync_folder_files{'))).toHaveLength(7);
    expect([...samples.keys()].join('\n')).not.toContain('"old"');
  });

  it('every stored file is in the histogram, and scraping adds none', async () => {
    const metrics = createMetrics(() => sampleSnapshot());
    metrics.observeStored(0.14);
    metrics.observeStored(7);
    metrics.observeStored(-1);
    await metrics.text();
    const samples = parse(await metrics.text());
    expect(samples.get('r2_sync_stored_seconds_count')).toBe(3);
    expect(samples.get('r2_sync_stored_seconds_sum')).toBeCloseTo(7.14);
    expect(samples.get('r2_sync_stored_seconds_bucket{le="0.1"}')).toBe(1);
    expect(samples.get('r2_sync_stored_seconds_bucket{le="0.25"}')).toBe(2);
    expect(samples.get('r2_sync_stored_seconds_bucket{le="10"}')).toBe(3);
  });

  it('two agents in one process do not share figures', async () => {
    const first = createMetrics(() => sampleSnapshot());
    first.observeStored(1);
    const second = createMetrics(() => sampleSnapshot());
    expect(parse(await second.text()).get('r2_sync_stored_seconds_count')).toBe(0);
  });
});
