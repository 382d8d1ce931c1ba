// The words of docs/benchmarks.md. The figures come from the run, and so does every sentence that depends on them.
import type { PublishedRow, PublishedRun, PublishedSoak } from '../../../bench/support/published.ts';
import { type Chart, footer } from './charts.ts';
import { compareWithOthers, type Place } from './compare.ts';

interface Facts {
  run: PublishedRun | undefined;
  soak: PublishedSoak | undefined;
  /** Markdown: where the time and the memory go. */
  profile: string | undefined;
  charts: ReadonlyMap<string, Chart>;
}

export function benchmarksPage(facts: Facts): string {
  const { run, soak, profile } = facts;
  return [
    introduction,
    ...(run === undefined ? ['No run has been published yet.'] : runSections(run, facts.charts)),
    ...(soak === undefined ? [] : soakSection(soak, facts.charts)),
    ...(profile === undefined ? [] : ['## Where the time and the memory go', belowHeading(profile)]),
    method,
  ].join('\n\n');
}

const introduction = `# Benchmarks

<!-- Made by \`npm run docs\` from docs/benchmarks/*.json and bench/profile.md. Change the words in scripts/docs/benchmarks/. -->

How soon is a picture in the bucket, and what does that cost the machine on which ComfyUI works? r2-sync, side by side with
what people use for it today: the same files, the same store, the same two cores, in turn, in one run.`;

const method = `## How it is measured

[bench/README.md](../bench/README.md) says who runs against whom, what each row does, and what a figure means. To run it
yourself, on a machine that does nothing else:

\`\`\`
npm ci && npm run build
npm run bench                      # about 22 minutes
npm run bench -- --quick           # about 6; not to be quoted
npx node bench/soak.ts             # almost two hours
npx node bench/docs.ts             # takes the figures into this page
\`\`\`

All of it runs on one machine, store included, so there is no network in these figures but the loopback. In the rows
that say so, the store answers 50 ms late, as one on the internet does. A real R2 and a real uplink are slower than all of
these contenders: then the figures for CPU, memory, requests and lost files are the ones that stay.
`;

function runSections(run: PublishedRun, charts: ReadonlyMap<string, Chart>): string[] {
  const places = compareWithOthers(run);
  const ahead = places.filter(({ isAhead }) => isAhead);
  const behind = places.filter(({ isAhead }) => !isAhead);
  const met = run.rows.flatMap(({ goals }) => goals).filter((goal) => goal.met === true).length;
  const all = run.rows.flatMap(({ goals }) => goals).length;
  return [
    `Measured on ${footer(run)}.${run.quick ? ' **A quick run: smaller and fewer. To see how the page looks, not to be quoted.**' : ''}`,
    ...Object.values(run.missing).map((reason) => `**Missing in this run:** ${reason}`),
    '## In short',
    `r2-sync is ahead of every contender, or level with the best, in ${ahead.length} of the ${places.length} figures that can be compared, and ${met} of the bench's ${all} goals are met.`,
    placesTable(run, ahead),
    '### Where it is not ahead',
    behind.length === 0
      ? 'Nowhere in this run.'
      : behind.map((place) => `- ${inWords(run, place)} ${place.reason}`).join('\n'),
    ...unmet(run),
    '## The floor',
    floorWords(run),
    '## Pictures',
    ...[...charts]
      .filter(([name]) => name !== 'soak')
      .map(([name, { alt }]) => `![${alt.replaceAll(/[[\]]/g, '')}](benchmarks/${name}.svg)`),
    '## Every row',
    'Each figure is the median of its rounds (for memory and lost files the worst), with its spread in brackets and its ratio to\nthe first column behind it.',
    ...run.rows.map((row) => rowTable(run, row)),
  ];
}

function placesTable(run: PublishedRun, places: readonly Place[]): string {
  const rows = places.map(
    ({ title, label, ours, best, bestId, times }) =>
      `| ${title} | ${label} | ${ours} | ${best} (${run.names[bestId]}) | ${times} |`,
  );
  return ['| | | r2-sync | best of the others | |', '| --- | --- | --- | --- | --- |', ...rows].join('\n');
}

function inWords(run: PublishedRun, { title, label, ours, best, bestId, times }: Place): string {
  return `**${title}, ${label}:** ${ours}, ${run.names[bestId]} ${best} (${times}).`;
}

function unmet(run: PublishedRun): string[] {
  const missed = run.rows.flatMap(({ id, goals }) =>
    goals.filter(({ met }) => met !== true).map((goal) => ({ id, ...goal })),
  );
  if (missed.length === 0) return [];
  const lines = missed.map(
    ({ id, contender, text, met, why }) =>
      `- \`${id}\`, ${run.names[contender]}: ${text}: ${met === undefined ? 'not run' : '**not met**'} (${why})`,
  );
  return [
    '### Goals that are not met',
    lines.join('\n'),
    'Why is said above, where others are ahead, and under [Where the time and the memory go](#where-the-time-and-the-memory-go).',
  ];
}

function floorWords(run: PublishedRun): string {
  const compared = [
    ['latency', 'p50'],
    ['latency', 'cpu'],
    ['burst', 'rate'],
    ['burst', 'cpu'],
    ['small', 'cpu'],
  ].flatMap(([id, metric]) => {
    const row = run.rows.find((one) => one.id === id);
    const [ours, floor] = [row?.figures.agent?.[metric!]?.value, row?.figures.floor?.[metric!]?.value];
    if (row === undefined || typeof ours !== 'number' || typeof floor !== 'number') return [];
    const { label, unit, digits } = row.metrics[metric!]!;
    const times = floor === 0 ? '–' : `${(ours / floor).toFixed(2)}x`;
    return [
      `| ${row.title} | ${label} | ${ours.toFixed(digits)} ${unit} | ${floor.toFixed(digits)} ${unit} | ${times} |`,
    ];
  });
  const table = ['| | | r2-sync | the floor | |', '| --- | --- | --- | --- | --- |', ...compared].join('\n');
  return `*The floor* is no contender: a hundred lines of Node that read a file, hash it and send it with one signed request, and do
nothing else. It doesn't ask whether the file is finished or whether it was sent before, remembers nothing, tries nothing
twice. What r2-sync takes beyond it is what those things cost.\n\n${table}`;
}

function rowTable(run: PublishedRun, row: PublishedRow): string {
  const columns = row.contenders.filter(
    (id) => row.figures[id] !== undefined || row.failures.some((f) => f.contender === id),
  );
  const ordered = [row.baseline, ...columns.filter((id) => id !== row.baseline)];
  const lines = Object.entries(row.metrics).map(([metric, { label, unit, digits }]) => {
    const cells = ordered.map((id) => renderCell(row.figures[id]?.[metric], digits));
    return `| ${label}${unit === '' ? '' : `, ${unit}`} | ${cells.join(' | ')} |`;
  });
  const failures = row.failures.map(({ contender, reason }) => `\n${run.names[contender]}: ${firstLine(reason)}`);
  return [
    `### ${row.title}\n`,
    `| | ${ordered.map((id) => run.names[id]).join(' | ')} |`,
    `| --- |${ordered.map(() => ' --- |').join('')}`,
    ...lines,
    ...failures,
    ...(row.measured === undefined ? [] : [`\nMeasured by itself on ${footer(row.measured)}.`]),
  ].join('\n');
}

function renderCell(figure: NonNullable<PublishedRow['figures']['agent']>[string] | undefined, digits: number): string {
  if (figure === undefined || figure.value === null) return '–';
  const rounds = figure.rounds.filter((value) => value !== null);
  const [low, high] = [Math.min(...rounds), Math.max(...rounds)].map((value) => value.toFixed(digits));
  const spread = low === high ? '' : ` (${low} to ${high})`;
  const ratio = typeof figure.ratio === 'number' ? ` · ${figure.ratio.toFixed(2)}x` : '';
  return `${figure.value.toFixed(digits)}${spread}${ratio}`;
}

function soakSection(soak: PublishedSoak, charts: ReadonlyMap<string, Chart>): string[] {
  const { quarters, criteria, written, lost, torn, twice, memorySlope, flat } = soak;
  const digits = (value: number) => (Number.isInteger(value) ? value : value.toFixed(value < 10 ? 2 : 1));
  return [
    '## The soak',
    `One agent, a writer with ComfyUI's habits at ${soak.rate} files a second (pictures of 0.3 to 2 MB, a video of 24 MiB a minute, now
and then a batch, old files deleted so that ${soak.keep} stay), for ${soak.minutesRun} minutes: ${written} files, ${lost} lost, ${torn} torn, ${twice} sent
again. Allocated memory moved by ${memorySlope.toFixed(2)} MiB an hour. By the criteria below it was ${flat ? '**flat**' : '**not flat**'}. ${footer(soak)}.`,
    `![${charts.get('soak')?.alt ?? ''}](benchmarks/soak.svg)`,
    [
      '| median of a minute | first quarter | last quarter | |',
      '| --- | --- | --- | --- |',
      ...quarters.map(
        ({ metric, unit, first, last, ratio }) =>
          `| ${metric}${unit === '' ? '' : `, ${unit}`} | ${digits(first)} | ${digits(last)} | ${ratio.toFixed(2)}x |`,
      ),
    ].join('\n'),
    criteria.map(({ text, met }) => `- ${met ? 'met' : '**not met**'}: ${text}`).join('\n'),
    'The soak ran while other work went on on the machine: times and CPU follow that work, hence the medians, while memory,\ndescriptors and requests are the agent’s own.',
  ];
}

/** The profile's own headings, below the page's. */
function belowHeading(markdown: string): string {
  return markdown
    .replace(/^# .*\n+/, '')
    .replaceAll(/^#/gm, '##')
    .trim();
}

const firstLine = (text: string) => text.split('\n')[0]!.slice(0, 200);
