// inotifywait with one long-running boto3 process: see boto3_watch.py.
import { join } from 'node:path';
import { startChild } from '../support/children.ts';
import { type Contender, READY_LIMIT_MS } from '../support/contender.ts';
import { provideProgram, providePythonWithBoto3 } from '../support/tools.ts';

let python = '';

export const boto3: Contender = {
  id: 'boto3',
  name: 'inotifywait + boto3',
  missing: async () => {
    const inotifywait = await provideProgram('inotifywait', 'inotify-tools');
    if ('missing' in inotifywait) return inotifywait.missing;
    const tool = await providePythonWithBoto3();
    if ('missing' in tool) return tool.missing;
    python = tool.path;
    return undefined;
  },
  start: async (stage) => {
    const child = startChild(python, [join(import.meta.dirname, 'boto3_watch.py')], {
      PATH: process.env.PATH ?? '',
      HOME: stage.scratch,
      BENCH_DIR: stage.dir,
      BENCH_ENDPOINT: stage.endpoint,
      BENCH_BUCKET: stage.bucket,
      AWS_ACCESS_KEY_ID: stage.accessKey,
      AWS_SECRET_ACCESS_KEY: stage.secretKey,
      AWS_EC2_METADATA_DISABLED: 'true',
      PYTHONDONTWRITEBYTECODE: '1',
    });
    return { child, ready: async () => void (await child.line((line) => line === 'ready', READY_LIMIT_MS)) };
  },
};
