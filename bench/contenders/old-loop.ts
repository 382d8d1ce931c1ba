// inotifywait and one Python per file: see old_loop.sh.
import { join } from 'node:path';
import { startChild } from '../support/children.ts';
import { type Contender, READY_LIMIT_MS } from '../support/contender.ts';
import { provideProgram, providePythonWithBoto3 } from '../support/tools.ts';

let python = '';

export const oldLoop: Contender = {
  id: 'old-loop',
  name: 'one Python per file',
  missing: async () => {
    const inotifywait = await provideProgram('inotifywait', 'inotify-tools');
    if ('missing' in inotifywait) return inotifywait.missing;
    const tool = await providePythonWithBoto3();
    if ('missing' in tool) return tool.missing;
    python = tool.path;
    return undefined;
  },
  start: async (stage) => {
    const child = startChild('/bin/sh', [join(import.meta.dirname, 'old_loop.sh')], {
      PATH: process.env.PATH ?? '',
      HOME: stage.scratch,
      BENCH_DIR: stage.dir,
      BENCH_ENDPOINT: stage.endpoint,
      BENCH_BUCKET: stage.bucket,
      BENCH_PYTHON: python,
      BENCH_UPLOADER: join(import.meta.dirname, 'old_loop_upload.py'),
      AWS_ACCESS_KEY_ID: stage.accessKey,
      AWS_SECRET_ACCESS_KEY: stage.secretKey,
      AWS_EC2_METADATA_DISABLED: 'true',
      PYTHONDONTWRITEBYTECODE: '1',
    });
    return { child, ready: async () => void (await child.line((line) => line === 'ready', READY_LIMIT_MS)) };
  },
};
