// Decides what is told, when, and by whom: a cause that stays is told once, by one of the pods that see it; that it is
// over is told once, by one that knows. What the pods tell each other is on the board (board.ts). A duplicate is better
// than silence: whoever claims and doesn't deliver is replaced, and without a board everybody tells for himself.
import { type Cause, type Condition, kindOf } from './condition.ts';

/** `tell`: that there is trouble. `over`: that there is none any more. */
export type Purpose = 'tell' | 'over';

export interface Claim {
  id: string;
  purpose: Purpose;
  /** The highest number counts; each can be claimed once. */
  n: number;
}

/** What the board says about one cause. A beat is any text that changes while its writer lives. */
export interface BoardEntry {
  /** Set once the trouble was told. */
  told: { severity: Cause['severity']; text: string } | undefined;
  claims: Partial<Record<Purpose, { n: number; beat: string }>>;
  /** The other pods that saw it. Only where the cause isn't seen here. */
  others: readonly { member: string; beat: string }[];
}

export type Board = ReadonlyMap<string, BoardEntry>;

/** Milliseconds. */
export interface AlertTiming {
  /** Trouble must stay, and stay away, for so long. */
  hold: number;
  /** Who claimed and shows no sign of life for so long is replaced. */
  claim: number;
  /** A pod that shows no sign of life for so long doesn't see the trouble any more. */
  silent: number;
  /** After a message that couldn't be delivered. */
  retry: number;
  /** More parked files for a reason that was told are told no sooner. */
  again: number;
  /** Looks further apart prove nothing about others: we may have been the one who slept. */
  gap: number;
}

export function alertTiming(holdMs: number, lookMs: number): AlertTiming {
  return {
    hold: holdMs,
    claim: Math.max(holdMs, 4 * lookMs),
    silent: 5 * Math.max(holdMs, 4 * lookMs),
    retry: 10 * holdMs,
    again: 60 * holdMs,
    gap: 4 * lookMs,
  };
}

interface Tracked {
  cause: Cause;
  present: boolean;
  /** Monotonic ms: since when it is present, or absent. */
  since: number;
  /** Whether this process has seen it. */
  seenHere: boolean;
  told: boolean;
  toldAt: number;
  toldFiles: number;
  /** The board has said that it was told: if it says so no more, it was told to be over. */
  onBoard: boolean;
  /** What we have claimed; `failed` waits for its retry. */
  work: (Claim & { state: 'sending' | 'failed'; at: number }) | undefined;
  /** Condition.confirmations when it was first noticed. */
  confirmations: number;
}

export interface Alerts {
  readonly tracked: ReadonlyMap<string, Tracked>;
  /** Since when (monotonic ms) each beat has stood still. */
  readonly beats: ReadonlyMap<string, { beat: string; since: number }>;
  readonly lookedAt: number;
}

export const noAlerts: Alerts = { tracked: new Map(), beats: new Map(), lookedAt: Number.NEGATIVE_INFINITY };

export type AlertEvent =
  /** `complete`: nothing that the board holds is missing. `now`: monotonic ms. */
  | { kind: 'look'; now: number; condition: Condition; board: Board; complete: boolean }
  /** Which of the claims that were asked for are ours. */
  | { kind: 'claimed'; now: number; asked: readonly Claim[]; won: readonly Claim[] }
  | { kind: 'sent'; now: number; claims: readonly Claim[]; delivered: boolean };

export type Effect =
  | { do: 'claim'; claim: Claim }
  /** Shows that we see it. */
  | { do: 'see'; id: string }
  /** Shows that we still try to deliver. */
  | { do: 'beat'; claim: Claim }
  /** One message about all of these. */
  | { do: 'send'; purpose: Purpose; claims: readonly Claim[]; causes: readonly Cause[] }
  /** It was told: for all to see. */
  | { do: 'mark'; cause: Cause }
  /** We don't see it any more. */
  | { do: 'leave'; id: string }
  /** All about it comes off the board. */
  | { do: 'clear'; id: string };

export function decide(alerts: Alerts, event: AlertEvent, timing: AlertTiming): { alerts: Alerts; effects: Effect[] } {
  switch (event.kind) {
    case 'look':
      return look(alerts, event, timing);
    case 'claimed':
      return takeClaims(alerts, event);
    case 'sent':
      return takeOutcome(alerts, event);
  }
}

function look(
  alerts: Alerts,
  { now, condition, board, complete }: Extract<AlertEvent, { kind: 'look' }>,
  timing: AlertTiming,
): { alerts: Alerts; effects: Effect[] } {
  const beats = followBeats(alerts, board, now, timing);
  const isSilent = (file: string, ms: number) => now - (beats.get(file)?.since ?? now) >= ms;
  const causes = new Map(condition.causes.map((cause) => [cause.id, cause]));
  const tracked = new Map<string, Tracked>();
  const effects: Effect[] = [];
  for (const id of new Set([...causes.keys(), ...alerts.tracked.keys(), ...board.keys()])) {
    const entry = board.get(id);
    const file = follow(alerts.tracked.get(id), id, causes.get(id), entry, condition, now);
    if (!file) continue;
    if (entry?.told) file.onBoard = true;
    else if (file.onBoard && complete) Object.assign(file, { told: false, onBoard: false, since: now });
    const next = file.present
      ? tellTrouble(file, entry, now, timing, isSilent)
      : tellOver(file, entry, condition, now, timing, isSilent);
    effects.push(...next.effects);
    if (next.keep) tracked.set(id, file);
  }
  return { alerts: { tracked, beats, lookedAt: now }, effects };
}

/** What is known about a cause, brought up to date; undefined where there is nothing to know. */
function follow(
  before: Tracked | undefined,
  id: string,
  cause: Cause | undefined,
  entry: BoardEntry | undefined,
  { confirmations }: Condition,
  now: number,
): Tracked | undefined {
  const kind = kindOf(id);
  if (kind === undefined) return undefined;
  const present = cause !== undefined;
  const known = cause ??
    before?.cause ?? { id, kind, files: 0, ...(entry?.told ?? { severity: 'degraded', text: '' }) };
  const file: Tracked = before
    ? { ...before, cause: known, present, since: before.present === present ? before.since : now }
    : {
        cause: known,
        present,
        since: now,
        seenHere: false,
        told: false,
        toldAt: 0,
        toldFiles: 0,
        onBoard: false,
        work: undefined,
        confirmations,
      };
  if (present) file.seenHere = true;
  if (entry?.told && !file.told) Object.assign(file, { told: true, toldAt: now, toldFiles: known.files });
  // Fewer than were told: what comes on top of them is new.
  if (present) file.toldFiles = Math.min(file.toldFiles, known.files);
  return file;
}

type Silence = (file: string, ms: number) => boolean;
interface Next {
  effects: Effect[];
  keep: boolean;
}

function tellTrouble(
  file: Tracked,
  entry: BoardEntry | undefined,
  now: number,
  timing: AlertTiming,
  isSilent: Silence,
): Next {
  const held = now - file.since >= timing.hold;
  const { id, files } = file.cause;
  // One that was told shows at once that it is seen: after a restart nobody must take it for over.
  const effects: Effect[] = held || file.told ? [{ do: 'see', id }] : [];
  const more = file.told && files > file.toldFiles && now - file.toldAt >= timing.again;
  if (held && (!file.told || more)) effects.push(...claimUnlessTaken(file, 'tell', entry, now, timing, isSilent, more));
  return { effects, keep: true };
}

function tellOver(
  file: Tracked,
  entry: BoardEntry | undefined,
  condition: Condition,
  now: number,
  timing: AlertTiming,
  isSilent: Silence,
): Next {
  const { id } = file.cause;
  if (file.work?.state === 'sending') return { effects: [{ do: 'beat', claim: file.work }], keep: true };
  if (!file.told && !entry) return { effects: [], keep: false };
  if (now - file.since < timing.hold) return { effects: [], keep: true };
  const effects: Effect[] = file.seenHere ? [{ do: 'leave', id }] : [];
  if (!isGone(file, condition)) return { effects, keep: true };
  const others = entry?.others.some(({ member }) => !isSilent(seenName(id, member), timing.silent)) ?? false;
  if (others) return { effects, keep: true };
  if (file.told)
    return { effects: [...effects, ...claimUnlessTaken(file, 'over', entry, now, timing, isSilent)], keep: true };
  // Too short to be told; somebody may be about to, though.
  const teller = entry?.claims.tell;
  if (teller && !isSilent(claimName({ id, purpose: 'tell', n: teller.n }), timing.silent))
    return { effects, keep: true };
  return { effects: [...effects, { do: 'clear', id }], keep: false };
}

function claimUnlessTaken(
  file: Tracked,
  purpose: Purpose,
  entry: BoardEntry | undefined,
  now: number,
  timing: AlertTiming,
  isSilent: Silence,
  more = false,
): Effect[] {
  const { id } = file.cause;
  const { work } = file;
  const top = entry?.claims[purpose];
  const ours = work?.purpose === purpose && work.n >= (top?.n ?? 0);
  if (work?.state === 'sending') return [{ do: 'beat', claim: work }];
  if (ours && work && now - work.at < timing.retry) return [];
  if (top && !ours && !more && !isSilent(claimName({ id, purpose, n: top.n }), timing.claim)) return [];
  return [{ do: 'claim', claim: { id, purpose, n: Math.max(top?.n ?? 0, work?.n ?? 0) + 1 } }];
}

/** Whether we know that it isn't there, and not only don't see it. */
function isGone({ cause, seenHere, confirmations }: Tracked, condition: Condition): boolean {
  switch (cause.kind) {
    case 'settings':
      return true;
    case 'store':
      return condition.storeOpen && (seenHere || condition.confirmations > confirmations);
    case 'parked':
      return seenHere || (condition.seesAll && condition.counts.pending === 0);
    case 'trouble':
      return seenHere || condition.seesAll;
  }
}

function takeClaims(
  alerts: Alerts,
  { now, asked, won }: Extract<AlertEvent, { kind: 'claimed' }>,
): { alerts: Alerts; effects: Effect[] } {
  const tracked = new Map(alerts.tracked);
  const causes = new Map<string, Cause>();
  for (const claim of asked) {
    const file = tracked.get(claim.id);
    if (!file) continue;
    causes.set(claim.id, file.cause);
    if (won.includes(claim)) tracked.set(claim.id, { ...file, work: { ...claim, state: 'sending', at: now } });
    // Somebody else tells of the files that came on top.
    else if (file.told && claim.purpose === 'tell')
      tracked.set(claim.id, { ...file, toldAt: now, toldFiles: file.cause.files });
  }
  const isParked = ({ id }: Claim) => causes.get(id)?.severity === 'parked';
  const told = won.filter(({ purpose }) => purpose === 'tell');
  const groups: [Purpose, Claim[]][] = [
    ['tell', told.filter((claim) => !isParked(claim))],
    ['tell', told.filter(isParked)],
    ['over', won.filter(({ purpose }) => purpose === 'over')],
  ];
  const effects = groups
    .filter(([, claims]) => claims.length > 0)
    .map(
      ([purpose, claims]): Effect => ({
        do: 'send',
        purpose,
        claims,
        causes: claims.flatMap(({ id }) => causes.get(id) ?? []),
      }),
    );
  return { alerts: { ...alerts, tracked }, effects };
}

function takeOutcome(
  alerts: Alerts,
  { now, claims, delivered }: Extract<AlertEvent, { kind: 'sent' }>,
): { alerts: Alerts; effects: Effect[] } {
  const tracked = new Map(alerts.tracked);
  const effects: Effect[] = [];
  for (const { id, purpose, n } of claims) {
    const file = tracked.get(id);
    if (!file || file.work?.n !== n) continue;
    if (!delivered) {
      tracked.set(id, { ...file, work: { id, purpose, n, state: 'failed', at: now } });
    } else if (purpose === 'tell') {
      tracked.set(id, { ...file, told: true, toldAt: now, toldFiles: file.cause.files, work: undefined });
      effects.push({ do: 'mark', cause: file.cause });
    } else {
      // Back before it was told to be over: it is told anew once it has stayed.
      if (file.present) tracked.set(id, { ...file, told: false, onBoard: false, since: now, work: undefined });
      else tracked.delete(id);
      effects.push({ do: 'clear', id });
    }
  }
  return { alerts: { ...alerts, tracked }, effects };
}

/** Names of beats, and of the files on the board that carry them. */
export function seenName(id: string, member: string): string {
  return `${id}.seen.${member}`;
}

export function claimName({ id, purpose, n }: Claim): string {
  return `${id}.${purpose}.${n}`;
}

function followBeats(alerts: Alerts, board: Board, now: number, timing: AlertTiming): Alerts['beats'] {
  const beats = new Map<string, { beat: string; since: number }>();
  const slept = now - alerts.lookedAt > timing.gap;
  const note = (name: string, beat: string) => {
    const before = alerts.beats.get(name);
    beats.set(name, before?.beat === beat && !slept ? before : { beat, since: now });
  };
  for (const [id, { claims, others }] of board) {
    for (const { member, beat } of others) note(seenName(id, member), beat);
    for (const purpose of ['tell', 'over'] as const) {
      const claim = claims[purpose];
      if (claim) note(claimName({ id, purpose, n: claim.n }), claim.beat);
    }
  }
  return beats;
}
