// What a fault is to the torture: something that is done to one pod for a while, and what it interrupted.
import type { VolumeFaults } from '../../support/shared-volume.ts';
import type { History } from '../history.ts';
import type { TorturePod } from '../pod.ts';
import type { Random } from '../random.ts';
import type { TortureStore } from '../store.ts';
import type { StoreFaults } from './store.ts';

/** What counts: a fault that met none of these has proved nothing. */
export type Interrupted = 'upload' | 'ledger' | 'lease';

export interface Scene {
  pods: readonly TorturePod[];
  store: TortureStore;
  storeFaults: StoreFaults;
  /** Of a volume that can be made to fail for real. */
  volume: VolumeFaults | undefined;
  history: History;
  /** The storm's end: whatever lasts ends then. */
  signal: AbortSignal;
}

export interface FaultKind {
  name: string;
  /** How often it is drawn beside the others. */
  weight: number;
  /** `hooked`: where the agent's file calls are made to fail; `real`: where the volume itself can be. Else anywhere. */
  volume?: 'hooked' | 'real';
  /** Does it, waits until it is over, undoes it, and says what it interrupted. */
  strike(scene: Scene, pod: TorturePod, random: Random): Promise<ReadonlySet<Interrupted>>;
}

/** How long a fault lasts: mostly short, so that there are many; now and then as long as they say. ms */
export function duration(random: Random, longestSeconds: number): number {
  return random.chance(0.85) ? random.between(200, 3000) : random.between(3000, longestSeconds * 1000);
}

/** Waits so long, or until the storm is over. */
export function lasts(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener('abort', done);
  });
}

/** What an agent is doing that a fault of the whole process interrupts: the store sees its uploads, its log its leases. */
export function underWay({ store }: Scene, pod: TorturePod, leaseToo: boolean): Set<Interrupted> {
  const found = new Set<Interrupted>();
  if (!pod.alive) return found;
  if (store.inFlight(pod.number) > 0) found.add('upload');
  if (leaseToo && pod.holdsSomething()) found.add('lease');
  return found;
}

/** Notes what the hook says was struck in a pod, until the function it gives is called. */
export function noteStrikes(pod: TorturePod, is: 'struck' | 'died'): () => Set<Interrupted> {
  const found = new Set<Interrupted>();
  const listener = (report: { is: string; effect: string }) => {
    if (report.is !== is) return;
    if (report.effect === 'ledger' || report.effect === 'lease') found.add(report.effect);
    // The journal is of uploads in parts; a file that can't be read isn't uploaded.
    if (report.effect === 'journal' || report.effect === 'output') found.add('upload');
  };
  pod.listeners.add(listener);
  return () => {
    pod.hearHook();
    pod.listeners.delete(listener);
    return found;
  };
}
