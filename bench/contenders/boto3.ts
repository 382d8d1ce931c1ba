// inotifywait with one long-running boto3 process: see boto3_watch.py.
import { join } from 'node:path';
import type { Contender } from '../support/contender.ts';
import { missingPython, startPython } from './python.ts';

export const boto3: Contender = {
  id: 'boto3',
  name: 'inotifywait + boto3',
  missing: missingPython,
  start: async (stage) =>
    startPython(stage, (python) => ({ program: python, script: join(import.meta.dirname, 'boto3_watch.py') })),
};
