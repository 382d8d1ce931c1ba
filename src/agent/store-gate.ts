// Keeps the gate to the store: closes the lanes when the store refuses or doesn't answer, probes it with one real file
// at a time, and opens them again.
import type { Clock } from '../clock.ts';
import { explain } from '../errors.ts';
import type { Log } from '../log.ts';
import { backOffMs, type GateEvent, type GateState, gateAfter, openGate } from '../upload/gate.ts';
import type { StoreError } from '../upload/store.ts';

export interface StoreGateOptions {
  clock: Clock;
  log: Log;
  /** Closes or opens the lanes. */
  onChange: (open: boolean) => void;
  /** Uploads one due file of the folder that ranks lowest (undefined: leave it alone); undefined where nothing is due. */
  probe: (rank: FolderRank) => Promise<{ folder: string; event: GateEvent | undefined } | undefined>;
  /** Whether any file waits for the store, now or once it has settled. */
  isAwaited: () => boolean;
  /** Another folder's file went through: only this folder is refused. */
  onFolderRefused: (folder: string, error: StoreError) => void;
}

export type FolderRank = (folder: string) => number | undefined;

/** How soon a closed gate looks for something to probe with. */
const NOTHING_DUE_MS = 1000;

export class StoreGate {
  readonly #options: StoreGateOptions;
  readonly #stop = new AbortController();
  #state: GateState = openGate;
  #lastError: StoreError | undefined;
  #probing = false;
  /** Folders that were tried since it closed, the last one last. */
  #tried: string[] = [];
  #wake = new AbortController();
  /** Uploads that were under way when it closed and have gone through meanwhile. */
  #proofs: GateEvent[] = [];
  /** Whether the store has answered since the start; null before anybody asked. */
  reachable: boolean | null = null;

  constructor(options: StoreGateOptions) {
    this.#options = options;
  }

  get open(): boolean {
    return this.#state.mode === 'open';
  }

  /** The refusal or outage in force, once a probe has confirmed it. */
  get trouble(): { cause: 'refused' | 'unreachable'; error: StoreError } | undefined {
    const state = this.#state;
    if (state.mode === 'open' || (state.cause === 'refused' && state.probes === 0)) return undefined;
    return { cause: state.cause, error: state.error };
  }

  get lastError(): StoreError | undefined {
    return this.#lastError;
  }

  /** What an upload came to. */
  report(event: GateEvent): void {
    const state = this.#state;
    // Those that were under way when it closed say nothing new …
    if (state.mode === 'closed' && event.kind === 'failed') return;
    if (state.mode === 'open' || state.probes === 0 || !concernsFolderAlone(state, event)) return this.#take(event);
    // … or as much as a probe.
    this.#proofs.push(event);
    this.#wake.abort();
  }

  /** A file of this folder is due. If the store refused others, it may be of use at once. */
  noticeDue(folder: string): void {
    const state = this.#state;
    if (state.mode === 'closed' && state.cause === 'refused' && !this.#tried.includes(folder)) this.#wake.abort();
  }

  stop(): void {
    this.#stop.abort();
  }

  #take(event: GateEvent): void {
    const before = this.#state;
    this.#state = gateAfter(before, event);
    if (event.kind === 'failed') {
      const { failure, status } = event.error;
      this.#lastError = event.error;
      if (failure === 'transient' || failure === 'refused') this.reachable = status !== undefined;
    } else {
      this.#lastError = undefined;
      this.reachable = true;
    }
    if (before.mode === 'open' && this.#state.mode === 'closed') {
      this.#options.onChange(false);
      if (!this.#probing) void this.#probeUntilOpen();
    } else if (before.mode === 'closed' && this.#state.mode === 'open') {
      if (before.probes === 0 && concernsFolderAlone(before, event)) {
        this.#options.onFolderRefused(before.folder, before.error);
      }
      this.#options.log.info('the store takes uploads again');
      this.#options.onChange(true);
    }
  }

  async #probeUntilOpen(): Promise<void> {
    const { clock, probe } = this.#options;
    let announced: string | undefined;
    this.#probing = true;
    this.#tried = [];
    this.#proofs = [];
    while (!this.#stop.signal.aborted) {
      const state = this.#state;
      if (state.mode === 'open') break;
      if (this.#tried.length === 0) this.#tried.push(state.folder);
      // The first refusal is checked at once: it may concern one folder alone, or be a hiccup.
      if (state.probes > 0 || state.cause === 'unreachable')
        await clock.sleep(backOffMs(state.probes), AbortSignal.any([this.#stop.signal, this.#wake.signal]));
      if (this.#stop.signal.aborted) break;
      // Those that weren't tried yet first, then the one that was tried longest ago: one bad folder isn't the store.
      this.#wake = new AbortController();
      const proof = this.#proofs.shift();
      const probed = proof
        ? { folder: proof.folder, event: proof }
        : await probe((folder) => this.#tried.indexOf(folder));
      if (!probed?.event) {
        // What it refused is gone: nobody waits for it, and nothing could ever show that it has changed its mind.
        if (!this.#options.isAwaited()) {
          this.#openUnasked();
          break;
        }
        // Nothing is due, or the file was none to probe with after all (gone, not finished).
        await clock.sleep(NOTHING_DUE_MS, AbortSignal.any([this.#stop.signal, this.#wake.signal]));
        continue;
      }
      const { folder, event } = probed;
      const others = this.#tried.filter((other) => other !== folder);
      this.#tried = [...others, folder];
      if (state.probes > 0 && concernsFolderAlone(state, event)) await this.#askAgain(others);
      this.#take(event);
      const trouble = this.trouble;
      if (trouble && trouble.error.code !== announced) {
        announced = trouble.error.code;
        this.#options.log.error(
          { code: trouble.error.code, fix: trouble.error.fix },
          `${trouble.cause === 'refused' ? 'the store refuses us' : 'the store does not answer'}: ${explain(trouble.error)}`,
        );
      }
    }
    this.#probing = false;
  }

  #openUnasked(): void {
    this.#state = openGate;
    this.#options.log.info('no file waits for the store any more: the next one will show whether it takes uploads');
    this.#options.onChange(true);
  }

  /** The store has refused these folders and takes another one's uploads now: which of them are still refused? */
  async #askAgain(folders: readonly string[]): Promise<void> {
    for (const wanted of folders) {
      if (this.#stop.signal.aborted) return;
      const probed = await this.#options.probe((folder) => (folder === wanted ? 0 : undefined));
      const event = probed?.event;
      if (event?.kind === 'failed' && mayConcernFolder(event.error)) this.#options.onFolderRefused(wanted, event.error);
    }
  }
}

/** Whether a refusal may be about one folder: a token for one prefix. No bucket, key or clock is good for others alone. */
export function mayConcernFolder({ failure, code }: StoreError): boolean {
  return failure === 'refused' && code === 'AccessDenied';
}

function concernsFolderAlone(state: GateState, event: GateEvent): boolean {
  if (state.mode === 'open' || !mayConcernFolder(state.error)) return false;
  return event.kind === 'stored' && event.folder !== state.folder;
}
