// A team on what RunPod's network volumes are: MooseFS, with a mount for each pod. Its stories are in two files, each with
// a MooseFS of its own, for together they take longest of all.
import { test } from 'vitest';
import { multiPodSuite } from '../multi-pod/suite.ts';
import { mooseFsMissing, mooseFsVolume } from '../support/moosefs.ts';

export function mooseFsSuite(name: string, stories: Parameters<typeof multiPodSuite>[2]): void {
  const missing = mooseFsMissing();
  if (missing === undefined) return multiPodSuite(name, () => mooseFsVolume(4), stories);
  const why = `NOT RUN: ${name} (${missing})`;
  if (process.env.R2_REQUIRE_SYSTEM === '1') throw new Error(why);
  console.warn(why);
  test.skip(name, () => {});
}
