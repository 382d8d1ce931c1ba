// Pages that are made from tables say what the tables say.
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { benchmarkDocuments } from '../../scripts/docs/benchmarks/write.ts';
import { environmentPage, readImageSettings } from '../../scripts/docs/environment-page.ts';
import { grafanaDashboard } from '../../scripts/docs/grafana/dashboard.ts';
import { metricsPage } from '../../scripts/docs/metrics-page.ts';
import { modelSettings, readModelList, togglesOf } from '../../scripts/docs/model-list.ts';
import { modelsPage } from '../../scripts/docs/models-page.ts';
import { namesOf, settings } from '../../src/config/names.ts';
import { codeSpans, read } from './documents.ts';

const list = readModelList();
const image = readImageSettings();

test.each([
  ['docs/models.md', () => modelsPage(list)],
  ['docs/environment.md', () => environmentPage(image, list)],
  ['docs/metrics.md', metricsPage],
  ['docs/grafana-dashboard.json', grafanaDashboard],
  ...[...benchmarkDocuments()].map(([path, text]): [string, () => string] => [path, () => text]),
])('%s is current', (path, page) => {
  expect(read(path) === page(), `${path} is out of date: run \`npm run docs\` and commit it`).toBe(true);
});

test('docs/environment.md names every variable there is: of the image, of the models, of the agent', () => {
  const spans = new Set(codeSpans(read('docs/environment.md')));
  const names = [...image.map(({ name }) => name), ...modelSettings(togglesOf(list)), ...settings.flatMap(namesOf)];
  expect(names.filter((name) => !spans.has(name))).toEqual([]);
});

test('docs/models.md names every file that can be fetched, and whether it is pinned', () => {
  const page = read('docs/models.md');
  const files = togglesOf(list).flatMap(({ files, extras, choice }) => [
    ...files,
    ...extras.flatMap((extra) => extra.files),
    ...(choice?.values ?? []).flatMap((value) => value.files),
  ]);
  expect(files.length).toBeGreaterThan(50);
  const rows = page.split('\n');
  for (const { to, pinned } of files)
    expect(
      rows.some((row) => row.includes(`| \`${to}\` |`) && row.endsWith(` | ${pinned ? 'pinned' : 'unpinned'} |`)),
      to,
    ).toBe(true);
});

describe('docker/models.json', () => {
  const entries = [...Object.values(list.files), ...Object.values(list.civitai)];

  test('no hash without a revision that stays: what is pinned is pinned to a commit, or to bytes', () => {
    for (const { sha256, size } of entries) if (sha256 != null) expect(size).toBeGreaterThan(0);
    for (const { revision } of Object.values(list.repos)) expect(revision).toMatch(/^([0-9a-f]{40}|main)$/);
  });

  test('every entry is used by a toggle, every repository by an entry', () => {
    const used = new Set(
      list.toggles.flatMap(({ fetches, extras = [], choice }) => [
        ...fetches,
        ...extras.flatMap((extra) => extra.fetches),
        ...Object.values(choice?.values ?? {}).flat(),
      ]),
    );
    const ids = [list.files, list.snapshots, list.civitai].flatMap((part) => Object.keys(part));
    expect(ids.filter((id) => !used.has(id))).toEqual([]);
    const repos = new Set([...Object.values(list.files), ...Object.values(list.snapshots)].map(({ repo }) => repo));
    expect(Object.keys(list.repos).filter((id) => !repos.has(id))).toEqual([]);
  });

  test('a toggle is experimental if and only if no node of the image can use it', () => {
    const nodes = readFileSync(new URL('../../docker/nodes.txt', import.meta.url), 'utf8').toLowerCase();
    for (const { name, nodes: wanted, experimental } of togglesOf(list)) {
      if (experimental) expect(wanted, name).toEqual([]);
      for (const node of wanted) expect(nodes, `${name} names ${node}`).toContain(node.toLowerCase());
    }
    expect(
      togglesOf(list)
        .filter(({ experimental }) => experimental)
        .map(({ name }) => name),
    ).toEqual(['ENABLE_GENFOCUS', 'ENABLE_MVINVERSE', 'ENABLE_FLASHPORTRAIT', 'ENABLE_STORYMEM', 'ENABLE_INFCAM']);
  });

  test('a default choice is one that there is', () => {
    for (const { choice } of togglesOf(list)) {
      if (!choice) continue;
      const values = choice.values.map(({ value }) => value);
      for (const chosen of choice.many ? choice.default.split(',') : [choice.default]) expect(values).toContain(chosen);
    }
  });
});

test('the image gets every part that download_models.sh reads', () => {
  const dockerfile = read('docker/Dockerfile');
  for (const stage of dockerfile.split(/^FROM /m).filter((part) => part.includes('download_models.sh')))
    expect(stage).toMatch(
      /COPY docker\/downloads \/opt\/hearmeman\/docker\/downloads|COPY docker \/opt\/hearmeman\/docker/,
    );
});
