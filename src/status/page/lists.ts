// Lists that may be long: the first entries are shown, the rest is behind "… and n more", as far as it is known here.
import { number } from '../words.ts';
import { type Html, html, nothing } from './html.ts';

export interface LongList {
  /** Unique on the page: by it the browser knows that the rest was opened. */
  id: string;
  rows: readonly Html[];
  /** How many are shown at once. */
  first: number;
  /** How many there are in all, also those that nobody listed; `rows.length` unless given. */
  total?: number;
  wrap: (rows: readonly Html[]) => Html;
}

export function viewLongList({ id, rows, first, total = rows.length, wrap }: LongList): Html {
  const rest = rows.slice(first);
  const unlisted = total - rows.length;
  const more = unlisted > 0 ? html`<p class="quiet">… and ${number(unlisted)} more</p>` : nothing;
  if (rest.length === 0) return html`${wrap(rows)}${more}`;
  return html`${wrap(rows.slice(0, first))}
<details id="${id}-more"><summary>… and ${number(total - first)} more</summary>${wrap(rest)}${more}</details>`;
}
