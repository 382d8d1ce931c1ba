// When the agent first ran on this volume for this bucket: what was there before is a backlog.
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { makeDirectory } from '../ledger/io.ts';
import { fsPath } from '../paths.ts';
import type { VolumeFs } from '../volume/gate.ts';

/** No folder's directory can have this name: '~' stands only in names that were cut. */
const FILE = '~first-start.json';

/** How files that R2_EXISTING=skip leaves alone are counted, for people. */
export const SKIPPED_AS_OLDER = 'older than the agent (R2_EXISTING=skip)';

/** Wall ms; undefined where no agent has run yet. */
export async function notedFirstStart(fs: VolumeFs, targetDir: string): Promise<number | undefined> {
  const file = fsPath(join(targetDir, FILE));
  try {
    // A note that can't be read any more still tells by its time.
    return parse(await fs.readFile(file, 'utf8')) ?? (await fs.stat(file)).mtimeMs;
  } catch {
    return undefined;
  }
}

/**
 * Wall ms; `now` if no agent has run yet, which is noted in the target's directory. Where that can't be, undefined: nobody can tell what was there before, and
 * the next start must not take for old what this one leaves.
 */
export async function readFirstStart(fs: VolumeFs, targetDir: string, now: number): Promise<number | undefined> {
  const noted = await notedFirstStart(fs, targetDir);
  if (noted !== undefined) return noted;
  try {
    await makeDirectory(fs, targetDir);
    const file = fsPath(join(targetDir, FILE));
    const temporary = fsPath(join(targetDir, `${FILE}.${randomUUID()}.tmp`));
    const handle = await fs.open(temporary, 'w', 0o666);
    try {
      await handle.writeFile(JSON.stringify({ v: 1, at: new Date(now).toISOString() }));
      await handle.sync();
    } finally {
      await handle.close();
    }
    await fs.rename(temporary, file);
    return now;
  } catch {
    return undefined;
  }
}

function parse(text: string): number | undefined {
  try {
    const at = Date.parse((JSON.parse(text) as { at: string }).at);
    return Number.isFinite(at) ? at : undefined;
  } catch {
    return undefined;
  }
}
