// What a terminal shows: takes what a program writes, with the few control sequences that ours use, and gives the screen
// as text and as HTML.

interface Style {
  bold: boolean;
  dim: boolean;
  italic: boolean;
  underline: boolean;
  inverse: boolean;
  /** A colour's number from 0 to 15, or `r,g,b`; undefined: the terminal's own. */
  front: number | string | undefined;
  back: number | string | undefined;
}

interface Cell {
  char: string;
  style: Style;
}

const plain: Style = {
  bold: false,
  dim: false,
  italic: false,
  underline: false,
  inverse: false,
  front: undefined,
  back: undefined,
};
const blank: Cell = { char: ' ', style: plain };

/** What each number of an SGR sequence does. */
const graphics: Record<number, Partial<Style>> = {
  0: plain,
  1: { bold: true },
  2: { dim: true },
  3: { italic: true },
  4: { underline: true },
  7: { inverse: true },
  22: { bold: false, dim: false },
  23: { italic: false },
  24: { underline: false },
  27: { inverse: false },
  39: { front: undefined },
  49: { back: undefined },
};

/** Black, red, green, yellow, blue, magenta, cyan, white, and the same again, bright. */
const palette =
  '#2b303b #ff7a72 #6fd08c #eac46c #7ab8ff #d2a8ff #76d9e6 #d7dae0 #8b93a1 #ff9d96 #8fe3a8 #f5d88f #a3d0ff #e0c3ff #9fe9f2 #ffffff'.split(
    ' ',
  );

export class Screen {
  readonly #columns: number;
  readonly #rows: number;
  #cells: Cell[][] = [[]];
  #row = 0;
  #column = 0;
  #style = plain;
  /** A control sequence whose end hasn't come yet. */
  #rest = '';

  constructor(columns: number, rows: number) {
    this.#columns = columns;
    this.#rows = rows;
  }

  write(output: string): void {
    let text = this.#rest + output;
    const open = /\x1b(?:\[[\d;?]*)?$/.exec(text);
    this.#rest = open?.[0] ?? '';
    text = text.slice(0, text.length - this.#rest.length);
    for (const [part] of text.matchAll(/\x1b\[[?>]?[\d;]*[A-Za-z]|\x1b[^[]|[\s\S]/gu)) {
      if (part.startsWith('\x1b[')) this.#control(part.slice(2, -1), part.at(-1)!);
      else if (!part.startsWith('\x1b')) this.#put(part);
    }
  }

  /** Without blanks at the ends of lines, and without empty lines at the end. */
  text(): string {
    return this.#lines()
      .map((line) => line.map(({ char }) => char).join(''))
      .join('\n');
  }

  /** Lines of spans, text as text. */
  html(): string {
    return this.#lines().map(lineHtml).join('\n');
  }

  #lines(): Cell[][] {
    const lines = this.#cells.map((row) => {
      const last = row.findLastIndex(({ char, style }) => char !== ' ' || style.back !== undefined);
      return Array.from(row.slice(0, last + 1), (cell) => cell ?? blank);
    });
    return lines.slice(0, lines.findLastIndex((line) => line.length > 0) + 1);
  }

  #put(char: string): void {
    if (char === '\n') return this.#newLine();
    if (char === '\r') this.#column = 0;
    else if (char === '\b') this.#column = Math.max(0, this.#column - 1);
    else if (char >= ' ') {
      if (this.#column >= this.#columns) {
        this.#newLine();
        this.#column = 0;
      }
      const row = this.#cells[this.#row]!;
      while (row.length < this.#column) row.push(blank);
      row[this.#column++] = { char, style: this.#style };
    }
  }

  #newLine(): void {
    this.#row += 1;
    if (this.#row >= this.#rows) {
      this.#cells.shift();
      this.#row -= 1;
    }
    while (this.#cells.length <= this.#row) this.#cells.push([]);
  }

  #control(parameters: string, command: string): void {
    const numbers = parameters.replace(/^[?>]/, '').split(';').map(Number);
    const [first = 0, second = 0] = numbers;
    const by = Math.max(1, first);
    const row = this.#cells[this.#row]!;
    const actions: Record<string, () => void> = {
      m: () => this.#setGraphics(numbers),
      A: () => this.#moveTo(this.#row - by, this.#column),
      B: () => this.#moveTo(this.#row + by, this.#column),
      C: () => this.#moveTo(this.#row, this.#column + by),
      D: () => this.#moveTo(this.#row, this.#column - by),
      E: () => this.#moveTo(this.#row + by, 0),
      F: () => this.#moveTo(this.#row - by, 0),
      G: () => this.#moveTo(this.#row, by - 1),
      H: () => this.#moveTo(by - 1, Math.max(1, second) - 1),
      K: () => {
        if (first === 2) row.length = 0;
        else if (first === 0) row.length = Math.min(row.length, this.#column);
      },
      J: () => {
        if (first === 2 || first === 3) this.#cells = Array.from({ length: this.#row + 1 }, () => []);
        else {
          row.length = Math.min(row.length, this.#column);
          this.#cells.length = this.#row + 1;
        }
      },
    };
    // What else there is (showing the cursor, other screens) changes nothing that is seen here.
    actions[command]?.();
  }

  #moveTo(row: number, column: number): void {
    this.#row = Math.max(0, Math.min(this.#rows - 1, row));
    this.#column = Math.max(0, Math.min(this.#columns - 1, column));
    while (this.#cells.length <= this.#row) this.#cells.push([]);
  }

  #setGraphics(numbers: readonly number[]): void {
    for (let at = 0; at < numbers.length; at++) {
      const code = numbers[at]!;
      const ground = code === 38 ? 'front' : 'back';
      if ((code === 38 || code === 48) && numbers[at + 1] === 5) {
        this.#style = { ...this.#style, [ground]: color256(numbers[at + 2]!) };
        at += 2;
      } else if ((code === 38 || code === 48) && numbers[at + 1] === 2) {
        this.#style = { ...this.#style, [ground]: numbers.slice(at + 2, at + 5).join(',') };
        at += 4;
      } else this.#style = { ...this.#style, ...(graphics[code] ?? colorOf(code)) };
    }
  }
}

function colorOf(code: number): Partial<Style> {
  if (code >= 30 && code <= 37) return { front: code - 30 };
  if (code >= 40 && code <= 47) return { back: code - 40 };
  if (code >= 90 && code <= 97) return { front: code - 82 };
  return code >= 100 && code <= 107 ? { back: code - 92 } : {};
}

function color256(code: number): number | string {
  if (code < 16) return code;
  if (code >= 232)
    return Array(3)
      .fill(8 + (code - 232) * 10)
      .join(',');
  const level = (at: number) => [0, 95, 135, 175, 215, 255][at % 6];
  return [level(Math.floor((code - 16) / 36)), level(Math.floor((code - 16) / 6)), level(code - 16)].join(',');
}

function lineHtml(line: readonly Cell[]): string {
  let html = '';
  for (let at = 0; at < line.length; ) {
    const css = cssOf(line[at]!.style);
    let text = '';
    for (; at < line.length && cssOf(line[at]!.style) === css; at++) text += line[at]!.char;
    const escaped = text.replace(/[&<>]/g, (char) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;' })[char]!);
    html += css === '' ? escaped : `<span style="${css}">${escaped}</span>`;
  }
  return html;
}

function cssOf({ bold, dim, italic, underline, inverse, front, back }: Style): string {
  const [text, ground] = inverse ? [back ?? 0, front ?? 7] : [front, back];
  return [
    text === undefined ? '' : `color:${cssColor(text)}`,
    ground === undefined ? '' : `background:${cssColor(ground)}`,
    bold ? 'font-weight:bold' : '',
    dim ? 'opacity:.62' : '',
    italic ? 'font-style:italic' : '',
    underline ? 'text-decoration:underline' : '',
  ]
    .filter(Boolean)
    .join(';');
}

function cssColor(color: number | string): string {
  return typeof color === 'number' ? palette[color]! : `rgb(${color})`;
}
