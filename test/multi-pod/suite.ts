// Several real agents on one volume and one bucket: what they promise together, and what must be true after every story
// (checks.ts). The volume is given: a directory of this machine, or MooseFS with a mount for each pod.
import { afterAll, beforeAll, describe } from 'vitest';
import type { SharedVolume } from '../support/shared-volume.ts';

/** Declares the tests of the stories on one volume. `open` is called once, before the first of them. */
export function multiPodSuite(
  name: string,
  open: () => Promise<SharedVolume>,
  stories: readonly ((volume: () => SharedVolume) => void)[],
): void {
  describe(name, { timeout: 240_000 }, () => {
    let opened: SharedVolume | undefined;
    beforeAll(async () => {
      opened = await open();
    });
    afterAll(() => opened?.close());
    for (const tell of stories) tell(() => opened!);
  });
}
