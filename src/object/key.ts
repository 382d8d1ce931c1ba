// Decides the name of an object in the bucket: readable, never longer than the store allows, never without its hash.
import { ExitCode, UserError } from '../errors.ts';
import { directoryOf, encodeName, joinPath, nameOf, type RelPath } from '../paths.ts';
import { hashBuffer } from './hash.ts';

/** What a store takes for a key (R2, S3). */
const KEY_BYTES = 1024;
/** Longer than any real extension; what follows is cut. */
const EXTENSION_BYTES = 32;
/** The end of a text that was cut: `~` and 8 hex digits. */
const CUT_MARK_BYTES = 9;

/** The days that `{date}` can name, as milliseconds since 1970: four digits of year in every time zone. */
const FIRST_DAY = Date.parse('0001-01-02T00:00:00Z');
const LAST_DAY = Date.parse('9999-12-30T00:00:00Z');

export interface KeyInput {
  path: RelPath;
  /** Nanoseconds since 1970. */
  mtimeNs: bigint;
  /** The content hash, 64 hex digits. */
  sha256: string;
}

/**
 * The key of a content under a validated template: at most 1,024 bytes of UTF-8. Placeholders: `{path}` the directory,
 * `{date}` the day of the mtime in `timezone`, `{name}` the name without `{ext}`, `{hash}` and `{hash16}`.
 * `wide` puts the full hash in place of `{hash16}`: for a key that other bytes have taken.
 * Throws UserError if the template's fixed part leaves no room for names, RangeError for an unknown time zone;
 * a template that works `wide` for a long name in a long directory works for every file.
 */
export function objectKey(
  template: string,
  timezone: string,
  input: KeyInput,
  options: { wide?: boolean } = {},
): string {
  const file = nameOf(input.path);
  const dot = file.lastIndexOf('.');
  const split = dot > 0 ? dot : file.length;
  const path = escapeText(directoryOf(input.path));
  const name = escapeText(file.slice(0, split));
  const fixed = {
    date: dayOf(input.mtimeNs, timezone),
    ext: cutBytes(escapeText(file.slice(split)), EXTENSION_BYTES),
    hash: input.sha256,
    hash16: options.wide ? input.sha256 : input.sha256.slice(0, 16),
  };

  const whole = tidySegments(fillTemplate(template, { ...fixed, path, name }));
  if (Buffer.byteLength(whole) <= KEY_BYTES) return whole;

  // Directory and name share the room that the rest leaves; what one doesn't need of its half is the other's.
  const paths = template.split('{path}').length - 1;
  const names = template.split('{name}').length - 1;
  const room = KEY_BYTES - Buffer.byteLength(fillTemplate(template, { ...fixed, path: '', name: '' }));
  const pathRoom = Math.max(room / 2, room - names * Buffer.byteLength(name));
  const nameRoom = Math.max(room / 2, room - paths * Buffer.byteLength(path));
  if (room < 2 * CUT_MARK_BYTES * Math.max(paths, names, 1)) throw templateTooLong(template);
  return tidySegments(
    fillTemplate(template, { ...fixed, path: shorten(path, pathRoom / paths), name: shorten(name, nameRoom / names) }),
  );
}

/** Whether a text that somebody else wrote down can be a key that `objectKey` made. Cheap: a ledger holds a million. */
export function isObjectKey(key: unknown): key is string {
  if (typeof key !== 'string' || key.length > KEY_BYTES || Buffer.byteLength(key) > KEY_BYTES) return false;
  return key.isWellFormed() && !/(?:^|\/)\.{0,2}(?:\/|$)|[\0-\x1f\x7f-\x9f]/.test(key);
}

/**
 * The path of a file as its key tells it under a template, roughly: what was escaped or cut stays so. A key that the
 * template didn't make is a path itself, without the part that all keys of the template have in common.
 */
export function pathOfKey(template: string, key: string): RelPath {
  const literal = template.slice(0, template.indexOf('{'));
  const { path = '', name, ext = '' } = (template.includes('{name}') && templateForm(template).exec(key)?.groups) || {};
  if (name !== undefined) return joinPath(path, `${name}${ext}`);
  return key.startsWith(literal) ? key.slice(literal.length) : key;
}

const templateForms = new Map<string, RegExp>();

/** A pattern for the keys of a template. A placeholder that comes again isn't compared with the first. */
function templateForm(template: string): RegExp {
  let form = templateForms.get(template);
  if (form === undefined) {
    const seen = new Set<string>();
    const group = (name: string, pattern: string) => {
      const known = seen.has(name);
      seen.add(name);
      return known ? `(?:${pattern})` : `(?<${name}>${pattern})`;
    };
    const parts = template.split(/(\{path\}\/|\{(?:path|date|name|ext|hash16|hash)\})/).map((part) => {
      const kind = /^\{(\w+)\}/.exec(part)?.[1];
      // Empty segments are dropped from keys, and a file in the root has no directory.
      if (part === '{path}/') return `(?:${group('path', '.+')}/)?`;
      if (kind === 'path') return group('path', '.*');
      if (kind === 'date') return '\\d{4}-\\d\\d-\\d\\d';
      if (kind === 'name') return group('name', '[^/]+?');
      if (kind === 'ext') return group('ext', '(?:\\.[^/.]*)?');
      if (kind === 'hash' || kind === 'hash16') return '(?:[0-9a-f]{64}|[0-9a-f]{16})';
      return part.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&');
    });
    form = new RegExp(`^${parts.join('')}$`, 's');
    templateForms.set(template, form);
  }
  return form;
}

type Values = Record<'path' | 'date' | 'name' | 'ext' | 'hash' | 'hash16', string>;

function fillTemplate(template: string, values: Values): string {
  return template.replace(/\{(path|date|name|ext|hash16|hash)\}/g, (_, name: keyof Values) => values[name]);
}

/**
 * Text that is safe in a key: bytes that aren't UTF-8, control characters (and the two code points that XML, the language
 * of listings, can't hold) and backslashes, which URL parsers take for slashes, become %XX. All else stays as it is.
 */
function escapeText(text: string): string {
  return text.replace(/[\u0000-\u001f\u007f-\u009f\\\ufffe\uffff\ud800-\udfff]/gu, (char) =>
    encodeName(char).toString('hex').toUpperCase().replace(/../g, '%$&'),
  );
}

/** Drops empty segments, and replaces those that a URL parser would resolve (`.` and `..`). */
function tidySegments(key: string): string {
  return key
    .split('/')
    .filter((segment) => segment !== '')
    .map((segment) => (segment === '.' || segment === '..' ? segment.replaceAll('.', '_') : segment))
    .join('/');
}

/** At most `bytes` bytes of the text; if it is cut, its end is a hash of the whole, so that two long names stay apart. */
function shorten(text: string, bytes: number): string {
  if (Buffer.byteLength(text) <= bytes) return text;
  return `${cutBytes(text, bytes - CUT_MARK_BYTES)}~${hashBuffer(Buffer.from(text)).slice(0, 8)}`;
}

/** At most `bytes` bytes of the text, cut between characters and never inside a %XX. */
function cutBytes(text: string, bytes: number): string {
  const whole = Buffer.from(text);
  if (whole.length <= bytes) return text;
  let end = Math.floor(bytes);
  while (end > 0 && (whole[end]! & 0xc0) === 0x80) end -= 1;
  return whole.toString('utf8', 0, end).replace(/%[0-9A-F]?$/, '');
}

const dayFormats = new Map<string, Intl.DateTimeFormat>();

/** yyyy-mm-dd. File systems hold any 64-bit number as a time: what lies outside four-digit years is the nearest day inside. */
function dayOf(mtimeNs: bigint, timezone: string): string {
  const milliseconds = Number((mtimeNs - (mtimeNs < 0n ? 999_999n : 0n)) / 1_000_000n);
  const day = Math.min(Math.max(milliseconds, FIRST_DAY), LAST_DAY);
  // Intl's tables are megabytes of memory: most never need them.
  if (timezone === 'UTC') return new Date(day).toISOString().slice(0, 10);
  let format = dayFormats.get(timezone);
  if (format === undefined) {
    format = new Intl.DateTimeFormat('en-US', {
      timeZone: timezone,
      calendar: 'gregory',
      numberingSystem: 'latn',
      year: 'numeric',
      month: '2-digit',
      day: '2-digit',
    });
    dayFormats.set(timezone, format);
  }
  const parts = format.formatToParts(day);
  const part = (type: Intl.DateTimeFormatPartTypes) => parts.find((one) => one.type === type)?.value ?? '';
  return `${part('year').padStart(4, '0')}-${part('month')}-${part('day')}`;
}

function templateTooLong(template: string): UserError {
  return new UserError(
    `R2_KEY_TEMPLATE leaves no room for file names: keys hold ${KEY_BYTES} bytes (template: ${template})`,
    'Shorten R2_KEY_TEMPLATE.',
    ExitCode.usage,
  );
}
