// Which files are outputs at all: decided by name and size alone, and every "no" has a reason that can be counted.
import picomatch from 'picomatch';
import { directoryOf, extensionOf, nameOf, type RelPath } from '../paths.ts';

export interface FilterSettings {
  /** Lower case, without the dot. */
  extensions: ReadonlySet<string>;
  /** Globs, relative to the output directory; one without a slash is matched against the name alone. */
  exclude: readonly string[];
  /** Megabytes (10^6 bytes); undefined means no limit. */
  maxMb?: number | undefined;
}

/** Names of files that are on their way to another name. */
const TEMPORARY = /\.(tmp|part|partial|crdownload)$/i;

export interface Filter {
  /** undefined: it is an output. Otherwise why it isn't, fit to be counted: `.safetensors`, `hidden`, `temporary` … */
  skipReason(path: RelPath, size: number): string | undefined;
  /** undefined: the directory is looked into. Otherwise why it isn't, fit to be counted. */
  skipDirectoryReason(path: RelPath): string | undefined;
  /** Whether the way from the output directory to this directory leads through none that is left alone. */
  reachesDirectory(path: RelPath): boolean;
}

/** @param prefix the output directory, relative to the root that all paths are relative to */
export function createFilter(settings: FilterSettings, prefix: RelPath): Filter {
  const patterns = settings.exclude.map((glob) => picomatch(glob, { dot: true, basename: !glob.includes('/') }));
  const start = prefix === '' ? 0 : prefix.length + 1;
  const excluded = (path: RelPath) => patterns.some((matches) => matches(path.slice(start)));
  const maxBytes = settings.maxMb === undefined ? Number.POSITIVE_INFINITY : settings.maxMb * 1e6;
  const skipDirectoryReason = (path: RelPath) => {
    if (nameOf(path).startsWith('.')) return 'hidden directory';
    return patterns.length > 0 && excluded(path) ? 'directory excluded by R2_EXCLUDE' : undefined;
  };
  return {
    skipReason(path, size) {
      const name = nameOf(path);
      if (name.startsWith('.')) return 'hidden';
      if (TEMPORARY.test(name)) return 'temporary';
      const extension = extensionOf(path);
      if (!settings.extensions.has(extension.slice(1))) return extension || 'no extension';
      if (patterns.length > 0 && excluded(path)) return 'excluded by R2_EXCLUDE';
      if (size > maxBytes) return 'larger than R2_MAX_MB';
      return undefined;
    },
    skipDirectoryReason,
    reachesDirectory(path) {
      if (prefix !== '' && path !== prefix && !path.startsWith(`${prefix}/`)) return false;
      for (let dir = path; dir !== prefix; dir = directoryOf(dir)) {
        if (skipDirectoryReason(dir) !== undefined) return false;
      }
      return true;
    },
  };
}
