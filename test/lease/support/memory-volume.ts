// A volume in memory that many mount: honest about link counts, O_EXCL, appends and files that are open while their
// names go; and, where a test wants it, as bad as a network can make it.
import { constants } from 'node:fs';
import type { LedgerIo } from '../../../src/ledger/io.ts';
import { systemError } from '../../ledger/support.ts';
import type { Process, World } from './world.ts';

const { O_APPEND, O_CREAT, O_EXCL, O_WRONLY } = constants;

/** Others see what was changed no later than this. */
export const STALENESS_MS = 2000;

type Content = Buffer | ReadonlyMap<string, Node>;

interface Node {
  content: Content;
  nlink: number;
  mtimeMs: number;
  /** What it held before, and until when. */
  past: { content: Content; until: number }[];
  /** When each mount changed it last: a mount sees what it did itself. */
  changed: Map<Mount, number>;
}

export interface Faults {
  /** Calls fail with this code; `EDQUOT` only those that change something. */
  error: string | undefined;
  /** They do their work first. */
  lies: boolean;
  /** Calls don't come back until this is false. */
  hangs: boolean;
  /** Reads show what was there up to two seconds ago. */
  stale: boolean;
  /** At most so many ms a call. */
  slow: number;
}

export const healthy: Faults = { error: undefined, lies: false, hangs: false, stale: false, slow: 2 };

/** One process's view of a volume. */
export class Mount {
  faults: Faults = { ...healthy };
  /** Told of every call as it begins. */
  onCall: (name: string, path: string) => void = () => {};
  /** How many calls have begun. */
  calls = 0;
  readonly #volume: MemoryVolume;
  readonly #process: Process;
  readonly #hung: (() => void)[] = [];

  constructor(volume: MemoryVolume, process: Process) {
    this.#volume = volume;
    this.#process = process;
  }

  set(faults: Partial<Faults>): void {
    this.faults = { ...healthy, ...faults };
    if (!this.faults.hangs) for (const go of this.#hung.splice(0)) go();
  }

  readonly io: LedgerIo = {
    access: (path: string) => this.#read('access', path, () => void this.#volume.find(path)),
    chmod: (path: string) => this.#read('chmod', path, () => void this.#volume.find(path)),
    stat: (path: string) => this.#read('stat', path, () => statsOf(this.#volume.find(path))),
    readdir: (path: string) =>
      this.#read('readdir', path, () => [...namesIn(this.#seen(this.#volume.find(path))).keys()]),
    mkdir: (path: string) => this.#change('mkdir', path, () => this.#volume.add(this, path, new Map(), 1)),
    link: (from: string, to: string) => this.#change('link', to, () => this.#volume.link(this, from, to)),
    unlink: (path: string) => this.#change('unlink', path, () => this.#volume.remove(this, path)),
    rename: (from: string, to: string) => this.#change('rename', to, () => this.#volume.rename(this, from, to)),
    open: (path: string, flags: string | number) => {
      const bits = typeof flags === 'number' ? flags : 0;
      const open = () => this.#handle(path, bits, this.#volume.open(this, path, bits));
      return bits & O_CREAT ? this.#change('open', path, open) : this.#read('open', path, open);
    },
  } as unknown as LedgerIo;

  #handle(path: string, flags: number, node: Node): object {
    const write = (bytes: Buffer, at: number) =>
      this.#change('write', path, (part) => {
        const kept = bytes.subarray(0, Math.ceil(bytes.length * part));
        const old = bytesOf(node.content);
        const from = flags & O_APPEND ? old.length : at;
        const length = Math.max(old.length, from + kept.length);
        const content = Buffer.alloc(length);
        old.copy(content);
        kept.copy(content, from);
        this.#volume.change(this, node, content);
        return { bytesWritten: kept.length };
      });
    let end = 0;
    return {
      write: (data: string | Buffer, from: number, length?: number) =>
        typeof data === 'string' ? write(Buffer.from(data), from) : write(data.subarray(from, from + length!), end),
      writeFile: (text: string) => write(Buffer.from(text), 0),
      appendFile: (text: string) => write(Buffer.from(text), end),
      read: (buffer: Buffer, offset: number, length: number, position: number) =>
        this.#read('read', path, () => {
          const bytes = bytesOf(this.#seen(node)).subarray(position, position + length);
          end = position + bytes.length;
          return { bytesRead: bytes.copy(buffer, offset) };
        }),
      stat: () => this.#read('fstat', path, () => statsOf(node)),
      sync: () => this.#change('sync', path, () => {}),
      datasync: () => this.#change('sync', path, () => {}),
      chmod: () => this.#read('chmod', path, () => {}),
      close: async () => {},
    };
  }

  /** What a read shows of a node: never older than what this mount did to it. */
  #seen(node: Node): Content {
    const { world } = this.#volume;
    if (!this.faults.stale) return node.content;
    const then = Math.max(world.now - world.random() * STALENESS_MS, node.changed.get(this) ?? 0);
    return node.past.find(({ until }) => until > then)?.content ?? node.content;
  }

  #read<T>(name: string, path: string, work: () => T): Promise<T> {
    return this.#call(name, path, this.faults.error !== 'EDQUOT', () => work());
  }

  #change<T>(name: string, path: string, work: (part: number) => T): Promise<T> {
    return this.#call(name, path, true, work);
  }

  #call<T>(name: string, path: string, mayFail: boolean, work: (part: number) => T): Promise<T> {
    const { world } = this.#volume;
    this.calls += 1;
    this.onCall(name, path);
    return new Promise<T>((resolve, reject) => {
      const go = () => {
        if (this.faults.hangs) return this.#hung.push(go);
        const { error, lies } = this.faults;
        try {
          const fails = error !== undefined && mayFail;
          if (fails && !lies) throw systemError(error);
          // Of what a process was writing when it died, some may have arrived.
          const result = work(this.#process.isDead ? world.random() : 1);
          if (fails) throw systemError(error);
          this.#process.deliver(() => resolve(result));
        } catch (error) {
          this.#process.deliver(() => reject(error));
        }
      };
      world.after(this.faults.slow * world.random(), go);
    });
  }
}

export class MemoryVolume {
  readonly world: World;
  readonly #root: Node = { content: new Map(), nlink: 1, mtimeMs: 0, past: [], changed: new Map() };

  constructor(world: World) {
    this.world = world;
  }

  find(path: string): Node {
    let node = this.#root;
    for (const name of partsOf(path)) {
      const next = namesIn(node.content).get(name);
      if (!next) throw systemError('ENOENT');
      node = next;
    }
    return node;
  }

  open(by: Mount, path: string, flags: number): Node {
    let node: Node | undefined;
    try {
      node = this.find(path);
    } catch (error) {
      if (!(flags & O_CREAT)) throw error;
    }
    if (!node) return this.add(by, path, Buffer.alloc(0), 1);
    if (flags & O_CREAT && flags & O_EXCL) throw systemError('EEXIST');
    if (flags & O_WRONLY && !Buffer.isBuffer(node.content)) throw systemError('EISDIR');
    return node;
  }

  add(by: Mount, path: string, content: Content, nlink: number): Node {
    const node: Node = { content, nlink, mtimeMs: this.world.now, past: [], changed: new Map([[by, this.world.now]]) };
    this.#enter(by, path, node, false);
    return node;
  }

  link(by: Mount, from: string, to: string): void {
    const node = this.find(from);
    this.#enter(by, to, node, false);
    node.nlink += 1;
  }

  rename(by: Mount, from: string, to: string): void {
    this.#enter(by, to, this.find(from), true);
    this.#leave(by, from);
  }

  remove(by: Mount, path: string): void {
    this.find(path).nlink -= 1;
    this.#leave(by, path);
  }

  change(by: Mount, node: Node, content: Content): void {
    const { now } = this.world;
    node.past = [...node.past.filter(({ until }) => until > now - STALENESS_MS), { content: node.content, until: now }];
    node.content = content;
    node.mtimeMs = now;
    node.changed.set(by, now);
  }

  #enter(by: Mount, path: string, node: Node, replace: boolean): void {
    const { dir, name } = split(path);
    const parent = this.find(dir);
    const names = namesIn(parent.content);
    if (names.has(name) && !replace) throw systemError('EEXIST');
    this.change(by, parent, new Map(names).set(name, node));
  }

  #leave(by: Mount, path: string): void {
    const { dir, name } = split(path);
    const parent = this.find(dir);
    const names = new Map(namesIn(parent.content));
    names.delete(name);
    this.change(by, parent, names);
  }
}

function partsOf(path: string): string[] {
  return path.split('/').filter(Boolean);
}

function split(path: string): { dir: string; name: string } {
  const parts = partsOf(path);
  return { name: parts.pop()!, dir: parts.join('/') };
}

function namesIn(content: Content): ReadonlyMap<string, Node> {
  if (Buffer.isBuffer(content)) throw systemError('ENOTDIR');
  return content as ReadonlyMap<string, Node>;
}

function bytesOf(content: Content): Buffer {
  if (!Buffer.isBuffer(content)) throw systemError('EISDIR');
  return content;
}

function statsOf({ content, nlink, mtimeMs }: Node): object {
  const isFile = Buffer.isBuffer(content);
  return { isFile: () => isFile, isDirectory: () => !isFile, size: isFile ? content.length : 0, nlink, mtimeMs };
}
