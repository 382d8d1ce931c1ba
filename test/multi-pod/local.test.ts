// A team on a local file system: processes as pods. All hear each other's writes, and claims are made in microseconds.
import { localVolume } from '../support/shared-volume.ts';
import { multiPodSuite } from './suite.ts';

multiPodSuite('a team on a local file system', async () => localVolume(), {
  contest: { starts: 5, folders: 10 },
  faults: false,
});
