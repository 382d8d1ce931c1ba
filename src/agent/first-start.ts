// When the agent first ran on this volume for this bucket: what was there before is a backlog.
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '../clock.ts';

const FILE = 'first-start.json';

/** How files that R2_EXISTING=skip leaves alone are counted, for people. */
export const SKIPPED_AS_OLDER = 'older than the agent (R2_EXISTING=skip)';

/** Wall ms; undefined where no agent has run yet. */
export function notedFirstStart(targetDir: string): Promise<number | undefined> {
  return readFile(join(targetDir, FILE), 'utf8').then(parse, () => undefined);
}

/** Wall ms. Noted in the target's directory; where that can't be, this start is the first. */
export async function readFirstStart(targetDir: string, clock: Clock): Promise<number> {
  const noted = await notedFirstStart(targetDir);
  if (noted !== undefined) return noted;
  const now = clock.wall();
  try {
    await mkdir(targetDir, { recursive: true, mode: 0o777 });
    await writeFile(join(targetDir, FILE), JSON.stringify({ v: 1, at: new Date(now).toISOString() }), {
      flag: 'wx',
      mode: 0o666,
    });
  } catch {
    // Unwritable, or another agent was faster: this start counts, which is at worst a little later.
  }
  return now;
}

function parse(text: string): number | undefined {
  try {
    const at = Date.parse((JSON.parse(text) as { at: string }).at);
    return Number.isFinite(at) ? at : undefined;
  } catch {
    return undefined;
  }
}
