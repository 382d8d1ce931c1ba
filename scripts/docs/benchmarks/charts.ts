// Which figures become pictures.
import type { PublishedRow, PublishedRun, PublishedSoak } from '../../../bench/support/published.ts';
import { bar, curve, MARGIN, picture, rule, WIDTH, words } from './svg.ts';

export interface Chart {
  svg: string;
  /** For those who don't see it. */
  alt: string;
}

/** Picture → the panels in it, top to bottom: row, metric, and what is better. */
const CHARTS: Record<string, { row: string; metric: string; better: 'lower' | 'higher' }[]> = {
  latency: [
    { row: 'latency', metric: 'p50', better: 'lower' },
    { row: 'latency', metric: 'p99', better: 'lower' },
  ],
  burst: [
    { row: 'burst', metric: 'rate', better: 'higher' },
    { row: 'burst', metric: 'cpu', better: 'lower' },
    { row: 'burst', metric: 'peak', better: 'lower' },
  ],
  'new-folders': [{ row: 'new-folders', metric: 'lost', better: 'lower' }],
  small: [
    { row: 'small', metric: 'rate', better: 'higher' },
    { row: 'small', metric: 'cpu', better: 'lower' },
  ],
  large: [
    { row: 'large', metric: 'rate', better: 'higher' },
    { row: 'videos', metric: 'megabytes', better: 'higher' },
  ],
  distance: [
    { row: 'distance', metric: 'rate', better: 'higher' },
    { row: 'distance', metric: 'faulty', better: 'higher' },
  ],
};

const BAR_HEIGHT = 18;
const BAR_STEP = 24;
const BAR_LEFT = 200;
const BAR_RIGHT = 150;
/** A bar that is longer than this many times ours is cut: beside 10 s, nobody could tell 13 ms from 20. */
const LONGEST = 6;

export function runCharts(run: PublishedRun): [string, Chart][] {
  return Object.entries(CHARTS).flatMap(([name, panels]) => {
    const found = panels.flatMap((panel) => {
      const row = run.rows.find(({ id }) => id === panel.row);
      return row === undefined || Object.keys(row.figures).length === 0 ? [] : [{ ...panel, row }];
    });
    return found.length === 0 ? [] : [[name, drawBars(run, found)] as [string, Chart]];
  });
}

interface Panel {
  row: PublishedRow;
  metric: string;
  better: string;
}

function drawBars(run: PublishedRun, panels: readonly Panel[]): Chart {
  const shapes: string[] = [];
  const said: string[] = [];
  let y = MARGIN;
  let title = '';
  for (const { row, metric, better } of panels) {
    const { label, unit, digits } = row.metrics[metric]!;
    if (row.title !== title) shapes.push(words(MARGIN, y + 12, row.title, 'text title'));
    if (row.title !== title) y += 24;
    title = row.title;
    shapes.push(words(MARGIN, y + 12, `${label}${unit === '' ? '' : `, ${unit}`}: ${better} is better`, 'quiet'));
    y += 24;
    const values = row.contenders.flatMap((id) => {
      const value = row.figures[id]?.[metric]?.value;
      return value === undefined || value === null ? [] : [{ id, value }];
    });
    const ours = values.find(({ id }) => id === 'agent')?.value ?? 0;
    const most = Math.max(...values.map(({ value }) => value), Number.MIN_VALUE);
    const longest = ours > 0 && most > ours * LONGEST ? ours * LONGEST : most;
    for (const { id, value } of values) {
      const width = ((WIDTH - BAR_LEFT - BAR_RIGHT) * Math.min(value, longest)) / longest;
      const kind = id === 'agent' ? 'us' : id === 'floor' ? 'floor' : 'them';
      const ratio = row.figures[id]?.[metric]?.ratio;
      const times = ratio === undefined || ratio === null ? '' : ` · ${ratio.toFixed(2)}x`;
      const cut = value > longest ? '» ' : '';
      shapes.push(words(BAR_LEFT - 10, y + 14, run.names[id], 'text', 'end'));
      shapes.push(bar(BAR_LEFT, y, width, BAR_HEIGHT, kind));
      shapes.push(words(BAR_LEFT + width + 8, y + 14, `${cut}${value.toFixed(digits)}${times}`, 'text'));
      y += BAR_STEP;
    }
    said.push(`${label}: ${values.map(({ id, value }) => `${run.names[id]} ${value.toFixed(digits)}`).join(', ')}`);
    y += 10;
  }
  const baseline = run.names[panels[0]!.row.baseline];
  shapes.push(words(MARGIN, y + 6, `x: over ${baseline}. ${footer(run)}`, 'quiet small'));
  const alt = said.join('; ');
  return { svg: picture(y + MARGIN, alt, shapes), alt };
}

const LINES = [
  { key: 'anon', label: 'allocated memory, MiB', digits: 1 },
  { key: 'descriptors', label: 'open descriptors', digits: 0 },
  { key: 'cpuPerFile', label: 'CPU per file, ms', digits: 1 },
  { key: 'p50', label: 'close to stored, p50 of a minute, ms', digits: 1 },
  { key: 'p99', label: 'close to stored, p99 of a minute, ms', digits: 0 },
] as const;
const PANEL = 96;
const PLOT = 58;

/** Small pictures one above the other, over the same minutes, each from zero. */
export function soakChart(soak: PublishedSoak): [string, Chart] {
  const last = soak.minutes.at(-1)?.minute ?? 1;
  const [left, right] = [MARGIN + 46, WIDTH - MARGIN];
  const title = `${soak.minutesRun} minutes at ${soak.rate} files a second: ${soak.written} files, ${soak.lost} lost`;
  const shapes = [words(MARGIN, MARGIN + 12, title, 'text title')];
  let y = MARGIN + 28;
  for (const { key, label, digits } of LINES) {
    const values = soak.minutes.map((minute) => minute[key]);
    const most = Math.max(...values, 1);
    const place = (value: number) => y + 18 + PLOT * (1 - value / most);
    const points = soak.minutes.map((minute) => {
      return [left + ((right - left) * minute.minute) / last, place(minute[key])] as const;
    });
    shapes.push(words(MARGIN, y + 10, label, 'quiet'));
    for (const value of [0, most]) {
      shapes.push(rule(left, place(value), right));
      shapes.push(words(left - 6, place(value) + 4, value.toFixed(value === 0 ? 0 : digits), 'quiet small', 'end'));
    }
    shapes.push(curve(points, 'line'));
    y += PANEL;
  }
  shapes.push(words(left, y + 2, '0', 'quiet small'), words(right, y + 2, `minute ${last}`, 'quiet small', 'end'));
  shapes.push(words(MARGIN, y + 22, footer(soak), 'quiet small'));
  return ['soak', { svg: picture(y + 36, title, shapes), alt: title }];
}

/** Machine, day and commit in a line. */
export function footer({
  at,
  commit,
  machine,
  node,
}: Pick<PublishedRun, 'at' | 'commit' | 'machine' | 'node'>): string {
  const memory = `${Math.round(machine.memoryMiB / 1024)} GiB`;
  return `${machine.cpus} cores (${machine.cpu?.trim() ?? 'unknown'}), ${memory}, Node ${node}; ${at.slice(0, 10)}, ${commit ?? 'no commit'}`;
}
