// What must be true after every story of a team, whatever happened to it.
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { expect } from 'vitest';
import { decodeName, fsPath, joinPath, printable } from '../../src/paths.ts';
import { expectTrueObjects, storedVersions } from '../agent/bucket.ts';
import { type Holding, LEASE_SECONDS, type Pod } from './pod.ts';
import type { Sent, Team } from './team.ts';

/** What one killed or stopped holder may have had on its way: small files, and large ones. */
const LANES = { small: 4, large: 2 };
/** Small files that were confirmed a moment before, and whose lines had not reached the ledger yet. */
const UNNOTED = 4;
/** A line is written after what it tells, and others may read that first. */
const LINE_MS = 1000;
/** What was on its way may end within a ninth of the lease; what it takes to get here comes on top. */
const GRACE_MS = (LEASE_SECONDS * 1000) / 9 + 1000;

export interface Allowance {
  /** Holders that were killed or stopped. */
  faults?: number;
  /** Folders that one pod may upload without a lease, because it can't write their state. */
  without?: readonly string[];
  /** The same, but all pods may, so that several send the same: not counted. */
  contested?: readonly string[];
}

/** All of them. The files are read on the first pod's mount. */
export function expectAllWell(team: Team, { faults = 0, without = [], contested = [] }: Allowance = {}): void {
  const allowance = { faults, without, contested };
  expectEverythingAsWritten(team);
  expectOneHolderPerFolder(team, allowance);
  expectSentOnce(team, allowance);
  expectOnlyHoldersSend(team, allowance);
}

/** Every file of the output directory is in the bucket byte for byte, under one key; and nothing else is. */
function expectEverythingAsWritten(team: Team): void {
  const output = team.output(1);
  expectTrueObjects(team.store);
  const versions = storedVersions(team.store);
  const paths = walk(output);
  expect(paths.map(printable)).toEqual([...team.files.keys()].sort(byText).map(printable));
  expect([...versions.keys()].sort(byText).map(printable)).toEqual(paths.map(printable));
  const wrong = paths.filter((path) => {
    const bytes = readFileSync(fsPath(joinPath(output, path)));
    const stored = versions.get(path)!;
    return stored.length !== 1 || !stored[0]!.equals(bytes) || !bytes.equals(team.files.get(path)!);
  });
  expect(wrong.map(printable)).toEqual([]);
}

/** By the logs: a folder's epochs grow, each has one holder, and no two hold at the same time. */
function expectOneHolderPerFolder(team: Team, { without, contested }: Required<Allowance>): void {
  const said = team.pods.flatMap((pod) => pod.leaseLines()).filter(({ lease }) => lease === 'without');
  const free = said.map(({ folder }) => folder).filter((folder) => ![...without, ...contested].includes(folder));
  expect(free, `uploaded without a lease\n${team.story()}`).toEqual([]);
  const byFolder = Map.groupBy(team.holdings(), ({ folder }) => folder);
  for (const holdings of byFolder.values()) {
    holdings.sort((a, b) => a.epoch - b.epoch);
    const trouble = holdings.slice(1).filter((next, index) => !follows(next, holdings[index]!));
    expect(trouble.map(tell), `${holdings.map(tell).join('\n')}\n`).toEqual([]);
  }
}

function follows(next: Holding, before: Holding): boolean {
  if (next.epoch === before.epoch || next.from < before.from) return false;
  return next.from >= before.to - (before.end === 'released' ? LINE_MS : 0);
}

/** By the store: nobody has sent an object's bytes again, but for what was in flight at a fault. */
function expectSentOnce(team: Team, { faults, contested }: Required<Allowance>): void {
  const counted = team.sent.filter(({ folder }) => !contested.includes(folder));
  const again = (operation: string) => {
    const same = counted.filter((sent) => sent.operation === operation);
    return [...Map.groupBy(same, ({ key }) => key).values()].filter((sent) => sent.length > 1);
  };
  const parts = counted.filter(({ operation }) => operation === 'UploadPart').map(({ part }) => part);
  expect(new Set(parts).size, 'parts that were sent twice').toBe(parts.length);
  const expectAtMost = (repeated: Sent[][], limit: number) => {
    // Where a large file was begun again, its parts show whether it was broken off before, in or after the first one.
    const partsOf = (key: string) => counted.filter((sent) => sent.operation === 'UploadPart' && sent.key === key);
    const about = repeated.map((sent) => [...sent, ...partsOf(sent[0]!.key)].map(tellSent).join(', and ')).join('\n');
    const times = repeated.reduce((sum, { length }) => sum + length - 1, 0);
    expect(times, `sent again:\n${about}\n${team.story()}`).toBeLessThanOrEqual(limit);
  };
  expectAtMost(again('PutObject'), faults * (LANES.small + UNNOTED));
  expectAtMost(again('CreateMultipartUpload'), faults * LANES.large);
}

/** Invariant 5 as the store sees it: who sends a file holds its folder. */
function expectOnlyHoldersSend(team: Team, { faults, contested }: Required<Allowance>): void {
  const holdings = team.holdings();
  const goesWithout = (pod: Pod, folder: string) =>
    pod.leaseLines().some((said) => said.lease === 'without' && said.folder === folder);
  const strangers = team.sent.filter(({ pod, operation, folder, at }) => {
    if (operation === 'UploadPart' || contested.includes(folder) || goesWithout(pod, folder)) return false;
    const held = (holding: Holding) => at >= holding.from - LINE_MS && at <= holding.to + GRACE_MS;
    return !holdings.some((holding) => holding.pod === pod && holding.folder === folder && held(holding));
  });
  const about = strangers.map(tellSent).join('\n');
  expect(strangers.length, `sent by who didn't hold the folder:\n${about}\n${team.story()}`).toBeLessThanOrEqual(
    faults * (LANES.small + LANES.large),
  );
}

/** How many objects were sent again: for the record. */
export function sentAgain(team: Team): number {
  const whole = team.sent.filter(({ operation }) => operation !== 'UploadPart');
  return whole.length - new Set(whole.map(({ key }) => key)).size;
}

function tellSent({ pod, operation, key, part, at }: Sent): string {
  return `${operation}${part && ` ${part}`} of ${key} by pod ${pod.number} at ${new Date(at).toISOString()}`;
}

function tell({ pod, folder, epoch, from, to, how, end }: Holding): string {
  const until = to === Infinity ? 'now' : new Date(to).toISOString();
  return `${folder} ${epoch}: pod ${pod.number} (${how}) from ${new Date(from).toISOString()} to ${until} (${end})`;
}

/** Paths of all files below, state and hidden names aside. */
function walk(dir: string, path = ''): string[] {
  const names = readdirSync(fsPath(joinPath(dir, path)), { encoding: 'buffer' }).map(decodeName);
  const found = names.flatMap((name) => {
    if (name.startsWith('.')) return [];
    const below = joinPath(path, name);
    return statSync(fsPath(joinPath(dir, below))).isDirectory() ? walk(dir, below) : [below];
  });
  return found.sort(byText);
}

function byText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
