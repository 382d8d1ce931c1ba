// Times as people write them on a command line.

const UNITS: Readonly<Record<string, number>> = { s: 1, m: 60, min: 60, h: 3600, d: 86_400, w: 604_800 };
const DATE = /^\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)?$/;

/** Seconds of `90s`, `30min` or `30m`, `24h`, `7d`, `2w`; undefined where it is none of these, or nothing. */
export function parseDuration(text: string): number | undefined {
  const [, amount, unit] = /^(\d{1,9})\s*(s|m|min|h|d|w)$/i.exec(text.trim()) ?? [];
  const seconds = Number(amount) * (UNITS[unit?.toLowerCase() ?? ''] ?? 0);
  return seconds > 0 ? seconds : undefined;
}

/** Wall ms of a date, with or without a time (UTC where it names no zone), or of a duration before `now`. */
export function parseSince(text: string, now: number): number | undefined {
  const seconds = parseDuration(text);
  if (seconds !== undefined) return now - seconds * 1000;
  const date = text.trim().replace(' ', 'T');
  if (!DATE.test(date)) return undefined;
  const at = Date.parse(/T[^Z+-]*$/.test(date) ? `${date}Z` : date);
  return Number.isNaN(at) ? undefined : at;
}
