// The kinds of panels that the dashboard is made of, in Grafana's classic schema. Only what differs from Grafana's own
// defaults is said.

export interface Query {
  expr: string;
  /** For the legend: `{{instance}}`. */
  legend?: string;
}

export interface Panel {
  title: string;
  description: string;
  /** Columns of 24, and rows of about 30 pixels. */
  width: number;
  height: number;
  content: Record<string, unknown>;
}

type Step = readonly [from: number | null, color: string];

const datasource = { type: 'prometheus', uid: '$datasource' };

interface StatOptions {
  unit?: string;
  steps?: readonly Step[];
}

/** One figure, large, in the colour that it deserves. */
export function stat(title: string, expr: string, description: string, options: StatOptions = {}): Panel {
  const { unit = 'short', steps = [[null, 'text']] } = options;
  return {
    title,
    description,
    width: 4,
    height: 4,
    content: {
      type: 'stat',
      targets: targetsOf([{ expr }], true),
      fieldConfig: {
        defaults: { unit, color: { mode: 'thresholds' }, thresholds: thresholdsOf(steps) },
        overrides: [],
      },
      options: { colorMode: 'background', graphMode: 'none', reduceOptions: { calcs: ['lastNotNull'] } },
    },
  };
}

interface GraphOptions {
  unit?: string;
  /** One above the other, as far as they add up. */
  stacked?: boolean;
  width?: number;
}

export function graph(
  title: string,
  queries: readonly Query[],
  description: string,
  options: GraphOptions = {},
): Panel {
  const { unit = 'short', stacked = false, width = 12 } = options;
  return {
    title,
    description,
    width,
    height: 8,
    content: {
      type: 'timeseries',
      targets: targetsOf(queries),
      fieldConfig: {
        defaults: {
          unit,
          min: 0,
          custom: { fillOpacity: stacked ? 30 : 5, stacking: { mode: stacked ? 'normal' : 'none' } },
        },
        overrides: [],
      },
      options: {
        legend: { displayMode: 'list', placement: 'bottom', showLegend: true },
        tooltip: { mode: 'multi', sort: 'desc' },
      },
    },
  };
}

/** What each value means, in words and colours, along the time. */
export function timeline(
  title: string,
  query: Query,
  description: string,
  words: readonly [word: string, color: string][],
): Panel {
  const meanings = words.map(([text, color], value) => [String(value), { text, color, index: value }]);
  return {
    title,
    description,
    width: 24,
    height: 8,
    content: {
      type: 'state-timeline',
      targets: targetsOf([query]),
      fieldConfig: {
        defaults: {
          mappings: [{ type: 'value', options: Object.fromEntries(meanings) }],
          thresholds: thresholdsOf([[null, 'text']]),
          custom: { fillOpacity: 80, lineWidth: 0 },
        },
        overrides: [],
      },
      options: { mergeValues: true, showValue: 'never', legend: { showLegend: true, placement: 'bottom' } },
    },
  };
}

interface Column {
  name: string;
  expr: string;
  unit?: string;
}

/** A row for each value of `key`, a column for each query. */
export function table(title: string, key: readonly string[], columns: readonly Column[], description: string): Panel {
  const letters = columns.map((_, nth) => refId(nth));
  const single = columns.length === 1;
  return {
    title,
    description,
    width: 24,
    height: 9,
    content: {
      type: 'table',
      targets: targetsOf(columns, true).map((target) => ({ ...target, format: 'table' })),
      transformations: [
        ...(single ? [] : [{ id: 'merge', options: {} }]),
        {
          id: 'organize',
          options: {
            excludeByName: { Time: true },
            indexByName: Object.fromEntries(key.map((label, nth) => [label, nth])),
            renameByName: Object.fromEntries(
              columns.map(({ name }, nth) => [single ? 'Value' : `Value #${letters[nth]}`, name]),
            ),
          },
        },
      ],
      fieldConfig: {
        defaults: { custom: { filterable: true } },
        overrides: columns
          .filter(({ unit }) => unit !== undefined)
          .map(({ name, unit }) => ({
            matcher: { id: 'byName', options: name },
            properties: [{ id: 'unit', value: unit }],
          })),
      },
      options: { showHeader: true },
    },
  };
}

function targetsOf(queries: readonly Query[], instant = false): Record<string, unknown>[] {
  return queries.map(({ expr, legend }, nth) => ({
    refId: refId(nth),
    datasource,
    expr,
    ...(instant ? { instant: true, range: false } : {}),
    ...(legend === undefined ? {} : { legendFormat: legend }),
  }));
}

function refId(nth: number): string {
  return String.fromCharCode('A'.charCodeAt(0) + nth);
}

function thresholdsOf(steps: readonly Step[]): Record<string, unknown> {
  return { mode: 'absolute', steps: steps.map(([value, color]) => ({ value, color })) };
}

/** A panel as Grafana wants it, at its place. */
export function place({ title, description, width, height, content }: Panel, id: number, x: number, y: number) {
  return { id, title, description, datasource, gridPos: { x, y, w: width, h: height }, ...content };
}

export const datasourceVariable = {
  name: 'datasource',
  label: 'Prometheus',
  type: 'datasource',
  query: 'prometheus',
  current: {},
};

/** A variable with the values that a label has; all of them, unless some are chosen. */
export function labelVariable(name: string, label: string, metric: string): Record<string, unknown> {
  const query = `label_values(${metric}, ${name})`;
  return {
    name,
    label,
    type: 'query',
    datasource,
    definition: query,
    query: { query, refId: 'values' },
    refresh: 2,
    sort: 7,
    multi: true,
    includeAll: true,
    allValue: '.*',
    current: { text: ['All'], value: ['$__all'] },
  };
}
