// Faults, one after another and several at a time, all of them drawn from the seed.
import { diskFaultKinds } from './faults/disk.ts';
import { type FaultKind, lasts, type Scene } from './faults/fault.ts';
import { processFaultKinds } from './faults/process.ts';
import { storeFaultKinds } from './faults/store.ts';
import type { Random } from './random.ts';
import type { Tally } from './tally.ts';

/**
 * Of what a storm is made. An agent whose store is out for long mostly waits, and then nothing can interrupt it: so each
 * kind has storms of its own, and some have everything.
 */
const WEATHERS: readonly { name: string; share: number; blips: readonly number[]; kinds: readonly FaultKind[] }[] = [
  { name: 'crashes', share: 4, blips: [0.2, 0.6], kinds: processFaultKinds },
  { name: 'the volume', share: 3, blips: [0, 0.5], kinds: diskFaultKinds },
  { name: 'the store', share: 2, blips: [0.2, 0.6], kinds: storeFaultKinds },
  {
    name: 'everything',
    share: 3,
    blips: [0.05, 0.5],
    kinds: [...processFaultKinds, ...storeFaultKinds, ...diskFaultKinds],
  },
];
/** Between the end of one fault and the beginning of the next, of one tormentor. */
const LONGEST_PAUSE_MS = 2000;
/** Whoever holds no folder has nothing that could be interrupted. */
const AT_WORK_SHARE = 0.8;

/** Torments until the scene's signal; everything is undone when it resolves. */
export async function storm(scene: Scene, random: Random, tally: Tally): Promise<void> {
  const weather = pick(WEATHERS, ({ share }) => share, random);
  scene.history.say(`weather: ${weather.name}`);
  const kinds = weather.kinds.filter(
    ({ volume }) => volume === undefined || volume === (scene.volume ? 'real' : 'hooked'),
  );
  scene.storeFaults.blipShare = random.pick(weather.blips);
  // A request that takes its time can be interrupted.
  scene.store.double.settings.latencyMs = random.pick([0, 20, 60, 150]);
  // One for each pod and one more: most are mostly well, or nothing would ever be uploaded.
  const tormentors = [...scene.pods, undefined].map((_, index) =>
    torment(scene, kinds, random.fork(`tormentor ${index}`), tally),
  );
  await Promise.all(tormentors);
  scene.storeFaults.blipShare = 0;
  scene.store.double.settings.latencyMs = 0;
}

async function torment(scene: Scene, kinds: readonly FaultKind[], random: Random, tally: Tally): Promise<void> {
  for (let nth = 0; ; nth += 1) {
    const drawn = random.fork(`fault ${nth}`);
    await lasts(drawn.between(0, LONGEST_PAUSE_MS), scene.signal);
    if (scene.signal.aborted) return;
    const kind = pick(kinds, ({ weight }) => weight, drawn);
    const atWork = scene.pods.filter((one) => one.holdsSomething());
    const pod = drawn.pick(atWork.length > 0 && drawn.chance(AT_WORK_SHARE) ? atWork : scene.pods);
    scene.history.say(`FAULT pod ${pod.number}: ${kind.name}`);
    const interrupted = await kind.strike(scene, pod, drawn);
    tally.add(kind.name, interrupted);
    const what = interrupted.size > 0 ? [...interrupted].join(', ') : 'nothing';
    scene.history.say(`FAULT pod ${pod.number}: ${kind.name} is over, interrupted ${what}`);
  }
}

/** One of them, as often as its weight says. */
function pick<T>(of: readonly T[], weightOf: (one: T) => number, random: Random): T {
  let left = random.next() * of.reduce((sum, one) => sum + weightOf(one), 0);
  for (const one of of) {
    left -= weightOf(one);
    if (left < 0) return one;
  }
  return of[0]!;
}
