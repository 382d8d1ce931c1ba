// Moments in words, kept current here, so that an agent at rest has nothing to send. They count from the agent's clock:
// that of a phone may be minutes off.
import { ago, duration } from '../../words.ts';

/** The agent's clock minus ours: ms. */
let offset = 0;

/** `now`: the agent's wall clock, ms. */
export function setServerTime(now: number): void {
  offset = now - Date.now();
}

export function showTimes(): void {
  const now = Date.now() + offset;
  for (const element of document.querySelectorAll<HTMLTimeElement>('time[data-as]')) {
    const { dateTime } = element;
    const text = element.dataset.as === 'ago' ? ago(dateTime, now) : duration((now - Date.parse(dateTime)) / 1000);
    if (element.textContent !== text) element.textContent = text;
  }
}
