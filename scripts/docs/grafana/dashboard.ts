// docs/grafana-dashboard.json: five rows, one for each question that somebody has who looks after many pods.
import { datasourceVariable, graph, labelVariable, type Panel, place, stat, table, timeline } from './panels.ts';

/** Of the pods that are chosen. */
const pods = 'instance=~"$instance"';
const folders = 'instance=~"$instance", folder=~"$folder"';

const alarming = [
  [null, 'green'],
  [1, 'red'],
] as const;
const worrying = [
  [null, 'green'],
  [1, 'orange'],
] as const;

const rows: Record<string, readonly Panel[]> = {
  'Is everything safe?': [
    stat(
      'Pods that are safe to stop',
      `sum(r2_sync_safe_to_stop{${pods}})`,
      'Everything that was found on them is in the bucket.',
    ),
    stat(
      'Not safe to stop',
      `count(r2_sync_safe_to_stop{${pods}} == 0) or vector(0)`,
      'Something is on them that is not in the bucket yet.',
      { steps: worrying },
    ),
    stat(
      'Failing',
      `sum(r2_sync_state{${pods}, state="failing"})`,
      'They can upload nothing until somebody puts something right: settings, keys, bucket.',
      { steps: alarming },
    ),
    stat(
      'Degraded',
      `sum(r2_sync_state{${pods}, state="degraded"})`,
      'Uploads go on, or will by themselves, but something is not as it should be.',
      { steps: worrying },
    ),
    stat(
      'Oldest file that waits',
      `max(r2_sync_oldest_pending_seconds{${pods}})`,
      'Seconds, as a rule. A video that is being made waits for its end.',
      {
        unit: 's',
        steps: [
          [null, 'green'],
          [600, 'orange'],
          [3600, 'red'],
        ],
      },
    ),
    stat('Last file stored', `1000 * max(r2_sync_last_stored_timestamp_seconds{${pods}})`, 'On any of the pods.', {
      unit: 'dateTimeFromNow',
    }),
    timeline(
      'State of each pod',
      {
        expr: `sum by (instance) (r2_sync_state{${pods}, state="degraded"}) + 2 * sum by (instance) (r2_sync_state{${pods}, state="failing"})`,
        legend: '{{instance}}',
      },
      'A gap: nothing was heard of the pod.',
      [
        ['ok', 'green'],
        ['degraded', 'orange'],
        ['failing', 'red'],
      ],
    ),
    table(
      'Pods',
      ['instance'],
      [
        { name: 'safe to stop', expr: `max by (instance) (r2_sync_safe_to_stop{${pods}})`, unit: 'bool_yes_no' },
        { name: 'pending', expr: `max by (instance) (r2_sync_pending_files{${pods}})` },
        { name: 'of other pods', expr: `max by (instance) (r2_sync_pending_foreign_files{${pods}})` },
        { name: 'to send', expr: `max by (instance) (r2_sync_pending_bytes{${pods}})`, unit: 'bytes' },
        { name: 'oldest waits', expr: `max by (instance) (r2_sync_oldest_pending_seconds{${pods}})`, unit: 's' },
        { name: 'parked', expr: `sum by (instance) (r2_sync_parked_files{${pods}})` },
        { name: 'stored', expr: `max by (instance) (r2_sync_stored_files{${pods}})` },
        { name: 'stored bytes', expr: `max by (instance) (r2_sync_stored_bytes{${pods}})`, unit: 'bytes' },
        { name: 'nearly full', expr: `max by (instance) (r2_sync_volume_low_space{${pods}})`, unit: 'bool_yes_no' },
        { name: 'time left', expr: `max by (instance) (r2_sync_eta_seconds{${pods}})`, unit: 's' },
      ],
      'Pods that share a volume all count what is on it.',
    ),
  ],
  Folders: [
    table(
      'Folders',
      ['folder'],
      [
        { name: 'stored', expr: `max by (folder) (r2_sync_folder_stored_files{${folders}})` },
        { name: 'pending', expr: `max by (folder) (r2_sync_folder_pending_files{${folders}})` },
        {
          name: 'oldest waits',
          expr: `max by (folder) (r2_sync_folder_oldest_pending_seconds{${folders}})`,
          unit: 's',
        },
        { name: 'parked', expr: `max by (folder) (r2_sync_folder_parked_files{${folders}})` },
        { name: 'incomplete', expr: `max by (folder) (r2_sync_folder_incomplete_files{${folders}})` },
        {
          name: 'last stored',
          expr: `1000 * max by (folder) (r2_sync_folder_last_stored_timestamp_seconds{${folders}})`,
          unit: 'dateTimeFromNow',
        },
      ],
      'On a volume of a team a folder is a person. What pods on one volume say of a folder is the same: the largest counts.',
    ),
    graph(
      'Pending files by folder',
      [{ expr: `topk(20, max by (folder) (r2_sync_folder_pending_files{${folders}}))`, legend: '{{folder}}' }],
      'The twenty with most of them.',
    ),
    table(
      'Who uploads which folder',
      ['folder', 'instance'],
      [{ name: 'now', expr: `max by (folder, instance) (r2_sync_folder_held{${folders}} == 1)` }],
      "A folder in which nothing is to be done is nobody's, and is not listed.",
    ),
  ],
  Speed: [
    graph(
      'Files uploaded per minute',
      [
        {
          expr: `60 * sum by (instance) (rate(r2_sync_uploaded_files_total{${pods}}[$__rate_interval]))`,
          legend: '{{instance}}',
        },
      ],
      'By each pod.',
      { stacked: true },
    ),
    graph(
      'Upload rate',
      [
        {
          expr: `sum by (instance) (rate(r2_sync_uploaded_bytes_total{${pods}}[$__rate_interval]))`,
          legend: '{{instance}}',
        },
      ],
      'Of files that were finished in that time: a large one counts when it is done.',
      { stacked: true, unit: 'Bps' },
    ),
    graph(
      'From the last touch to the bucket',
      [0.5, 0.95, 0.99].map((share) => ({
        expr: `histogram_quantile(${share}, sum by (le) (rate(r2_sync_upload_delay_seconds_bucket{${pods}}[$__rate_interval])))`,
        legend: `${share * 100} % within`,
      })),
      'How long after its writer was done a file was in the bucket.',
      { unit: 's' },
    ),
    graph(
      'Pending files by what they wait for',
      [{ expr: `sum by (state) (r2_sync_pending_state_files{${pods}})`, legend: '{{state}}' }],
      'settling: to be finished; leasing: for another pod or for the folder; due: for their turn; working: being sent; waiting: to be tried again; recording: being noted.',
      { stacked: true },
    ),
  ],
  Trouble: [
    graph(
      'Parked files',
      [{ expr: `sum by (instance, reason) (r2_sync_parked_files{${pods}}) > 0`, legend: '{{instance}}: {{reason}}' }],
      'They wait for somebody: the status page says what to do.',
    ),
    graph(
      'Uploads tried again, per minute',
      [
        {
          expr: `60 * sum by (instance) (rate(r2_sync_retries_total{${pods}}[$__rate_interval]))`,
          legend: '{{instance}}',
        },
      ],
      'Now and then is usual.',
    ),
    graph(
      'Requests to the store, by reply',
      [{ expr: `sum by (code) (rate(r2_sync_store_requests_total{${pods}}[$__rate_interval]))`, legend: '{{code}}' }],
      '412: the object was there already. 404 to a HEAD: it was not. none: no reply came.',
      { unit: 'reqps', stacked: true },
    ),
    graph(
      'Requests in 24 hours, by operation',
      [{ expr: `sum by (operation) (increase(r2_sync_store_requests_total{${pods}}[24h]))`, legend: '{{operation}}' }],
      'What the store bills.',
    ),
    graph(
      'Silence of the volume',
      [{ expr: `r2_sync_volume_silent_seconds{${pods}}`, legend: '{{instance}}' }],
      'For how long calls on it have not come back.',
      { unit: 's' },
    ),
    graph(
      'Space left on the volume',
      [
        {
          expr: `r2_sync_volume_free_bytes{${pods}} / r2_sync_volume_size_bytes{${pods}}`,
          legend: '{{instance}}',
        },
      ],
      'Of its size. A network volume may tell the space of all of its cluster.',
      { unit: 'percentunit' },
    ),
    graph(
      'Folders gained and lost in an hour',
      [
        {
          expr: `sum by (how) (increase(r2_sync_leases_gained_total{${pods}}[1h]))`,
          legend: 'gained, last holder {{how}}',
        },
        { expr: `sum(increase(r2_sync_leases_lost_total{${pods}}[1h]))`, legend: 'lost' },
      ],
      'Many that were silent, dead or lost: pods die, pause, or share a slow volume.',
    ),
    graph(
      'Folders by who uploads them',
      [{ expr: `max by (lease) (r2_sync_folders{${pods}})`, legend: '{{lease}}' }],
      'As one pod sees them: mine, theirs, free (nothing is to be done there), off (leases are off).',
    ),
    graph(
      'Files that the bucket had already, in an hour',
      [
        {
          expr: `sum by (instance) (increase(r2_sync_already_stored_files_total{${pods}}[1h]))`,
          legend: '{{instance}}',
        },
      ],
      'Looked at again and not sent: after a lost ledger, or when two pods upload the same.',
    ),
    graph(
      'Left alone and incomplete',
      [
        { expr: `max by (instance) (r2_sync_skipped_files{${pods}})`, legend: '{{instance}}: left alone' },
        { expr: `max by (instance) (r2_sync_incomplete_files{${pods}})`, legend: '{{instance}}: incomplete' },
      ],
      'Left alone: their type, a filter, their size. Incomplete: their writer never finished them.',
    ),
    graph(
      'Does the store answer?',
      [{ expr: `r2_sync_store_reachable{${pods}}`, legend: '{{instance}}' }],
      '1: it answered last time. 0: it did not.',
    ),
  ],
  Agent: [
    graph(
      'CPU',
      [{ expr: `rate(process_cpu_seconds_total{job="r2-sync", ${pods}}[$__rate_interval])`, legend: '{{instance}}' }],
      'Of one core.',
      { unit: 'percentunit' },
    ),
    graph(
      'Memory',
      [{ expr: `process_resident_memory_bytes{job="r2-sync", ${pods}}`, legend: '{{instance}}' }],
      'The resident set.',
      { unit: 'bytes' },
    ),
    graph(
      'Starts in an hour',
      [{ expr: `changes(process_start_time_seconds{job="r2-sync", ${pods}}[1h])`, legend: '{{instance}}' }],
      'The agent ended and was started again.',
    ),
    graph(
      'Last scan',
      [
        { expr: `time() - r2_sync_last_scan_timestamp_seconds{${pods}}`, legend: '{{instance}}: ago' },
        { expr: `r2_sync_last_scan_duration_seconds{${pods}}`, legend: '{{instance}}: took' },
      ],
      'Scans find what no event announced. They come every few seconds, more rarely where they take long.',
      { unit: 's' },
    ),
    graph(
      'Messages',
      [{ expr: `increase(r2_sync_notifications_total{${pods}}[1h])`, legend: '{{instance}}: {{result}}' }],
      'Messages to R2_WEBHOOK_URL in an hour, by what came of them.',
    ),
    graph(
      'Runs of R2_ON_STORED',
      [{ expr: `increase(r2_sync_hooks_total{${pods}}[1h])`, legend: '{{instance}}: {{result}}' }],
      'In an hour, by how they ended.',
    ),
    table(
      'Versions, buckets',
      ['instance', 'version', 'node', 'bucket', 'pod'],
      [
        {
          name: 'running since',
          expr: `1000 * r2_sync_build_info{${pods}} * on (instance) group_left (bucket, pod) r2_sync_target_info{${pods}} * on (instance) group_left () process_start_time_seconds{job="r2-sync", ${pods}}`,
          unit: 'dateTimeAsIso',
        },
      ],
      'pod is the short hash that leases and objects show.',
    ),
  ],
};

/** The text of docs/grafana-dashboard.json. */
export function grafanaDashboard(): string {
  const dashboard = {
    __inputs: [],
    __requires: [
      { type: 'grafana', id: 'grafana', name: 'Grafana', version: '11.0.0' },
      { type: 'datasource', id: 'prometheus', name: 'Prometheus', version: '1.0.0' },
    ],
    uid: 'r2-sync',
    title: 'r2-sync',
    description:
      'Outputs of ComfyUI on their way to Cloudflare R2. Made by `npm run docs` in the repository of r2-sync.',
    tags: ['r2-sync', 'comfyui'],
    schemaVersion: 42,
    version: 1,
    editable: true,
    graphTooltip: 1,
    refresh: '1m',
    time: { from: 'now-6h', to: 'now' },
    timezone: 'browser',
    annotations: { list: [] },
    links: [],
    templating: {
      list: [
        datasourceVariable,
        labelVariable('instance', 'Pod', 'r2_sync_safe_to_stop'),
        labelVariable('folder', 'Folder', 'r2_sync_folder_pending_files'),
      ],
    },
    panels: placePanels(),
  };
  return `${JSON.stringify(dashboard, null, 2)}\n`;
}

const COLUMNS = 24;

/** Each row's panels from left to right, in a new line where they don't fit. */
function placePanels(): Record<string, unknown>[] {
  const placed: Record<string, unknown>[] = [];
  let y = 0;
  for (const [title, panels] of Object.entries(rows)) {
    placed.push({
      id: placed.length + 1,
      type: 'row',
      title,
      collapsed: false,
      gridPos: { x: 0, y, w: COLUMNS, h: 1 },
      panels: [],
    });
    y += 1;
    let [x, height] = [0, 0];
    for (const panel of panels) {
      if (x + panel.width > COLUMNS) {
        y += height;
        [x, height] = [0, 0];
      }
      placed.push(place(panel, placed.length + 1, x, y));
      x += panel.width;
      height = Math.max(height, panel.height);
    }
    y += height;
  }
  return placed;
}
