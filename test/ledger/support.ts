// What the ledger's tests share: facts, and a disk that fails, stops and loses power.
import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import * as fs from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { expect, onTestFinished } from 'vitest';
import type { LedgerIo } from '../../src/ledger/io.ts';
import { Ledger, type LedgerFact, type LedgerOptions } from '../../src/ledger/ledger.ts';
import { createLog, type Log } from '../../src/log.ts';
import { joinPath } from '../../src/paths.ts';
import { eventually } from '../support/eventually.ts';
import { createFakeClock } from '../support/fake-clock.ts';

type KeyedFact = LedgerFact & { key: string };

export function makeFact(path: string, content = path, changes: Partial<KeyedFact> = {}): KeyedFact {
  const sha256 = createHash('sha256').update(content).digest('hex');
  return {
    path,
    size: content.length,
    mtimeNs: 1_763_650_000_123_456_789n + BigInt(content.length),
    sha256,
    key: `outputs/${sha256.slice(0, 16)}.png`,
    storedAt: 1_763_650_001_000,
    incomplete: false,
    ...changes,
  };
}

/** A target directory in a root of its own, removed after the test. */
export async function makeTarget(): Promise<{ root: string; targetDir: string }> {
  const root = await fs.mkdtemp(join(tmpdir(), 'r2-sync-ledger-'));
  onTestFinished(() => fs.rm(root, { recursive: true, force: true }));
  return { root, targetDir: join(root, '.r2-sync', '0123456789abcdef') };
}

export function collectLog(): { log: Log; lines: string[] } {
  const lines: string[] = [];
  const stream = { write: (line: string) => void lines.push(line) };
  return { log: createLog({ level: 'debug', secrets: [], stream }), lines };
}

export function openLedger(targetDir: string, options: Partial<LedgerOptions> = {}): Promise<Ledger> {
  return Ledger.open({ targetDir, log: collectLog().log, clock: createFakeClock(Date.now()), ...options });
}

/** What a fresh, read-only look at the ledger knows about files directly in a folder or the root: content hash by path. */
export async function readBack(targetDir: string): Promise<Map<string, string>> {
  const { index } = await openLedger(targetDir, { readOnly: true });
  const known = new Map<string, string>();
  for (const { folder } of index.folders()) {
    const dir = folder === '.' ? '' : folder;
    for (const name of index.names(dir)) known.set(joinPath(dir, name), index.get(joinPath(dir, name))!.sha256);
  }
  return known;
}

export function systemError(code: string): Error {
  return Object.assign(new Error(`${code}: injected`), { code });
}

export interface Effect {
  op:
    | 'create'
    | 'open'
    | 'mkdir'
    | 'rename'
    | 'unlink'
    | 'write'
    | 'datasync'
    | 'sync'
    | 'stat'
    | 'read'
    | 'readdir'
    | 'access';
  path: string;
}

/** What a process leaves on disk. */
const LASTING: ReadonlySet<Effect['op']> = new Set([
  'create',
  'mkdir',
  'rename',
  'unlink',
  'write',
  'datasync',
  'sync',
]);

/**
 * A real disk with someone in between. `before` may throw or wait; `maxWrite` makes writes short; `stopAfter` lasting
 * effects nothing happens any more, as in a process that was killed; `losePower` takes away what wasn't synced.
 */
export class TestDisk {
  before: (effect: Effect) => void | Promise<void> = () => {};
  /** What was read, before it is handed over: may be spoiled. */
  spoil: (bytes: Buffer, path: string) => void = () => {};
  maxWrite = Number.POSITIVE_INFINITY;
  stopAfter = Number.POSITIVE_INFINITY;
  effects = 0;
  mostHandles = 0;
  #handles = new Set<fs.FileHandle>();
  #synced = new Map<string, number>();
  /** How to undo what changed in a directory since it was synced. */
  #undo = new Map<string, (() => Promise<unknown>)[]>();

  get openHandles(): number {
    return this.#handles.size;
  }

  get stopped(): boolean {
    return this.effects >= this.stopAfter;
  }

  /** Resolves when the process is dead. */
  async whenStopped(): Promise<void> {
    await eventually(() => expect(this.stopped).toBe(true), { interval: 1 });
  }

  /** The process is gone, its handles are closed; the disk keeps what it was given. */
  async kill(): Promise<void> {
    this.stopAfter = 0;
    for (const handle of this.#handles) await handle.close();
    this.#handles.clear();
  }

  /** The machine is gone. `keep` says how much of the bytes that weren't synced stays, 0 to 1. */
  async losePower(keep = 0): Promise<void> {
    await this.kill();
    for (const [path, synced] of this.#synced) {
      const size = (await fs.stat(path).catch(() => undefined))?.size ?? 0;
      if (size > synced) await fs.truncate(path, synced + Math.floor((size - synced) * keep));
    }
    for (const steps of this.#undo.values()) for (const undo of steps.reverse()) await undo().catch(() => {});
  }

  readonly io: LedgerIo = {
    ...fs,
    access: (path, mode) => this.#do('access', path, () => fs.access(path, mode)),
    chmod: (path, mode) => (this.stopped ? never() : fs.chmod(path, mode)),
    mkdir: ((path: fs.FileHandle & string, options: object) =>
      this.#do('mkdir', path, async () => {
        await fs.mkdir(path, options);
        this.#remember(path, () => fs.rm(path, { recursive: true }));
      })) as never,
    readdir: ((path: string) => this.#do('readdir', path, () => fs.readdir(path))) as never,
    rename: (from, to) =>
      this.#do('rename', from, async () => {
        await fs.rename(from, to);
        const synced = this.#synced.get(String(from));
        if (synced !== undefined) this.#synced.set(String(to), synced);
        this.#synced.delete(String(from));
        this.#remember(String(to), () => fs.rename(to, from));
      }),
    stat: ((path: string) => (this.stopped ? never() : fs.stat(path))) as never,
    unlink: (path) => this.#do('unlink', path, () => fs.unlink(path)),
    open: (path, flags, mode) => {
      const makes = typeof flags === 'number' && (flags & constants.O_CREAT) !== 0;
      return this.#do(makes ? 'create' : 'open', path, async () => {
        const handle = await fs.open(path, flags, mode);
        if (makes) {
          this.#synced.set(String(path), 0);
          this.#remember(String(path), () => fs.unlink(path));
        }
        this.#handles.add(handle);
        this.mostHandles = Math.max(this.mostHandles, this.openHandles);
        return this.#wrap(handle, String(path));
      });
    },
  };

  #wrap(handle: fs.FileHandle, path: string): fs.FileHandle {
    const write = (buffer: Buffer, offset: number, length: number) =>
      this.#do('write', path, () => handle.write(buffer, offset, Math.min(length, this.maxWrite)));
    const settle = (op: 'sync' | 'datasync') =>
      this.#do(op, path, async () => {
        await handle[op]();
        const stats = await handle.stat();
        if (stats.isDirectory()) this.#undo.delete(path);
        else this.#synced.set(path, stats.size);
      });
    return {
      write,
      appendFile: (text: string) => write(Buffer.from(text), 0, Buffer.byteLength(text)),
      datasync: () => settle('datasync'),
      sync: () => settle('sync'),
      stat: () => this.#do('stat', path, () => handle.stat()),
      read: (buffer: Buffer, offset: number, length: number, position: number) =>
        this.#do('read', path, async () => {
          const result = await handle.read(buffer, offset, length, position);
          this.spoil(buffer.subarray(offset, offset + result.bytesRead), path);
          return result;
        }),
      chmod: (mode: number) => (this.stopped ? never() : handle.chmod(mode)),
      close: () => {
        this.#handles.delete(handle);
        return handle.close();
      },
    } as unknown as fs.FileHandle;
  }

  async #do<T>(op: Effect['op'], path: unknown, work: () => Promise<T>): Promise<T> {
    if (this.stopped) return never();
    await this.before({ op, path: String(path) });
    const result = await work();
    if (LASTING.has(op)) this.effects += 1;
    return this.stopped ? never() : result;
  }

  #remember(path: string, undo: () => Promise<unknown>): void {
    const dir = dirname(path);
    this.#undo.set(dir, [...(this.#undo.get(dir) ?? []), undo]);
  }
}

function never(): Promise<never> {
  return new Promise(() => {});
}
