import { defineConfig } from 'vitest/config';
import { longestFirst } from './test/support/longest-first.ts';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    exclude: ['test/system/**'],
    testTimeout: 120_000,
    hookTimeout: 120_000,
    // Twice the two cores of the machines that run this: suites that start agents wait four times as long as they work.
    maxWorkers: 4,
    sequence: {
      sequencer: longestFirst([
        'test/multi-pod/local.test.ts',
        'test/commands/verify.test.ts',
        'test/scripts/bats.test.ts',
        'test/lease/explorer.test.ts',
        'test/agent/crash.test.ts',
        'test/agent/settle.test.ts',
        'test/commands/restore.test.ts',
        'test/agent/drain.test.ts',
        'test/image/downloads-pods.test.ts',
        'test/image/start.test.ts',
        'test/notify/agents.test.ts',
        'test/agent/files.test.ts',
        'test/agent/many.test.ts',
        'test/agent/directory.test.ts',
        'test/security/volume.test.ts',
        'test/lease/model.test.ts',
        'test/image/downloads-trouble.test.ts',
        'test/demo/demo.test.ts',
        'test/torture/planted/planted.test.ts',
        'test/agent/refusal.test.ts',
      ]),
    },
  },
});
