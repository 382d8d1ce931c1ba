// Several real agents on one volume and one bucket: what they promise together, and what must be true after every story
// (checks.ts). The volume is given: a directory of this machine, or MooseFS with a mount for each pod.
import { afterAll, beforeAll, describe } from 'vitest';
import type { SharedVolume } from '../support/shared-volume.ts';
import { bearsBadInput } from './bad-input.ts';
import { survivesCrashes } from './crashes.ts';
import { getsAlong } from './differences.ts';
import { handsOver } from './handover.ts';
import { type Contest, worksTogether } from './together.ts';
import { survivesVolumeFaults } from './volume-faults.ts';

export interface SuiteOptions {
  contest: Contest;
  /** The volume can be made to fail. */
  faults: boolean;
}

/** Declares the tests. `open` is called once, before the first of them. */
export function multiPodSuite(
  name: string,
  open: () => Promise<SharedVolume>,
  { contest, faults }: SuiteOptions,
): void {
  describe(name, { timeout: 240_000 }, () => {
    let opened: SharedVolume | undefined;
    beforeAll(async () => {
      opened = await open();
    });
    afterAll(() => opened?.close());
    const volume = () => opened!;
    worksTogether(volume, contest);
    survivesCrashes(volume);
    handsOver(volume);
    getsAlong(volume);
    bearsBadInput(volume);
    if (faults) survivesVolumeFaults(volume);
  });
}
