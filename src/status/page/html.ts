// HTML as text, in which whatever comes from outside is only ever text: `html` escapes all that isn't Html already.

/** A piece of HTML that may stand in a page as it is. Made by `html` alone. */
export class Html {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

type Value = string | number | Html | readonly Html[];

/** Strings and numbers become text, also inside an attribute's quotes; lists of Html stand one after the other. */
export function html(pieces: TemplateStringsArray, ...values: readonly Value[]): Html {
  let text = pieces[0]!;
  for (let i = 0; i < values.length; i += 1) text += textOf(values[i]!) + pieces[i + 1]!;
  return new Html(text);
}

export const nothing = new Html('');

/** A moment that the page keeps in words: "3 s ago", or how long since. The text is left to `fillTimes` and the script. */
export function time(iso: string, as: 'ago' | 'for'): Html {
  return html`<time data-as="${as}" datetime="${iso}"></time>`;
}

/** What `textWithTimes` makes a <time> of. No text of ours or from outside holds the sign: `printable` escapes it. */
export function markTime(iso: string): string {
  return `\u0000${iso}\u0000`;
}

/** A text in which some moments are marked by `markTime`. */
export function textWithTimes(text: string): Html {
  const parts = text.split('\u0000');
  return html`${parts.map((part, i) => (i % 2 === 1 ? time(part, 'ago') : html`${part}`))}`;
}

/** A text in which commands stand between backticks. */
export function textWithCode(text: string): Html {
  const parts = text.split('`');
  return html`${parts.map((part, i) => (i % 2 === 1 && i < parts.length - 1 ? html`<code>${part}</code>` : html`${part}`))}`;
}

/** Puts a text into every <time> that was left empty, for the first paint. */
export function fillTimes(text: string, words: (as: string, iso: string) => string): string {
  return text.replace(
    /<time data-as="(ago|for)" datetime="([^"]*)"><\/time>/g,
    (element, as: string, iso: string) => `${element.slice(0, -'</time>'.length)}${words(as, iso)}</time>`,
  );
}

function textOf(value: Value): string {
  if (value instanceof Html) return value.text;
  if (typeof value === 'object') return value.map(({ text }) => text).join('');
  return escapeHtml(String(value));
}

const entities: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };

function escapeHtml(text: string): string {
  return /[&<>"']/.test(text) ? text.replace(/[&<>"']/g, (char) => entities[char]!) : text;
}
