// What the contenders in Python have in common: inotifywait, an interpreter with boto3, and how they are told the store.
import { startChild } from '../support/children.ts';
import { READY_LIMIT_MS, type Running, type Stage } from '../support/contender.ts';
import { provideProgram, providePythonWithBoto3 } from '../support/tools.ts';

let python = '';

/** Why there is none here, undefined if there is. Installs what it can. */
export async function missingPython(): Promise<string | undefined> {
  const inotifywait = await provideProgram('inotifywait', 'inotify-tools');
  if ('missing' in inotifywait) return inotifywait.missing;
  const tool = await providePythonWithBoto3();
  if ('missing' in tool) return tool.missing;
  python = tool.path;
  return undefined;
}

/** Starts what `command` makes of the interpreter; it says `ready` once it would notice a file. */
export function startPython(
  stage: Stage,
  command: (python: string) => { program: string; script: string; env?: Record<string, string> },
): Running {
  const { program, script, env = {} } = command(python);
  const child = startChild(program, [script], {
    PATH: process.env.PATH ?? '',
    HOME: stage.scratch,
    BENCH_DIR: stage.dir,
    BENCH_ENDPOINT: stage.endpoint,
    BENCH_BUCKET: stage.bucket,
    AWS_ACCESS_KEY_ID: stage.accessKey,
    AWS_SECRET_ACCESS_KEY: stage.secretKey,
    AWS_EC2_METADATA_DISABLED: 'true',
    PYTHONDONTWRITEBYTECODE: '1',
    ...env,
  });
  return { child, ready: async () => void (await child.line((line) => line === 'ready', READY_LIMIT_MS)) };
}
