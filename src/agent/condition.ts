// What somebody may want to be told of: everything that isn't as it should be, cause by cause.
import { createHash } from 'node:crypto';
import type { Config } from '../config/types.ts';
import { explain } from '../errors.ts';
import { type Cause, type Condition, makeCause, withoutFigures } from '../notify/condition.ts';
import { printable } from '../paths.ts';
import { number } from '../status/words.ts';
import type { Session } from './session.ts';
import type { Totals } from './totals.ts';

export interface ConditionOptions {
  config: Config | undefined;
  session: Session | undefined;
  totals: Totals;
  problems: readonly string[];
  /** What isn't as it should be outside of the session. */
  reasons: readonly string[];
}

/** More groups of parked files than anybody reads. */
const MOST_GROUPS = 50;
const EXAMPLES = 3;

export function describeCondition({ config, session, totals, problems, reasons }: ConditionOptions): Condition {
  const folders = new Set<string>();
  let pending = 0;
  for (const { folder } of session?.table.pending() ?? []) {
    pending += 1;
    folders.add(folder);
  }
  const causes: Cause[] = [];
  if (problems.length > 0) causes.push(makeCause('settings', 'failing', '', problems.join(' ')));
  const trouble = session?.gate.trouble;
  if (trouble) {
    const { cause, error } = trouble;
    // Pods with the same key have the same trouble; a pod with a wrong one has its own.
    const same = cause === 'refused' ? `${error.code} ${shortHash(config?.accessKeyId ?? '')}` : '';
    causes.push(makeCause('store', cause === 'refused' ? 'failing' : 'degraded', `${cause} ${same}`, explain(error)));
  }
  for (const text of [...reasons, ...(session?.reasons ?? [])])
    causes.push(makeCause('trouble', 'degraded', withoutFigures(text), text));
  const parked = session ? groupParked(session, folders) : { files: 0, causes: [] };
  const failing = causes.some(({ severity }) => severity === 'failing');
  // With nothing to try it with, nobody knows whether the store still refuses: then this pod is no witness.
  const witnessed = pending > 0 ? causes : causes.filter(({ kind }) => kind !== 'store');
  return {
    state: failing ? 'failing' : causes.length > 0 ? 'degraded' : 'ok',
    reasons: causes.map(({ text }) => text),
    causes: [...witnessed, ...parked.causes],
    folders: [...folders].map(printable),
    counts: { pending, parked: parked.files },
    seesAll: session?.seesAll === true,
    storeOpen: session?.gate.open === true,
    confirmations: totals.confirmations,
  };
}

/** One cause for all files of a folder for which the same must be done: why may name the file. */
function groupParked(session: Session, folders: Set<string>): { files: number; causes: Cause[] } {
  const groups = new Map<string, { same: string; text: string; files: number; examples: string[] }>();
  let files = 0;
  for (const { path, folder, why, fix } of session.table.stuck()) {
    files += 1;
    folders.add(folder);
    // Among a hundred thousand files a few fixes come again and again.
    const same = `${folder}\n${fix}`;
    let group = groups.get(same);
    if (!group) {
      const text = explain({ message: why, fix });
      group = { same: `${folder}\n${withoutFigures(fix)}`, text, files: 0, examples: [] };
      if (groups.size < MOST_GROUPS) groups.set(same, group);
    }
    group.files += 1;
    if (group.examples.length < EXAMPLES) group.examples.push(printable(path));
  }
  const causes = [...groups.values()].map(({ same, text, files: count, examples }) => {
    const more = count - examples.length;
    const which = `${examples.join(', ')}${more > 0 ? ` and ${number(more)} more` : ''}`;
    return makeCause('parked', 'parked', same, `${which}: ${text}`, count);
  });
  return { files, causes };
}

function shortHash(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 16);
}
