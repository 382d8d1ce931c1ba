// How a row looks on a terminal.
import type { ContenderId } from './contender.ts';
import type { Figure, Outcome, Verdict } from './outcome.ts';
import type { Metric, Row } from './row.ts';

/** A table with contenders side by side, then the goals. `names`: column headings. */
export function renderOutcome(row: Row, outcome: Outcome, names: Record<ContenderId, string>): string {
  const columns = row.contenders;
  const lines = [['', ...columns.map((id) => names[id])]];
  for (const [metric, description] of Object.entries(row.metrics)) {
    const label = description.unit === '' ? description.label : `${description.label}, ${description.unit}`;
    lines.push([label, ...columns.map((id) => renderFigure(outcome.figures[id]?.[metric], description))]);
  }
  const failures = outcome.failures.map(({ contender, reason }) => `  !! ${names[contender]}: ${reason}`);
  const goals = outcome.verdicts.map((verdict) => renderVerdict(verdict, names));
  return [`\n## ${row.id}: ${outcome.title}`, ...align(lines), ...failures, ...goals].join('\n');
}

/** `13.1 (12.8 to 14.0) 0.92x`: the figure, its spread over the rounds, the ratio to the baseline. */
function renderFigure(figure: Figure | undefined, { digits }: Metric): string {
  if (figure === undefined) return '–';
  const show = (value: number) => (Number.isFinite(value) ? value.toFixed(digits) : '–');
  const [low, high] = [Math.min(...figure.rounds), Math.max(...figure.rounds)];
  const spread = show(low) === show(high) ? '' : ` (${show(low)} to ${show(high)})`;
  const ratio = figure.ratio === undefined || !Number.isFinite(figure.ratio) ? '' : `  ${figure.ratio.toFixed(2)}x`;
  return `${show(figure.value)}${spread}${ratio}`;
}

function renderVerdict({ goal, met, why }: Verdict, names: Record<ContenderId, string>): string {
  const word = met === undefined ? 'NOT RUN' : met ? 'met' : 'NOT MET';
  return `  ${word.padEnd(8)} ${names[goal.contender]}: ${goal.text} (${why})`;
}

function align(lines: string[][]): string[] {
  const widths = lines[0]!.map((_, column) => Math.max(...lines.map((line) => line[column]!.length)));
  return lines.map((line) =>
    line
      .map((cell, column) => cell.padEnd(widths[column]!))
      .join('   ')
      .trimEnd(),
  );
}
