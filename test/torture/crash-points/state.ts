// The state directory as a reader finds it who knows nothing of the agent's code.
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

export interface Line {
  path: string;
  size: number;
  mtimeNs: string;
  sha256: string;
  /** In the line before where only the time moved. */
  key?: string;
}

/** Every file below `.r2-sync`, relative to that. */
export async function stateFiles(output: string): Promise<string[]> {
  const base = join(output, '.r2-sync');
  const entries = await readdir(base, { recursive: true, withFileTypes: true }).catch(() => []);
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(base.length + 1));
}

/** Whole lines of all segments, in no particular order. Throws where one isn't JSON, unless a death cut it off. */
export async function ledgerLines(output: string): Promise<Line[]> {
  const lines: Line[] = [];
  for (const file of await stateFiles(output)) {
    if (!/\/ledger\.[^/]*\.jsonl$/.test(file)) continue;
    // A compaction may just have removed it.
    const text = await readFile(join(output, '.r2-sync', file), 'utf8').catch(() => '');
    for (const line of text.slice(0, text.lastIndexOf('\n') + 1).split('\n'))
      if (line !== '') lines.push(JSON.parse(line));
  }
  return lines;
}

/** Notes of unfinished uploads. */
export async function notesOf(output: string): Promise<string[]> {
  return (await stateFiles(output)).filter((file) => /\/~uploads\/[^/]*\.json$/.test(file));
}
