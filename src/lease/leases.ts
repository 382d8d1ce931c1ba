// Who may upload which folder? Holds a keeper for each folder that is wanted or held, tells them what is due, and the
// rest of the agent what it may do. A folder in which nothing is due costs nothing.
import type { Clock } from '../clock.ts';
import { errorText, explain } from '../errors.ts';
import type { LedgerIo } from '../ledger/io.ts';
import { folderDirName } from '../ledger/location.ts';
import { causeOf } from '../ledger/trouble.ts';
import type { Log } from '../log.ts';
import { printable } from '../paths.ts';
import { LeaseFiles } from './files.ts';
import type { Claim } from './format.ts';
import { Keeper, type LeaseChange } from './keeper.ts';
import type { Handover, Holder } from './reducer.ts';
import type { Timing } from './timing.ts';

/** `free`: nobody that this agent knows of; it looks only while something is due. */
export interface LeaseView {
  state: 'mine' | 'theirs' | 'free' | 'off';
  /** Short hash of the pod that holds it, as that pod's own status says it. */
  holder: string | null;
  host: string | null;
  epoch: number | null;
  /** Since when, by the holder's clock. ISO 8601. */
  since: string | null;
  /** Since the holder's last sign of life, as far as this agent has seen. */
  silentSeconds: number | null;
}

/** What a folder asks for. All times in monotonic ms. */
export interface Demand {
  /** Something may be asked for from here on. */
  from: number;
  /** Some of it was made here: so will be what comes next. */
  local: boolean;
  /** Some of it hasn't been tried yet. */
  fresh: boolean;
  /** Its uploads fail, and none has succeeded since; undefined while they don't. */
  failingSince: number | undefined;
}

/** The part of the leases that uploads ask. */
export interface Leases {
  /** Whether this agent may upload the folder at this moment. To be asked before every request. */
  holds(folder: string): boolean;
  /**
   * Whether nobody else can have sent what has been due since then (monotonic ms). Without a lease others may upload the
   * same, and a holder that fell silent may have sent something without a word: the bucket should be asked first.
   */
  protects(folder: string, since: number): boolean;
  /**
   * To be asked when something begins to be sent: the folder isn't given back before that is known to be over. Aborted
   * when what is on its way for the folder must end. Another one after the folder was gained anew.
   */
  ending(folder: string): AbortSignal;
  /** Something of the folder is due: asks for it at once. */
  ask(folder: string): void;
  view(folder: string): LeaseView;
  /** Folders gained since the start, by how they came, and lost. */
  readonly counts: Readonly<Record<Handover | 'lost', number>>;
}

const FOREVER = new AbortController().signal;

/** R2_LEASE=off: everything may be uploaded, by anybody. */
export const uncontested: Leases = {
  holds: () => true,
  protects: () => true,
  ending: () => FOREVER,
  ask: () => {},
  view: () => noLease('off'),
  counts: { free: 0, released: 0, silent: 0, dead: 0, lost: 0 },
};

/** What is said of a folder that nobody is known to hold. */
export function noLease(state: 'free' | 'off'): LeaseView {
  return { state, holder: null, host: null, epoch: null, since: null, silentSeconds: null };
}

export interface FolderLeasesOptions {
  io: LedgerIo;
  /** Where this target's state lies. */
  targetDir: string;
  self: Omit<Claim, 'epoch' | 'since' | 'folder'>;
  timing: Timing;
  clock: Clock;
  log: Log;
  /** What is due, by folder. */
  demands: () => Map<string, Demand>;
  /** Whether we can upload at all. `unfit`: others shall have a go. `unsure`: no time to ask for more. */
  fitness: () => 'fit' | 'unsure' | 'unfit';
  /**
   * Takes in what was stored by others, before the first upload and while somebody else has the folder. Says whether
   * there was anything new.
   */
  follow: (folder: string) => Promise<boolean>;
  /** The folder's facts belong to this epoch from now on. */
  adopt: (folder: string, epoch: number) => void;
  /** The folder is ours, isn't any more, or others have stored some of it. */
  onChange: (folder: string) => void;
}

interface Entry {
  files: LeaseFiles;
  keeper: Keeper;
  /** Monotonic ms: when it was ours and what was stored before us had been taken in; undefined until then. */
  readyAt: number | undefined;
  /** The ledger is being read because somebody else has the folder. */
  following: boolean;
  /** The claim that others were last seen to hold. */
  seenEpoch: number | undefined;
  /** Whether the ledger was read since something of others became due. */
  caughtUp: 'no' | 'reading' | 'yes';
  /** Something was made here since it was asked for. */
  local: boolean;
  /** ISO 8601: when it was gained. */
  since: string;
  /** Monotonic ms: when it was taken from a holder that hadn't given it back. */
  takenOverAt: number;
  /** How often in a row it was left to others because its uploads fail, and when last: monotonic ms. */
  setbacks: number;
  leftAt: number;
  ending: AbortController;
  /** Why the state directory can't be used, while it can't. */
  trouble: string | undefined;
}

/** How long an end waits until everything has been given back: enough to try twice. */
const CLOSE_MS = 1500;
/** Demand is looked at so often in a beat. */
const ROUNDS = 5;
/** A folder whose uploads fail again and again is left to others for longer each time: up to so many lease times. */
const MOST_LEASE_TIMES = 64;
const HOW: Record<Handover, (from: string) => string> = {
  free: () => 'nobody had it',
  released: (from) => `${from} gave it back`,
  silent: (from) => `${from} has shown no sign of life for too long`,
  dead: (from) => `its process in ${from} is gone`,
};

export class FolderLeases implements Leases {
  readonly #options: FolderLeasesOptions;
  readonly #entries = new Map<string, Entry>();
  readonly #stop = new AbortController();
  #leaving = false;
  readonly counts = { free: 0, released: 0, silent: 0, dead: 0, lost: 0 };

  constructor(options: FolderLeasesOptions) {
    this.#options = options;
  }

  /** Follows the demand until it is closed. Never rejects. */
  async run(): Promise<void> {
    const { clock, timing } = this.#options;
    while (!this.#stop.signal.aborted) {
      this.#meetDemand();
      await clock.sleep(timing.beat / ROUNDS, this.#stop.signal);
    }
  }

  holds(folder: string): boolean {
    const entry = this.#entries.get(folder);
    if (!entry?.keeper.mayUpload()) return false;
    return entry.readyAt !== undefined || entry.keeper.state.mode.is !== 'holding';
  }

  protects(folder: string, since: number): boolean {
    const entry = this.#entries.get(folder);
    return entry?.keeper.state.mode.is === 'holding' && since >= entry.takenOverAt;
  }

  ending(folder: string): AbortSignal {
    const entry = this.#entries.get(folder);
    if (!entry) return FOREVER;
    const { mode, wanted } = entry.keeper.state;
    // The next round would notice; until then the folder could be given back under the hands of who begins now.
    if (mode.is === 'holding' && !wanted) entry.keeper.send({ kind: 'wanted' });
    return entry.ending.signal;
  }

  ask(folder: string): void {
    const entry = this.#entry(folder);
    entry.local = true;
    if (this.#mayAsk(entry, false)) entry.keeper.send({ kind: 'wanted' });
  }

  view(folder: string): LeaseView {
    const entry = this.#entries.get(folder);
    const mode = entry?.keeper.state.mode;
    const { clock, self } = this.#options;
    const silence = (from: number) => Math.round((clock.monotonic() - from) / 1000);
    if (entry && mode?.is === 'holding') {
      const { epoch, alive } = mode;
      const { since } = entry;
      const { process, host } = self;
      return { state: 'mine', holder: process.pod, host, epoch, since, silentSeconds: silence(alive.mono) };
    }
    const watched = mode?.is === 'asking' ? mode.watched : undefined;
    if (!watched) return noLease('free');
    const { pod = null, host = null, since = null } = watched.holder ?? {};
    return { state: 'theirs', holder: pod, host, epoch: watched.epoch, since, silentSeconds: silence(watched.since) };
  }

  /** For people: why folders are uploaded without a lease, and what to do. */
  get troubles(): string[] {
    const troubled = [...this.#entries].flatMap(([folder, { keeper, trouble }]) => {
      const { mode } = keeper.state;
      return (mode.is === 'asking' || mode.is === 'claiming') && mode.without ? [{ folder, trouble }] : [];
    });
    const first = troubled[0];
    if (!first) return [];
    const folders =
      troubled.length === 1 ? `The folder "${printable(first.folder)}" is` : `${troubled.length} folders are`;
    return [
      `${folders} uploaded without a lease, so other pods may upload the same: ${first.trouble ?? 'claims come too late there, because the volume is slow, or no number is left for one. If it stays so, delete what is in its state directory.'} If this pod is alone, set R2_LEASE=off.`,
    ];
  }

  /** The agent stops soon: folders are given back as soon as nothing is due, and none is taken for others' files. */
  leave(): void {
    this.#leaving = true;
    this.#meetDemand();
  }

  /** Gives everything back. What is on its way must have ended. Never rejects. */
  async close(): Promise<void> {
    const { clock } = this.#options;
    this.#stop.abort();
    for (const { keeper } of this.#entries.values()) keeper.send({ kind: 'yield', after: 0 });
    const end = clock.monotonic() + CLOSE_MS;
    const busy = () =>
      [...this.#entries.values()].some(({ keeper: { state } }) => state.mode.is !== 'away' || state.running);
    while (busy() && clock.monotonic() < end) await clock.sleep(5);
    for (const [folder, { keeper }] of this.#entries) {
      const { mode } = keeper.state;
      keeper.stop();
      if (mode.is !== 'leaving') continue;
      const name = printable(folder);
      this.#options.log.warn(
        { lease: 'lost', folder: name, epoch: mode.epoch, to: null },
        `couldn't give the folder "${name}" back: others take it over when it has been silent for long enough (claim ${mode.epoch})`,
      );
    }
  }

  #meetDemand(): void {
    const { demands, timing, clock } = this.#options;
    const now = clock.monotonic();
    const unfit = this.#options.fitness() === 'unfit';
    const wanted = demands();
    for (const folder of new Set([...wanted.keys(), ...this.#entries.keys()])) {
      const demand = wanted.get(folder);
      const entry = demand ? this.#entry(folder) : this.#entries.get(folder)!;
      const { mode, wanted: isWanted, running } = entry.keeper.state;
      entry.local ||= demand?.local === true;
      const heldFor = mode.is === 'holding' && entry.readyAt !== undefined ? now - entry.readyAt : 0;
      // Failures from before it was ours say nothing about what we can do now.
      const failedFor = Math.min(heldFor, now - (demand?.failingSince ?? now));
      const stalled = failedFor > timing.stall;
      if (failedFor === 0 && (heldFor > timing.stall || (heldFor > 0 && !demand))) entry.setbacks = 0;
      if (unfit || stalled) {
        if (stalled) Object.assign(entry, { setbacks: entry.setbacks + 1, leftAt: now });
        this.#giveWay(folder, entry);
      } else if (demand && (isWanted || (now >= demand.from && this.#mayAsk(entry, demand.fresh)))) {
        if (!isWanted) this.#want(folder, entry, demand);
      } else if (isWanted || (mode.is === 'holding' && this.#leaving)) {
        entry.caughtUp = 'no';
        entry.keeper.send({ kind: 'unwanted', brief: this.#leaving || !entry.local });
      } else if (!demand && mode.is === 'away' && !running && !this.#isLeft(entry, false)) {
        this.#entries.delete(folder);
      }
    }
  }

  /**
   * What others made they have probably uploaded, too: the ledger is read first, and a claim is made only for the rest. Not
   * for ever: what a pod was writing when its mount failed, MooseFS gives nobody for minutes.
   */
  #want(folder: string, entry: Entry, { local }: Demand): void {
    if (local || entry.caughtUp === 'yes') entry.keeper.send({ kind: 'wanted' });
    else if (entry.caughtUp === 'no') {
      entry.caughtUp = 'reading';
      void this.#followInTime(folder).then(() => {
        entry.caughtUp = 'yes';
      });
    }
  }

  #mayAsk(entry: Entry, fresh: boolean): boolean {
    return this.#options.fitness() === 'fit' && !this.#isLeft(entry, fresh);
  }

  /** Whether it is left to others for now: for one lease time at least, for what wasn't tried yet no longer than that. */
  #isLeft({ setbacks, leftAt }: Entry, fresh: boolean): boolean {
    const { clock, timing } = this.#options;
    const leaseTimes = fresh ? 1 : Math.min(2 ** (setbacks - 1), MOST_LEASE_TIMES);
    return setbacks > 0 && clock.monotonic() < leftAt + timing.dead * leaseTimes;
  }

  /** Others may do better. */
  #giveWay(folder: string, entry: Entry): void {
    const { is } = entry.keeper.state.mode;
    if (is === 'away' || is === 'leaving') return;
    if (is === 'holding') {
      this.#options.log.warn(
        `gives the folder "${printable(folder)}" back: its uploads fail, another pod may do better`,
      );
      this.#end(entry);
    }
    entry.keeper.send({ kind: 'yield', after: this.#options.timing.abort });
  }

  #entry(folder: string): Entry {
    const known = this.#entries.get(folder);
    if (known) return known;
    const { io, targetDir, self, timing, clock } = this.#options;
    const files = new LeaseFiles(io, `${targetDir}/${folderDirName(folder)}`, { ...self, folder: printable(folder) });
    const entry: Entry = {
      files,
      keeper: new Keeper({
        files,
        timing,
        clock,
        onChange: (change) => void this.#take(folder, entry, change),
        onWaiting: () => void this.#followHolder(folder, entry),
        onError: (error) => {
          const { happened, fix } = causeOf(error);
          entry.trouble = explain({ message: happened, fix });
        },
      }),
      readyAt: undefined,
      following: false,
      seenEpoch: undefined,
      caughtUp: 'no',
      local: false,
      since: '',
      takenOverAt: Number.NEGATIVE_INFINITY,
      setbacks: 0,
      leftAt: Number.NEGATIVE_INFINITY,
      ending: new AbortController(),
      trouble: undefined,
    };
    this.#entries.set(folder, entry);
    return entry;
  }

  async #take(folder: string, entry: Entry, change: LeaseChange): Promise<void> {
    const { log, adopt, onChange, clock, timing } = this.#options;
    const name = printable(folder);
    switch (change.change) {
      case 'gained': {
        const { epoch, how, from } = change;
        this.counts[how] += 1;
        const since = new Date(clock.wall()).toISOString();
        const takenOverAt = how === 'silent' || how === 'dead' ? clock.monotonic() : entry.takenOverAt;
        Object.assign(entry, {
          readyAt: undefined,
          ending: new AbortController(),
          trouble: undefined,
          since,
          takenOverAt,
        });
        log.info(
          { lease: 'gained', folder: name, epoch, how, from: from?.pod ?? null },
          `uploads the folder "${name}" from now on (${HOW[how](describeHolder(from))}; claim ${epoch})`,
        );
        adopt(folder, epoch);
        const known = await this.#followInTime(folder);
        const { mode } = entry.keeper.state;
        if (mode.is !== 'holding' || mode.epoch !== epoch) break;
        entry.readyAt = clock.monotonic();
        // What others stored isn't known: the bucket is asked instead.
        if (!known) entry.takenOverAt = entry.readyAt;
        break;
      }
      case 'lost': {
        const { epoch, highest } = change;
        this.counts.lost += 1;
        this.#end(entry);
        onChange(folder);
        const to =
          highest === epoch ? undefined : await entry.files.look(clock.sleep(timing.beat / 2)).catch(() => undefined);
        const holder = to?.claim?.holder;
        const why =
          highest === epoch
            ? "this pod's signs of life came too late"
            : `${describeHolder(holder)} has claim ${highest}`;
        log.warn(
          { lease: 'lost', folder: name, epoch, to: holder?.pod ?? null },
          `doesn't upload the folder "${name}" any more: ${why} (this was claim ${epoch})`,
        );
        return;
      }
      case 'released':
        log.info(
          { lease: 'released', folder: name, epoch: change.epoch },
          `gave the folder "${name}" back (claim ${change.epoch})`,
        );
        return;
      case 'without':
        entry.ending = new AbortController();
        log.warn(
          { lease: 'without', folder: name },
          this.troubles[0] ?? `uploads the folder "${name}" without a lease`,
        );
    }
    onChange(folder);
  }

  /** What is on its way gets a moment to end. */
  #end({ ending }: Entry): void {
    const { clock, timing } = this.#options;
    void clock.sleep(timing.abort, this.#stop.signal).then(() => ending.abort());
  }

  /** Somebody else has the folder. One reading at a time: one that takes long must not make others wait for it in a row. */
  async #followHolder(folder: string, entry: Entry): Promise<void> {
    const { mode } = entry.keeper.state;
    const epoch = mode.is === 'asking' ? mode.watched?.epoch : undefined;
    if (epoch !== entry.seenEpoch) this.#options.onChange(folder);
    entry.seenEpoch = epoch;
    if (entry.following) return;
    entry.following = true;
    await this.#follow(folder);
    entry.following = false;
  }

  /** Whether all that others stored has been taken in, without waiting for it for ever. */
  async #followInTime(folder: string): Promise<boolean> {
    const { clock, timing } = this.#options;
    const over = new AbortController();
    const patience = clock.sleep(timing.stop, over.signal).then(() => false);
    return await Promise.race([this.#follow(folder), patience]).finally(() => over.abort());
  }

  /** A ledger that can't be read costs requests, and nothing else. */
  async #follow(folder: string): Promise<boolean> {
    const { follow, onChange, log } = this.#options;
    try {
      if (await follow(folder)) onChange(folder);
      return true;
    } catch (error) {
      log.debug({ folder: printable(folder), error: errorText(error) }, "the ledger of a folder can't be read");
      return false;
    }
  }
}

function describeHolder(holder: Holder | undefined): string {
  return holder ? `pod ${holder.pod} on ${printable(holder.host)}` : 'a pod that is not known';
}
