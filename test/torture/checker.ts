// Knows what the writers wrote, what the store holds and what the ledger says, and compares. In words what is wrong.
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { extname } from 'node:path';
import { fsPath, joinPath, printable } from '../../src/paths.ts';
import type { Snapshot } from '../../src/status/snapshot.ts';
import type { LedgerWatch } from './ledger-watch.ts';
import type { LeaseLine, Resources, TorturePod } from './pod.ts';
import type { TortureStore } from './store.ts';
import type { Shelf, Version } from './writers/index.ts';

export interface Wrong {
  text: string;
  /** What the history is searched for. */
  about: string[];
}

/** What an interrupted agent may have had on its way, and sends again. */
const REPEATS_PER_FAULT = 8;
/** An agent may have so much more than after its first calm. Connections are kept for a while, so they have a bound. */
const MORE = { files: 6, memoryMib: 80 };
const SOCKETS = 48;

export class Checker {
  readonly #shelf: Shelf;
  readonly #store: TortureStore;
  readonly #ledger: LedgerWatch;
  /** Versions that were there when all was calm: each had to be stored. */
  readonly due = new Set<Version>();
  /** Of those, which were missed within the stated limit for twins. */
  readonly missedTwins = new Set<Version>();

  constructor(shelf: Shelf, store: TortureStore, ledger: LedgerWatch) {
    this.#shelf = shelf;
    this.#store = store;
    this.#ledger = ledger;
  }

  /** Versions that are there and not in the bucket as what they are: empty when nothing is left to do. */
  missing(): Version[] {
    const stored = new Set<string>();
    // Half a file is left half for longer than a run of ours lasts, so whoever says it of a whole one is wrong.
    for (const { path, sha256, incomplete } of this.#store.committed.values())
      if (!incomplete) stored.add(`${path ?? ''}\0${sha256}`);
    const has = ({ path, sha256 }: Version) => stored.has(`${path}\0${sha256}`) || stored.has(`\0${sha256}`);
    return this.#shelf.present().filter((version) => !has(version));
  }

  /** Everything that must hold when nothing is going on. @param output where the files are */
  checkCalm(output: string): Wrong[] {
    const missing = this.missing();
    for (const version of this.#shelf.present()) this.due.add(version);
    // Same name, size and time as other bytes before: a stated limit where the hint was lost.
    for (const version of missing) if (version.twin) this.missedTwins.add(version);
    const lost = missing.filter(({ twin }) => !twin);
    return [
      ...lost.map(({ path, sha256 }) => ({
        text: `LOST: ${printable(path)} (${sha256}) is finished and not in the bucket`,
        about: [printable(path)],
      })),
      ...this.#changedOnDisk(output),
      ...this.#torn(),
      ...[...this.#store.wrongs.splice(0), ...this.#ledger.wrongs.splice(0)].map((text) => ({ text, about: [] })),
      ...this.#vanished(),
    ];
  }

  /** Waste has a bound, too. @param faults all that were done, whatever they interrupted */
  checkWaste(faults: number, lives: number): Wrong[] {
    const { repeats, requests, committed } = this.#store;
    const bound = REPEATS_PER_FAULT * (faults + lives);
    // The same bytes of the same file under two keys: sent again, too.
    const files = new Set([...committed.values()].map(({ path, sha256, key }) => `${path ?? key}\0${sha256}`));
    const again = repeats + committed.size - files.size;
    const most = 3 * (committed.size + bound) + 20 * (faults + lives);
    return [
      ...(again > bound
        ? [{ text: `WASTE: ${again} files were sent again, after ${faults} faults and ${lives} starts`, about: [] }]
        : []),
      ...(requests > most
        ? [
            {
              text: `WASTE: ${requests} requests for ${committed.size} objects (${faults} faults, ${lives} starts)`,
              about: [],
            },
          ]
        : []),
    ];
  }

  /** Invariant 5, by the logs: no epoch of a folder has two holders. */
  checkLeases(pods: readonly TorturePod[]): Wrong[] {
    const holders = new Map<string, LeaseLine>();
    const wrongs: Wrong[] = [];
    const gains = pods.flatMap((pod) => pod.leaseLines).filter(({ lease }) => lease === 'gained');
    for (const line of gains.sort((a, b) => a.at - b.at)) {
      const id = `${line.folder}\0${line.epoch}`;
      const other = holders.get(id);
      if (other && other.pod !== line.pod)
        wrongs.push({
          text: `invariant 5: pods ${other.pod} and ${line.pod} both gained epoch ${line.epoch} of ${line.folder}`,
          about: [],
        });
      holders.set(id, line);
    }
    return wrongs;
  }

  /** Invariant 5, by what they say of themselves at the same moment. */
  checkHolders(snapshots: readonly (Snapshot | undefined)[]): Wrong[] {
    const mine = snapshots.flatMap((snapshot, index) =>
      (snapshot?.folders ?? [])
        .filter(({ lease }) => lease.state === 'mine')
        .map(({ folder }) => ({ folder, pod: index + 1 })),
    );
    return [...Map.groupBy(mine, ({ folder }) => folder)]
      .filter(([, holders]) => holders.length > 1)
      .map(([folder, holders]) => ({
        text: `invariant 5: pods ${holders.map(({ pod }) => pod).join(' and ')} both say that ${folder} is theirs`,
        about: [],
      }));
  }

  /** Who has nothing to do reads no file of the user's. @param output where the files are, for this pod */
  checkOpenFiles(pod: TorturePod, output: string): Wrong[] {
    const isUsers = (target: string) =>
      target.startsWith(`${output}/`) && !target.includes('/.r2-sync/') && extname(target) !== '';
    const open = pod.descriptors().filter(isUsers);
    if (open.length === 0) return [];
    const some = open.slice(0, 3).map(printable).join(', ');
    return [{ text: `LEAK: pod ${pod.number} has nothing to do and ${open.length} outputs open: ${some}`, about: [] }];
  }

  /** @param before of the same process, when it had calmed down for the first time */
  checkResources(pod: TorturePod, before: Resources): Wrong[] {
    const now = pod.resources();
    const wrongs: Wrong[] = [];
    const files = (of: Resources) => of.descriptors.filter((target) => !target.startsWith('socket:')).length;
    const sockets = now.descriptors.length - files(now);
    if (files(now) > files(before) + MORE.files || sockets > SOCKETS) {
      const more = Object.entries(kindsOf(now.descriptors)).map(
        ([kind, count]) => `${kind} ${kindsOf(before.descriptors)[kind] ?? 0} and ${count}`,
      );
      wrongs.push({ text: `LEAK: descriptors of pod ${pod.number}, before and now: ${more.join(', ')}`, about: [] });
    }
    if (now.memory > before.memory + MORE.memoryMib)
      wrongs.push({
        text: `LEAK: pod ${pod.number} had ${before.memory.toFixed()} MiB and has ${now.memory.toFixed()} MiB`,
        about: [],
      });
    return wrongs;
  }

  /** Invariant 6. */
  #changedOnDisk(output: string): Wrong[] {
    return this.#shelf.present().flatMap(({ path, sha256 }) => {
      let found: string;
      try {
        found = createHash('sha256')
          .update(readFileSync(fsPath(joinPath(output, path))))
          .digest('hex');
      } catch (error) {
        found = String(error);
      }
      if (found === sha256) return [];
      const text = `invariant 6: ${printable(path)} was written as ${sha256} and is ${found} on the volume`;
      return [{ text, about: [printable(path)] }];
    });
  }

  /** Invariant 3: what isn't marked incomplete is a file as its writer left it. */
  #torn(): Wrong[] {
    const finished = new Set<string>();
    for (const version of this.#shelf.versions) {
      if (version.torn) continue;
      finished.add(`${version.path}\0${version.sha256}`);
      finished.add(`\0${version.sha256}`);
    }
    return [...this.#store.committed.values()]
      .filter(({ path, sha256, incomplete }) => !incomplete && !finished.has(`${path ?? ''}\0${sha256}`))
      .map(({ key, path }) => ({
        text: `TORN: ${key} holds bytes that no writer left behind`,
        about: path === undefined ? [] : [printable(path)],
      }));
  }

  /** Invariant 4: whatever was written is there for good. */
  #vanished(): Wrong[] {
    return [...this.#store.committed.values()]
      .filter(({ key, sha256 }) => this.#store.double.objects.get(key)?.sha256 !== sha256)
      .map(({ key, path }) => ({
        text: `invariant 4: ${key} was in the bucket and isn't any more`,
        about: path === undefined ? [] : [printable(path)],
      }));
  }
}

/** Sockets, pipes and the like together; files one by one. */
function kindsOf(descriptors: readonly string[]): Record<string, number> {
  const kinds: Record<string, number> = {};
  for (const target of descriptors) {
    const kind = target.replace(/:\[\d+\]$/, '');
    kinds[kind] = (kinds[kind] ?? 0) + 1;
  }
  return kinds;
}
