// From the minutes of a soak to a verdict: the last quarter against the first, and how fast memory grows.
import { median } from './statistics.ts';

export interface SoakMinute {
  minute: number;
  /** Written in this minute. */
  files: number;
  /** MiB, of the agent and inotifywait: resident, shared pages counted once, allocated. */
  rss: number;
  pss: number;
  anon: number;
  descriptors: number;
  watches: number;
  /** Milliseconds. */
  cpuPerFile: number;
  /** Milliseconds from close to stored, of the files that were stored in this minute. */
  p50: number;
  p99: number;
  max: number;
  requestsPerFile: number;
  /** Written and not stored yet when the minute ended. */
  waiting: number;
  /** What the agent says. */
  pending: number;
  /** What the pending files wait for. */
  pendingBy: Record<string, number>;
  stored: number;
  state: string;
  onDisk: number;
  /** Of the state directory: ledger and leases. */
  stateBytes: number;
}

export interface SoakEnd {
  written: number;
  lost: number;
  /** Objects made again that were there already. */
  twice: number;
  /** Objects whose size isn't the file's. */
  torn: number;
  state: string;
  pendingAtEnd: number;
}

export interface SoakSummary extends SoakEnd {
  minutesRun: number;
  flat: boolean;
  /** Medians of the minutes of the first and the last quarter after the warm-up. */
  quarters: { metric: string; unit: string; first: number; last: number; ratio: number }[];
  /** MiB of allocated memory per hour: the middle one of the slopes between all pairs of minutes after the warm-up. */
  memorySlope: number;
  criteria: { text: string; met: boolean }[];
  text: string;
}

/** Until then caches fill, and no old file is deleted yet. */
const WARM_UP_SHARE = 0.2;
const WARM_UP_MINUTES = 20;
const COMPARED = [
  { metric: 'rss', name: 'resident memory', unit: 'MiB', digits: 1 },
  { metric: 'anon', name: 'allocated memory', unit: 'MiB', digits: 1 },
  { metric: 'descriptors', name: 'open descriptors', unit: '', digits: 0 },
  { metric: 'watches', name: 'inotify watches', unit: '', digits: 0 },
  { metric: 'cpuPerFile', name: 'CPU per file', unit: 'ms', digits: 2 },
  { metric: 'p50', name: 'close to stored, p50', unit: 'ms', digits: 1 },
  { metric: 'p99', name: 'close to stored, p99', unit: 'ms', digits: 1 },
  { metric: 'max', name: 'close to stored, longest of a minute', unit: 'ms', digits: 0 },
  { metric: 'requestsPerFile', name: 'requests per file', unit: '', digits: 3 },
] as const;

export function summarise(minutes: readonly SoakMinute[], end: SoakEnd): SoakSummary {
  const warmUp = Math.min(WARM_UP_MINUTES, Math.ceil(minutes.length * WARM_UP_SHARE));
  const steady = minutes.slice(warmUp);
  const length = Math.max(1, Math.floor(steady.length / 4));
  const [first, last] = [steady.slice(0, length), steady.slice(-length)];
  const quarters = COMPARED.map(({ metric, name, unit }) => {
    const [a, b] = [first, last].map((part) => median(part.map((minute) => minute[metric]))) as [number, number];
    return { metric: name, unit, first: a, last: b, ratio: a === b ? 1 : b / a };
  });
  const memorySlope = middleSlope(steady.map(({ minute, anon }) => [minute / 60, anon]));
  const [a, b] = [first.at(0)?.descriptors ?? Number.NaN, last.at(-1)?.descriptors ?? Number.NaN];
  const ratio = (name: string) => quarters.find(({ metric }) => metric === name)?.ratio ?? Number.NaN;
  const criteria = [
    { text: `nothing lost (${end.lost}), torn (${end.torn}) or sent again (${end.twice})`, met: none(end) },
    { text: `at the end the agent says ok (${end.state}), with nothing pending (${end.pendingAtEnd})`, met: calm(end) },
    { text: 'at least 15 minutes after the warm-up', met: steady.length >= 15 },
    { text: `allocated memory grows by at most 3 MiB an hour (${memorySlope.toFixed(2)})`, met: memorySlope <= 3 },
    { text: 'resident memory in the last quarter at most 1.1 of the first', met: ratio('resident memory') <= 1.1 },
    { text: `descriptors within 3 of each other (${a} to ${b})`, met: Math.abs(a - b) <= 3 },
    { text: 'CPU per file in the last quarter at most 1.25 of the first', met: ratio('CPU per file') <= 1.25 },
    { text: 'p50 in the last quarter at most 1.25 of the first', met: ratio('close to stored, p50') <= 1.25 },
    { text: 'requests per file at most 1.03 of the first quarter', met: ratio('requests per file') <= 1.03 },
  ];
  const flat = criteria.every(({ met }) => met);
  const summary = { ...end, minutesRun: minutes.length, flat, quarters, memorySlope, criteria };
  return { ...summary, text: render(summary, warmUp, length) };
}

const none = ({ lost, torn, twice }: SoakEnd) => lost + torn + twice === 0;
const calm = ({ state, pendingAtEnd }: SoakEnd) => state === 'ok' && pendingAtEnd === 0;

/** Theil and Sen's: a few wild minutes on a busy machine don't bend it. NaN for fewer than two points. */
function middleSlope(points: readonly (readonly [number, number])[]): number {
  const slopes = points.flatMap(([x, y], at) => points.slice(at + 1).map(([x2, y2]) => (y2 - y) / (x2 - x)));
  return median(slopes);
}

function render(summary: Omit<SoakSummary, 'text'>, warmUp: number, length: number): string {
  const { written, minutesRun, quarters, criteria, flat } = summary;
  const rows = quarters.map(({ metric, unit, first, last, ratio }) => {
    const digits = COMPARED.find(({ name }) => name === metric)!.digits;
    const label = unit === '' ? metric : `${metric}, ${unit}`;
    return `  ${label.padEnd(42)} ${first.toFixed(digits).padStart(9)} ${last.toFixed(digits).padStart(9)}  ${ratio.toFixed(2)}x`;
  });
  return [
    `## soak: ${minutesRun} minutes, ${written} files`,
    `Medians of ${length} minutes each, at the beginning (after ${warmUp} minutes of warm-up) and at the end. Where others`,
    'work on the machine meanwhile, times and CPU follow them: memory, descriptors and requests are what tells.',
    `  ${''.padEnd(42)} ${'first'.padStart(9)} ${'last'.padStart(9)}`,
    ...rows,
    ...criteria.map(({ text, met }) => `  ${(met ? 'met' : 'NOT MET').padEnd(8)} ${text}`),
    flat ? 'FLAT' : 'NOT FLAT',
  ].join('\n');
}
