// What a message says. The JSON is an interface: docs/notifications.md describes it, and fields are only ever added.
import { files, number, size } from '../status/words.ts';
import type { Purpose } from './alerts.ts';
import type { Cause, Condition } from './condition.ts';

type MessageEvent = 'failing' | 'degraded' | 'parked' | 'recovered' | 'digest' | 'left-out' | 'test';

export interface Message {
  /** Of this format. */
  version: 1;
  event: MessageEvent;
  /** Of the pod that tells, at that moment. */
  state: Condition['state'];
  /** All of it for people; its first line is the title. */
  text: string;
  /** All that isn't as it should be at that moment. */
  reasons: readonly string[];
  /** A short hash: the pod's id is the address of its ComfyUI. */
  pod: string;
  bucket: string;
  /** What the message is about; empty for all of them. */
  folders: readonly string[];
  counts: {
    /** On this pod at that moment. */
    pending: number;
    parked: number;
    /** Of a digest: files and bytes. */
    storedFiles?: number;
    storedBytes?: number;
    /** Messages that weren't sent because there were too many. */
    leftOut?: number;
  };
  /** ISO 8601, by the pod's clock. */
  at: string;
}

/** What is the same in every message of a pod. */
export interface Sender {
  pod: string;
  bucket: string;
  /** Cuts out what isn't for everybody. */
  hide: (text: string) => string;
}

/** A list in a message is cut here. */
const MOST_REASONS = 8;
const MOST_FOLDERS = 20;
/** The account's id, as it stands in an endpoint. */
const ACCOUNT = /\b[0-9a-f]{32}(?=\.(?:[a-z]+\.)?r2\.cloudflarestorage\.com)/gi;

export function alertMessage(
  sender: Sender,
  condition: Condition,
  purpose: Purpose,
  causes: readonly Cause[],
  at: string,
): Message {
  const lines = causes.map(({ text }) => text).filter((text) => text !== '');
  if (purpose === 'over') {
    const title = condition.state === 'ok' ? 'Uploads are good again' : 'Some trouble with uploads is over';
    const over = lines.map((line) => `Over: ${line}`);
    const left = condition.reasons.map((reason) => `Still so: ${reason}`);
    return message(sender, condition, 'recovered', at, title, [...over, ...left]);
  }
  const parked = causes.reduce((sum, cause) => sum + cause.files, 0);
  if (parked > 0) return message(sender, condition, 'parked', at, `${files(parked)} can't be uploaded`, lines);
  const failing = causes.some(({ severity }) => severity === 'failing');
  return failing
    ? message(sender, condition, 'failing', at, 'Uploads are failing', lines)
    : message(sender, condition, 'degraded', at, 'Uploads need attention', lines);
}

export function digestMessage(
  sender: Sender,
  condition: Condition,
  stored: { files: number; bytes: number; folders: readonly string[]; since: string },
  at: string,
): Message {
  const of = stored.folders.filter((folder) => folder !== '.');
  const whose = of.length > 0 ? `, of ${listed(of)}` : '';
  const title = `Stored: ${files(stored.files)}, ${size(stored.bytes)}${whose} since ${stored.since}`;
  const told = message(sender, condition, 'digest', at, title, condition.reasons);
  return {
    ...told,
    folders: stored.folders.slice(0, MOST_FOLDERS),
    counts: { ...told.counts, storedFiles: stored.files, storedBytes: stored.bytes },
  };
}

/** After too many messages: how many weren't sent, and how things are now. */
export function leftOutMessage(sender: Sender, condition: Condition, leftOut: number, at: string): Message {
  const title = `${number(leftOut)} more ${leftOut === 1 ? 'message was' : 'messages were'} left out`;
  const now = condition.reasons.length > 0 ? condition.reasons : ['All is good now.'];
  const told = message(sender, condition, 'left-out', at, title, now);
  return { ...told, counts: { ...told.counts, leftOut } };
}

export function testMessage(sender: Sender, at: string): Message {
  const nothing = { state: 'ok' as const, reasons: [], folders: [], counts: { pending: 0, parked: 0 } };
  const condition = { ...nothing, causes: [], seesAll: true, storeOpen: true, confirmations: 0 };
  return message(sender, condition, 'test', at, 'r2-sync can send messages here', [
    'This is a test. Nothing is wrong.',
  ]);
}

function message(
  { pod, bucket, hide }: Sender,
  { state, reasons, folders, counts }: Condition,
  event: MessageEvent,
  at: string,
  title: string,
  lines: readonly string[],
): Message {
  const clean = (text: string) => hide(text).replace(ACCOUNT, '<account id>');
  const shown = lines.slice(0, MOST_REASONS);
  const more = lines.length - shown.length;
  const where = bucket === '' ? `(pod ${pod})` : `(bucket ${bucket}, pod ${pod})`;
  const text = [`${title} ${where}`, ...shown, ...(more > 0 ? [`… and ${more} more`] : [])].join('\n');
  return {
    version: 1,
    event,
    state,
    text: clean(text),
    reasons: reasons.slice(0, MOST_REASONS).map(clean),
    pod,
    bucket,
    folders: folders.slice(0, MOST_FOLDERS),
    counts,
    at,
  };
}

/** `alice and bob`, `alice, bob and 3 more`. */
function listed(names: readonly string[]): string {
  if (names.length > 3) return `${names.slice(0, 2).join(', ')} and ${names.length - 2} more`;
  return [...names.slice(0, -2), names.slice(-2).join(' and ')].join(', ');
}
