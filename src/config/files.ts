// Which files settings may come from. The files of the run directory decide where a user's pictures go, so nobody
// else may be able to write them; a `_FILE` is named by the user, so only its being a readable file matters.
import {
  closeSync,
  constants,
  existsSync,
  fstatSync,
  lstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  type Stats,
  writeFileSync,
} from 'node:fs';
import { dirname, isAbsolute, join } from 'node:path';
import { errorCode } from '../errors.ts';

/** Why a file isn't read, in words that follow its name. */
export class UnusableFile extends Error {}

const maxBytes = 1024 * 1024;
const reasons: Readonly<Record<string, string>> = {
  ENOENT: "isn't there",
  ENOTDIR: "isn't there",
  EACCES: "can't be read: permission denied",
  ELOOP: 'is a symlink',
  EISDIR: 'is a directory',
};

/** The text of a file of the run directory; undefined where there is none. Throws UnusableFile. */
export function readRunFile(runDir: string, name: string): string | undefined {
  if (!checkRunDir(runDir)) return undefined;
  try {
    return readRegular(join(runDir, name), constants.O_NOFOLLOW, checkOwner);
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return undefined;
    throw describe(error, name);
  }
}

/** Replaces a file of the run directory, which is made if need be. Throws UnusableFile. */
export function writeRunFile(runDir: string, name: string, text: string): void {
  const temp = join(runDir, `${name}.${process.pid}.tmp`);
  try {
    mkdirSync(runDir, { recursive: true, mode: 0o700 });
  } catch (error) {
    throw describe(error, 'the directory', "can't be made");
  }
  checkRunDir(runDir);
  try {
    rmSync(temp, { force: true });
    writeFileSync(temp, text, { mode: 0o600, flag: 'wx' });
    renameSync(temp, join(runDir, name));
  } catch (error) {
    throw describe(error, name, "can't be written");
  }
}

/** The text of a file that a `_FILE` setting names. Throws UnusableFile. */
export function readNamedFile(path: string): string {
  if (!isAbsolute(path)) throw new UnusableFile("isn't named by its full path, which starts with /");
  try {
    return readRegular(path, 0, () => {});
  } catch (error) {
    throw describe(error, '');
  }
}

/** Whether a text that should be a path may be shown: the key itself, put there by mistake, has no such directory. */
export function looksLikePath(text: string): boolean {
  const dir = dirname(text);
  return isAbsolute(text) && dir !== '/' && existsSync(dir);
}

/** Whether the run directory is there; throws UnusableFile if it can't be trusted. */
function checkRunDir(runDir: string): boolean {
  try {
    const stats = lstatSync(runDir);
    if (!stats.isDirectory()) throw new UnusableFile('is no directory');
    checkOwner(stats);
    return true;
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return false;
    throw describe(error, 'the directory');
  }
}

function readRegular(path: string, flags: number, check: (stats: Stats) => void): string {
  // Without O_NONBLOCK a FIFO would keep us waiting for ever.
  const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK | flags);
  try {
    const stats = fstatSync(fd);
    if (!stats.isFile()) throw new UnusableFile('is no regular file');
    if (stats.size > maxBytes) throw new UnusableFile('is far too large');
    check(stats);
    return readFileSync(fd, 'utf8');
  } finally {
    closeSync(fd);
  }
}

function checkOwner(stats: Stats): void {
  const uid = process.getuid?.() ?? stats.uid;
  if (stats.uid !== uid && stats.uid !== 0) throw new UnusableFile('belongs to another user');
  if ((stats.mode & 0o022) !== 0) throw new UnusableFile('can be written by other users');
}

function describe(error: unknown, name: string, otherwise = "can't be read"): UnusableFile {
  const code = errorCode(error);
  const reason = error instanceof UnusableFile ? error.message : (reasons[code ?? ''] ?? `${otherwise} (${code})`);
  return new UnusableFile(`${name} ${reason}`.trim(), { cause: error });
}
