// Every instant at which an agent can be stopped in a scenario. Effects have names that are the same in every run, since
// their order isn't: what was counted in a run without a crash is found again in the others.
import { type HookReport, placeOf } from '../hook/control.ts';

export type Point =
  | { on: 'disk'; call: string; place: string; nth: number; when: 'half' | 'after' }
  | { on: 'store'; request: string; nth: number; when: 'before' | 'after' };

/** A holder shows that it lives until it is stopped: from here on one beat is like the other. */
const BEATS = 3;

/**
 * @param reports of a run without a crash, with every effect on disk
 * @param requests their names in that run (`nameRequest`)
 */
export function findPoints(root: string, reports: readonly HookReport[], requests: readonly string[]): Point[] {
  const points: Point[] = [];
  const seen = new Map<string, number>();
  const countUp = (name: string) => {
    const nth = (seen.get(name) ?? 0) + 1;
    seen.set(name, nth);
    return nth;
  };
  for (const { is, call, path } of reports) {
    if (is !== 'effect') continue;
    const place = placeOf(root, path);
    const nth = countUp(`${call} ${place}`);
    if (/\/beat\.\d+\.json$/.test(place) && nth > BEATS) continue;
    if (call === 'write') points.push({ on: 'disk', call, place, nth, when: 'half' });
    points.push({ on: 'disk', call, place, nth, when: 'after' });
  }
  for (const request of requests) {
    const nth = countUp(request);
    points.push({ on: 'store', request, nth, when: 'before' }, { on: 'store', request, nth, when: 'after' });
  }
  return points;
}

/** What is the same in every run about a request. */
export function nameRequest({
  operation,
  key,
  query,
}: {
  operation: string;
  key: string;
  query: URLSearchParams;
}): string {
  const part = query.get('partNumber');
  return `${operation} ${key.replace(/\d{4}-\d\d-\d\d/, 'day')}${part === null ? '' : ` part ${part}`}`;
}

export function describePoint(point: Point): string {
  const what = point.on === 'disk' ? `${point.call} ${point.place}` : point.request;
  return `${point.when} ${what} #${point.nth}`;
}
