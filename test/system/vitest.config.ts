import { defineConfig } from 'vitest/config';
import { longestFirst } from '../support/longest-first.ts';

// What needs root or programs that not every machine has: MooseFS, Docker, namespaces, a browser. `.ci/run` runs it.
// Files share nothing: each has its own ports, mounts, network namespace, Docker engine. So they run at the same time.
export default defineConfig({
  test: {
    include: ['test/system/**/*.test.ts'],
    testTimeout: 120_000,
    hookTimeout: 120_000,
    // More than cores: teams of pods wait for leases and quiet times, builds of images for the network and the disk.
    maxWorkers: 3,
    sequence: {
      sequencer: longestFirst([
        'test/system/docker.test.ts',
        'test/system/multi-pod-volume.test.ts',
        'test/system/multi-pod.test.ts',
      ]),
    },
  },
});
