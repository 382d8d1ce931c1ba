// The dashboard and the alerts ask for metrics that there are, and say what to do. That their PromQL is right is tested
// with Prometheus itself: test/system/prometheus.test.ts.
import { describe, expect, test } from 'vitest';
import { metricTable } from '../../src/status/metrics/table.ts';
import { anchorsOf, read } from './documents.ts';

interface Panel {
  id: number;
  type: string;
  title: string;
  description?: string;
  datasource?: { uid: string };
  gridPos: { x: number; y: number; w: number; h: number };
  targets?: { expr: string; datasource: { uid: string } }[];
}

const alerts = read('docs/prometheus-alerts.yml');
const dashboard = JSON.parse(read('docs/grafana-dashboard.json')) as {
  panels: Panel[];
  templating: { list: { name: string }[] };
};
const expressions = dashboard.panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr));
const known = new Set(
  metricTable.flatMap(({ name, type }) =>
    type === 'histogram' ? [`${name}_bucket`, `${name}_sum`, `${name}_count`] : [name],
  ),
);

/** What may stand for a metric in a text: everything with such a prefix. */
function metricsIn(text: string): string[] {
  return [...text.matchAll(/\b(?:r2_sync|process)_\w+/g)].map(([name]) => name);
}

test('every metric is told by its unit: seconds and bytes in the name, _total for what only rises, and a help text', () => {
  for (const { name, type, unit, help } of metricTable) {
    if (unit.includes('seconds')) expect(name).toMatch(/_seconds(_total)?$/);
    if (unit === 'bytes') expect(name).toMatch(/_bytes(_total)?$/);
    expect(name.endsWith('_total'), name).toBe(type === 'counter');
    expect(help).toMatch(/^[A-Z0-9].*\.$/);
  }
  expect(new Set(metricTable.map(({ name }) => name)).size).toBe(metricTable.length);
});

describe('docs/prometheus-alerts.yml', () => {
  const blocks = alerts.split(/\n(?= +- alert: )/).slice(1);
  const names = blocks.map((block) => /alert: (\w+)/.exec(block)![1]!);

  test('asks only for metrics that there are, and that stay as they are', () => {
    expect(blocks.length).toBeGreaterThanOrEqual(10);
    for (const name of metricsIn(alerts)) expect(known, name).toContain(name);
    const inner = metricTable.filter(({ unstable }) => unstable).map(({ name }) => name);
    for (const name of metricsIn(alerts)) expect(inner).not.toContain(name);
  });

  test('every alert says what happened, what it means and what to do, and where there is more', () => {
    for (const block of blocks) {
      for (const field of ['severity', 'summary', 'description', 'action', 'runbook'])
        expect(block, block).toMatch(new RegExp(`^ +${field}: \\S`, 'm'));
      const [page, anchor] = /runbook: (\S+)/.exec(block)![1]!.split('#');
      expect(anchorsOf(read(page!)), block).toContain(anchor);
    }
  });

  test('every alert has its unit tests', () => {
    const tested = [...read('test/system/prometheus/alerts.yml').matchAll(/alertname="(\w+)"/g)].map(
      ([, name]) => name,
    );
    expect(new Set(tested)).toEqual(new Set(names));
  });
});

describe('docs/grafana-dashboard.json', () => {
  test('asks only for metrics that there are, and leaves none out', () => {
    const asked = expressions.flatMap(metricsIn);
    for (const name of asked) expect(known, name).toContain(name);
    const shown = metricTable.filter(({ name, type }) =>
      asked.includes(type === 'histogram' ? `${name}_bucket` : name),
    );
    expect(metricTable.filter((metric) => !shown.includes(metric)).map(({ name }) => name)).toEqual([]);
  });

  test('names no data source but the one that is chosen, and nothing on another host', () => {
    for (const panel of dashboard.panels.filter(({ type }) => type !== 'row')) {
      expect([panel.datasource, ...panel.targets!.map(({ datasource }) => datasource)].map((one) => one?.uid)).toEqual(
        Array.from({ length: panel.targets!.length + 1 }, () => '$datasource'),
      );
      expect(panel.description, panel.title).toMatch(/\.$/);
    }
    expect(dashboard.templating.list[0]?.name).toBe('datasource');
    expect(read('docs/grafana-dashboard.json')).not.toMatch(/https?:/);
  });

  test('has every panel once, and none over another', () => {
    expect(new Set(dashboard.panels.map(({ id }) => id)).size).toBe(dashboard.panels.length);
    for (const a of dashboard.panels) {
      expect(a.gridPos.x + a.gridPos.w).toBeLessThanOrEqual(24);
      for (const b of dashboard.panels) {
        const apart =
          a.gridPos.x + a.gridPos.w <= b.gridPos.x ||
          b.gridPos.x + b.gridPos.w <= a.gridPos.x ||
          a.gridPos.y + a.gridPos.h <= b.gridPos.y ||
          b.gridPos.y + b.gridPos.h <= a.gridPos.y;
        expect(a === b || apart, `${a.title} and ${b.title}`).toBe(true);
      }
    }
  });
});
