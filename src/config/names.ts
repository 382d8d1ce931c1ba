// Decides which setting a name means, and which one was probably meant by a name that there isn't.
import type { Setting } from './setting.ts';
import { table } from './table.ts';

export const settings: readonly Setting[] = Object.values(table);

/** Every name of a setting, its first one first, without the `_FILE` forms. */
export function namesOf(setting: Setting): readonly string[] {
  return [setting.name, ...(setting.aliases ?? [])];
}

/** Every name, `_FILE` forms included, whose value must not reach a program that isn't ours. */
export function secretNames(): readonly string[] {
  return settings
    .filter(({ secret }) => secret)
    .flatMap((setting) => namesOf(setting).flatMap((name) => [name, `${name}_FILE`]));
}

const byName = new Map(
  settings.flatMap((setting) =>
    namesOf(setting).flatMap((name) => [[name, setting] as const, [`${name}_FILE`, setting] as const]),
  ),
);

/** The setting that a name or its `_FILE` form stands for. */
export function findSetting(name: string): Setting | undefined {
  return byName.get(name);
}

/** The known name nearest to one that isn't known, or undefined where none is near. */
export function nearestName(name: string): string | undefined {
  const wanted = name.toUpperCase().slice(0, 60);
  let best: string | undefined;
  let least = Math.max(2, Math.ceil(wanted.length / 4)) + 1;
  for (const known of byName.keys()) {
    // Half a name (R2_SECRET), or a name and more (R2_BUCKET_NAME), is nearer than its letters say, but not than a slip.
    const contained = wanted.length > 5 && (known.startsWith(wanted) || wanted.startsWith(`${known}_`));
    const distance = contained ? 2.5 : editDistance(wanted, known);
    if (distance < least) [best, least] = [known, distance];
  }
  return best;
}

/** How many letters must be added, removed or replaced to make one text the other (Levenshtein). */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(replaced, row[j]! + 1, next[j - 1]! + 1));
    }
    row = next;
  }
  return row[b.length]!;
}
