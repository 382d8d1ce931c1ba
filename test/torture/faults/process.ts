// What happens to the agent's process, its clock and its sources of hints.
import type { TorturePod } from '../pod.ts';
import { duration, type FaultKind, type Interrupted, lasts, noteStrikes, type Scene, underWay } from './fault.ts';

/** How long a death that was ordered may take to come. */
const PATIENCE_MS = 8000;
const DAY_MS = 86_400_000;
let lastId = 0;

/** kill -9 in the middle of this kind of effect on the disk. */
function killIn(effect: 'ledger' | 'lease' | 'journal', weight: number): FaultKind {
  return {
    name: `kill -9 in a ${effect === 'journal' ? 'large upload' : effect} write`,
    weight,
    volume: 'hooked',
    strike: async ({ signal, history }, pod, random) => {
      const struck = noteStrikes(pod, 'died');
      const when = random.pick(['before', 'half', 'after'] as const);
      history.say(`FAULT pod ${pod.number} is to die ${when} its next ${effect} effect`);
      lastId += 1;
      pod.control.set({ dieAt: { id: lastId, effect, nth: random.between(1, 4), when } });
      await Promise.race([pod.ended(), lasts(PATIENCE_MS, signal)]);
      pod.control.set({ dieAt: null });
      return struck();
    },
  };
}

/** kill -9 when its next request has begun, or is done and not answered. */
function killAt(at: 'begun' | 'stored'): FaultKind {
  return {
    name: at === 'begun' ? 'kill -9 as an upload begins' : 'kill -9 when it is stored, before the reply',
    weight: 6,
    strike: async ({ storeFaults, signal }, pod) => {
      let struck = false;
      const takeBack = storeFaults.trap(pod.number, at, () => {
        struck = pod.alive;
        pod.signal('SIGKILL');
      });
      await Promise.race([pod.ended(), lasts(PATIENCE_MS, signal)]);
      takeBack();
      return new Set<Interrupted>(struck ? ['upload'] : []);
    },
  };
}

async function standStill(scene: Scene, pod: TorturePod, ms: number): Promise<ReadonlySet<Interrupted>> {
  const found = underWay(scene, pod, ms > 2000);
  pod.signal('SIGSTOP');
  await lasts(ms, scene.signal);
  pod.signal('SIGCONT');
  return found;
}

async function toHints(scene: Scene, pod: TorturePod, signal: NodeJS.Signals): Promise<ReadonlySet<Interrupted>> {
  for (const pid of pod.children('inotifywait')) {
    try {
      process.kill(pid, signal);
    } catch {
      // It has ended meanwhile.
    }
  }
  return underWay(scene, pod, false);
}

export const processFaultKinds: readonly FaultKind[] = [
  killIn('ledger', 7),
  killIn('lease', 5),
  killIn('journal', 4),
  killAt('begun'),
  killAt('stored'),
  {
    name: 'kill -9',
    weight: 3,
    strike: async (scene, pod) => {
      const found = underWay(scene, pod, true);
      pod.signal('SIGKILL');
      return found;
    },
  },
  {
    name: 'kill -9 of all pods at once',
    weight: 1,
    strike: async (scene) => {
      const found = new Set(scene.pods.flatMap((pod) => [...underWay(scene, pod, true)]));
      for (const pod of scene.pods) pod.signal('SIGKILL');
      return found;
    },
  },
  {
    name: 'SIGTERM',
    weight: 4,
    strike: async (scene, pod, random) => {
      const found = underWay(scene, pod, true);
      pod.signal('SIGTERM');
      // Some platforms wait, some don't.
      if (random.chance(0.4)) {
        await lasts(random.between(50, 1500), scene.signal);
        pod.signal('SIGKILL');
      }
      return found;
    },
  },
  { name: 'SIGSTOP', weight: 4, strike: (scene, pod, random) => standStill(scene, pod, duration(random, 60)) },
  {
    name: 'the event loop is blocked',
    weight: 3,
    strike: async (scene, pod, random) => {
      const ms = duration(random, 20);
      const found = underWay(scene, pod, ms > 2000);
      lastId += 1;
      pod.control.set({ block: { id: lastId, ms } });
      await lasts(ms, scene.signal);
      return found;
    },
  },
  { name: 'inotifywait is killed', weight: 2, strike: (scene, pod) => toHints(scene, pod, 'SIGKILL') },
  {
    name: 'inotifywait falls silent',
    weight: 2,
    strike: async (scene, pod, random) => {
      const found = await toHints(scene, pod, 'SIGSTOP');
      await lasts(duration(random, 30), scene.signal);
      await toHints(scene, pod, 'SIGCONT');
      return found;
    },
  },
  {
    name: 'the clock steps',
    weight: 3,
    strike: async (scene, pod, random) => {
      const range = random.pick([2000, 60_000, 3_600_000, 400 * DAY_MS]);
      pod.control.set({ clockOffsetMs: random.between(-range, range) });
      return underWay(scene, pod, true);
    },
  },
  {
    name: 'file descriptors run out',
    weight: 2,
    strike: async (scene, pod, random) => {
      const found = underWay(scene, pod, true);
      pod.excusedUntil = Number.POSITIVE_INFINITY;
      await pod.limitDescriptors(Math.max(8, pod.descriptors().length + random.between(-2, 3)));
      await lasts(duration(random, 10), scene.signal);
      await pod.limitDescriptors(undefined);
      pod.excusedUntil = performance.now() + 2000;
      return found;
    },
  },
  {
    name: 'memory is scarce',
    weight: 1,
    strike: async (scene, pod, random) => {
      const found = underWay(scene, pod, true);
      pod.excusedUntil = Number.POSITIVE_INFINITY;
      pod.heapMib = random.between(16, 40);
      pod.signal('SIGKILL');
      await lasts(random.between(4000, 12_000), scene.signal);
      pod.heapMib = undefined;
      pod.signal('SIGKILL');
      pod.excusedUntil = performance.now() + 2000;
      return found;
    },
  },
];
