// Decides what travels with an object beside its bytes: where it came from, and what a browser should take it for.
import { contentType, lookup } from 'mime-types';
import { extensionOf, percentDecode, percentEncode, type RelPath, refusePath } from '../paths.ts';
import { hashBuffer } from './hash.ts';

/** Stores take 8,192 bytes of metadata in all; a longer path is left out. */
const PATH_BYTES = 1500;

/** Where the table of mime-types has nothing, or something that browsers and viewers don't know. */
const CONTENT_TYPES = new Map([
  ['.exr', 'image/x-exr'],
  ['.flac', 'audio/flac'],
  ['.m4v', 'video/mp4'],
]);

export interface MetadataInput {
  path: RelPath;
  /** Nanoseconds since 1970. */
  mtimeNs: bigint;
  /** The content hash, 64 hex digits. */
  sha256: string;
  /** From `podHash`. */
  pod: string;
  /** The agent's version. */
  agent: string;
  /** The file never became whole (a crash in mid-write). */
  incomplete: boolean;
}

/**
 * User metadata of an object; every value is printable ASCII without blanks:
 * `sha256`; `path`, percent-encoded bytes with its slashes (left out above 1,500 bytes); `mtime` in seconds since 1970
 * with nine decimals, exact, and as rclone writes and reads it; `pod`; `agent`; `incomplete`, only where it is `true`.
 */
export function objectMetadata(input: MetadataInput): Record<string, string> {
  const path = percentEncode(input.path);
  return {
    sha256: input.sha256,
    ...(path.length <= PATH_BYTES ? { path } : {}),
    mtime: formatSeconds(input.mtimeNs),
    pod: input.pod,
    agent: input.agent,
    ...(input.incomplete ? { incomplete: 'true' } : {}),
  };
}

/** What an object says about itself, as far as it can be believed. */
export interface ReadMetadata {
  path: RelPath | undefined;
  /** Nanoseconds since 1970. */
  mtimeNs: bigint | undefined;
  /** 64 hex digits. */
  sha256: string | undefined;
  incomplete: boolean;
  /** Why its path is refused, fit to be shown: whoever may write to the bucket may write anything here. */
  rejected: string | undefined;
}

/** Reads what `objectMetadata` writes. Everything is taken for hostile: what isn't as it should be isn't there. */
export function readMetadata(metadata: Readonly<Record<string, string>>): ReadMetadata {
  const { path: encoded, mtime = '', sha256 = '', incomplete } = metadata;
  const path = encoded === undefined ? undefined : percentDecode(encoded);
  const why = path === undefined ? undefined : refusePath(path);
  return {
    path: why === undefined ? path : undefined,
    mtimeNs: parseSeconds(mtime),
    sha256: /^[0-9a-f]{64}$/.test(sha256) ? sha256 : undefined,
    incomplete: incomplete === 'true',
    rejected: why === undefined ? undefined : `its path ${why}`,
  };
}

/** The Content-Type by the name's extension; text has its charset, the unknown is `application/octet-stream`. */
export function contentTypeOf(path: RelPath): string {
  const extension = extensionOf(path);
  const known = CONTENT_TYPES.get(extension);
  if (known !== undefined) return known;
  const type = lookup(extension);
  return (type && contentType(type)) || 'application/octet-stream';
}

/**
 * Which pod stored an object: 12 hex digits. Only a hash of the pod's id (or host name), because the id is the public
 * address of its ComfyUI and metadata travels with shared links.
 */
export function podHash(env: NodeJS.ProcessEnv, hostname: string): string {
  return hashBuffer(Buffer.from(env.RUNPOD_POD_ID?.trim() || hostname)).slice(0, 12);
}

/** Seconds with up to nine decimals, within the 64 bits that file systems have for nanoseconds. */
function parseSeconds(text: string): bigint | undefined {
  const match = /^(-?)(\d{1,10})(?:\.(\d{1,9}))?$/.exec(text);
  if (!match) return undefined;
  const [, sign, seconds = '', decimals = ''] = match;
  const nanoseconds = BigInt(seconds + decimals.padEnd(9, '0'));
  return BigInt.asIntN(64, nanoseconds) === nanoseconds ? nanoseconds * (sign === '-' ? -1n : 1n) : undefined;
}

/** Seconds since 1970 with nine decimals, exact. */
export function formatSeconds(nanoseconds: bigint): string {
  const digits = (nanoseconds < 0n ? -nanoseconds : nanoseconds).toString().padStart(10, '0');
  return `${nanoseconds < 0n ? '-' : ''}${digits.slice(0, -9)}.${digits.slice(-9)}`;
}
