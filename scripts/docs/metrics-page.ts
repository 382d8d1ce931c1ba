// docs/metrics.md: how to scrape, what every metric says, and which of it stays as it is. Facts come from the table in
// src/status/metrics/; here are only the words around them.
import { FOLDERS_SHOWN } from '../../src/status/metrics/folders.ts';
import { type Metric, metricGroups } from '../../src/status/metrics/metric.ts';
import { delayBuckets, metricTable } from '../../src/status/metrics/table.ts';

const introduction = `# Metrics

<!-- Made by \`npm run docs\` from src/status/metrics/. Change it there, and the words around it in scripts/docs/metrics-page.ts. -->

r2-sync tells Prometheus what its status page tells people: \`/metrics\`, on the port of the status page
(\`R2_STATUS_PORT\`, 8190). For one pod the page is enough; this is for whoever looks after many.

- [Scrape it](#scrape-it)
- [Dashboard](#dashboard)
- [Alerts](#alerts)
- [What stays as it is](#what-stays-as-it-is)
- [Pods that share a volume](#pods-that-share-a-volume)
- [Every metric](#every-metric)

## Scrape it

By default \`/metrics\` answers on the pod itself alone, without a token: \`curl http://127.0.0.1:8190/metrics\`. Call the job
\`r2-sync\`: the alerts ask for that name.

### From outside

Beyond the pod it asks for a token. In the template:

\`\`\`
R2_STATUS_HOST=0.0.0.0
R2_STATUS_TOKEN={{ RUNPOD_SECRET_R2_STATUS_TOKEN }}
\`\`\`

Expose HTTP port 8190. RunPod then gives the pod an address of its own, with TLS:

\`\`\`yaml
scrape_configs:
  - job_name: r2-sync
    scheme: https
    authorization:
      credentials_file: /etc/prometheus/r2-sync-token
    static_configs:
      - targets:
          - POD_ID-8190.proxy.runpod.net
\`\`\`

Pods come and go: keep the targets in a file (\`file_sd_configs\`), and write it whenever a pod is made. Prometheus takes
it up by itself. Without a proxy that has TLS, the token and the metrics pass the network in the open: there use a tunnel or
the next way.

### From the pod

Nothing has to be exposed if the pod sends its metrics itself. Any program that scrapes and writes on will do: Grafana
Alloy, the OpenTelemetry Collector, or Prometheus as an agent (\`prometheus --agent\`; before version 3
\`--enable-feature=agent\`), with

\`\`\`yaml
scrape_configs:
  - job_name: r2-sync
    static_configs:
      - targets:
          - 127.0.0.1:8190
remote_write:
  - url: https://prometheus.example/api/v1/write
\`\`\`

Every pod is \`127.0.0.1:8190\` to itself, so give each a name of its own: \`external_labels\`, or an \`instance\` label below
\`static_configs\`. A pod that is gone doesn't show as \`up == 0\` then; its series end, and \`R2SyncGoneWithFiles\` sees that.

A scrape costs the agent about as much as one look at its status page; every 15 to 60 seconds is right. Page, API and
metrics share one look at the agent's state, which is a second old at most, and up to 10 seconds where there are so many
files and folders that looking takes long; what is counted as it happens (requests, delays, messages) is always of this
moment. \`/healthz\` (200, or
503 when \`failing\`) is for probes that know no metrics; it needs no token.

## Dashboard

[grafana-dashboard.json](grafana-dashboard.json): in Grafana **Dashboards**, **New**, **Import**, and choose your Prometheus
at the top of the page. It asks five things: is everything safe, what about each folder, how fast is it, what is wrong, and
how is the agent itself.

## Alerts

[prometheus-alerts.yml](prometheus-alerts.yml) goes to Prometheus' \`rule_files\` as it is. Each alert says what happened,
what it means and what to do, and names the section of [troubleshooting](troubleshooting.md) that has more.

## What stays as it is

From version 0.1.0 on, the name, type, labels and unit of a metric change only with a new major version; until 1.0, with a
new minor version, and the [changelog](../CHANGELOG.md) says so. New metrics, and new values of a label, may come with any
version. Marked *inner* are those that show how the agent works inside: they may change or go at any time, and no alert
uses them. The help texts, and the bounds of the histogram's buckets, may change as well.

Names and units follow Prometheus' conventions: seconds and bytes, \`_total\` for what only rises, \`_info\` for what is always
1, and \`process_\` for what every process has. Counters begin at 0 when the agent starts, and when its settings change;
\`rate()\` and \`increase()\` know how to deal with that. No metric carries the name of the pod, for \`instance\` does;
\`r2_sync_target_info\` ties it to the short hash that leases and objects show.

A folder has ${folderMetricCount()} series. The first ${FOLDERS_SHOWN} folders have them; where there are more, those with parked or pending files come first,
then those that were stored to last. What is not about one folder always counts all of them.

## Pods that share a volume

Each of them sees all folders of the volume and reports them, so **take the maximum, not the sum**:
\`max by (folder) (r2_sync_folder_pending_files)\`. What a pod counts itself may be added up: whatever ends in \`_total\`, and
\`r2_sync_upload_delay_seconds\`. So may files that pods made themselves:
\`sum(r2_sync_pending_files - r2_sync_pending_foreign_files)\`. Which pod uploads a folder says
\`r2_sync_folder_held == 1\`.

## Every metric

\`folder\` is the name of a top-level directory of the output directory; \`.\` stands for files that lie directly in it. Bytes of
a name that are not fit to be shown are escaped, as on the status page.
`;

/** The text of docs/metrics.md. */
export function metricsPage(): string {
  const sections = Object.entries(metricGroups).map(([group, title]) =>
    [
      `### ${title}`,
      '',
      '| metric | type | unit | what it says |',
      '| --- | --- | --- | --- |',
      ...metricTable.filter((metric) => metric.group === group).map(describeMetric),
      '',
    ].join('\n'),
  );
  return [introduction, ...sections].join('\n');
}

function describeMetric({ name, type, unit, help, labels = {}, unstable }: Metric): string {
  const names = Object.keys(labels);
  const series = names.length > 0 ? `\`${name}{${names.join(', ')}}\`` : `\`${name}\``;
  const said = Object.entries(labels)
    .filter(([label]) => label !== 'folder')
    .map(([label, values]) => `\`${label}\`: ${values}.`);
  const bounds = type === 'histogram' ? [`Buckets end at ${delayBuckets.join(', ')}.`] : [];
  const cells = [series, type, unit, [...(unstable ? ['*Inner.*'] : []), help, ...bounds, ...said].join(' ')];
  return `| ${cells.join(' | ')} |`;
}

function folderMetricCount(): number {
  return metricTable.filter(({ labels }) => labels !== undefined && 'folder' in labels).length;
}
