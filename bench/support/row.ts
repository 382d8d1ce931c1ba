// What a row is: something that every contender does in turn, the figures it gives, and the goals they are held to.
import type { Contender, ContenderId } from './contender.ts';
import type { Distance } from './store.ts';

export interface Metric {
  label: string;
  unit: string;
  digits: number;
  /** How the rounds become one figure: the middle of them, or the worst. */
  rounds: 'median' | 'worst';
}

export interface Goal {
  contender: ContenderId;
  metric: string;
  /** In words, for the table. */
  text: string;
  /** The figure must be at most (or at least) this, times the figure of `against` where that is given. */
  atMost?: number;
  atLeast?: number;
  against?: ContenderId;
}

export type StoreKind = 'double' | 'real';

/** Where a row happens. */
export interface Place extends Distance {
  /** Where the run may work. */
  directory: string;
  store: StoreKind;
}

export interface Scale extends Place {
  quick: boolean;
}

/** Metric name → value. */
export type Figures = Record<string, number>;

export interface Row {
  id: string;
  title(scale: Scale): string;
  metrics: Record<string, Metric>;
  goals: readonly Goal[];
  /** In the order of the columns; the ratios are against the one named here. */
  contenders: readonly ContenderId[];
  baseline: ContenderId;
  /** Only where it is asked for with --only or --all: it costs minutes and changes seldom. */
  extra?: true;
  /** How often each contender runs, in turn. */
  rounds(scale: Scale, contender: ContenderId): number;
  run(contender: Contender, scale: Scale): Promise<Figures>;
}
