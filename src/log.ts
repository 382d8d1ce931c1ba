// The log: readable lines on a terminal, JSON elsewhere. Secrets are cut out of every line, wherever they stand.
import { Writable } from 'node:stream';
import { type DestinationStream, pino } from 'pino';
import pretty from 'pino-pretty';

export type Log = pino.Logger;

export interface LogOptions {
  level: string;
  /** Values that must never be written. Those shorter than four characters are ignored: they would blank out words. */
  secrets: readonly string[];
  /** Where lines go: a terminal gets readable lines, anything else JSON. Default: standard output. */
  stream?: DestinationStream & { isTTY?: boolean };
}

export function createLog(options: LogOptions): Log {
  const out = options.stream ?? process.stdout;
  const hide = redactor(options.secrets);
  const destination = out.isTTY
    ? pretty({
        destination: new Writable({
          decodeStrings: false,
          write: (line: string, _encoding, done) => {
            out.write(hide(line));
            done();
          },
        }),
        colorize: true,
        ignore: 'pid,hostname',
        translateTime: 'SYS:HH:MM:ss',
        hideObject: true,
      })
    : { write: (line: string) => void out.write(hide(line)) };
  return pino({ level: options.level, base: null, timestamp: pino.stdTimeFunctions.isoTime }, destination);
}

/** A function that replaces every secret, plain or percent-encoded, by `[redacted]`. */
export function redactor(secrets: readonly string[]): (text: string) => string {
  const needles = [
    ...new Set(
      secrets.filter((s) => s.length >= 4).flatMap((s) => [s, encodeURIComponent(s), JSON.stringify(s).slice(1, -1)]),
    ),
  ].sort((a, b) => b.length - a.length);
  return (text) => needles.reduce((rest, needle) => rest.replaceAll(needle, '[redacted]'), text);
}
