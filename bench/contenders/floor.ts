// The floor: see floor_watch.ts.
import { join } from 'node:path';
import { startChild } from '../support/children.ts';
import { type Contender, READY_LIMIT_MS } from '../support/contender.ts';
import { provideProgram } from '../support/tools.ts';

export const floor: Contender = {
  id: 'floor',
  name: 'the floor',
  missing: async () => {
    const tool = await provideProgram('inotifywait', 'inotify-tools');
    return 'missing' in tool ? tool.missing : undefined;
  },
  start: async (stage) => {
    const child = startChild(process.execPath, [join(import.meta.dirname, 'floor_watch.ts')], {
      PATH: process.env.PATH ?? '',
      HOME: stage.scratch,
      NODE_NO_WARNINGS: '1',
      BENCH_DIR: stage.dir,
      BENCH_ENDPOINT: stage.endpoint,
      BENCH_BUCKET: stage.bucket,
      AWS_ACCESS_KEY_ID: stage.accessKey,
      AWS_SECRET_ACCESS_KEY: stage.secretKey,
    });
    return { child, ready: async () => void (await child.line((line) => line === 'ready', READY_LIMIT_MS)) };
  },
};
