// inotifywait (inotify-tools 3.22 or later) as a source of hints: it says within a millisecond that a writer closed.
// One call is one life: when the program ends, watcher.ts decides what comes next.
// Its queue overflows without a word, and files written just after their directory was made often go unheard.
import { accessSync, constants } from 'node:fs';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { errorText } from '../errors.ts';
import { decodeName, printable } from '../paths.ts';
import type { Hint, HintListener, HintSource } from './hints.ts';
import { explainLimit } from './limits.ts';

/** Its name in `ready` and `lost`. */
export const INOTIFYWAIT = 'inotifywait';

/** The program isn't there: nothing to repair, nothing to retry. */
export class NotInstalledError extends Error {}

/**
 * It runs in the watched directory and watches `.`, so that no directory name needs escaping in the pattern. The state
 * directory is written all the time: `@` saves its watches at start, the pattern keeps out one that is made later.
 */
const ARGUMENTS = [
  ...['--monitor', '--recursive', '--event', 'close_write,moved_to,create'],
  ...['--exclude', '^\\./\\.r2-sync(/|$)', '@./.r2-sync'],
  ...['--no-newline', '--format', '%e %w%f%0', '.'],
];

/** What it says on standard error when all is well. */
const CHATTER = /^(Setting up watches|Watching new directory|Try increasing|Please increase|$)/;

/** How a run ended, as execa tells it. */
interface Ending {
  signal?: string | undefined;
  exitCode?: number | undefined;
  originalMessage?: string | undefined;
}

/**
 * Watches `directory` (absolute). Resolves when events arrive; `listener.lost` is then called once if the program ends.
 * Throws NotInstalledError, or an Error whose message says for people why it couldn't start. The signal kills it.
 */
export async function startInotifywait(
  directory: string,
  listener: Pick<HintListener, 'hint' | 'lost'>,
  { signal, command = INOTIFYWAIT }: { signal?: AbortSignal; command?: string } = {},
): Promise<HintSource> {
  // A missing directory and a missing program look alike to who starts one in the other.
  await stat(directory).catch((error: unknown) => {
    throw new Error(`the directory can't be watched: ${printable(errorText(error))}`);
  });
  const program = findProgram(command);
  if (program === undefined) throw new NotInstalledError(`${INOTIFYWAIT} (package inotify-tools) is not installed`);
  const [file, ...args] = withUs(program);
  const child = execa(file, [...args, ...ARGUMENTS], {
    cwd: directory,
    // Only what it needs: the agent's environment holds the bucket's keys.
    env: { PATH: process.env.PATH, LC_ALL: 'C' },
    extendEnv: false,
    stdin: 'ignore',
    encoding: 'buffer',
    buffer: false,
    reject: false,
    // It has nothing to finish.
    killSignal: 'SIGKILL',
  });
  let closed = false;
  const kill = () => {
    closed = true;
    child.kill();
  };
  if (signal?.aborted) kill();
  signal?.addEventListener('abort', kill, { once: true });

  let limit: string | undefined;
  let complaint = '';
  const established = new Promise<void>((resolve) => {
    child.stderr.on(
      'data',
      createSplitter(0x0a, (bytes) => {
        const line = bytes.toString('utf8');
        if (line === 'Watches established.') return resolve();
        limit ??= explainLimit(line);
        if (limit === undefined && !CHATTER.test(line)) complaint = line;
        // A watcher that is deaf to new directories is better replaced.
        if (limit !== undefined) child.kill();
      }),
    );
  });
  child.stdout.on(
    'data',
    createSplitter(0, (bytes) => {
      const hint = closed ? undefined : parseEvent(bytes);
      if (hint) listener.hint(hint);
    }),
  );

  const ended = child.then((result) => {
    signal?.removeEventListener('abort', kill);
    return result;
  });
  const failed = await Promise.race([established, ended]);
  if (failed) throw new Error(limit ?? describeEnd(failed, complaint));
  void ended.then((result) => {
    if (!closed) listener.lost(INOTIFYWAIT, limit ?? describeEnd(result, complaint));
  });
  return {
    async close() {
      kill();
      await ended;
    },
  };
}

/**
 * The command line under which it dies with us, even if we are killed: an orphan would keep one of the few inotify
 * instances of the machine until its next event. Without setpriv (util-linux) its next event meets a broken pipe.
 */
function withUs(program: string): [string, ...string[]] {
  const setpriv = findProgram('setpriv');
  return setpriv === undefined ? [program] : [setpriv, '--pdeathsig', 'KILL', program];
}

/** Where the PATH has a program; a path stays as it is. Undefined if it can't be run. */
function findProgram(name: string): string | undefined {
  const places = name.includes('/') ? [name] : (process.env.PATH ?? '').split(':').map((dir) => join(dir || '.', name));
  return places.find((place) => {
    try {
      accessSync(place, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/** Cuts a stream at every `separator`, wherever its chunks begin and end. What follows the last one waits. */
export function createSplitter(separator: number, take: (piece: Buffer) => void): (chunk: Buffer) => void {
  let waiting: Buffer[] = [];
  return (chunk) => {
    let start = 0;
    for (let end = chunk.indexOf(separator); end !== -1; end = chunk.indexOf(separator, start)) {
      const piece = chunk.subarray(start, end);
      start = end + 1;
      const whole = waiting.length === 0 ? piece : Buffer.concat([...waiting, piece]);
      waiting = [];
      take(whole);
    }
    if (start < chunk.length) waiting.push(chunk.subarray(start));
  };
}

/** The first event name that is there decides. */
const KINDS: readonly [event: string, kind: Hint['kind']][] = [
  ['ISDIR', 'directory'],
  ['CLOSE_WRITE', 'closed'],
  ['MOVED_TO', 'closed'],
  ['CREATE', 'opened'],
];

/**
 * `CLOSE_WRITE,CLOSE ./path` → a hint. Undefined for what isn't about a path below `.`: a directory that was moved out
 * is heard of for a moment more, without its path, and paths of about 4,000 bytes come garbled.
 */
function parseEvent(event: Buffer): Hint | undefined {
  const space = event.indexOf(0x20);
  if (space === -1 || event[space + 1] !== 0x2e || event[space + 2] !== 0x2f) return undefined;
  const names = event.toString('latin1', 0, space).split(',');
  const kind = KINDS.find(([name]) => names.includes(name))?.[1];
  return kind && { path: decodeName(event.subarray(space + 3)), kind };
}

function describeEnd(result: Ending, complaint: string): string {
  if (result.signal) return `it was killed by ${result.signal}`;
  if (complaint) return printable(complaint);
  if (result.exitCode === undefined) return printable(result.originalMessage ?? 'it did not start');
  return `it ended with exit code ${result.exitCode}`;
}
