// A few words of SVG: enough for bars and lines. Each picture brings its own background, so that it can be read on a light
// page and on a dark one, whoever shows it.
export const WIDTH = 760;
export const MARGIN = 20;

const style = `
  .card { fill: #ffffff; stroke: #d0d7de } .text { fill: #1f2328 } .quiet { fill: #59636e } .grid { stroke: #d8dee4 }
  .us { fill: #c2410c } .them { fill: #8c959f } .floor { fill: #c8ced4 }
  .line { fill: none; stroke: #c2410c; stroke-width: 1.5 } .faint { fill: none; stroke: #8c959f; stroke-width: 1 }
  @media (prefers-color-scheme: dark) {
    .card { fill: #0d1117; stroke: #3d444d } .text { fill: #f0f6fc } .quiet { fill: #9198a1 } .grid { stroke: #2a313c }
    .us { fill: #f97316 } .them { fill: #6e7681 } .floor { fill: #444c56 }
    .line { stroke: #f97316 } .faint { stroke: #6e7681 }
  }
  text { font: 13px system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif } .title { font-weight: 600; font-size: 15px } .small { font-size: 11px }
`;

/** A whole picture. `label`: what a screen reader says. */
export function picture(height: number, label: string, shapes: readonly string[]): string {
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" role="img" aria-label="${escapeXml(label)}">`,
    `<style>${style}</style>`,
    `<rect class="card" x="0.5" y="0.5" width="${WIDTH - 1}" height="${height - 1}" rx="8"/>`,
    ...shapes,
    '</svg>\n',
  ].join('\n');
}

export function words(x: number, y: number, content: string, classes = 'text', anchor = 'start'): string {
  return `<text class="${classes}" x="${x}" y="${y}" text-anchor="${anchor}">${escapeXml(content)}</text>`;
}

export function bar(x: number, y: number, width: number, height: number, classes: string): string {
  return `<rect class="${classes}" x="${x}" y="${y}" width="${Math.max(1, width).toFixed(1)}" height="${height}" rx="2"/>`;
}

export function rule(x1: number, y: number, x2: number): string {
  return `<line class="grid" x1="${x1}" y1="${y}" x2="${x2}" y2="${y}"/>`;
}

export function curve(points: readonly (readonly [number, number])[], classes: string): string {
  const path = points.map(([x, y]) => `${x.toFixed(1)},${y.toFixed(1)}`).join(' ');
  return `<polyline class="${classes}" points="${path}"/>`;
}

function escapeXml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;');
}
