// @parcel/watcher as a source of hints: it works everywhere, says about 50 ms later that something changed, and keeps
// a tree of every file in memory. It takes paths through a string, so names that aren't UTF-8 come mangled.
// One call is one life: when it reports an error, watcher.ts decides what comes next.
import { realpath } from 'node:fs/promises';
import { Worker } from 'node:worker_threads';
import type { Event, Options } from '@parcel/watcher';
import { errorText } from '../errors.ts';
import { directoryOf, printable } from '../paths.ts';
import type { Hint, HintListener, HintSource } from './hints.ts';
import { explainLimit } from './limits.ts';

/** Its name in `ready` and `lost`. */
export const PARCEL = '@parcel/watcher';

const OPTIONS: Options = {
  ignore: ['.r2-sync'],
  // Named, because otherwise it looks for a running Watchman first.
  ...(process.platform === 'linux' && { backend: 'inotify' }),
};

/**
 * Watches `directory` (absolute). Resolves when events arrive; `listener.lost` is then called once if it fails.
 * Throws an Error whose message says for people why it couldn't start. The signal ends the wait for a slow start.
 */
export async function startParcel(
  directory: string,
  listener: Pick<HintListener, 'hint' | 'lost'>,
  { signal }: { signal?: AbortSignal } = {},
): Promise<HintSource> {
  let over = signal?.aborted ?? false;
  const aborted = Promise.withResolvers<never>();
  const stop = () => {
    over = true;
    aborted.reject(new Error('stopped'));
  };
  signal?.addEventListener('abort', stop, { once: true });

  const starting = subscribe(directory, (error, events, root) => {
    if (over) return;
    if (error) {
      over = true;
      return listener.lost(PARCEL, describe(error));
    }
    for (const event of events) {
      const hint = toHint(event, root);
      if (hint) listener.hint(hint);
    }
  });
  const unsubscribe = async () => {
    over = true;
    signal?.removeEventListener('abort', stop);
    // A directory that vanished can't be unwatched, and needn't be.
    await starting.then((subscription) => subscription.unsubscribe()).catch(() => {});
  };
  try {
    await Promise.race([starting, aborted.promise]);
  } catch (error) {
    // The walk through the tree can't be stopped: what it comes to is dropped when it ends.
    void unsubscribe();
    throw new Error(describe(error));
  }
  return { close: unsubscribe };
}

async function subscribe(
  directory: string,
  take: (error: Error | null, events: Event[], root: string) => void,
): Promise<{ unsubscribe(): Promise<void> }> {
  // Loaded here, so that a machine without its native part runs on the scan alone.
  const watcher = await import('@parcel/watcher');
  // It refuses a directory that is a symlink itself, and some backends report resolved paths.
  const root = await realpath(directory);
  if (process.platform === 'linux') await proveInotifyWorks();
  return watcher.subscribe(root, (error, events) => take(error, events, root), OPTIONS);
}

/**
 * Where no inotify instance is to be had (fs.inotify.max_user_instances), @parcel/watcher waits for ever in the main
 * thread and the agent stands still with it. So one is opened and closed first, in a thread, since a thread keeps its
 * instance for life. Rejects with the error of `fs.watch`.
 */
function proveInotifyWorks(): Promise<void> {
  return new Promise((resolve, reject) => {
    const code = "require('node:fs').watch('/').close()";
    new Worker(code, { eval: true, execArgv: [] }).once('error', reject).once('exit', () => resolve());
  });
}

/** Undefined for what vanished: nothing is left to upload. What a created path is, a file or a directory, nobody says. */
function toHint({ path, type }: Event, root: string): Hint | undefined {
  if (type === 'delete') return undefined;
  if (path === root) return { path: '', kind: 'directory' };
  if (!path.startsWith(`${root}/`)) return undefined;
  const relative = path.slice(root.length + 1);
  const mangled = relative.indexOf('\ufffd');
  if (mangled === -1) return { path: relative, kind: 'changed' };
  // The real name can't be told: the nearest directory whose name can be is looked through instead.
  return { path: directoryOf(relative.slice(0, mangled)), kind: 'directory' };
}

function describe(error: unknown): string {
  const text = errorText(error);
  return explainLimit(text) ?? printable(text);
}
