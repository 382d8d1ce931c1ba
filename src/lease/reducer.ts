// Whose folder is it? The rules of the lease as one pure function: state and event give the next state and what is to
// be done. No clock, no file, no wait in here, so that every order of events can be tried (test/lease/explorer).
//
// What it relies on: `link(2)` lets one of two win; who has made a link sees in a listing what was linked before; a
// beat that was written is seen by others within the time that timing.ts allows. Clocks of two machines are never
// compared. If that fails, two may upload one folder for a while: waste, never damage (invariant 4).
import type { Timing } from './timing.ts';

/** One moment on both clocks of this machine, in milliseconds. A suspended machine may stop the one, a step moves the other. */
export interface Instant {
  mono: number;
  wall: number;
}

/** Who a claim names, for people. */
export interface Holder {
  /** Short hash of the pod's id. */
  pod: string;
  host: string;
  /** ISO 8601, by the holder's clock. */
  since: string;
}

/** What a look at a folder's lease files showed. */
export interface Sight {
  /** The highest epoch of any claim or ledger segment; 0 where there is none. */
  top: number;
  /** The highest claim. */
  claim:
    | {
        epoch: number;
        /** We made it. */
        ours: boolean;
        /** Undefined where the claim can't be read. */
        holder: Holder | undefined;
        /** Its process is gone for sure. */
        died: boolean;
        /** It was made by another process of a pod with our id. */
        samePod: boolean;
        /** The holder's sign of life, compared and never understood; undefined where there is none. */
        beat: string | undefined;
        released: boolean;
      }
    | undefined;
}

/** How a folder came to us: nobody had it, it was given back, its holder fell silent, or died for sure. */
export type Handover = 'free' | 'released' | 'silent' | 'dead';

/** A claim of somebody else's under observation. Times are monotonic ms. */
interface Watched {
  epoch: number;
  holder: Holder | undefined;
  beat: string | undefined;
  /** Since when it has shown the same beat: the end of the first look that saw it. */
  since: number;
  /** The end of the last look. */
  seen: number;
}

type Mode =
  /** Asks for nothing and touches nothing. */
  | { is: 'away' }
  /**
   * Wants the folder and looks every beat. `without`: the state directory refuses, so files go without a lease. `unwon`:
   * claims of ours, one after the other, that we came to hold none of.
   */
  | { is: 'asking'; lookAt: number; watched: Watched | undefined; failures: number; unwon: number; without: boolean }
  | {
      is: 'claiming';
      epoch: number;
      begun: Instant;
      how: Handover;
      from: Holder | undefined;
      watched: Watched | undefined;
      failures: number;
      unwon: number;
      without: boolean;
    }
  /** `alive` is when the last beat that succeeded began. */
  | { is: 'holding'; epoch: number; counter: number; alive: Instant; beatAt: number; restingSince: number | undefined }
  /** `until`: a last beat that fails is tried again so long; others will find us silent then. */
  | { is: 'leaving'; epoch: number; counter: number; at: number; until: number };

export interface LeaseState {
  readonly mode: Mode;
  /** Something is due, and may be asked for. */
  readonly wanted: boolean;
  /** Give the folder back at once when nothing is due. */
  readonly brief: boolean;
  /** A file effect is under way: one at a time. */
  readonly running: boolean;
}

export type LeaseEvent =
  | { kind: 'wanted' }
  /** Nothing is due. `brief`: it isn't made here, so give it back at once. */
  | { kind: 'unwanted'; brief: boolean }
  /** We can't upload: let others. What is on its way gets `after` ms to end. */
  | { kind: 'yield'; after: number }
  | { kind: 'tick' }
  | { kind: 'seen'; begun: Instant; sight: Sight }
  /** `links`: the link count of the file that was linked; 2 or `exclusive` (made where no link can be) is a win. */
  | { kind: 'linked'; links: number | 'exclusive' }
  | { kind: 'beaten'; epoch: number; begun: Instant; highest: number }
  | { kind: 'left' }
  /** `refused`: the directory can't be used; otherwise it didn't answer. */
  | { kind: 'failed'; refused: boolean };

/** What is to be done. The first four end in an event each (`seen`, `linked`, `beaten`, `left`) or in `failed`. */
export type Effect =
  | { do: 'look' }
  | { do: 'link'; epoch: number }
  | { do: 'beat'; epoch: number; counter: number }
  | { do: 'leave'; epoch: number; counter: number }
  /** Claims and beats below this epoch are of no use to anybody. */
  | { do: 'tidy'; below: number }
  | { do: 'tell'; change: 'gained'; epoch: number; how: Handover; from: Holder | undefined }
  | { do: 'tell'; change: 'lost'; epoch: number; highest: number }
  | { do: 'tell'; change: 'released'; epoch: number }
  | { do: 'tell'; change: 'without' };

/** Numbers from here on aren't ours (design, section 11). */
export const FOREIGN_EPOCH = 2 ** 40;
/** So many failures in a row, and a directory that refuses counts as unusable; so does one where claims come too late. */
const FAILURES = 3;
/** What failed is tried again after this part of a beat. */
const HASTE = 5;

export const awayState: LeaseState = { mode: { is: 'away' }, wanted: false, brief: false, running: false };

/** Whether the folder may be uploaded at this moment: asked before every request, for a process may have been paused. */
export function mayUpload({ mode }: LeaseState, now: Instant, timing: Timing): boolean {
  if (mode.is === 'asking' || mode.is === 'claiming') return mode.without;
  return mode.is === 'holding' && isFresh(mode.alive, now, timing);
}

/** When a `tick` is due: monotonic ms; undefined while there is nothing to wait for. */
export function wakeAt({ mode, running }: LeaseState, timing: Timing): number | undefined {
  switch (mode.is) {
    case 'asking':
      return running ? undefined : mode.lookAt;
    case 'holding': {
      const rested = mode.restingSince === undefined ? Infinity : mode.restingSince + timing.idle;
      return Math.min(mode.alive.mono + timing.stop + 1, rested, running ? Infinity : mode.beatAt);
    }
    case 'leaving':
      return running ? undefined : mode.at;
    default:
      return undefined;
  }
}

type Step = { state: LeaseState; effects: Effect[] };

export function step(state: LeaseState, event: LeaseEvent, now: Instant, timing: Timing): Step {
  const { mode } = state;
  switch (event.kind) {
    case 'wanted': {
      const wanted = { ...state, wanted: true };
      if (mode.is === 'away') return proceed({ ...wanted, mode: asking(now.mono) }, now, timing);
      return proceed(
        mode.is === 'holding' ? { ...wanted, mode: { ...mode, restingSince: undefined } } : wanted,
        now,
        timing,
      );
    }
    case 'unwanted': {
      const rested = { ...state, wanted: false, brief: event.brief };
      if (mode.is === 'asking') return proceed({ ...rested, mode: { is: 'away' } }, now, timing);
      if (mode.is !== 'holding') return { state: rested, effects: [] };
      return proceed({ ...rested, mode: { ...mode, restingSince: mode.restingSince ?? now.mono } }, now, timing);
    }
    case 'yield': {
      const yielded = { ...state, wanted: false, brief: true };
      if (mode.is === 'asking') return { state: { ...yielded, mode: { is: 'away' } }, effects: [] };
      if (mode.is !== 'holding' && mode.is !== 'leaving') return { state: yielded, effects: [] };
      const { epoch, counter } = mode;
      return proceed(
        { ...yielded, mode: { is: 'leaving', epoch, counter, at: now.mono + event.after, until: Infinity } },
        now,
        timing,
      );
    }
    case 'tick':
      return proceed(state, now, timing);
    case 'seen':
      return afterSight({ ...state, running: false }, event, now, timing);
    case 'linked':
      return afterLink({ ...state, running: false }, event.links, now, timing);
    case 'beaten':
      return afterBeat({ ...state, running: false }, event, now, timing);
    case 'left': {
      const ended = { ...state, running: false };
      if (mode.is !== 'leaving') return proceed(ended, now, timing);
      return tell({ ...ended, mode: rest(state, now.mono) }, { do: 'tell', change: 'released', epoch: mode.epoch });
    }
    case 'failed':
      return afterFailure({ ...state, running: false }, event.refused, now, timing);
  }
}

/** Does what time has come for. */
function proceed(state: LeaseState, now: Instant, timing: Timing): Step {
  const { mode } = state;
  if (mode.is === 'holding') {
    if (!isFresh(mode.alive, now, timing)) return lose(state, mode.epoch, mode.epoch, now);
    if (mode.restingSince !== undefined && now.mono - mode.restingSince >= (state.brief ? 0 : timing.idle)) {
      const { epoch, counter } = mode;
      return proceed({ ...state, mode: { is: 'leaving', epoch, counter, at: now.mono, until: Infinity } }, now, timing);
    }
  }
  if (state.running) return { state, effects: [] };
  const running = { ...state, running: true };
  if (mode.is === 'asking' && now.mono >= mode.lookAt) return { state: running, effects: [{ do: 'look' }] };
  if (mode.is === 'holding' && now.mono >= mode.beatAt) {
    const { epoch, counter } = mode;
    return {
      state: { ...running, mode: { ...mode, counter: counter + 1 } },
      effects: [{ do: 'beat', epoch, counter: counter + 1 }],
    };
  }
  if (mode.is === 'leaving' && now.mono >= mode.at) {
    const until = Math.min(mode.until, now.mono + timing.stop);
    return {
      state: { ...running, mode: { ...mode, until } },
      effects: [{ do: 'leave', epoch: mode.epoch, counter: mode.counter + 1 }],
    };
  }
  return { state, effects: [] };
}

function afterSight(
  state: LeaseState,
  { begun, sight }: { begun: Instant; sight: Sight },
  now: Instant,
  timing: Timing,
): Step {
  const { mode } = state;
  const { claim } = sight;
  if (mode.is === 'claiming') {
    // A number that was free may be an old one that has been removed: then something higher is there.
    if (!(claim?.ours && claim.epoch === mode.epoch))
      return { state: { ...state, mode: rest(state, now.mono + timing.beat) }, effects: [] };
    return win(state, mode, now, timing);
  }
  if (mode.is !== 'asking') return proceed(state, now, timing);
  if (claim === undefined) return take(state, mode, sight.top, 'free', undefined, now, timing);
  // A claim of ours that we don't hold was lost, or came too late to be won: it is never resumed, but its successor is
  // ours to take. One after the other that comes too late would keep those away who are faster.
  const unwon = claim.ours ? Math.min(mode.unwon, FAILURES) + 1 : 0;
  if (claim.ours && unwon <= FAILURES)
    return take(state, { ...mode, unwon }, sight.top, 'free', undefined, now, timing);
  const { epoch, holder, beat } = claim;
  if (claim.released) return take(state, mode, sight.top, 'released', holder, now, timing);
  if (claim.died) return take(state, mode, sight.top, 'dead', holder, now, timing);
  const before = mode.watched;
  const unbroken = before?.epoch === epoch && before.beat === beat && begun.mono - before.seen <= timing.gap;
  const since = unbroken ? before.since : now.mono;
  const patience = claim.ours ? 2 * timing.dead : claim.samePod ? 2 * timing.beat : timing.dead;
  const watched = { epoch, holder, beat, since, seen: now.mono };
  if (unbroken && begun.mono - since >= patience)
    return take(state, { ...mode, watched }, sight.top, 'silent', holder, now, timing);
  const lookAt = Math.min(begun.mono + timing.beat, since + patience);
  const asks: Mode = { is: 'asking', lookAt, watched, failures: 0, unwon, without: claim.ours };
  const next = proceed({ ...state, mode: asks }, now, timing);
  if (!claim.ours || mode.without) return next;
  return { state: next.state, effects: [{ do: 'tell', change: 'without' }, ...next.effects] };
}

/** Claims the next number. */
function take(
  state: LeaseState,
  mode: Mode & { is: 'asking' },
  top: number,
  how: Handover,
  from: Holder | undefined,
  now: Instant,
  timing: Timing,
): Step {
  const epoch = top + 1;
  if (epoch >= FOREIGN_EPOCH) return afterFailure({ ...state, mode }, true, now, timing);
  const { watched, failures, unwon, without } = mode;
  return {
    state: {
      ...state,
      running: true,
      mode: { is: 'claiming', epoch, begun: now, how, from, watched, failures, unwon, without },
    },
    effects: [{ do: 'link', epoch }],
  };
}

function afterLink(state: LeaseState, links: number | 'exclusive', now: Instant, timing: Timing): Step {
  if (state.mode.is !== 'claiming') return proceed(state, now, timing);
  if (links === 2 || links === 'exclusive') return { state: { ...state, running: true }, effects: [{ do: 'look' }] };
  return { state: { ...state, mode: rest(state, now.mono + timing.beat) }, effects: [] };
}

/** The claim counts as the first sign of life. */
function win(
  state: LeaseState,
  { epoch, begun, how, from, failures, unwon, without }: Mode & { is: 'claiming' },
  now: Instant,
  timing: Timing,
): Step {
  const restingSince = state.wanted ? undefined : now.mono;
  const mode: Mode = { is: 'holding', epoch, counter: 0, alive: begun, beatAt: now.mono, restingSince };
  if (!isFresh(begun, now, timing)) {
    const again: Mode = { ...asking(now.mono), failures, unwon, without };
    return { state: { ...state, mode: state.wanted ? again : { is: 'away' } }, effects: [] };
  }
  const next = proceed({ ...state, mode }, now, timing);
  const told: Effect[] = [
    { do: 'tell', change: 'gained', epoch, how, from },
    { do: 'tidy', below: epoch - 1 },
  ];
  return { state: next.state, effects: [...told, ...next.effects] };
}

function afterBeat(
  state: LeaseState,
  { epoch, begun, highest }: { epoch: number; begun: Instant; highest: number },
  now: Instant,
  timing: Timing,
): Step {
  const { mode } = state;
  if (mode.is !== 'holding' || mode.epoch !== epoch) return proceed(state, now, timing);
  // It came too late: meanwhile somebody may have seen enough silence.
  if (!isFresh(mode.alive, now, timing)) return lose(state, epoch, highest, now);
  if (highest !== epoch) return lose(state, epoch, highest, now);
  return proceed({ ...state, mode: { ...mode, alive: begun, beatAt: begun.mono + timing.beat } }, now, timing);
}

function afterFailure(state: LeaseState, refused: boolean, now: Instant, timing: Timing): Step {
  const { mode } = state;
  switch (mode.is) {
    case 'asking':
    case 'claiming': {
      const failures = refused ? mode.failures + 1 : mode.failures;
      const without = mode.without || failures >= FAILURES;
      const { watched, unwon } = mode;
      if (!state.wanted) return { state: { ...state, mode: { is: 'away' } }, effects: [] };
      // A directory that refuses is soon known to: files are waiting.
      const lookAt = now.mono + (refused && !without ? timing.beat / HASTE : timing.beat);
      const next: LeaseState = { ...state, mode: { is: 'asking', lookAt, watched, failures, unwon, without } };
      return without && !mode.without ? tell(next, { do: 'tell', change: 'without' }) : { state: next, effects: [] };
    }
    case 'holding':
      return proceed({ ...state, mode: { ...mode, beatAt: now.mono + timing.beat / HASTE } }, now, timing);
    case 'leaving':
      if (now.mono < mode.until) {
        const at = Math.max(mode.at, now.mono + timing.beat / HASTE);
        return { state: { ...state, mode: { ...mode, at } }, effects: [] };
      }
      // Others will find it silent.
      return lose(state, mode.epoch, mode.epoch, now);
    default:
      return { state, effects: [] };
  }
}

/** An epoch that is lost is never held again. */
function lose(state: LeaseState, epoch: number, highest: number, now: Instant): Step {
  return tell({ ...state, mode: rest(state, now.mono) }, { do: 'tell', change: 'lost', epoch, highest });
}

function rest({ wanted }: LeaseState, at: number): Mode {
  return wanted ? asking(at) : { is: 'away' };
}

function asking(lookAt: number): Mode & { is: 'asking' } {
  return { is: 'asking', lookAt, watched: undefined, failures: 0, unwon: 0, without: false };
}

function tell(state: LeaseState, effect: Effect): Step {
  return { state, effects: [effect] };
}

function isFresh(alive: Instant, now: Instant, { stop }: Timing): boolean {
  return now.mono - alive.mono <= stop && now.wall - alive.wall <= stop;
}
