// The images, really built and really run. Their tests are in docker/: one engine and one set of bases serve them all.
import { afterAll, beforeAll, describe } from 'vitest';
import { dockerMissing, type Engine, startEngine } from '../support/docker.ts';
import { makeBases } from '../support/docker-images.ts';
import { type RunningMiniflare, startMiniflare } from '../support/miniflare.ts';
import { agentImages } from './docker/agent.ts';
import { comfyuiImages } from './docker/comfyui.ts';
import { privateEngine } from './docker/engine.ts';
import type { Shared } from './docker/shared.ts';

const missing = dockerMissing();
if (missing) {
  const why = `NOT RUN: images in Docker (${missing})`;
  if (process.env.R2_REQUIRE_SYSTEM === '1') throw new Error(why);
  console.warn(why);
}

describe.skipIf(missing)('Docker', () => {
  let engine: Engine;
  let store: RunningMiniflare;
  let shared: Shared;

  beforeAll(async () => {
    engine = await startEngine();
    store = await startMiniflare();
    shared = { engine, store, bases: await makeBases(engine) };
  }, 400_000);
  afterAll(async () => {
    await store?.close();
    await engine?.close();
  }, 60_000);

  agentImages(() => shared);
  comfyuiImages(() => shared);
  privateEngine();
});
