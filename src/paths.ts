// Paths are bytes. Inside the agent a path is a string in which bytes that aren't valid UTF-8 stand as lone
// surrogates U+DC80 to U+DCFF (Python calls this "surrogateescape"), so that every name survives the way through
// maps, JSON and the ledger, and the common case costs nothing.
import { isUtf8 } from 'node:buffer';

/** A path relative to the root, separated by '/', without a leading or trailing slash. '' is the root itself. */
export type RelPath = string;

/** Decodes a file name as the kernel gave it. Source: the bytes of a dirent or of a tool's output. */
export function decodeName(bytes: Buffer): string {
  if (isUtf8(bytes)) return bytes.toString('utf8');
  let text = '';
  let start = 0;
  while (start < bytes.length) {
    const length = sequenceLength(bytes, start);
    if (length === 0) {
      text += String.fromCharCode(0xdc00 + bytes[start]!);
      start += 1;
    } else {
      text += bytes.toString('utf8', start, start + length);
      start += length;
    }
  }
  return text;
}

/** The bytes of a name or path that `decodeName` made. */
export function encodeName(text: string): Buffer {
  if (text.isWellFormed()) return Buffer.from(text, 'utf8');
  const pieces: Buffer[] = [];
  for (const char of text) {
    const code = char.charCodeAt(0);
    const escaped = char.length === 1 && code >= 0xdc80 && code <= 0xdcff;
    pieces.push(escaped ? Buffer.from([code - 0xdc00]) : Buffer.from(char, 'utf8'));
  }
  return Buffer.concat(pieces);
}

/** What node:fs takes for a path: the string itself, or its bytes where a string would lose some. */
export function fsPath(path: string): string | Buffer {
  return path.isWellFormed() ? path : encodeName(path);
}

/** The folder (unit of a lease) that a path belongs to: its first directory, or '.' for files directly in the root. */
export function folderOf(path: RelPath): string {
  const slash = path.indexOf('/');
  return slash === -1 ? '.' : path.slice(0, slash);
}

/** The directory part of a relative path; '' for a file directly in the root. */
export function directoryOf(path: RelPath): RelPath {
  const slash = path.lastIndexOf('/');
  return slash === -1 ? '' : path.slice(0, slash);
}

/** The last part of a relative path. */
export function nameOf(path: RelPath): string {
  return path.slice(path.lastIndexOf('/') + 1);
}

/** `dir/name`, where dir may be ''. */
export function joinPath(dir: RelPath, name: string): RelPath {
  return dir === '' ? name : `${dir}/${name}`;
}

/** The extension with its dot in lower case; '' when there is none. A leading dot is no extension. */
export function extensionOf(path: RelPath): string {
  const name = nameOf(path);
  const dot = name.lastIndexOf('.');
  return dot <= 0 ? '' : name.slice(dot).toLowerCase();
}

/** The bytes of a path in ASCII: all but letters, digits, `-._~` and slashes as `%XX`. */
export function percentEncode(path: RelPath): string {
  return encodeName(path)
    .toString('latin1')
    .replace(/[^A-Za-z0-9\-._~/]/g, (byte) => `%${byte.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`);
}

/** The path that `percentEncode` was given. What is no escape stands for itself. */
export function percentDecode(text: string): RelPath {
  const bytes = text.replace(/%([0-9A-Fa-f]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
  return decodeName(Buffer.from(bytes, 'latin1'));
}

/** A path for people (logs, pages, terminals): control characters and broken bytes are shown as escapes. */
export function printable(path: string): string {
  return path.replace(/[\u0000-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069\ud800-\udfff]/gu, (char) => {
    const code = char.charCodeAt(0);
    if (code >= 0xdc80 && code <= 0xdcff) return `\\x${(code - 0xdc00).toString(16)}`;
    if (code === 0x0a) return '\\n';
    return `\\u${code.toString(16).padStart(4, '0')}`;
  });
}

/**
 * Whether a text that somebody else wrote down can be a path at all: below the root, and as `decodeName` gives it. Hidden
 * names can be on the way to an output directory. Cheap: a ledger holds a million.
 */
export function isRelPath(path: unknown): path is RelPath {
  if (typeof path !== 'string' || path.length > PATH_BYTES || /(?:^|\/)\.{0,2}(?:\/|$)|\0/.test(path)) return false;
  return path.isWellFormed() || decodeName(encodeName(path)) === path;
}

/** What Linux takes for one name, and for a path. */
const NAME_BYTES = 255;
const PATH_BYTES = 4095;

/**
 * Why a path that somebody else wrote down can't be the path of an output, in words that follow "its path"; undefined if
 * it can. Hidden names are none of the agent's, and a shell's or a state's settings may hide behind them.
 */
export function refusePath(path: string): string | undefined {
  if (path === '') return 'is empty';
  if (path.startsWith('/')) return 'is absolute';
  if (path.includes('\0')) return 'holds a NUL character';
  if (encodeName(path).length > PATH_BYTES) return `is longer than ${PATH_BYTES} bytes`;
  const names = path.split('/');
  if (names.includes('..')) return 'leads out of the directory';
  if (names.includes('') || names.includes('.')) return 'holds an empty name';
  if (names.some((name) => name.startsWith('.'))) return 'leads to a hidden name';
  if (names.some((name) => encodeName(name).length > NAME_BYTES)) return `holds a name longer than ${NAME_BYTES} bytes`;
  return undefined;
}

/** The length of the valid UTF-8 sequence at `start`, 0 if there is none. */
function sequenceLength(bytes: Buffer, start: number): number {
  const lead = bytes[start]!;
  const length =
    lead < 0x80
      ? 1
      : lead >= 0xc2 && lead < 0xe0
        ? 2
        : lead >= 0xe0 && lead < 0xf0
          ? 3
          : lead >= 0xf0 && lead < 0xf5
            ? 4
            : 0;
  return length > 0 && start + length <= bytes.length && isUtf8(bytes.subarray(start, start + length)) ? length : 0;
}
