// On which file system does a file lie that some process has open? Told by /proc, so that this file system isn't asked: it
// may be another volume than ours, and hang.
import { closeSync, openSync, readSync } from 'node:fs';
import { decodeName } from '../paths.ts';

export interface Mount {
  id: string;
  /** `major:minor` of the file system. What `stat` says of its files may differ (overlay, btrfs). */
  fileSystem: string;
  /** Where it is, as its process sees it. */
  point: string;
  /** `ext4`, `fuse` … */
  type: string;
}

/** The table that was read last: it hardly ever changes, and is asked for with every file. */
let last: { table: Buffer; root: string; mounts: Mounts } | undefined;

/**
 * What is mounted just now. Good for one pass over descriptors.
 * @param root absolute and real; what lies below it is ours, on whatever is mounted there
 */
export function lookAtMounts(root: string): Mounts {
  const table = readProc('self/mountinfo') ?? Buffer.alloc(0);
  if (last?.root === root && last.table.equals(table)) {
    last.mounts.forgetOthers();
    return last.mounts;
  }
  const mounts = new Mounts(root, parseMounts(table));
  last = { table: Buffer.from(table), root, mounts };
  return mounts;
}

export class Mounts {
  readonly #ours: ReadonlySet<string>;
  /** The file systems of mounts, which have one number each in all of the kernel: those that we see … */
  readonly #seen: ReadonlyMap<string, string>;
  /** … and those that others see; undefined where nobody sees them (a file that was opened in another container). */
  readonly #others = new Map<string, string | undefined>();

  constructor(root: string, mounts: readonly Mount[]) {
    this.#seen = new Map(mounts.map(({ id, fileSystem }) => [id, fileSystem]));
    const holder = findMount(mounts, root);
    const below = mounts.filter(({ point }) => isIn(point, root));
    this.#ours = new Set(holder ? [holder, ...below].map(({ fileSystem }) => fileSystem) : []);
  }

  /** Numbers are given again: what isn't in our own table may be something else by the next pass. */
  forgetOthers(): void {
    this.#others.clear();
  }

  /**
   * Whether a descriptor's file lies on another file system than all that is below the root. False where that can't be
   * told. Asks no file system but /proc.
   */
  isElsewhere(pid: string, descriptor: string): boolean {
    if (this.#ours.size === 0) return false;
    const info = readProc(`${pid}/fdinfo/${descriptor}`);
    const id = info && /^mnt_id:\s*(\d+)/m.exec(info.toString('latin1'))?.[1];
    if (id === undefined) return false;
    if (!this.#seen.has(id) && !this.#others.has(id)) {
      this.#others.set(id, undefined);
      for (const mount of parseMounts(readProc(`${pid}/mountinfo`))) this.#others.set(mount.id, mount.fileSystem);
    }
    const fileSystem = this.#seen.get(id) ?? this.#others.get(id);
    return fileSystem !== undefined && !this.#ours.has(fileSystem);
  }
}

function isIn(path: string, directory: string): boolean {
  return directory === '/' || path === directory || path.startsWith(`${directory}/`);
}

let scratch = Buffer.alloc(16 * 1024);

/** The content of a file below /proc, until the next one is read; undefined where there is none to be read. */
function readProc(path: string): Buffer | undefined {
  try {
    const descriptor = openSync(`/proc/${path}`, 'r');
    try {
      for (let filled = 0; ; ) {
        const bytes = readSync(descriptor, scratch, filled, scratch.length - filled, null);
        filled += bytes;
        if (bytes === 0) return scratch.subarray(0, filled);
        if (filled === scratch.length) scratch = Buffer.concat([scratch], 2 * scratch.length);
      }
    } finally {
      closeSync(descriptor);
    }
  } catch {
    return undefined;
  }
}

/** What a process sees mounted, from the first to the last. @param table the bytes of /proc/<pid>/mountinfo */
export function parseMounts(table: Buffer = Buffer.alloc(0)): Mount[] {
  return decodeName(table)
    .split('\n')
    .filter(Boolean)
    .map((line) => {
      const [before = '', after = ''] = line.split(' - ');
      const [id = '', , fileSystem = '', , point = ''] = before.split(' ');
      return { id, fileSystem, point: unescapeOctal(point), type: after.split(' ', 1)[0]! };
    });
}

/** What is mounted where a path lies. */
export function findMount(mounts: readonly Mount[], path: string): Mount | undefined {
  let best: Mount | undefined;
  for (const mount of mounts) {
    // The later of two on one point is on top.
    if (isIn(path, mount.point) && mount.point.length >= (best?.point.length ?? 0)) best = mount;
  }
  return best;
}

/** Blanks, line ends and backslashes stand as `\ooo` there. */
function unescapeOctal(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));
}
