// A team on what RunPod's network volumes are: MooseFS, with a mount for each pod.
import { test } from 'vitest';
import { multiPodSuite } from '../multi-pod/suite.ts';
import { mooseFsMissing, mooseFsVolume } from '../support/moosefs.ts';

const missing = mooseFsMissing();
if (missing === undefined) {
  multiPodSuite('a team on MooseFS', () => mooseFsVolume(4), { contest: { starts: 50, folders: 1 }, faults: true });
} else {
  const why = `NOT RUN: a team on MooseFS (${missing})`;
  if (process.env.R2_REQUIRE_SYSTEM === '1') throw new Error(why);
  console.warn(why);
  test.skip('a team on MooseFS', () => {});
}
