// The kinds of values a setting can have: how each is read from text, and how it is described to people. A schema's
// messages continue the sentence "NAME …" and never repeat the value: what may be shown is decided in one place.
import { isIP } from 'node:net';
import { resolve } from 'node:path';
import picomatch from 'picomatch';
// The small build of zod: the other brings every language's messages, ten megabytes of memory in all.
import * as z from 'zod/mini';
import { bucketPattern, parseEndpoint } from './endpoint.ts';

/** How a value is read, and what it may be, in words that follow "must be". */
export interface Kind<T> {
  schema: z.ZodMiniType<T, string>;
  expects: string;
}

/** What a check says about a text it refuses. `fix` where there is something better to say than what is expected. */
type Refusal = { why: string; fix?: string };

/** A kind from a function that reads the text: it returns `{ value }` or a refusal. */
function kind<T>(expects: string, read: (text: string) => { value: T } | Refusal | undefined): Kind<T> {
  const transform = z.transform((text: string, ctx): T => {
    const result = read(text);
    if (result && 'value' in result) return result.value;
    ctx.issues.push({
      code: 'custom',
      input: text,
      message: result?.why ?? `must be ${expects}`,
      ...(result?.fix !== undefined && { params: { fix: result.fix } }),
    });
    return z.NEVER;
  });
  return { schema: z.pipe(z.string(), transform), expects };
}

const DECIMAL = /^\d+(\.\d+)?$/;

export function wholeNumber(min: number, max: number): Kind<number> {
  return kind(`a whole number from ${min} to ${max}`, (text) => between(text, /^\d+$/, min, max));
}

export function decimal(min: number, max: number): Kind<number> {
  return kind(`a number from ${min} to ${max}`, (text) => between(text, DECIMAL, min, max));
}

/** Seconds; below `min` two pods could take each other for dead while both live. */
export function leaseDuration(min: number): Kind<number> {
  const expects = `a number from ${min} to 3600`;
  return kind(expects, (text) => {
    const inReach = between(text, DECIMAL, min, 3600);
    if (inReach || !between(text, DECIMAL, 0, min)) return inReach;
    const why = `is too short: a volume may show a pod's sign of life to others seconds late, and a pod that lives would be taken for dead. It must be ${expects}`;
    return { why };
  });
}

function between(text: string, pattern: RegExp, min: number, max: number): { value: number } | undefined {
  const value = Number(text);
  return pattern.test(text) && value >= min && value <= max ? { value } : undefined;
}

const words = new Map([
  ...['true', '1', 'yes', 'on'].map((word) => [word, true] as const),
  ...['false', '0', 'no', 'off'].map((word) => [word, false] as const),
]);

export function flag(): Kind<boolean> {
  return kind('true or false (1, yes, on; 0, no, off)', (text) => {
    const value = words.get(text.toLowerCase());
    return value === undefined ? undefined : { value };
  });
}

export function oneOf<const T extends string>(...choices: readonly T[]): Kind<T> {
  return kind(choices.join(', ').replace(/, ([^,]*)$/, ' or $1'), (text) => {
    const value = choices.find((choice) => choice === text.toLowerCase());
    return value === undefined ? undefined : { value };
  });
}

/** A key or token: goes into HTTP headers, so visible ASCII only. */
export function secretText(expects: string, minLength = 1): Kind<string> {
  return kind(expects, (text) => {
    if (!/^[\x21-\x7e]+$/.test(text)) return { why: 'holds a blank or another character that no key has' };
    if (text.length < minLength) return { why: `is shorter than ${minLength} characters: too easy to guess` };
    return { value: text };
  });
}

/** A directory. A relative one counts from where the command was started. Becomes absolute. */
export function directory(): Kind<string> {
  return kind('a directory', (text) =>
    text.includes('\0') ? { why: 'holds a NUL character' } : { value: resolve(text) },
  );
}

export function endpoint(): Kind<string> {
  return kind("your account's S3 address", (text) => {
    const result = parseEndpoint(text);
    return result.ok ? { value: result.endpoint } : result;
  });
}

export function bucketName(): Kind<string> {
  return kind('3 to 63 lower-case letters, digits and hyphens', (text) =>
    bucketPattern.test(text) ? { value: text } : undefined,
  );
}

export function timezone(): Kind<string> {
  return kind('the name of a time zone', (text) => {
    // Intl's tables are megabytes of memory: most never need them.
    if (text === 'UTC') return { value: text };
    try {
      new Intl.DateTimeFormat('en', { timeZone: text });
      return { value: text };
    } catch {
      return { why: 'is no time zone that is known here' };
    }
  });
}

export function hostName(): Kind<string> {
  return kind('an address or host name to listen on', (text) =>
    isIP(text) !== 0 || /^[a-z\d]([a-z\d.-]{0,251}[a-z\d])?$/i.test(text) ? { value: text } : undefined,
  );
}

export function extensionList(): Kind<ReadonlySet<string>> {
  return kind('extensions, separated by commas', (text) => {
    const list = text
      .toLowerCase()
      .split(/[\s,;]+/)
      .map((word) => word.replace(/^\*?\./, ''))
      .filter((word) => word !== '');
    if (list.length === 0) return undefined;
    if (list.some((word) => /[./*?{}]/.test(word))) {
      return { why: 'must name extensions one by one, such as png or mp4: no *, no second dot, no path' };
    }
    return { value: new Set(list) };
  });
}

export function globList(): Kind<readonly string[]> {
  return kind('globs, separated by commas', (text) => {
    // A comma inside {a,b} belongs to its glob.
    const globs = text
      .split(/[,\n](?![^{}]*\})/)
      .map((glob) =>
        glob
          .trim()
          .replace(/^(\.?\/)+/, '')
          .replace(/\/$/, '/**'),
      )
      .filter((glob) => glob !== '');
    try {
      for (const glob of globs) picomatch.makeRe(glob);
      return { value: globs };
    } catch {
      return { why: "holds a glob that can't be read" };
    }
  });
}

/** http only where nothing leaves the building: a server at home or in the same compose file often has no certificate. */
export function webhookAddress(): Kind<URL> {
  return kind('an address that starts with https://', (text) => {
    if (!URL.canParse(text)) return { why: "isn't an address" };
    const url = new URL(text);
    if (url.protocol !== 'https:' && url.protocol !== 'http:') return undefined;
    if (!isDecodable(`${url.username}${url.password}`))
      return { why: 'has a % in its user name or password that stands for nothing', fix: 'Write %25 for a %' };
    if (url.protocol === 'http:' && !isNearby(url.hostname))
      return {
        why: 'is http, so that everybody on the way could read it and send messages there',
        fix: 'Write https:// instead of http://',
      };
    return { value: url };
  });
}

function isDecodable(text: string): boolean {
  try {
    decodeURIComponent(text);
    return true;
  } catch {
    return false;
  }
}

/** Whether a host, as URL writes it, is this machine or in a private network. */
function isNearby(host: string): boolean {
  if (/^\[(::1|f[cd][\da-f]{2}:.*|fe[89ab][\da-f]:.*)\]$/.test(host)) return true;
  if (isIP(host) === 4)
    return /^(127|10|192\.168|169\.254|172\.(1[6-9]|2\d|3[01])|100\.(6[4-9]|[7-9]\d|1[01]\d|12[0-7]))\./.test(host);
  // One word is a name of the local network: no such name is registered.
  return /^[^.[]+$/.test(host) || /\.(local|lan|internal|home|home\.arpa|localhost)$/.test(host);
}

/** A program and its arguments. No shell, so quotes would mean nothing: a list says what belongs together. */
export function commandLine(): Kind<readonly string[]> {
  return kind('a program with its arguments, or a JSON list of them', (text) => {
    if (text.includes('\0')) return { why: 'holds a NUL character' };
    if (text.startsWith('[')) {
      const words = parseJson(text);
      const usable = Array.isArray(words) && words.length > 0 && words.every((word) => typeof word === 'string');
      if (!usable || words[0] === '') return { why: 'is no JSON list of texts, or its first one is empty' };
      return { value: words as string[] };
    }
    if (/["'`$|;&<>\\]/.test(text)) {
      return {
        why: 'holds characters that mean something to a shell only, and none is started',
        fix: 'Put it into a script and name that, or write a JSON list: ["/bin/sh", "-c", "…"]',
      };
    }
    return { value: text.split(/\s+/) };
  });
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

const placeholders = ['{path}', '{date}', '{name}', '{hash16}', '{hash}', '{ext}'];
const maxTemplateBytes = 300;

export function keyTemplate(): Kind<string> {
  return kind(`a pattern of ${placeholders.join(' ')} with a hash in it`, (text) => {
    const literal = text.replace(/\{\w*\}/g, (found) => (placeholders.includes(found) ? '' : found));
    if (!/\{hash(16)?\}/.test(text)) {
      return { why: 'has no {hash16} or {hash}: without it one picture could take the place of another' };
    }
    if (/[{}]/.test(literal)) return { why: `may hold no braces but ${placeholders.join(' ')}` };
    if (/^\/|\/$/.test(text)) return { why: "can't start or end with a slash" };
    if (text.includes('..')) return { why: "can't hold '..'" };
    if (/[\0-\x1f\x7f-\x9f]/.test(text) || !text.isWellFormed()) return { why: "can't hold control characters" };
    if (Buffer.byteLength(literal) > maxTemplateBytes) {
      return { why: `is too long: names in a bucket have room for ${maxTemplateBytes} bytes of it` };
    }
    return { value: text };
  });
}
