// What the badge in ComfyUI's page says (docker/nodes/r2-sync): two words, and behind them the headline and what to do.
import { hideAccount } from './endpoint.ts';
import { groupParked, headline, mood, otherReasons } from './render.ts';
import type { Snapshot } from './snapshot.ts';
import { number } from './words.ts';

export interface Badge {
  mood: ReturnType<typeof mood>;
  /** Two words at most. */
  label: string;
  /** Sentences without control characters: the headline, and the fix where there is one. */
  text: string;
}

/** `now`: wall-clock milliseconds. */
export function viewBadge(snapshot: Snapshot, now: number): Badge {
  const text = [headline(snapshot, now), ...parkedWords(snapshot), ...otherReasons(snapshot)].join(' ');
  return { mood: mood(snapshot), label: labelOf(snapshot), text: hideAccount(text) };
}

function labelOf({ state, safeToStop, totals }: Snapshot): string {
  const { pendingFiles, parkedFiles } = totals;
  if (state === 'failing') return 'Uploads failing';
  if (pendingFiles > 0) return safeToStop ? 'Safe to stop' : `${number(pendingFiles)} pending`;
  if (parkedFiles > 0) return `${number(parkedFiles)} parked`;
  return safeToStop ? 'All safe' : 'Looking';
}

/** The first cause alone: the page has them all. */
function parkedWords({ parked }: Snapshot): string[] {
  const [first] = groupParked(parked);
  return first === undefined ? [] : [`${first.reason} ${first.fix}`];
}
