// How text is laid out in a terminal: columns, names that are cut, lines that are broken.

/** A column of a list, in the terminal and on the page; `count` is aligned to the right. */
export type Column<T> = [title: string, className: 'name' | 'count' | 'short', cell: (row: T) => string];

/** The lines of a table, with the titles of its columns in the first unless `head` is false. */
export function tableLines<T>(columns: readonly Column<T>[], rows: readonly T[], width: number, head = true): string[] {
  const titles = columns.map(([title]) => title);
  const cells = rows.map((row) => columns.map(([, , cell]) => cell(row)));
  const align = columns.map(([, className]) => (className === 'count' ? 'r' : 'l'));
  return alignTable(head ? [titles, ...cells] : cells, align.join(''), width);
}

/** Pads cells into columns ('l' left, 'r' right); the first column is cut so that a line fits the width. */
function alignTable(rows: readonly (readonly string[])[], align: string, width: number): string[] {
  const gap = 2;
  const widths = [...align].map((_, i) => Math.max(...rows.map((row) => columns(row[i]!))));
  const rest = widths.slice(1).reduce((sum, w) => sum + w + gap, 0);
  widths[0] = Math.min(widths[0]!, Math.max(12, width - rest));
  return rows.map((row) =>
    row
      .map((cell, i) => {
        const text = i === 0 ? cut(cell, widths[0]!) : cell;
        const pad = ' '.repeat(widths[i]! - columns(text));
        return align[i] === 'r' ? pad + text : text + pad;
      })
      .join(' '.repeat(gap))
      .trimEnd(),
  );
}

/** Cuts from the middle, so that the end of a name, which tells pictures apart, stays. */
export function cut(text: string, width: number): string {
  if (columns(text) <= width) return text;
  const pieces = graphemes(text);
  const tail: string[] = [];
  const head: string[] = [];
  let room = width - 1;
  const take = (piece: string, budget: number) => {
    const needed = columns(piece);
    if (needed > Math.min(room, budget)) return 0;
    room -= needed;
    return needed;
  };
  for (let budget = Math.ceil(room * 0.6); pieces.length > 0; ) {
    const used = take(pieces.at(-1)!, budget);
    if (used === 0) break;
    budget -= used;
    tail.unshift(pieces.pop()!);
  }
  while (pieces.length > 0 && take(pieces[0]!, room) > 0) head.push(pieces.shift()!);
  return `${head.join('')}…${tail.join('')}`;
}

/** Cuts the end of a line that is too long. Without control characters in it. */
export function clip(text: string, width: number): string {
  if (columns(text) <= width) return text;
  let kept = '';
  let room = width - 1;
  for (const piece of graphemes(text)) {
    room -= columns(piece);
    if (room < 0) break;
    kept += piece;
  }
  return `${kept}…`;
}

/** `███░░░`; `share` from 0 to 1. */
export function bar(share: number, width: number): string {
  const full = Math.floor(Math.min(1, Math.max(0, share)) * width);
  return '█'.repeat(full) + '░'.repeat(width - full);
}

/** Breaks at spaces. A word longer than a line stays whole, so that a command in it can be copied. */
export function wrap(text: string, width: number, first = '', next = first): string[] {
  const lines: string[] = [];
  let line = first;
  let empty = true;
  for (const word of text.split(' ')) {
    if (!empty && columns(line) + 1 + columns(word) > width) {
      lines.push(line);
      line = next;
      empty = true;
    }
    line += empty ? word : ` ${word}`;
    empty = false;
  }
  return [...lines, line];
}

/** How many columns a terminal gives a text: most characters one, Chinese, Japanese, Korean and emoji two. */
function columns(text: string): number {
  if (/^[\x20-\x7e]*$/.test(text)) return text.length;
  return graphemes(text).reduce((sum, piece) => sum + (wide.test(piece) ? 2 : narrow.test(piece) ? 0 : 1), 0);
}

const wide =
  /^[\p{Emoji_Presentation}\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Hangul}\u3000-\u303f\uff01-\uff60]|\ufe0f/u;
const narrow = /^[\p{Mn}\p{Me}\p{Cf}]+$/u;
/** Made when it is first needed: Intl's tables are megabytes of memory. */
let segmenter: Intl.Segmenter | undefined;

function graphemes(text: string): string[] {
  segmenter ??= new Intl.Segmenter('en', { granularity: 'grapheme' });
  return Array.from(segmenter.segment(text), ({ segment }) => segment);
}
