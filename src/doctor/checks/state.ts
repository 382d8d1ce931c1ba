// The state directory: does what the ledger and the leases do there work, for this user, on this file system? And what is
// in it: who holds which folder.
import { constants } from 'node:fs';
import { dirname } from 'node:path';
import { ExitCode, errorCode, errorText } from '../../errors.ts';
import { type FolderLease, readLeases } from '../../lease/survey.ts';
import { syncDirectory } from '../../ledger/io.ts';
import { findRoot } from '../../ledger/location.ts';
import { listNames } from '../../ledger/segment.ts';
import { fsPath, printable } from '../../paths.ts';
import { number } from '../../status/words.ts';
import type { VolumeFs } from '../../volume/gate.ts';
import { bad, type Check, type Finding, good, note, warning } from '../check.ts';
import { makeScratch } from '../scratch.ts';
import type { Subject } from '../subject.ts';

const { O_CREAT, O_EXCL, O_NOFOLLOW, O_RDWR } = constants;
const BYTES = Buffer.from('r2-sync doctor\n');
/** Longer than that for one write that lasts makes everything on the volume slow. */
const SLOW_MS = 1000;
const UNKNOWN_TARGET: Finding = { mark: 'skipped', result: 'not known without R2_ENDPOINT: each bucket has its own' };

export const stateChecks: readonly Check[] = [
  { id: 'state', title: 'State directory', needs: ['output'], exitCode: ExitCode.left, look: tryState },
  { id: 'other-states', title: 'Other states', needs: ['output'], exitCode: ExitCode.left, look: lookAtOthers },
  { id: 'leases', title: 'Leases', needs: ['output'], exitCode: ExitCode.left, look: lookAtLeases },
];

async function tryState(subject: Subject): Promise<Finding> {
  const { fs, clock, pod } = subject;
  const { root, targetDir } = await subject.location();
  const base = dirname(targetDir);
  const shown = printable(base);
  try {
    const scratch = await makeScratch(fs, base, root, pod);
    subject.scratch = scratch;
    const began = clock.monotonic();
    const links = await tryFiles(fs, scratch.dir);
    const ms = clock.monotonic() - began;
    const words = `${shown}: files can be made, linked, renamed and kept (${Math.ceil(ms)} ms)`;
    if (!links) {
      return note(`${shown}: files can be made, renamed and kept; hard links are refused, so leases do without them`);
    }
    if (ms > SLOW_MS) return warning(words, 'That is slow: the volume may be overloaded. Uploads go on.');
    return good(words);
  } catch (error) {
    const why = `${errorText(error)}, as the user ${process.getuid?.()}`;
    return bad(
      `${shown} can't be used (${printable(why)})`,
      'Make it writable for the user that r2-sync runs as, or set R2_STATE_DIR. Meanwhile uploads go on without a ledger.',
    );
  }
}

/** All that ledger and leases need. Throws where something doesn't work; false: but for hard links. */
async function tryFiles(fs: VolumeFs, dir: string): Promise<boolean> {
  const [first, second, third] = ['first', 'second', 'third'].map((name) => fsPath(`${dir}/${name}`));
  const handle = await fs.open(first!, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
  try {
    await handle.write(BYTES, 0, BYTES.length, 0);
    await handle.sync();
  } finally {
    await handle.close();
  }
  if (await canMakeAgain(fs, first!))
    throw new Error('a file that is there can be made once more: O_EXCL does nothing');
  const links = await tryLink(fs, first!, second!);
  await fs.rename(first!, third!);
  await syncDirectory(fs, dir);
  if (!(await fs.readFile(third!)).equals(BYTES)) throw new Error('what was written is not what is read');
  return links;
}

async function canMakeAgain(fs: VolumeFs, file: string | Buffer): Promise<boolean> {
  try {
    await (await fs.open(file, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW)).close();
    return true;
  } catch (error) {
    if (errorCode(error) !== 'EEXIST') throw error;
    return false;
  }
}

/** Whether hard links are made, and counted. */
async function tryLink(fs: VolumeFs, file: string | Buffer, link: string | Buffer): Promise<boolean> {
  try {
    await fs.link(file, link);
    return (await fs.stat(file)).nlink === 2;
  } catch {
    return false;
  }
}

/** States of other buckets beside ours, and state directories that agents don't agree on. */
async function lookAtOthers(subject: Subject): Promise<Finding> {
  const { fs, config } = subject;
  if (config.endpoint === '') return UNKNOWN_TARGET;
  const { root, targetDir, target, prefix } = await subject.location();
  const { below } = await findRoot(fs, config.outputDir);
  if (below.length > 0) {
    return warning(
      `there ${below.length === 1 ? 'is another' : 'are others'} below: ${below.map(printable).join(', ')}`,
      'An agent was started in that folder alone. Stop it, and delete that directory: its files are compared, not sent again.',
    );
  }
  const targets = (await listNames(fs, dirname(targetDir))).filter((name) => /^[0-9a-f]{16}$/.test(name));
  const others = targets.filter((name) => name !== target).length;
  const parts = [
    targets.includes(target)
      ? 'this bucket was used from this volume before'
      : 'this bucket is new here: all files will be sent',
    ...(others > 0 ? [`so ${others === 1 ? 'was one other' : `were ${number(others)} others`}`] : []),
    ...(prefix === '' ? [] : [`all paths count from ${printable(root)}, where the state lies`]),
  ];
  return good(parts.join('; '));
}

async function lookAtLeases(subject: Subject): Promise<Finding> {
  const { config, fs, clock } = subject;
  if (config.endpoint === '') return UNKNOWN_TARGET;
  if (!config.lease) return note('R2_LEASE=off: this pod uploads everything and asks nobody');
  const { targetDir } = await subject.location();
  const agent = await subject.agent().catch(() => undefined);
  const viewer = { pod: agent?.pod ?? subject.pod, leaseSeconds: config.leaseSeconds, now: clock.wall() };
  return describeLeases(await readLeases(fs, targetDir, viewer));
}

export function describeLeases(leases: readonly FolderLease[]): Finding {
  if (leases.length === 0) return good('no pod has claimed a folder yet');
  const kinds: readonly [words: string, counts: (lease: FolderLease) => boolean][] = [
    ['held by this pod', ({ state, thisPod }) => state === 'held' && thisPod],
    ['held by other pods', ({ state, thisPod }) => state === 'held' && !thisPod],
    ['silent', ({ state }) => state === 'silent'],
    ['unreadable', ({ state }) => state === 'unreadable'],
    ['free', ({ state }) => state === 'released'],
  ];
  const parts = kinds
    .map(([words, counts]) => [leases.filter(counts).length, words] as const)
    .filter(([count]) => count > 0)
    .map(([count, words]) => `${number(count)} ${words}`);
  const words = `${number(leases.length)} ${leases.length === 1 ? 'folder' : 'folders'}: ${parts.join(', ')}`;
  if (leases.some(({ state }) => state === 'unreadable'))
    return warning(words, '`r2-sync leases` says which, and why.');
  return good(words);
}
