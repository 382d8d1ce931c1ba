// Times, sizes and counts in words. The page's script uses them too.

/** `3 s`, `5 min`, `2 h 10 min`, `3 days`. */
export function duration(seconds: number): string {
  const s = Math.max(0, Math.round(seconds));
  if (s < 60) return `${s} s`;
  const minutes = Math.round(s / 60);
  if (minutes < 60) return `${minutes} min`;
  if (minutes < 48 * 60) return `${Math.floor(minutes / 60)} h${minutes % 60 ? ` ${minutes % 60} min` : ''}`;
  return `${number(Math.round(minutes / 1440))} days`;
}

/** `3 s ago`, `just now`. `iso`: ISO 8601; `now`: wall-clock milliseconds. Never a part of `iso` itself. */
export function ago(iso: string, now: number): string {
  const seconds = (now - Date.parse(iso)) / 1000;
  if (Number.isNaN(seconds)) return 'at an unknown time';
  return seconds < 1 ? 'just now' : `${duration(seconds)} ago`;
}

/** `820 bytes`, `2.1 MB` (powers of 1,000). */
export function size(bytes: number): string {
  if (bytes < 1000) return `${bytes} ${bytes === 1 ? 'byte' : 'bytes'}`;
  const units = ['kB', 'MB', 'GB', 'TB'];
  let value = bytes / 1000;
  while (value >= 999.5 && units.length > 1) {
    value /= 1000;
    units.shift();
  }
  return `${value < 10 ? value.toFixed(1) : Math.round(value)} ${units[0]}`;
}

/** `12,345`. */
export function number(value: number): string {
  return value.toLocaleString('en-US');
}

export function files(count: number): string {
  return `${number(count)} ${count === 1 ? 'file' : 'files'}`;
}

export function be(count: number): string {
  return count === 1 ? 'is' : 'are';
}

export function endSentence(text: string): string {
  return /[.!?]$/.test(text) ? text : `${text}.`;
}
