// What is asked for: everything below the output directory, or one folder of it; and which listings of the bucket show it.
import { ExitCode, UserError } from '../errors.ts';
import { folderOf, printable, type RelPath } from '../paths.ts';
import { folderPrefix } from '../upload/existing.ts';

export interface Scope {
  /** Where to look on the volume, relative to the root. */
  from: RelPath;
  /** The one folder, undefined for all. */
  folder: string | undefined;
  includes: (path: RelPath) => boolean;
  /** The output directory is a part of one folder. */
  partOfFolder: boolean;
}

/**
 * @param prefix the output directory, relative to the root
 * Throws UserError for a folder that lies outside of the output directory.
 */
export function scopeOf(prefix: RelPath, asked: string | undefined): Scope {
  const folder = asked ?? (prefix === '' ? undefined : folderOf(`${prefix}/`));
  if (folder !== undefined && prefix !== '' && folder !== folderOf(`${prefix}/`)) {
    throw new UserError(
      `the folder "${printable(folder)}" isn't in the output directory, which is "${printable(prefix)}" of its volume`,
      'Set COMFYUI_OUTPUT_DIR to the directory that has all folders.',
      ExitCode.usage,
    );
  }
  const within = (path: RelPath) => prefix === '' || path.startsWith(`${prefix}/`);
  return {
    from: prefix === '' && folder !== undefined && folder !== '.' ? folder : prefix,
    folder,
    partOfFolder: prefix.includes('/'),
    includes: (path) => within(path) && (folder === undefined || folderOf(path) === folder),
  };
}

/** More listings than this aren't worth it: then the whole bucket is one. */
const MOST_PREFIXES = 20;

/** Prefixes that together show all keys of a scope: those that the template makes now, and `known` ones that others made. */
export function listingPrefixes(keyTemplate: string, { folder }: Scope, known: Iterable<string>): string[] {
  const prefixes = new Set([folderPrefix(keyTemplate, folder ?? '.')]);
  for (const key of known) {
    if ([...prefixes].some((prefix) => key.startsWith(prefix))) continue;
    prefixes.add(key.slice(0, key.indexOf('/') + 1));
    if (prefixes.size > MOST_PREFIXES) return [''];
  }
  // One that another one shows as well would be listed twice.
  const all = [...prefixes];
  return all.filter((prefix) => !all.some((other) => other !== prefix && prefix.startsWith(other)));
}

/** Whether these listings show nothing that wasn't asked for. */
export function showsOnlyScope(keyTemplate: string, { folder, partOfFolder }: Scope): boolean {
  if (partOfFolder) return false;
  return folder === undefined || folderPrefix(keyTemplate, folder) !== folderPrefix(keyTemplate, '.');
}
