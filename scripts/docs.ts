// Writes the pages that are made from tables: docs/configuration.md from the agent's settings, docs/models.md from the
// list of models, docs/environment.md from the image's settings and both, docs/metrics.md from the agent's metrics,
// Grafana's dashboard, and docs/benchmarks.md with its charts from the figures of the last run that was published. `npm test` fails while one isn't current.
import { mkdirSync, writeFileSync } from 'node:fs';
import { configurationPage } from '../src/config/document.ts';
import { writeBenchmarks } from './docs/benchmarks/write.ts';
import { environmentPage, readImageSettings } from './docs/environment-page.ts';
import { grafanaDashboard } from './docs/grafana/dashboard.ts';
import { metricsPage } from './docs/metrics-page.ts';
import { readModelList } from './docs/model-list.ts';
import { modelsPage } from './docs/models-page.ts';

const docs = new URL('../docs/', import.meta.url);
mkdirSync(docs, { recursive: true });
writeFileSync(new URL('configuration.md', docs), configurationPage());
writeFileSync(new URL('models.md', docs), modelsPage(readModelList()));
writeFileSync(new URL('environment.md', docs), environmentPage(readImageSettings(), readModelList()));
writeFileSync(new URL('metrics.md', docs), metricsPage());
writeFileSync(new URL('grafana-dashboard.json', docs), grafanaDashboard());
writeBenchmarks();
