// A team on a local file system: processes as pods. All hear each other's writes, and claims are made in microseconds.
import { localVolume } from '../support/shared-volume.ts';
import { bearsBadInput } from './bad-input.ts';
import { survivesCrashes } from './crashes.ts';
import { getsAlong } from './differences.ts';
import { handsOver } from './handover.ts';
import { multiPodSuite } from './suite.ts';
import { worksTogether } from './together.ts';

multiPodSuite('a team on a local file system', async () => localVolume(), [
  (volume) => worksTogether(volume, { starts: 5, folders: 10 }),
  survivesCrashes,
  handsOver,
  getsAlong,
  bearsBadInput,
]);
