// Which files are meant: by folder, by time, by name.
import picomatch from 'picomatch';
import { folderOf, type RelPath } from '../paths.ts';

export interface Selection {
  /** None means all. `.` is what lies in no folder. */
  folders?: readonly string[];
  /** Files written since then, wall ms. */
  sinceMs?: number | undefined;
  /** Globs as in R2_EXCLUDE: one without a slash is matched against the name alone. None means all. */
  match?: readonly string[];
  /** Only what lies below this directory. Default: all. */
  below?: RelPath;
}

/** Whether a file is meant. `mtimeMs`: when it was written. */
export type IsSelected = (path: RelPath, mtimeMs: number) => boolean;

export function createSelection({ folders = [], sinceMs, match = [], below = '' }: Selection): IsSelected {
  const patterns = match.map((glob) => picomatch(glob, { dot: true, basename: !glob.includes('/') }));
  return (path, mtimeMs) =>
    (folders.length === 0 || folders.includes(folderOf(path))) &&
    (sinceMs === undefined || mtimeMs >= sinceMs) &&
    (patterns.length === 0 || patterns.some((matches) => matches(path))) &&
    (below === '' || path.startsWith(`${below}/`));
}
