// s5cmd sync in a loop: see s5cmd_loop.sh.
import { join } from 'node:path';
import { startChild } from '../support/children.ts';
import { type Contender, READY_LIMIT_MS } from '../support/contender.ts';
import { provideGoProgram } from '../support/tools.ts';

let program = '';

export const s5cmd: Contender = {
  id: 's5cmd',
  name: 's5cmd sync loop',
  missing: async () => {
    const tool = await provideGoProgram('s5cmd', 'github.com/peak/s5cmd/v2', '', 'v2.3.0');
    if ('missing' in tool) return tool.missing;
    program = tool.path;
    return undefined;
  },
  start: async (stage, pauseSeconds) => {
    const child = startChild('/bin/sh', [join(import.meta.dirname, 's5cmd_loop.sh')], {
      PATH: process.env.PATH ?? '',
      HOME: stage.scratch,
      BENCH_S5CMD: program,
      BENCH_DIR: stage.dir,
      BENCH_BUCKET: stage.bucket,
      BENCH_PAUSE: String(pauseSeconds),
      S3_ENDPOINT_URL: stage.endpoint,
      AWS_REGION: 'auto',
      AWS_ACCESS_KEY_ID: stage.accessKey,
      AWS_SECRET_ACCESS_KEY: stage.secretKey,
    });
    return { child, ready: async () => void (await child.line((line) => line === 'ready', READY_LIMIT_MS)) };
  },
};
