// Which source of hints runs. inotifywait wherever it is installed; @parcel/watcher where it isn't, or while
// inotifywait can't run or keeps dying. Not both at once: the second would double the work per file and holds the
// whole tree in memory, and what either misses the scan finds. A source that fails is tried again with back-off, for ever.
import type { Clock } from '../clock.ts';
import { errorText } from '../errors.ts';
import type { Log } from '../log.ts';
import type { HintListener, HintSource } from './hints.ts';
import { INOTIFYWAIT, NotInstalledError, startInotifywait } from './inotifywait.ts';
import { PARCEL, startParcel } from './parcel.ts';

const FIRST_RETRY_MS = 1_000;
const LAST_RETRY_MS = 60_000;
/** A source that was up this long has proven itself: its next failure counts as the first. */
const STEADY_MS = 60_000;
/** One failure is repaired by the first retry; from the second in a row the stand-in runs. */
const FAILURES_TO_STAND_IN = 2;
/** A program that hangs in a call to a dead volume can't be killed: it isn't waited for longer than this. */
const CLOSE_MS = 2_000;

export interface WatchOptions {
  log: Log;
  clock: Clock;
  /** The program to run as inotifywait. Default: `inotifywait`, found through PATH. */
  inotifywait?: string;
}

/**
 * Watches `directory` (absolute) until it is closed. Never throws: a directory that can't be watched is `lost` and
 * tried again. The source that `ready` named last is the one that runs, unless `lost` has named it since; `lost` may
 * also name one that could not be started. A source is reported lost once: a retry that fails for the same reason only
 * goes to the log at debug. A watched directory that is removed and made again needs a new watcher.
 */
export function watchHints(directory: string, listener: HintListener, options: WatchOptions): HintSource {
  const { log, clock } = options;
  const closing = new AbortController();
  let standIn: { stop: AbortController; done: Promise<void> } | undefined;
  let stopped: Promise<unknown> = Promise.resolve();

  const keep = (
    source: string,
    start: Start,
    signal: AbortSignal,
    on: Pick<Supervision, 'up' | 'down' | 'missing'> = {},
  ): Promise<void> => keepRunning({ source, start, listener, log, clock, signal, ...on });

  function beginStandIn(why: string): void {
    if (standIn || closing.signal.aborted) return;
    log.info(`${PARCEL} watches for new files: ${why}`);
    const stop = new AbortController();
    standIn = { stop, done: keep(PARCEL, (l, signal) => startParcel(directory, l, { signal }), stop.signal) };
  }

  function endStandIn(): void {
    if (!standIn) return;
    standIn.stop.abort();
    stopped = Promise.all([stopped, standIn.done]);
    standIn = undefined;
  }

  const command = options.inotifywait ?? INOTIFYWAIT;
  const main = keep(INOTIFYWAIT, (l, signal) => startInotifywait(directory, l, { signal, command }), closing.signal, {
    up: endStandIn,
    missing: beginStandIn,
    down: (reason, failures) => {
      if (failures >= FAILURES_TO_STAND_IN) beginStandIn(`${INOTIFYWAIT}: ${reason}`);
    },
  });

  return {
    async close() {
      closing.abort();
      endStandIn();
      const waited = new AbortController();
      await Promise.race([Promise.all([main, stopped]), clock.sleep(CLOSE_MS, waited.signal)]);
      waited.abort();
    },
  };
}

type Start = (listener: Pick<HintListener, 'hint' | 'lost'>, signal: AbortSignal) => Promise<HintSource>;

interface Supervision {
  source: string;
  start: Start;
  listener: HintListener;
  log: Log;
  clock: Clock;
  signal: AbortSignal;
  up?: () => void;
  /** `failures`: how many in a row, without a steady time between them. */
  down?: (reason: string, failures: number) => void;
  missing?: (reason: string) => void;
}

/** Starts a source again and again until the signal, or until it turns out not to be installed. Never rejects. */
async function keepRunning(supervision: Supervision): Promise<void> {
  const { source, start, listener, log, clock, signal } = supervision;
  const aborted = new Promise<string>((resolve) => {
    signal.addEventListener('abort', () => resolve(''), { once: true });
  });
  let failures = 0;
  let reported: string | undefined;
  while (!signal.aborted) {
    const ended = Promise.withResolvers<string>();
    let reason: string;
    try {
      const running = await start(
        { hint: (hint) => listener.hint(hint), lost: (_, why) => ended.resolve(why) },
        signal,
      );
      if (!signal.aborted) {
        reported = undefined;
        listener.ready(source);
        supervision.up?.();
      }
      const since = clock.monotonic();
      reason = await Promise.race([ended.promise, aborted]);
      if (clock.monotonic() - since >= STEADY_MS) failures = 0;
      await running.close();
    } catch (error) {
      if (error instanceof NotInstalledError && !signal.aborted) return supervision.missing?.(error.message);
      reason = errorText(error);
    }
    if (signal.aborted) return;
    failures += 1;
    if (reason === reported) log.debug(`${source} still can't run: ${reason}`);
    else listener.lost(source, reason);
    reported = reason;
    supervision.down?.(reason, failures);
    await clock.sleep(Math.min(FIRST_RETRY_MS * 2 ** (failures - 1), LAST_RETRY_MS), signal);
  }
}
