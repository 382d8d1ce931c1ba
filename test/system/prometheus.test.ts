// Metrics, dashboard and alerts against Prometheus itself: what a real agent exports is scraped by a real Prometheus, and
// promtool parses and evaluates every expression of the dashboard and the alerts on it.
import { readFileSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { bigPicture, makeScene, type Scene } from '../agent/scene.ts';
import { read, tableRows } from '../docs/documents.ts';
import { freePort, type RunningAgent, until } from '../support/agent.ts';
import { prometheusMissing, promtool, startPrometheus } from '../support/prometheus.ts';

const missing = prometheusMissing();
if (missing !== undefined) {
  const why = `NOT RUN: metrics, dashboard and alerts against Prometheus (needs ${missing})`;
  if (process.env.R2_REQUIRE_SYSTEM === '1') throw new Error(why);
  console.warn(why);
}

const alertsFile = fileURLToPath(new URL('../../docs/prometheus-alerts.yml', import.meta.url));
const TOKEN = 'a-token-for-the-status-page';
const JOB = 'job="r2-sync", instance="pod-1:8190"';

interface Sample {
  name: string;
  labels: string;
  value: string;
}

describe.skipIf(missing !== undefined)('what a real agent tells Prometheus', () => {
  const endings: (() => unknown)[] = [];
  let scene: Scene;
  let agent: RunningAgent;
  /** While uploads go well, but for one file; and when the store refuses all. */
  let working: string;
  let failing: string;

  beforeAll(async () => {
    scene = await makeScene({ onTestFinished: (ending) => endings.push(() => ending({} as never)) });
    let hiccups = 1;
    scene.double.fault = ({ key, operation }) => {
      if (operation !== 'PutObject') return undefined;
      if (key.includes('too-large')) return { status: 413, code: 'EntityTooLarge' };
      return key.includes('/bob/') && hiccups-- > 0 ? { status: 503, code: 'SlowDown' } : undefined;
    };
    agent = await scene.start({ R2_STATUS_HOST: '127.0.0.1', R2_STATUS_PORT: `${await freePort()}` });
    await scene.draw('alice/1.png', 'bob/1.png', 'root.png', 'alice/too-large.png');
    await scene.write('alice/video.png', bigPicture(9));
    await scene.write('alice/model.safetensors', Buffer.alloc(10));
    const { parked } = await agent.until(
      ({ totals, skipped }) =>
        totals.storedFiles === 4 &&
        totals.parkedFiles === 1 &&
        totals.pendingFiles === 0 &&
        skipped['.safetensors'] === 1,
      'four files to be stored, one to be parked, and one to be left alone',
    );
    expect(parked.map(({ path }) => path)).toEqual(['alice/too-large.png']);
    working = await scrape();
    scene.double.fault = () => ({ status: 403, code: 'AccessDenied' });
    await scene.draw('bob/2.png');
    await agent.until(({ state }) => state === 'failing', 'the agent to be failing');
    failing = await scrape();
  });

  afterAll(async () => {
    for (const ending of endings) await ending();
  });

  async function scrape(): Promise<string> {
    return (await fetch(`${agent.url}/metrics`)).text();
  }

  async function writeJson(name: string, value: unknown): Promise<string> {
    const file = join(scene.place.base, name);
    await mkdir(scene.place.base, { recursive: true });
    // JSON is YAML.
    await writeFile(file, JSON.stringify(value));
    return file;
  }

  /** Expressions that find nothing in what the agent exported. */
  async function findingNothing(expressions: readonly string[]): Promise<string[]> {
    const series = samplesOf(working).map(({ name, labels, value }) => ({
      series: `${name}{${[JOB, labels].filter(Boolean).join(', ')}}`,
      values: /_(total|bucket|sum|count)$/.test(name) ? `${value}+1x60` : `${value}x60`,
    }));
    series.push({ series: `up{${JOB}}`, values: '1x60' });
    const file = await writeJson('found.yml', {
      evaluation_interval: '1m',
      tests: [
        {
          interval: '1m',
          input_series: series,
          promql_expr_test: expressions.map((expr) => ({
            expr: `count(${expr}) > bool 0`,
            eval_time: '59m',
            exp_samples: [{ labels: '{}', value: 1 }],
          })),
        },
      ],
    });
    const { ok, said } = promtool(['test', 'rules', file]);
    const empty = expressions.filter((expr) => said.includes(JSON.stringify(`count(${expr}) > bool 0`)));
    // What promtool can't even parse is told by its own words.
    expect(ok || empty.length > 0, said).toBe(true);
    return empty;
  }

  test('promtool finds nothing to improve', () => {
    for (const text of [working, failing]) expect(promtool(['check', 'metrics'], text)).toEqual({ ok: true, said: '' });
  });

  test('docs/metrics.md has every metric that is exported, with its type and labels, and no other', () => {
    const page = read('docs/metrics.md');
    const documented = tableRows(page, '## Every metric')
      .filter(([first]) => first !== 'metric')
      .map(([series, type]) => `${type} ${series!.replaceAll('`', '')}`);
    const types = new Map([...working.matchAll(/^# TYPE (\w+) (\w+)$/gm)].map(([, name, type]) => [name!, type!]));
    const exported = new Set(
      samplesOf(`${working}${failing}`).map(({ name, labels }) => {
        const metric = types.has(name) ? name : name.replace(/_(bucket|sum|count)$/, '');
        const names = [...labels.matchAll(/(\w+)="/g)].map(([, label]) => label!).filter((label) => label !== 'le');
        return `${types.get(metric)} ${metric}${names.length > 0 ? `{${names.join(', ')}}` : ''}`;
      }),
    );
    expect(documented.length).toBeGreaterThan(30);
    expect([...exported].sort()).toEqual(documented.sort());
  });

  test('invariant 10: the figures are what happened', () => {
    const before = figuresOf(working);
    expect(before).toMatchObject({
      'r2_sync_state{state="ok"}': 1,
      r2_sync_safe_to_stop: 0,
      r2_sync_stored_files: 4,
      r2_sync_uploaded_files_total: 4,
      'r2_sync_parked_files{reason="unstorable"}': 1,
      r2_sync_skipped_files: 1,
      'r2_sync_folder_stored_files{folder="alice"}': 2,
      'r2_sync_folder_stored_files{folder="bob"}': 1,
      'r2_sync_folder_stored_files{folder="."}': 1,
      'r2_sync_store_requests_total{operation="PutObject",code="503"}': 1,
      'r2_sync_store_requests_total{operation="PutObject",code="413"}': 1,
      'r2_sync_store_requests_total{operation="UploadPart",code="200"}': 2,
      r2_sync_upload_delay_seconds_count: 4,
    });
    const sizes = [...scene.double.objects.values()].reduce((sum, { size }) => sum + size, 0);
    expect(before.r2_sync_uploaded_bytes_total).toBe(sizes);
    expect(before.r2_sync_retries_total).toBeGreaterThanOrEqual(1);
    const after = figuresOf(failing);
    expect(after).toMatchObject({ 'r2_sync_state{state="failing"}': 1, r2_sync_pending_files: 1 });
    expect(after['r2_sync_store_requests_total{operation="PutObject",code="403"}']).toBeGreaterThanOrEqual(1);
  });

  test('every expression of the dashboard is right, and finds something in what a real agent exports', async () => {
    const { panels, templating } = JSON.parse(read('docs/grafana-dashboard.json')) as {
      panels: { targets?: { expr: string }[] }[];
      templating: { list: { definition?: string }[] };
    };
    const expressions = panels
      .flatMap(({ targets = [] }) => targets.map(({ expr }) => expr))
      .map((expr) => expr.replaceAll('$__rate_interval', '5m').replace(/\$(instance|folder)/g, '.*'));
    expect(expressions.length).toBeGreaterThan(30);
    for (const { definition } of templating.list) {
      const [, metric, label] = /^label_values\((\w+), (\w+)\)$/.exec(definition ?? '') ?? [];
      if (metric !== undefined) expressions.push(`${metric}{${label}!=""}`);
    }
    const rules = expressions.map((expr, nth) => ({ record: `r${nth}`, expr }));
    const checked = promtool(['check', 'rules', await writeJson('rules.yml', { groups: [{ name: 'all', rules }] })]);
    expect(checked.ok, checked.said).toBe(true);
    expect(await findingNothing(expressions)).toEqual([]);
    // That this can fail at all.
    const wrong = ['r2_sync_no_such_metric', 'r2_sync_state{state="fine"}'];
    expect(await findingNothing([...wrong, 'up'])).toEqual(wrong);
  });

  test('every alert is right, asks for what a real agent exports, fires when it should and not otherwise', async () => {
    const checked = promtool(['check', 'rules', alertsFile]);
    expect(checked.ok, checked.said).toBe(true);
    const selectors = read('docs/prometheus-alerts.yml')
      .split('\n')
      .filter((line) => /^ +expr: /.test(line))
      .flatMap((line) => line.match(/\b(?:r2_sync_|process_|up\b)\w*(?:\{[^}]*\})?/g) ?? []);
    expect(selectors.length).toBeGreaterThanOrEqual(10);
    expect(await findingNothing(selectors)).toEqual([]);
    const units = promtool(['test', 'rules', fileURLToPath(new URL('prometheus/alerts.yml', import.meta.url))]);
    expect(units.ok, units.said).toBe(true);
  });

  test('a Prometheus set up as docs/metrics.md says scrapes beyond loopback with the token, and alerts', async () => {
    await agent.stop('SIGKILL');
    const remote = await scene.start({ R2_STATUS_HOST: '0.0.0.0', R2_STATUS_TOKEN: TOKEN });
    await remote.until(({ state }) => state === 'failing', 'the second agent to be failing');
    const target = new URL(remote.url).host;
    const tokenFile = join(scene.place.base, 'r2-sync-token');
    await writeFile(tokenFile, `${TOKEN}\n`);
    const documented = /```yaml\n(scrape_configs:[\s\S]*?)```/.exec(read('docs/metrics.md'))![1]!;
    const configuration = [
      'global: {scrape_interval: 1s, evaluation_interval: 1s}',
      `rule_files: [${alertsFile}]`,
      documented
        .replace('scheme: https', 'scheme: http')
        .replace('/etc/prometheus/r2-sync-token', tokenFile)
        .replace('POD_ID-8190.proxy.runpod.net', target),
    ].join('\n');
    expect(configuration).toContain(tokenFile);
    expect(configuration).toContain(target);
    const file = join(scene.place.base, 'prometheus.yml');
    await writeFile(file, configuration);
    const checked = promtool(['check', 'config', file]);
    expect(checked.ok, checked.said).toBe(true);
    const prometheus = await startPrometheus(scene.place.base, file, await freePort());
    endings.unshift(() => prometheus.stop());
    interface Alert {
      labels: Record<string, string>;
      annotations: Record<string, string>;
    }
    const alertsNow = async () => (await prometheus.ask('alerts')) as unknown as { alerts: Alert[] };
    await until(async () => (await alertsNow()).alerts.length > 0, 'an alert');
    const [alert] = (await alertsNow()).alerts.filter(({ labels }) => labels.alertname === 'R2SyncFailing');
    expect(alert).toMatchObject({
      labels: { job: 'r2-sync', instance: target, severity: 'critical' },
      annotations: { summary: `r2-sync on ${target} can upload nothing` },
    });
    const { groups } = (await prometheus.ask('rules')) as unknown as {
      groups: { rules: { name: string; health: string }[] }[];
    };
    const healths = groups.flatMap(({ rules }) => rules.map(({ name, health }) => `${name}: ${health}`));
    const names = [...readFileSync(alertsFile, 'utf8').matchAll(/alert: (\w+)/g)].map(([, name]) => `${name}: ok`);
    expect(healths).toEqual(names);
  });
});

function samplesOf(text: string): Sample[] {
  return text.split('\n').flatMap((line) => {
    const [, name, labels = '', value] = /^(\w+)(?:\{(.*)\})? (\S+)$/.exec(line) ?? [];
    return name === undefined || value === undefined ? [] : [{ name, labels, value }];
  });
}

function figuresOf(text: string): Record<string, number> {
  return Object.fromEntries(
    samplesOf(text).map(({ name, labels, value }) => [labels === '' ? name : `${name}{${labels}}`, Number(value)]),
  );
}
