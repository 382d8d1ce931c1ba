// rclone copy in a loop: see rclone_loop.sh.
import { join } from 'node:path';
import { startChild } from '../support/children.ts';
import { type Contender, READY_LIMIT_MS } from '../support/contender.ts';
import { provideProgram } from '../support/tools.ts';

export const rclone: Contender = {
  id: 'rclone',
  name: 'rclone copy loop',
  missing: async () => {
    const tool = await provideProgram('rclone', 'rclone');
    return 'missing' in tool ? tool.missing : undefined;
  },
  start: async (stage, pauseSeconds) => {
    const child = startChild('/bin/sh', [join(import.meta.dirname, 'rclone_loop.sh')], {
      PATH: process.env.PATH ?? '',
      HOME: stage.scratch,
      BENCH_DIR: stage.dir,
      BENCH_BUCKET: stage.bucket,
      BENCH_PAUSE: String(pauseSeconds),
      RCLONE_CONFIG: '/dev/null',
      RCLONE_S3_PROVIDER: 'Other',
      RCLONE_S3_REGION: 'auto',
      RCLONE_S3_ENDPOINT: stage.endpoint,
      RCLONE_S3_ACCESS_KEY_ID: stage.accessKey,
      RCLONE_S3_SECRET_ACCESS_KEY: stage.secretKey,
    });
    return { child, ready: async () => void (await child.line((line) => line === 'ready', READY_LIMIT_MS)) };
  },
};
