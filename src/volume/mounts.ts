// On which file system does a file lie that some process has open? Told by /proc, so that this file system isn't asked: it
// may be another volume than ours, and hang.
import { readFileSync } from 'node:fs';
import { decodeName } from '../paths.ts';

interface Mount {
  id: string;
  /** `major:minor` of the file system. What `stat` says of its files may differ (overlay, btrfs). */
  fileSystem: string;
  /** Where it is, as its process sees it. */
  point: string;
}

/** Good for one pass: mounts come and go. */
export class Mounts {
  readonly #ours: ReadonlySet<string>;
  /** By mount, which has one number in all of the kernel; only mounts that could be looked up. */
  readonly #fileSystems = new Map<string, string>();

  /** @param root absolute and real; what lies below it is asked for, on whatever is mounted there */
  constructor(root: string) {
    const mounts = mountsOf('self');
    // A later one lies on top of an earlier one.
    const above = mounts.filter(({ point }) => isIn(root, point));
    const longest = Math.max(...above.map(({ point }) => point.length));
    const holder = above.filter(({ point }) => point.length === longest).at(-1);
    const below = mounts.filter(({ point }) => isIn(point, root));
    this.#ours = new Set(holder ? [holder, ...below].map(({ fileSystem }) => fileSystem) : []);
  }

  /**
   * Whether a descriptor's file lies on another file system than all that is below the root. False where that can't be
   * told. Asks no file system but /proc.
   */
  isElsewhere(pid: string, descriptor: string): boolean {
    if (this.#ours.size === 0) return false;
    const id = mountOf(pid, descriptor);
    if (id === undefined) return false;
    if (!this.#fileSystems.has(id))
      for (const mount of mountsOf(pid)) this.#fileSystems.set(mount.id, mount.fileSystem);
    const fileSystem = this.#fileSystems.get(id);
    return fileSystem !== undefined && !this.#ours.has(fileSystem);
  }
}

function isIn(path: string, directory: string): boolean {
  return directory === '/' || path === directory || path.startsWith(`${directory}/`);
}

/** The number of the mount through which a descriptor was opened. */
function mountOf(pid: string, descriptor: string): string | undefined {
  try {
    return /^mnt_id:\s*(\d+)/m.exec(readFileSync(`/proc/${pid}/fdinfo/${descriptor}`, 'latin1'))?.[1];
  } catch {
    return undefined;
  }
}

/** What a process sees mounted, from the first to the last. Nothing where that can't be read. */
function mountsOf(pid: string): Mount[] {
  let text: string;
  try {
    text = decodeName(readFileSync(`/proc/${pid}/mountinfo`));
  } catch {
    return [];
  }
  return text
    .split('\n')
    .filter(Boolean)
    .map((line) => {
      const [id = '', , fileSystem = '', , point = ''] = line.split(' ');
      return { id, fileSystem, point: unescapeOctal(point) };
    });
}

/** Blanks, line ends and backslashes stand as `\ooo` there. */
function unescapeOctal(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));
}
