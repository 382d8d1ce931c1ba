// What the store does wrong: once to one request, or for a while to all of one pod.
import type { Fault, FaultRequest } from '../../support/store-double.ts';
import type { Random } from '../random.ts';
import type { StoreWatch } from '../store.ts';
import { duration, type FaultKind, type Interrupted, lasts } from './fault.ts';

const SENDING = new Set(['PutObject', 'CreateMultipartUpload', 'UploadPart', 'CompleteMultipartUpload']);
const status = (code: number, name: string): Fault => ({ status: code, code: name, message: `a torture says ${name}` });

/** What may happen to a single request. Nothing that lasts: a file's turn would last as long. */
const BLIPS: readonly { name: string; fault: Fault }[] = [
  { name: 'one 500', fault: status(500, 'InternalError') },
  { name: 'one 503', fault: status(503, 'SlowDown') },
  { name: 'one 429', fault: status(429, 'TooManyRequests') },
  { name: 'one reset at the headers', fault: 'reset' },
  { name: 'one reset in the body', fault: 'reset-mid-body' },
  { name: 'one stored, reply lost', fault: 'commit-and-drop-reply' },
  { name: 'one page of a web server', fault: 'html-200' },
  { name: 'one reply without ETag', fault: 'no-etag' },
];

interface Window {
  pod: number;
  fault: Fault;
  /** Of the requests, 0 to 1. */
  share: number;
  random: Random;
  struck: boolean;
}

/** Done when a pod's next sending request is at this point. */
interface Trap {
  pod: number;
  at: 'begun' | 'stored';
  key: string | undefined;
  spring: () => void;
}

export class StoreFaults implements StoreWatch {
  /** Of single requests, while it storms. */
  blipShare = 0;
  readonly #random: Random;
  readonly #onBlip: (name: string) => void;
  readonly windows = new Set<Window>();
  readonly #traps = new Set<Trap>();

  constructor(random: Random, onBlip: (name: string) => void) {
    this.#random = random;
    this.#onBlip = onBlip;
  }

  /** Calls `spring` once at the pod's next sending request; the function that it gives takes it back. */
  trap(pod: number, at: Trap['at'], spring: () => void): () => void {
    const trap: Trap = { pod, at, key: undefined, spring };
    this.#traps.add(trap);
    return () => this.#traps.delete(trap);
  }

  fault(pod: number, { operation, key }: FaultRequest): Fault | undefined {
    for (const trap of SENDING.has(operation) ? this.#traps : []) {
      if (trap.pod !== pod || trap.key !== undefined) continue;
      trap.key = key;
      if (trap.at === 'begun') this.#spring(trap);
    }
    for (const window of this.windows) {
      if (window.pod !== pod || !window.random.chance(window.share)) continue;
      window.struck = true;
      return window.fault;
    }
    if (!this.#random.chance(this.blipShare)) return undefined;
    const { name, fault } = this.#random.pick(BLIPS);
    this.#onBlip(name);
    return fault;
  }

  committed(key: string): void {
    for (const trap of this.#traps) if (trap.at === 'stored' && trap.key === key) this.#spring(trap);
  }

  #spring(trap: Trap): void {
    this.#traps.delete(trap);
    trap.spring();
  }
}

/** One pod's requests end like this for a while. */
function outage(name: string, weight: number, fault: Fault | ((random: Random) => Fault), longestSeconds: number) {
  return {
    name,
    weight,
    strike: async ({ storeFaults, signal }, pod, random) => {
      const share = random.chance(0.7) ? 1 : 0.3 + random.next() * 0.6;
      const drawn = typeof fault === 'function' ? fault(random) : fault;
      const window: Window = { pod: pod.number, fault: drawn, share, random: random.fork('share'), struck: false };
      storeFaults.windows.add(window);
      await lasts(duration(random, longestSeconds), signal);
      storeFaults.windows.delete(window);
      return new Set<Interrupted>(window.struck ? ['upload'] : []);
    },
  } satisfies FaultKind;
}

export const storeFaultKinds: readonly FaultKind[] = [
  outage('store: 429 for a while', 2, status(429, 'TooManyRequests'), 12),
  outage('store: 500 for a while', 2, status(500, 'InternalError'), 12),
  outage('store: 503 for a while', 3, status(503, 'SlowDown'), 25),
  outage('store: 403 for a while', 2, status(403, 'AccessDenied'), 15),
  outage('store: clocks disagree', 1, status(403, 'RequestTimeTooSkewed'), 8),
  outage('store: no such bucket', 1, status(404, 'NoSuchBucket'), 8),
  outage('store: resets in the body', 3, 'reset-mid-body', 10),
  outage('store: unreachable', 3, 'reset', 30),
  outage('store: hangs', 2, 'hang', 15),
  outage('store: reads nothing', 2, 'stall', 15),
  outage('store: stores, replies get lost', 4, 'commit-and-drop-reply', 10),
  outage('store: a web server in its place', 1, 'html-200', 8),
  outage('store: slow to answer', 3, (random) => ({ delayMs: random.between(300, 6000) }), 15),
  outage('store: trickles', 2, (random) => ({ bytesPerSecond: random.between(2000, 200_000) }), 15),
  {
    name: 'store: the credentials expire',
    weight: 3,
    strike: async (scene, pod, random) => {
      const { store, signal } = scene;
      let struck = false;
      const refused = store.onExpired(pod.number, () => {
        struck = true;
      });
      store.expire(pod.number, pod.nextKey());
      await lasts(duration(random, 12), signal);
      pod.renewKey();
      refused();
      return new Set<Interrupted>(struck ? ['upload'] : []);
    },
  },
];
