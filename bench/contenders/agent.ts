// r2-sync itself, as it ships: the bundle, with inotifywait and without.
import { copyFileSync, existsSync, mkdirSync, rmSync, symlinkSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Snapshot } from '../../src/status/snapshot.ts';
import { startChild } from '../support/children.ts';
import { poll } from '../support/clock.ts';
import { type Contender, type ContenderId, READY_LIMIT_MS, type Running, type Stage } from '../support/contender.ts';
import { findFreePort } from '../support/ports.ts';
import { provideProgram } from '../support/tools.ts';

const BUNDLE = join(import.meta.dirname, '../../dist/r2-sync.js');
/** What is measured: a copy, so that a build beside the run doesn't change contenders in the middle of it. */
const MEASURED = join(import.meta.dirname, '../.cache/agent/r2-sync.js');

export const agent = describeAgent('agent', 'r2-sync', true);
export const agentWithoutInotifywait = describeAgent('agent-plain', 'r2-sync without inotifywait', false);

/** Starts the agent on a stage, as people do: by the bundle's first line. Without inotifywait means a PATH with node alone. */
async function startAgent(stage: Stage, withInotifywait: boolean): Promise<Running> {
  const port = await findFreePort();
  const bin = join(stage.scratch, 'bin');
  const runDir = join(stage.scratch, 'run');
  for (const directory of [bin, runDir]) mkdirSync(directory, { recursive: true });
  rmSync(join(bin, 'node'), { force: true });
  symlinkSync(process.execPath, join(bin, 'node'));
  const child = startChild(MEASURED, ['run'], {
    PATH: withInotifywait ? `${bin}:${process.env.PATH}` : bin,
    HOME: stage.scratch,
    COMFYUI_OUTPUT_DIR: stage.dir,
    R2_ENDPOINT: stage.endpoint,
    R2_BUCKET: stage.bucket,
    R2_ACCESS_KEY: stage.accessKey,
    R2_SECRET_KEY: stage.secretKey,
    R2_RUN_DIR: runDir,
    R2_STATUS_PORT: String(port),
    R2_LOG_LEVEL: 'warn',
  });
  const status = () => readStatus(port);
  const ready = async () => {
    const up = await poll(
      async () => child.ended() ?? ((await status())?.safeToStop ? 'ready' : undefined),
      50,
      READY_LIMIT_MS,
    );
    if (up !== 'ready') throw new Error(`the agent ${up ?? 'is not ready in time'}. Its stderr: ${child.complaints()}`);
  };
  return { child, ready, status, url: `http://127.0.0.1:${port}/` };
}

function describeAgent(id: ContenderId, name: string, withInotifywait: boolean): Contender {
  return {
    id,
    name,
    missing: async () => {
      if (!existsSync(BUNDLE)) return `dist/r2-sync.js isn't built (npm run build)`;
      mkdirSync(dirname(MEASURED), { recursive: true });
      copyFileSync(BUNDLE, MEASURED);
      const tool = withInotifywait ? await provideProgram('inotifywait', 'inotify-tools') : undefined;
      return tool !== undefined && 'missing' in tool ? tool.missing : undefined;
    },
    start: (stage) => startAgent(stage, withInotifywait),
  };
}

async function readStatus(port: number): Promise<Snapshot | undefined> {
  try {
    const reply = await fetch(`http://127.0.0.1:${port}/api/status`, { headers: { 'x-r2-sync': '1' } });
    return reply.ok ? ((await reply.json()) as Snapshot) : undefined;
  } catch {
    return undefined;
  }
}
