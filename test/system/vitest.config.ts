import { defineConfig } from 'vitest/config';

// Tests that need root: namespaces now, MooseFS and Docker later. `.ci/run` runs them where it is root.
export default defineConfig({
  test: {
    include: ['test/system/**/*.test.ts'],
    testTimeout: 120_000,
    hookTimeout: 60_000,
    fileParallelism: false,
  },
});
