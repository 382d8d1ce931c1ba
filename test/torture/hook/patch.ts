// Puts every file call of the agent's own behind faults and effects. What Node does by itself inside of one call
// (writeFile: open, write, close) is taken apart, so that it can die in between.
import fs from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import { type Call, onVolume, passEffect } from './effects.ts';
import { suffer, sufferSync } from './faults.ts';
import { trueFs } from './orders.ts';

type Loose = (this: unknown, ...args: unknown[]) => unknown;

const { O_CREAT, O_RDWR, O_TRUNC, O_WRONLY } = fs.constants;

/** Those that take a path first. */
const PATH_CALLS = {
  reads: ['access', 'lstat', 'opendir', 'readdir', 'readFile', 'readlink', 'realpath', 'stat', 'statfs'],
  changes: ['chmod', 'chown', 'lutimes', 'mkdir', 'rm', 'rmdir', 'truncate', 'unlink', 'utimes'],
  /** What they change is their second path. */
  changesSecond: ['copyFile', 'link', 'rename', 'symlink'],
};
const HANDLE_CALLS = {
  reads: ['read', 'readv', 'readFile', 'stat'],
  changes: ['chmod', 'chown', 'datasync', 'sync', 'truncate', 'utimes'],
  writes: ['appendFile', 'write', 'writeFile'],
};
/** Those of the volume worker that go by a number. */
const DESCRIPTOR_CALLS = ['readSync', 'fstatSync'];

let handlePrototype: object | undefined;
const handlePaths = new WeakMap<object, string>();
const descriptorPaths = new Map<number, string>();

async function perform(call: Call, work: () => unknown, writeHalf?: () => void): Promise<unknown> {
  await suffer(call, writeHalf);
  const after = passEffect(call, writeHalf);
  try {
    return await work();
  } finally {
    after();
  }
}

function replace(target: object, name: string, make: (original: Loose) => Loose): void {
  const original = Reflect.get(target, name) as Loose | undefined;
  // Not every Node has all of them.
  if (original) Reflect.set(target, name, Object.assign(make(original), original));
}

function opening(path: string, flags: unknown): Call {
  const bits = typeof flags === 'number' ? flags : undefined;
  const text = typeof flags === 'string' ? flags : 'r';
  const writes = bits === undefined ? /[wa+]/.test(text) : (bits & (O_WRONLY | O_RDWR | O_CREAT | O_TRUNC)) !== 0;
  const makes = bits === undefined ? /[wa]/.test(text) : (bits & O_CREAT) !== 0;
  // Opening what is there changes nothing, but fails where changes do.
  const creates = makes && trueFs.lstatSync(path, { throwIfNoEntry: false }) === undefined;
  return { name: creates ? 'create' : 'open', path, changes: writes, open: false };
}

/** What a writing method of a file handle is about to write, and where; undefined where it can't be told. */
function aboutToWrite(name: string, args: unknown[]): { bytes: Buffer; position: number | null } | undefined {
  const [data, second, length, position] = args;
  if (typeof data === 'string')
    return { bytes: Buffer.from(data), position: name === 'write' && typeof second === 'number' ? second : null };
  if (!ArrayBuffer.isView(data)) return undefined;
  const all = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
  if (name !== 'write') return { bytes: all, position: null };
  const options = typeof second === 'object' && second !== null ? second : { offset: second, length, position };
  const { offset, length: count, position: at } = options as Record<string, number | null | undefined>;
  const start = offset ?? 0;
  return { bytes: all.subarray(start, start + (count ?? all.length - start)), position: at ?? null };
}

function patchPromises(): void {
  const { promises } = fs;
  for (const name of PATH_CALLS.reads) patchPathCall(name, false, 0);
  for (const name of PATH_CALLS.changes) patchPathCall(name, true, 0);
  for (const name of PATH_CALLS.changesSecond) patchPathCall(name, true, 1);
  replace(
    promises,
    'open',
    (original) =>
      async function open(...args) {
        const path = onVolume(args[0]);
        if (path === undefined) return original(...args);
        const call = opening(path, args[1]);
        await suffer(call, undefined);
        const after = call.name === 'create' ? passEffect(call, undefined) : undefined;
        const handle = (await original(...args)) as FileHandle;
        if (handlePrototype === undefined) {
          handlePrototype = Object.getPrototypeOf(handle) as object;
          patchHandles(handlePrototype);
        }
        handlePaths.set(handle, path);
        after?.();
        return handle;
      },
  );
  replace(
    promises,
    'writeFile',
    (original) =>
      async function writeFile(...args) {
        if (onVolume(args[0]) === undefined) return original(...args);
        const [path, data, given] = args as Parameters<typeof promises.writeFile>;
        const options = typeof given === 'object' ? given : null;
        const handle = await promises.open(path as string, options?.flag ?? 'w', options?.mode ?? 0o666);
        try {
          await handle.writeFile(data as string);
        } finally {
          await handle.close();
        }
      },
  );

  function patchPathCall(name: string, changes: boolean, which: 0 | 1): void {
    replace(promises, name, (original) => async (...args) => {
      const path = onVolume(args[which]);
      if (path === undefined) return original(...args);
      return perform({ name, path, changes, open: false }, () => original(...args));
    });
  }
}

/** Their class isn't exported: the first that is opened shows it. */
function patchHandles(prototype: object): void {
  for (const name of HANDLE_CALLS.reads) patchMethod(name, () => ({ name, changes: false }));
  for (const name of HANDLE_CALLS.changes) patchMethod(name, () => ({ name, changes: true }));
  for (const name of HANDLE_CALLS.writes)
    patchMethod(name, (args, handle) => {
      const written = aboutToWrite(name, args);
      const writeHalf = written && (() => writeFirstHalf(handle.fd, written));
      return { name: 'write', changes: true, bytes: written?.bytes.length ?? 0, writeHalf };
    });

  type Described = Pick<Call, 'name' | 'changes' | 'bytes'> & { writeHalf?: (() => void) | undefined };
  function patchMethod(name: string, describe: (args: unknown[], handle: FileHandle) => Described): void {
    replace(
      prototype,
      name,
      (original) =>
        async function (this: unknown, ...args) {
          const handle = this as FileHandle;
          const path = handlePaths.get(handle);
          if (path === undefined) return original.apply(this, args);
          const { writeHalf, ...call } = describe(args, handle);
          return perform({ ...call, path, open: true }, () => original.apply(this, args), writeHalf);
        },
    );
  }
}

function writeFirstHalf(descriptor: number, { bytes, position }: { bytes: Buffer; position: number | null }): void {
  trueFs.writeSync(descriptor, bytes, 0, bytes.length >> 1, position);
}

/** The volume worker's calls; it changes nothing. */
function patchSync(): void {
  let inside = false;
  const guarded = (call: Call, work: () => unknown) => {
    if (inside) return work();
    inside = true;
    try {
      sufferSync(call);
      const after = passEffect(call, undefined);
      try {
        return work();
      } finally {
        after();
      }
    } finally {
      inside = false;
    }
  };
  const all = [
    ...PATH_CALLS.reads.map((name) => ({ name, changes: false, which: 0 })),
    ...PATH_CALLS.changes.map((name) => ({ name, changes: true, which: 0 })),
    ...PATH_CALLS.changesSecond.map((name) => ({ name, changes: true, which: 1 })),
  ];
  for (const { name, changes, which } of all)
    replace(fs, `${name}Sync`, (original) => (...args) => {
      const path = onVolume(args[which]);
      if (path === undefined) return original(...args);
      try {
        return guarded({ name, path, changes, open: false }, () => original(...args));
      } catch (error) {
        const { throwIfNoEntry } = (args[1] ?? {}) as { throwIfNoEntry?: boolean };
        if (throwIfNoEntry === false && (error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
        throw error;
      }
    });
  replace(fs, 'existsSync', (original) => (...args) => {
    const path = onVolume(args[0]);
    if (path === undefined) return original(...args);
    try {
      return guarded({ name: 'access', path, changes: false, open: false }, () => original(...args));
    } catch {
      return false;
    }
  });
  replace(fs, 'openSync', (original) => (...args) => {
    const path = onVolume(args[0]);
    if (path === undefined) return original(...args);
    const descriptor = guarded(opening(path, args[1]), () => original(...args)) as number;
    descriptorPaths.set(descriptor, path);
    return descriptor;
  });
  replace(fs, 'closeSync', (original) => (...args) => {
    descriptorPaths.delete(args[0] as number);
    return original(...args);
  });
  for (const name of DESCRIPTOR_CALLS)
    replace(fs, name, (original) => (...args) => {
      const path = descriptorPaths.get(args[0] as number);
      if (path === undefined) return original(...args);
      return guarded({ name: name.replace('Sync', ''), path, changes: false, open: true }, () => original(...args));
    });
}

/** Holds for this thread, for modules that are loaded already too. */
export function patchFileCalls(): void {
  patchPromises();
  patchSync();
  syncBuiltinESMExports();
}
