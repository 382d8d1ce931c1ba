// What claims and beats look like: JSON that a person can read.
import { isProcessIdentity, type ProcessIdentity } from '../process-identity.ts';

export interface Claim {
  epoch: number;
  /** The folder, for people: its directory's name may be cut. */
  folder: string;
  host: string;
  /** Version of the agent. */
  agent: string;
  /** Told anew by every agent: what makes a claim ours. */
  nonce: string;
  process: ProcessIdentity;
  /** ISO 8601, by the holder's clock; for people alone. */
  since: string;
}

export interface Beat {
  epoch: number;
  counter: number;
  released: boolean;
  /** ISO 8601, by the holder's clock; for people alone. */
  at: string;
}

/** Raise it when a field's meaning changes; what is newer is read as far as it can be. */
const FORMAT_VERSION = 1;
/** Bytes; always the same, so that a beat never leaves the end of an older one. */
const BEAT_BYTES = 256;

export function encodeClaim(claim: Claim): string {
  return `${JSON.stringify({ v: FORMAT_VERSION, ...claim }, null, 1)}\n`;
}

/** Undefined where the text isn't a claim of this epoch that can be read. */
export function parseClaim(text: string | undefined, epoch: number): Claim | undefined {
  const claim = parseObject(text) as Partial<Claim> | undefined;
  if (claim?.epoch !== epoch || !isProcessIdentity(claim.process)) return undefined;
  const texts = [claim.folder, claim.host, claim.agent, claim.nonce, claim.since];
  if (texts.some((field) => typeof field !== 'string')) return undefined;
  return claim as Claim;
}

export function encodeBeat(beat: Beat): string {
  return `${JSON.stringify({ v: FORMAT_VERSION, ...beat }).padEnd(BEAT_BYTES - 1)}\n`;
}

/** Undefined where the text isn't a beat of this epoch. */
export function parseBeat(text: string | undefined, epoch: number): Beat | undefined {
  const beat = parseObject(text) as Partial<Beat> | undefined;
  if (beat?.epoch !== epoch || !Number.isInteger(beat.counter) || typeof beat.at !== 'string') return undefined;
  return { epoch, counter: beat.counter!, at: beat.at, released: beat.released === true };
}

function parseObject(text: string | undefined): object | undefined {
  try {
    const value: unknown = JSON.parse(text ?? '');
    return typeof value === 'object' && value !== null ? value : undefined;
  } catch {
    return undefined;
  }
}
