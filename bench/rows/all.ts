// All rows, in the order in which they run and are shown.
import type { Row } from '../support/row.ts';
import { burst } from './burst.ts';
import { distance } from './distance.ts';
import { drain } from './drain.ts';
import { folders } from './folders.ts';
import { idle } from './idle.ts';
import { large } from './large.ts';
import { latency } from './latency.ts';
import { leases } from './leases.ts';
import { newFolders } from './new-folders.ts';
import { page } from './page.ts';
import { realBurst, realLatency } from './real.ts';
import { recovery } from './recovery.ts';
import { requests } from './requests.ts';
import { small } from './small.ts';
import { million, start } from './start.ts';
import { videos } from './videos.ts';

export const ROWS: readonly Row[] = [
  latency,
  burst,
  newFolders,
  small,
  large,
  videos,
  folders,
  distance,
  recovery,
  drain,
  realLatency,
  realBurst,
  requests,
  idle,
  leases,
  start,
  million,
  page,
];
