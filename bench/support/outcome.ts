// From the figures of the rounds to one figure each, and from those to goals that are met or not.
import type { ContenderId } from './contender.ts';
import type { Figures, Goal, Row, Scale } from './row.ts';
import { median } from './statistics.ts';

export interface Figure {
  value: number;
  /** The figure over the baseline's; undefined for the baseline itself and where there is nothing to divide. */
  ratio: number | undefined;
  rounds: number[];
}

export interface Verdict {
  goal: Goal;
  /** Undefined: it couldn't be judged, see `why`. */
  met: boolean | undefined;
  /** The figures that decided. */
  why: string;
}

export interface Outcome {
  row: string;
  title: string;
  /** By contender, then by metric. */
  figures: Partial<Record<ContenderId, Record<string, Figure>>>;
  verdicts: Verdict[];
  /** Contenders that gave no figures, or fewer rounds, and why. */
  failures: { contender: ContenderId; reason: string }[];
}

/** `rounds`: what each contender gave, in order. */
export function judge(
  row: Row,
  scale: Scale,
  rounds: Partial<Record<ContenderId, Figures[]>>,
  failures: Outcome['failures'],
): Outcome {
  const figures: Outcome['figures'] = {};
  for (const contender of row.contenders) {
    const given = rounds[contender] ?? [];
    if (given.length > 0)
      figures[contender] = Object.fromEntries(
        Object.keys(row.metrics).map((metric) => [
          metric,
          combine(
            row,
            metric,
            given.map((round) => round[metric]!),
          ),
        ]),
      );
  }
  const base = figures[row.baseline];
  for (const [contender, metrics] of Object.entries(figures))
    for (const [metric, figure] of Object.entries(metrics)) {
      const divisor = base?.[metric]?.value ?? 0;
      if (contender !== row.baseline && divisor > 0) figure.ratio = figure.value / divisor;
    }
  const verdicts = row.goals.map((goal) => judgeGoal(row, goal, figures));
  return { row: row.id, title: row.title(scale), figures, verdicts, failures };
}

function combine(row: Row, metric: string, rounds: number[]): Figure {
  const value = row.metrics[metric]!.rounds === 'median' ? median(rounds) : Math.max(...rounds);
  return { value, ratio: undefined, rounds };
}

function judgeGoal(row: Row, goal: Goal, figures: Outcome['figures']): Verdict {
  const { label, unit, digits } = row.metrics[goal.metric]!;
  const show = (value: number) => `${value.toFixed(digits)}${unit === '' ? '' : ` ${unit}`}`;
  const value = figures[goal.contender]?.[goal.metric]?.value;
  const other = goal.against === undefined ? 1 : figures[goal.against]?.[goal.metric]?.value;
  if (value === undefined) return { goal, met: undefined, why: `${goal.contender} gave no figure` };
  if (other === undefined) return { goal, met: undefined, why: `${goal.against} gave no figure` };
  if (!Number.isFinite(value) || !Number.isFinite(other)) return { goal, met: false, why: `${label} can't be told` };
  const met =
    (goal.atMost === undefined || value <= goal.atMost * other) &&
    (goal.atLeast === undefined || value >= goal.atLeast * other);
  const against = goal.against === undefined ? '' : ` against ${show(other)}, ${(value / other).toFixed(2)} times`;
  return { goal, met, why: `${show(value)}${against}` };
}
