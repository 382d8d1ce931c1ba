// Who holds which folder, read from the lease's files alone: for people, whether an agent runs or not. Writes nothing.
import PQueue from 'p-queue';
import { errorCode } from '../errors.ts';
import type { LedgerIo } from '../ledger/io.ts';
import { listNames } from '../ledger/segment.ts';
import { fsPath, printable } from '../paths.ts';
import { highestClaim, readLeaseFile } from './files.ts';
import { parseBeat, parseClaim } from './format.ts';

export interface FolderLease {
  /** For people; the name of the folder's directory in the state where the claim can't be read. */
  folder: string;
  /** `silent`: for longer than the lease time, so that another pod may take the folder over. */
  state: 'held' | 'silent' | 'released' | 'unreadable';
  /** Short hash of the pod that made the claim, and the name of its machine. */
  pod: string | null;
  host: string | null;
  thisPod: boolean;
  /** The claim's number. */
  epoch: number | null;
  /** Of the claim, by the holder's clock. ISO 8601. */
  since: string | null;
  /** About how long since the last beat: by the holder's clock against ours. null: the clocks differ too much. */
  silentSeconds: number | null;
  /** What can't be read, and what comes of it. */
  problem: string | null;
}

export interface Viewer {
  /** Short hash of this pod. */
  pod: string;
  /** R2_LEASE_SECONDS. */
  leaseSeconds: number;
  /** Wall ms. */
  now: number;
}

const LOOKS_AT_ONCE = 4;
/** Clocks that are set by the network agree within this: seconds. */
const CLOCK_SECONDS = 5;
/** Nobody looks after pods that died so long ago. A clock that was never set says 1970. */
const ABSURD_SECONDS = 366 * 86_400;
const HEALS = 'It heals by itself: who needs the folder waits as for a silent pod, then makes a new claim.';

/** The leases below a target's directory, by folder; none where there is no such directory. Rejects with the system's error. */
export async function readLeases(io: LedgerIo, targetDir: string, viewer: Viewer): Promise<FolderLease[]> {
  const queue = new PQueue({ concurrency: LOOKS_AT_ONCE });
  const names = await listNames(io, targetDir);
  const leases = await queue.addAll(names.map((name) => () => readLease(io, targetDir, name, viewer)));
  return leases.filter((lease) => lease !== undefined).sort((a, b) => (a.folder < b.folder ? -1 : 1));
}

/** The lease of the folder with this directory; undefined where nobody ever made a claim. */
export async function readLease(
  io: LedgerIo,
  targetDir: string,
  name: string,
  { pod, leaseSeconds, now }: Viewer,
): Promise<FolderLease | undefined> {
  const dir = `${targetDir}/${name}`;
  const nothing = { folder: printable(name), pod: null, host: null, thisPod: false, since: null, silentSeconds: null };
  const unreadable = (epoch: number | null, problem: string): FolderLease => {
    return { ...nothing, state: 'unreadable', epoch, problem };
  };
  try {
    const found = await readHighest(io, dir);
    if (!found) return undefined;
    const { epoch, claimText, beatText } = found;
    const claim = parseClaim(claimText, epoch);
    if (!claim) return unreadable(epoch, `Its claim ${describeText(claimText)}. ${HEALS}`);
    const lease = {
      ...nothing,
      folder: printable(claim.folder),
      pod: printable(claim.process.pod),
      host: printable(claim.host),
      thisPod: claim.process.pod === pod,
      epoch,
      since: printable(claim.since),
    };
    const beat = parseBeat(beatText, epoch);
    if (beatText !== undefined && !beat)
      return { ...lease, state: 'unreadable', problem: `Its last sign of life ${describeText(beatText)}. ${HEALS}` };
    // The claim counts as the first sign of life.
    const silentSeconds = secondsSince(beat?.at ?? claim.since, now);
    const silent = silentSeconds !== null && silentSeconds > leaseSeconds;
    const state = beat?.released ? 'released' : silent ? 'silent' : 'held';
    return { ...lease, state, silentSeconds, problem: null };
  } catch (error) {
    if (errorCode(error) === 'ENOTDIR') return undefined;
    return unreadable(null, `Its directory ${printable(dir)} can't be read (${errorCode(error) ?? error}).`);
  }
}

/** The highest claim and its beat, as texts. */
async function readHighest(io: LedgerIo, dir: string) {
  for (let attempt = 1; ; attempt += 1) {
    const epoch = highestClaim(await listNames(io, dir));
    if (epoch === 0) return undefined;
    const read = (kind: string) => readLeaseFile(io, fsPath(`${dir}/${kind}.${epoch}.json`));
    const claimText = await read('lease');
    // A new holder may have removed it since it was listed.
    if (claimText !== undefined || attempt === 3) return { epoch, claimText, beatText: await read('beat') };
  }
}

function describeText(text: string | undefined): string {
  if (text === undefined) return "can't be read";
  return text.trim() === '' ? 'is empty' : 'makes no sense';
}

/** Whole seconds; null where the two clocks can't be compared. */
function secondsSince(iso: string, now: number): number | null {
  const seconds = (now - Date.parse(iso)) / 1000;
  return seconds >= -CLOCK_SECONDS && seconds < ABSURD_SECONDS ? Math.max(0, Math.round(seconds)) : null;
}
