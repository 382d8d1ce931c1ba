// inotifywait and one Python per file: see old_loop.sh.
import { join } from 'node:path';
import type { Contender } from '../support/contender.ts';
import { missingPython, startPython } from './python.ts';

export const oldLoop: Contender = {
  id: 'old-loop',
  name: 'one Python per file',
  missing: missingPython,
  start: async (stage) =>
    startPython(stage, (python) => ({
      program: '/bin/sh',
      script: join(import.meta.dirname, 'old_loop.sh'),
      env: { BENCH_PYTHON: python, BENCH_UPLOADER: join(import.meta.dirname, 'old_loop_upload.py') },
    })),
};
