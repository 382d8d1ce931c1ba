// A team on MooseFS: everybody at once, and a volume that fails.
import { worksTogether } from '../multi-pod/together.ts';
import { survivesVolumeFaults } from '../multi-pod/volume-faults.ts';
import { mooseFsSuite } from './multi-pod-moosefs.ts';

mooseFsSuite('a team on MooseFS, and MooseFS itself', [
  (volume) => worksTogether(volume, { starts: 50, folders: 1 }),
  survivesVolumeFaults,
]);
