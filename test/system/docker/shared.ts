import type { Engine } from '../../support/docker.ts';
import type { Bases } from '../../support/docker-images.ts';
import type { RunningMiniflare } from '../../support/miniflare.ts';

/** What all tests with Docker have in common: to make it takes longest. */
export interface Shared {
  engine: Engine;
  bases: Bases;
  store: RunningMiniflare;
}
