// What server and script of the page agree on.
import type { Mood } from './icon.ts';

export interface PageState {
  /** For the browser's tab. */
  title: string;
  mood: Mood;
  /** For screen readers, whenever it changes: no counts, which would be read out all the time. */
  spoken: string;
  /** HTML, in the order of the page. Each is one element with the id that it is named by here. */
  sections: Record<string, string>;
  /** Changes with everything above. */
  etag: string;
}

/** What the script gets: by `/events` when something has changed, by `/page.json` when it asks. */
export interface PageUpdate extends PageState {
  /** The etag of the state that `sections` has the differences from; null: all are there. */
  base: string | null;
  build: string;
  /** Wall ms. */
  now: number;
}

/** What `/events` sends when nothing has changed for a while. */
export type PageBeat = Pick<PageUpdate, 'build' | 'now'>;
