// What happened, in the order in which it happened: for whoever has to find out why a seed failed.

interface Line {
  /** Milliseconds since the start. */
  at: number;
  text: string;
}

/** Of a failure no more than this is printed; the rest is in the file. */
const SHORT = 60;

export class History {
  readonly #begun = performance.now();
  readonly #lines: Line[] = [];

  say(text: string): void {
    this.#lines.push({ at: performance.now() - this.#begun, text });
  }

  /** All of it, a line each. */
  whole(): string {
    return this.#lines.map(tell).join('\n');
  }

  /** The lines that name any of these texts, with the faults between them; the last ones if there are many. */
  about(texts: readonly string[]): string {
    const named = (line: Line) => texts.some((text) => line.text.includes(text));
    const first = this.#lines.findIndex(named);
    const from = first === -1 ? 0 : first;
    const told = this.#lines.filter((line, index) => index >= from && (named(line) || line.text.startsWith('FAULT')));
    const cut = told.length - SHORT;
    return [...(cut > 0 ? [`(${cut} lines before)`] : []), ...told.slice(-SHORT).map(tell)].join('\n');
  }
}

function tell({ at, text }: Line): string {
  return `${(at / 1000).toFixed(2).padStart(8)} ${text}`;
}
