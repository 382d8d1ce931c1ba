import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    exclude: ['test/system/**'],
    testTimeout: 60_000,
    hookTimeout: 60_000,
    // The machines that run this have two cores; suites that start agents and stores are heavy.
    maxWorkers: 2,
  },
});
