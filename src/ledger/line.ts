// One line of the ledger: how a fact is written, and which lines can be read.
import { isObjectKey } from '../object/key.ts';
import { isRelPath, type RelPath } from '../paths.ts';
import type { Known } from './index.ts';

/** A file whose bytes the store has confirmed. */
export interface LedgerFact extends Known {
  path: RelPath;
  /** The object's key; undefined where the file's time alone has moved: then it is the one in the line before. */
  key: string | undefined;
}

/** Raise it when a line's meaning changes; readers take newer lines as long as these fields are there. */
const FORMAT_VERSION = 1;

const HASH = /^[0-9a-f]{64}$/;
const INTEGER = /^-?\d{1,30}$/;
/** No later moment has a date: ms. */
const LAST_MOMENT = 8.64e15;

/** A fact as one line of JSON with its line end. Lone surrogates (broken bytes in names) become JSON escapes. */
export function encodeLine(fact: LedgerFact): string {
  const line = {
    v: FORMAT_VERSION,
    path: fact.path,
    size: fact.size,
    mtimeNs: String(fact.mtimeNs),
    sha256: fact.sha256,
    key: fact.key,
    storedAt: fact.storedAt,
    ...(fact.incomplete ? { incomplete: true } : {}),
  };
  return `${JSON.stringify(line)}\n`;
}

/**
 * A line as `encodeLine` writes nearly all of them, without an escape in it. Only a shortcut, at half the cost: whatever it
 * matches means the same as JSON.
 */
const PLAIN =
  /^\{"v":1,"path":"([^"\\\x00-\x1f]+)","size":(0|[1-9]\d{0,14}),"mtimeNs":"(-?\d{1,30})","sha256":"([0-9a-f]{64})","key":"([^"\\\x00-\x1f]*)","storedAt":(0|[1-9]\d{0,14})\}$/;

/** The fact in a line (without its line end), undefined where there is none that this version can read. */
export function parseLine(text: string): LedgerFact | undefined {
  const plain = PLAIN.exec(text);
  if (plain) {
    const [, path, size, mtimeNs, sha256, key, storedAt] = plain as unknown as string[];
    if (!isRelPath(path) || !isObjectKey(key)) return undefined;
    const numbers = { size: Number(size), mtimeNs: BigInt(mtimeNs!), storedAt: Number(storedAt) };
    return { path, sha256: sha256!, key, ...numbers, incomplete: false };
  }
  let line: Partial<Record<keyof LedgerFact | 'v', unknown>>;
  try {
    line = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof line !== 'object' || line === null) return undefined;
  const { v, path, size, mtimeNs, sha256, key, storedAt, incomplete } = line;
  if (typeof v !== 'number' || v < 1) return undefined;
  if (!isRelPath(path) || !(key === undefined || isObjectKey(key))) return undefined;
  if (!isAmount(size) || !Number.isSafeInteger(size) || !isAmount(storedAt) || storedAt > LAST_MOMENT) return undefined;
  if (typeof mtimeNs !== 'string' || !INTEGER.test(mtimeNs)) return undefined;
  if (typeof sha256 !== 'string' || !HASH.test(sha256)) return undefined;
  return { path, size, mtimeNs: BigInt(mtimeNs), sha256, key, storedAt, incomplete: incomplete === true };
}

function isAmount(value: unknown): value is number {
  return typeof value === 'number' && value >= 0 && Number.isFinite(value);
}
