// What is told, when and by whom: in every case that a team of pods gets into, without waiting.
import { describe, expect, test } from 'vitest';
import { HOLD, parked, refused, timing, volumeFull, World } from './world.ts';

const MINUTE = 60_000;

describe('one pod', () => {
  function alone() {
    const world = new World();
    return { world, pod: world.pod('a') };
  }

  test('a hiccup sends no message', () => {
    const { world, pod } = alone();
    pod.causes = [refused];
    world.pass(HOLD - 10_000);
    pod.causes = [];
    world.pass(30 * MINUTE);
    expect(world.sent).toEqual([]);
    expect(world.files.size + world.notes.size).toBe(0);
  });

  test('trouble that stays is told once, and once that it is over', () => {
    const { world, pod } = alone();
    pod.causes = [refused];
    world.pass(60 * MINUTE);
    expect(world.told('tell')).toEqual([refused.text]);
    pod.causes = [];
    world.pass(HOLD - 10_000);
    expect(world.told('over')).toEqual([]);
    world.pass(60 * MINUTE);
    expect(world.told('over')).toEqual([refused.text]);
    expect(world.files.size + world.notes.size).toBe(0);
    expect(world.sent).toHaveLength(2);
  });

  test('what comes at the same time comes in one message; parked files have one of their own', () => {
    const { world, pod } = alone();
    pod.causes = [refused, volumeFull, parked(1000)];
    world.pass(10 * MINUTE);
    expect(world.sent.map(({ texts }) => texts)).toEqual([[refused.text, volumeFull.text], [parked(1).text]]);
  });

  test('a second cause is told while the first one lasts', () => {
    const { world, pod } = alone();
    pod.causes = [volumeFull];
    world.pass(5 * MINUTE);
    pod.causes = [volumeFull, refused];
    world.pass(5 * MINUTE);
    expect(world.told('tell')).toEqual([volumeFull.text, refused.text]);
  });

  test('a crash loop sends no message a restart, and the recovery is told by the last of them', () => {
    const { world, pod } = alone();
    pod.causes = [refused];
    world.pass(2 * MINUTE);
    for (let crash = 0; crash < 20; crash += 1) {
      pod.restart();
      // A fresh process knows of nothing at first.
      pod.causes = [];
      world.pass(10_000);
      pod.causes = [refused];
      world.pass(MINUTE);
    }
    expect(world.told('tell')).toEqual([refused.text]);
    expect(world.told('over')).toEqual([]);
    pod.restart();
    pod.causes = [];
    world.pass(20 * MINUTE);
    // It can't know before the store has taken something.
    expect(world.told('over')).toEqual([]);
    pod.change = { confirmations: 1 };
    world.pass(20 * MINUTE);
    expect(world.told('over')).toEqual([refused.text]);
  });

  test('more parked files for the same reason are told, but not each of them', () => {
    const { world, pod } = alone();
    for (let files = 1; files <= 120; files += 1) {
      pod.causes = [parked(files)];
      world.pass(MINUTE);
    }
    expect(world.sent.length).toBeGreaterThan(1);
    expect(world.sent.length).toBeLessThanOrEqual(1 + (120 * MINUTE) / timing.again);
  });

  test('a message that could not be delivered is tried again later, not at every look', () => {
    const { world, pod } = alone();
    pod.delivers = false;
    pod.causes = [refused];
    world.pass(timing.retry);
    expect([...world.files.keys()].filter((name) => name.includes('.tell.'))).toHaveLength(1);
    pod.delivers = true;
    world.pass(2 * timing.retry);
    expect(world.told('tell')).toEqual([refused.text]);
  });

  test('without a board it tells all the same, once', () => {
    const { world, pod } = alone();
    pod.hasBoard = false;
    pod.causes = [volumeFull];
    world.pass(60 * MINUTE);
    pod.causes = [];
    world.pass(60 * MINUTE);
    expect(world.told('tell')).toEqual([volumeFull.text]);
    expect(world.told('over')).toEqual([volumeFull.text]);
  });

  test('a volume that hangs for a while has forgotten nothing: what was told is not told again', () => {
    const { world, pod } = alone();
    pod.causes = [volumeFull];
    world.pass(5 * MINUTE);
    for (const hasBoard of [false, true]) {
      pod.hasBoard = hasBoard;
      world.pass(30 * MINUTE);
    }
    expect(world.told('tell')).toEqual([volumeFull.text]);
  });

  test('what was told without the board is not told again when the board comes back', () => {
    const { world, pod } = alone();
    pod.hasBoard = false;
    pod.causes = [volumeFull];
    world.pass(5 * MINUTE);
    pod.hasBoard = true;
    world.pass(60 * MINUTE);
    expect(world.told('tell')).toEqual([volumeFull.text]);
  });
});

describe('several pods', () => {
  function team(size: number) {
    const world = new World();
    const pods = Array.from({ length: size }, (_, at) => world.pod(`pod${at}`));
    return { world, pods, first: pods[0]!, second: pods[1]! };
  }
  const well = { causes: [], change: { confirmations: 1 } };

  test('one outage that all of them see is one alert, and one recovery when the last of them is well', () => {
    const { world, pods } = team(12);
    for (const pod of pods) pod.causes = [refused];
    world.pass(20 * MINUTE);
    for (const pod of pods) {
      expect(world.told('over')).toEqual([]);
      Object.assign(pod, well);
      world.pass(MINUTE);
    }
    world.pass(30 * MINUTE);
    expect(world.told('tell')).toEqual([refused.text]);
    expect(world.told('over')).toEqual([refused.text]);
    expect(world.files.size + world.notes.size).toBe(0);
  });

  test('the pod that told it dies: the recovery is told by another', () => {
    const { world, pods } = team(3);
    for (const pod of pods) pod.causes = [refused];
    world.pass(5 * MINUTE);
    pods.find(({ name }) => name === world.sent[0]?.pod)!.alive = false;
    for (const pod of pods) Object.assign(pod, well);
    world.pass(30 * MINUTE);
    expect(world.told('tell')).toHaveLength(1);
    expect(world.told('over')).toEqual([refused.text]);
  });

  test('the pod that was about to tell it dies: another one does', () => {
    const { world, pods, first } = team(3);
    first.delivers = 'never';
    for (const pod of pods) pod.causes = [refused];
    world.pass(5 * MINUTE);
    // While it shows that it tries, the others wait.
    expect(world.sent).toEqual([]);
    first.alive = false;
    world.pass(5 * MINUTE);
    expect(world.told('tell')).toEqual([refused.text]);
  });

  test('whoever is about to tell that it is over dies: another one does', () => {
    const { world, pods } = team(3);
    for (const pod of pods) pod.causes = [refused];
    world.pass(5 * MINUTE);
    for (const pod of pods) Object.assign(pod, well, { delivers: 'never' });
    world.pass(5 * MINUTE);
    expect([...world.files.keys()].filter((name) => name.includes('.over.'))).toHaveLength(1);
    // The last to be well has found nobody who still sees it.
    pods.at(-1)!.alive = false;
    for (const pod of pods) pod.delivers = true;
    world.pass(10 * MINUTE);
    expect(world.told('over')).toEqual([refused.text]);
  });

  test('a pod whose messages do not arrive is replaced by one whose do', () => {
    const { world, pods, first } = team(2);
    first.delivers = false;
    for (const pod of pods) pod.causes = [refused];
    world.pass(10 * MINUTE);
    expect(world.sent.map(({ pod }) => pod)).toEqual(['pod1']);
  });

  test('a pod that never saw the outage tells that nobody sees it any more, once it knows', () => {
    const { world, first: sick, second } = team(2);
    sick.causes = [refused];
    world.pass(35 * MINUTE);
    expect(world.sent.map(({ purpose }) => purpose)).toEqual(['tell']);
    sick.alive = false;
    world.pass(30 * MINUTE);
    // What it stored long ago proves nothing.
    expect(world.told('over')).toEqual([]);
    second.change = { confirmations: 1 };
    world.pass(30 * MINUTE);
    expect(world.told('over')).toEqual([refused.text]);
  });

  test('an observer that slept takes nobody for dead', () => {
    const { world, first: sick, second: observer } = team(2);
    sick.causes = [volumeFull];
    world.pass(5 * MINUTE);
    // Both stand still (a volume that hangs), and the healthy one wakes up first.
    sick.alive = observer.alive = false;
    world.pass(60 * MINUTE);
    observer.alive = true;
    world.pass(MINUTE);
    sick.alive = true;
    world.pass(10 * MINUTE);
    expect(world.sent.map(({ purpose }) => purpose)).toEqual(['tell']);
  });

  test('the same trouble, come again after it was over, is told again', () => {
    const { world, pods } = team(4);
    for (let round = 1; round <= 3; round += 1) {
      for (const pod of pods) pod.causes = [volumeFull];
      world.pass(20 * MINUTE);
      for (const pod of pods) pod.causes = [];
      world.pass(20 * MINUTE);
      expect(world.told('tell')).toHaveLength(round);
      expect(world.told('over')).toHaveLength(round);
    }
  });
});
