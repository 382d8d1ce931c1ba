// What a contender costs: CPU time and memory of its process and of all that it started, read from /proc.
import { readdirSync, readFileSync } from 'node:fs';

/** USER_HZ: the unit of CPU times in /proc/PID/stat, 100 on every Linux that Node runs on. */
const TICKS_PER_SECOND = 100;
const MIB = 1024 * 1024;

export interface Holdings {
  rss: number;
  pss: number;
  anon: number;
  /** Open files, pipes, sockets. */
  descriptors: number;
  /** inotify's. */
  watches: number;
}

interface Stat {
  pid: number;
  parent: number;
  session: number;
  /** Own CPU time and that of children that ended and were waited for, in ticks. */
  ticks: number;
}

/** The pids of `root`, its descendants, and whoever shares its session. */
export function listTree(root: number): number[] {
  return readTree(root).map((stat) => stat.pid);
}

/** CPU milliseconds that the tree has used since its start. The difference of two readings is what a stretch cost. */
export function readCpuMs(root: number): number {
  return (readTree(root).reduce((sum, stat) => sum + stat.ticks, 0) * 1000) / TICKS_PER_SECOND;
}

/** Sums over the tree, in MiB: memory now, and the peaks of the processes that live now. */
export function readMemory(root: number): { rss: number; peak: number } {
  let rss = 0;
  let peak = 0;
  for (const pid of listTree(root)) {
    const text = readProc(`${pid}/status`);
    rss += readKib(text, 'VmRSS');
    peak += readKib(text, 'VmHWM');
  }
  return { rss: (rss * 1024) / MIB, peak: (peak * 1024) / MIB };
}

/** What a tree holds: memory in MiB (`pss` counts shared pages once, `anon` is what it allocated), and counts. */
export function readHoldings(root: number): Holdings {
  const held: Holdings = { rss: readMemory(root).rss, pss: 0, anon: 0, descriptors: 0, watches: 0 };
  for (const pid of listTree(root)) {
    const rollup = readProc(`${pid}/smaps_rollup`);
    held.pss += (readKib(rollup, 'Pss') * 1024) / MIB;
    held.anon += (readKib(rollup, 'Pss_Anon') * 1024) / MIB;
    const descriptors = listProc(`${pid}/fdinfo`);
    held.descriptors += descriptors.length;
    for (const fd of descriptors) held.watches += readProc(`${pid}/fdinfo/${fd}`).split('\ninotify ').length - 1;
  }
  return held;
}

/** Watches a tree's peak memory: short-lived processes are caught by looking often. */
export function watchPeak(root: number, everyMs = 250): { stop(): number } {
  let peak = 0;
  const look = () => {
    peak = Math.max(peak, readMemory(root).peak);
  };
  const timer = setInterval(look, everyMs);
  return {
    stop: () => {
      clearInterval(timer);
      look();
      return peak;
    },
  };
}

function readTree(root: number): Stat[] {
  const stats = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => parseStat(Number(name), readProc(`${name}/stat`)));
  const members = new Set<number>();
  const isMember = (stat: Stat) => stat.pid === root || stat.session === root || members.has(stat.parent);
  for (let before = -1; before !== members.size; ) {
    before = members.size;
    for (const stat of stats) if (isMember(stat)) members.add(stat.pid);
  }
  return stats.filter((stat) => members.has(stat.pid));
}

/** The name in brackets may hold blanks and brackets, so fields are counted from the last bracket. */
function parseStat(pid: number, text: string): Stat[] {
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  const at = (index: number) => Number(fields[index] ?? 0);
  if (fields.length < 15) return [];
  return [{ pid, parent: at(1), session: at(3), ticks: at(11) + at(12) + at(13) + at(14) }];
}

/** '' for a process that has ended meanwhile. */
function readProc(path: string): string {
  try {
    return readFileSync(`/proc/${path}`, 'utf8');
  } catch {
    return '';
  }
}

function listProc(path: string): string[] {
  try {
    return readdirSync(`/proc/${path}`);
  } catch {
    return [];
  }
}

function readKib(status: string, name: string): number {
  return Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)?.[1] ?? 0);
}
