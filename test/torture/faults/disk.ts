// What happens to the volume: by the hook in the agent's own file calls, or for real where the volume is a MooseFS.
import type { VolumeFaults } from '../../support/shared-volume.ts';
import type { DiskFault } from '../hook/control.ts';
import type { Random } from '../random.ts';
import { duration, type FaultKind, lasts, noteStrikes, type Scene } from './fault.ts';

/** One pod's file calls end like this for a while; the writers' go on. */
function hooked(name: string, weight: number, draw: (random: Random) => DiskFault, longestSeconds = 12): FaultKind {
  return {
    name: `volume: ${name}`,
    weight,
    volume: 'hooked',
    strike: async ({ signal, history }, pod, random) => {
      const struck = noteStrikes(pod, 'struck');
      const fault = draw(random);
      history.say(`FAULT pod ${pod.number}, disk: ${JSON.stringify(fault)}`);
      pod.disk.add(fault);
      pod.control.set({ disk: [...pod.disk] });
      await lasts(duration(random, longestSeconds), signal);
      pod.disk.delete(fault);
      pod.control.set({ disk: [...pod.disk] });
      return struck();
    },
  };
}

const someOrAll = (random: Random) => (random.chance(0.5) ? 1 : 0.1 + 0.8 * random.next());
/** What was read wrongly of an output is tried again after a minute, so most of it happens to the state. */
const mostlyState = (random: Random) => (random.chance(0.9) ? 'state' : 'all');

const hookedKinds = [
  hooked('full', 4, (random) => ({
    where: 'state',
    calls: 'changes',
    share: someOrAll(random),
    what: random.pick([{ error: 'ENOSPC' }, { error: 'EDQUOT' }, { half: 'ENOSPC' }] as const),
  })),
  hooked('read-only', 3, () => ({ where: 'all', calls: 'changes', share: 1, what: { error: 'EROFS' } })),
  hooked('EIO', 4, (random) => ({
    where: mostlyState(random),
    calls: random.pick(['changes', 'reads', 'all'] as const),
    share: someOrAll(random),
    what: random.pick([{ error: 'EIO' }, { half: 'EIO' }] as const),
  })),
  hooked('slow', 3, (random) => ({
    where: 'all',
    calls: 'all',
    share: someOrAll(random),
    what: { delayMs: random.between(5, 800) },
  })),
  hooked('hangs', 3, () => ({ where: 'all', calls: 'all', share: 1, what: { hang: true } }), 40),
  hooked('gone and back', 2, () => ({ where: 'all', calls: 'all', share: 1, what: { gone: true } })),
  hooked('stale handles', 2, (random) => ({
    where: 'state',
    calls: 'all',
    share: someOrAll(random),
    what: { error: 'ESTALE' },
  })),
];

/** The volume itself, for one pod or for all. What it interrupted is what was under way. */
function real(
  name: string,
  weight: number,
  strike: (faults: VolumeFaults, scene: Scene, pod: number, random: Random) => Promise<void>,
): FaultKind {
  return {
    name: `MooseFS: ${name}`,
    weight,
    volume: 'real',
    strike: async (scene, pod, random) => {
      const found = new Set(scene.pods.flatMap((one) => (one.holdsSomething() ? (['lease'] as const) : [])));
      await strike(scene.volume!, scene, pod.number - 1, random);
      return found;
    },
  };
}

const realKinds = [
  real('full', 4, async (faults, { signal }, _pod, random) => {
    const empty = await faults.fill();
    await lasts(duration(random, 15), signal);
    await empty();
  }),
  real('read-only', 4, async (faults, { signal }, pod, random) => {
    await faults.setReadOnly(pod, true);
    await lasts(duration(random, 15), signal);
    await faults.setReadOnly(pod, false);
  }),
  real('hangs', 4, async (faults, { signal }, _pod, random) => {
    const goOn = await faults.hang();
    await lasts(duration(random, 40), signal);
    await goOn();
  }),
];

export const diskFaultKinds: readonly FaultKind[] = [...hookedKinds, ...realKinds];
