// All checks of `r2-sync doctor`, in the order in which they are made: what the later ones need comes first.
import type { Check } from '../check.ts';
import { bucketChecks } from './bucket.ts';
import { endpointChecks } from './endpoint.ts';
import { machineChecks } from './machine.ts';
import { stateChecks } from './state.ts';
import { volumeChecks } from './volume.ts';
import { watchingChecks } from './watching.ts';

export const checks: readonly Check[] = [
  ...machineChecks,
  ...volumeChecks,
  ...stateChecks,
  ...watchingChecks,
  ...endpointChecks,
  ...bucketChecks,
];
