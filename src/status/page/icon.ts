// The state as a picture: in the browser's tab, made by server and script alike.

export type Mood = 'fine' | 'busy' | 'bad' | 'unknown';

/** Colours that stand out in a light and in a dark tab, and a shape each, for who can't tell the colours apart. */
const looks: Record<Mood, { color: string; shape: string }> = {
  fine: { color: '#1a9c55', shape: 'M9 16.5l5 5 9.5-11' },
  busy: { color: '#d08700', shape: 'M16 24V8.5M9.5 15L16 8.5l6.5 6.5' },
  bad: { color: '#d92d20', shape: 'M16 8v10M16 23.4v.2' },
  unknown: { color: '#8a8f98', shape: 'M10 16h.1M16 16h.1M22 16h.1' },
};

/** The path of the sign, drawn in a box of 32 by 32. */
export function shapeOf(mood: Mood): string {
  return looks[mood].shape;
}

/** A `data:` URL for the tab. */
export function iconUrl(mood: Mood): string {
  const { color, shape } = looks[mood];
  const stroke = `fill='none' stroke='white' stroke-width='4' stroke-linecap='round' stroke-linejoin='round'`;
  const svg = `<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 32 32'><circle cx='16' cy='16' r='16' fill='${color}'/><path d='${shape}' ${stroke}/></svg>`;
  return `data:image/svg+xml,${encodeURIComponent(svg)}`;
}
