// `/media`: the bytes of an output, for thumbnails and players. Only files that the ledger knows, only kinds that can't do
// anything in a browser, only from inside the root; in small pieces and few at a time, because beats and uploads need the
// same volume, and so that one that hangs takes nothing else along.
import type { FileHandle } from 'node:fs/promises';
import type { HttpBindings } from '@hono/node-server';
import type { Context } from 'hono';
import type { Clock } from '../clock.ts';
import { errorText } from '../errors.ts';
import type { Known } from '../ledger/index.ts';
import type { Log } from '../log.ts';
import { percentDecode, percentEncode, printable, type RelPath, refusePath } from '../paths.ts';
import { currentIdentity, openOutput } from '../settle/open-file.ts';
import type { VolumeFs } from '../volume/gate.ts';
import { type ByteRange, parseRange } from './byte-range.ts';
import { mediaKindOf, mediaVersion } from './page/media-kinds.ts';

/** The outputs of the session that runs. */
export interface Outputs {
  /** Absolute, real path. */
  root: string;
  /** Few calls at a time. */
  fs: VolumeFs;
  /** What the ledger knows about a path. */
  known(path: RelPath): Known | undefined;
}

/** Requests that may be there at a time, those that wait for the volume included. */
const MOST_REQUESTS = 24;
const CHUNK_BYTES = 256 * 1024;
/** A volume that doesn't answer for so long isn't waited for. */
const PATIENCE_MS = 10_000;
/** So many calls that nobody waits for any more, and no further file is opened: they would only queue up behind. */
const MOST_LATE = 2;
/** A client that takes nothing for so long makes room for others; a player that was paused asks for the rest. */
const IDLE_MS = 30_000;
/** Nothing in it may run, load or be framed, whatever its bytes are. */
export const mediaPolicy = "sandbox; default-src 'none'";

interface Opened {
  handle: FileHandle;
  size: number;
  /** The file is the one that the ledger knows, by size and time. */
  isKnown: boolean;
}

export class Media {
  readonly #outputs: () => Outputs | undefined;
  readonly #log: Log;
  readonly #clock: Clock;
  #requests = 0;
  /** Calls on the volume that came too late, or haven't come yet. */
  #late = 0;

  constructor(outputs: () => Outputs | undefined, log: Log, clock: Clock) {
    this.#outputs = outputs;
    this.#log = log;
    this.#clock = clock;
  }

  async answer(c: Context<{ Bindings: HttpBindings }>): Promise<Response> {
    const outputs = this.#outputs();
    const path = parsePath(c.req.query('path') ?? '');
    const kind = path === undefined ? undefined : mediaKindOf(path);
    const known = path === undefined ? undefined : outputs?.known(path);
    if (!outputs || path === undefined || !kind || !known) return c.text('There is no such output.\n', 404);
    const version = mediaVersion(known.sha256);
    const wanted = c.req.query('v');
    if (wanted !== undefined && wanted !== version) return c.text('The file has changed since.\n', 409);
    if (this.#requests >= MOST_REQUESTS) return c.text('Too many at a time; try again.\n', 429, { 'retry-after': '2' });

    let release = this.#admit();
    try {
      const opened =
        this.#late < MOST_LATE
          ? await this.#inTime(open(outputs, path, known), ({ handle }) => handle.close())
          : 'late';
      if (opened === 'late') return c.text("The volume doesn't answer.\n", 503, { 'retry-after': '10' });
      if (opened === undefined) return c.text('The file is no longer on the volume.\n', 404);
      const { handle, size, isKnown } = opened;
      const etag = `"${version}"`;
      c.header('content-type', kind.contentType);
      c.header('accept-ranges', 'bytes');
      c.header('content-disposition', 'inline');
      if (isKnown) c.header('etag', etag);
      if (isKnown && wanted !== undefined) c.header('cache-control', 'private, max-age=31536000, immutable');
      const end = async (status: 200 | 206 | 304 | 416) => {
        await handle.close();
        return c.body(null, status);
      };
      if (isKnown && c.req.header('if-none-match') === etag) return await end(304);
      const condition = c.req.header('if-range');
      const range = parseRange(condition === undefined || condition === etag ? c.req.header('range') : undefined, size);
      if (range === 'unsatisfiable') {
        c.header('content-range', `bytes */${size}`);
        return await end(416);
      }
      const { from, to } = range ?? { from: 0, to: size - 1 };
      c.header('content-length', String(to - from + 1));
      if (range) c.header('content-range', `bytes ${from}-${to}/${size}`);
      const status = range ? 206 : 200;
      if (c.req.raw.method === 'HEAD' || size === 0) return await end(status);
      const body = this.#stream({
        handle,
        range: { from, to },
        path,
        onEnd: release,
        cutOff: () => c.env.outgoing.destroy(),
      });
      release = () => {};
      return c.body(body, status);
    } finally {
      release();
    }
  }

  #admit(): () => void {
    this.#requests += 1;
    return () => {
      this.#requests -= 1;
    };
  }

  /** One piece at a time, and only when the client has taken the one before. Closes the file at the end, whatever ends it. */
  #stream(options: {
    handle: FileHandle;
    range: ByteRange;
    path: RelPath;
    onEnd: () => void;
    cutOff: () => void;
  }): ReadableStream<Uint8Array> {
    const { handle, range, path, onEnd, cutOff } = options;
    let position = range.from;
    let ended = false;
    let idle = new AbortController();
    const end = () => {
      if (ended) return;
      ended = true;
      idle.abort();
      onEnd();
      void handle.close().catch(() => {});
    };
    const breakOff = (why: string) => {
      if (ended) return;
      this.#log.debug(`${printable(path)} can't be shown to its end: ${why}`);
      end();
      // What is sent is less than was announced: only a connection that breaks says so.
      cutOff();
    };
    const awaitPull = () => {
      idle = new AbortController();
      const { signal } = idle;
      void this.#clock.sleep(IDLE_MS, signal).then(() => signal.aborted || breakOff('nobody takes it'));
    };
    awaitPull();
    return new ReadableStream<Uint8Array>(
      {
        pull: async (controller) => {
          idle.abort();
          try {
            const buffer = Buffer.allocUnsafe(Math.min(CHUNK_BYTES, range.to + 1 - position));
            const read = await this.#inTime(handle.read(buffer, 0, buffer.length, position));
            if (ended) return;
            if (read === 'late') throw new Error("the volume doesn't answer");
            if (read.bytesRead === 0) throw new Error('the file became shorter');
            position += read.bytesRead;
            controller.enqueue(buffer.subarray(0, read.bytesRead));
            if (position <= range.to) return awaitPull();
            end();
            controller.close();
          } catch (error) {
            breakOff(errorText(error));
          }
        },
        cancel: end,
      },
      { highWaterMark: 0 },
    );
  }

  /** `late` after a while; what comes after that is given to `discard`. */
  async #inTime<T>(work: Promise<T>, discard?: (value: NonNullable<T>) => Promise<unknown>): Promise<T | 'late'> {
    const answered = new AbortController();
    const patience = this.#clock.sleep(PATIENCE_MS, answered.signal).then(() => 'late' as const);
    try {
      const result = await Promise.race([work, patience]);
      if (result === 'late') void this.#awaitLate(work, discard);
      return result;
    } finally {
      answered.abort();
    }
  }

  async #awaitLate<T>(work: Promise<T>, discard?: (value: NonNullable<T>) => Promise<unknown>): Promise<void> {
    this.#late += 1;
    try {
      const value = await work;
      if (value != null) await discard?.(value);
    } catch {
      // Nobody waits for it.
    } finally {
      this.#late -= 1;
    }
  }
}

async function open({ root, fs }: Outputs, path: RelPath, known: Known): Promise<Opened | undefined> {
  const handle = await openOutput(fs, root, path);
  if (typeof handle === 'string') return undefined;
  try {
    const { size, mtimeNs } = await currentIdentity(handle);
    return { handle, size, isKnown: size === known.size && mtimeNs === known.mtimeNs };
  } catch (error) {
    await handle.close();
    throw error;
  }
}

/** What `percentEncode` made; anything else, also a path that would leave the root, is undefined. */
function parsePath(encoded: string): RelPath | undefined {
  if (!/^(?:[A-Za-z0-9\-._~/]|%[0-9A-F]{2})+$/.test(encoded)) return undefined;
  const path = percentDecode(encoded);
  return refusePath(path) === undefined && percentEncode(path) === encoded ? path : undefined;
}
