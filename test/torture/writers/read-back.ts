// After a call has failed nobody knows what became of a file: it is looked up as soon as the volume answers again.
import { lstat, readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { errorCode } from '../../../src/errors.ts';

/** How often it is asked, and for how long after the end. */
const ASK_AGAIN_MS = 250;
const LAST_WORDS_MS = 10_000;

/**
 * The bytes of a file; `nothing` where there is none, or nothing in it. `unknown`: the volume didn't answer until the
 * signal was aborted, and for a while after that.
 * @param output the output directory: while it isn't there, nobody knows what is in it
 */
export async function readBack(
  output: string | Buffer,
  path: string | Buffer,
  signal: AbortSignal,
): Promise<Buffer | 'nothing' | 'unknown'> {
  let missing = 0;
  for (let asked = 0; asked < LAST_WORDS_MS; asked += signal.aborted ? ASK_AGAIN_MS : 0) {
    try {
      await lstat(output);
      const found = await readFileAt(path);
      await lstat(output);
      // Nothing twice: the volume may have gone and come back between two calls.
      if (found !== 'nothing' || ++missing === 2) return found;
    } catch (error) {
      if (errorCode(error) === undefined) throw error;
      missing = 0;
    }
    await sleep(ASK_AGAIN_MS);
  }
  return 'unknown';
}

async function readFileAt(path: string | Buffer): Promise<Buffer | 'nothing'> {
  try {
    const found = (await lstat(path)).isFile() ? await readFile(path) : Buffer.alloc(0);
    return found.length > 0 ? found : 'nothing';
  } catch (error) {
    if (errorCode(error) === 'ENOENT' || errorCode(error) === 'ENOTDIR') return 'nothing';
    throw error;
  }
}
