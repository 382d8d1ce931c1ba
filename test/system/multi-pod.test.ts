// A team on MooseFS, and what becomes of its pods.
import { bearsBadInput } from '../multi-pod/bad-input.ts';
import { survivesCrashes } from '../multi-pod/crashes.ts';
import { getsAlong } from '../multi-pod/differences.ts';
import { handsOver } from '../multi-pod/handover.ts';
import { mooseFsSuite } from './multi-pod-moosefs.ts';

mooseFsSuite('a team on MooseFS', [survivesCrashes, handsOver, getsAlong, bearsBadInput]);
