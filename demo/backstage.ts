// The process that has the simulator and the agent as its children, out of the terminal's reach: Ctrl-C goes to every
// process of the terminal's group, and the agent must hear it once, and the simulator outlive the agent. However the
// demo ends, the channel to it closes, and then everything here is drained and ends.
import { spawn } from 'node:child_process';
import type { S3Place } from '../test/support/s3-client.ts';
import { agentFile } from './build.ts';
import { claimData, noteSettings, runDirectory, startSimulator } from './data.ts';
import { DemoError } from './errors.ts';
import { bucketSettings, chooseBucket } from './settings.ts';

/** The one argument, as JSON. A real bucket comes in the environment, which holds no other settings: keys are no arguments. */
export interface BackstageOptions {
  output: string;
  data: string;
  statusPort: number;
}

/** Sent once: where files go, when the agent runs; or why it can't, for people. */
export type Report = { place: S3Place } | { trouble: string };

const options = JSON.parse(process.argv[2]!) as BackstageOptions;
let askedToStop = 0;
let passOn = () => {};
const stop = () => {
  askedToStop += 1;
  passOn();
};
process.on('message', (message) => {
  if (message === 'stop') stop();
});
process.on('disconnect', stop);

try {
  process.exitCode = await run();
} catch (error) {
  if (!(error instanceof DemoError)) throw error;
  await report({ trouble: error.message });
  process.exitCode = 2;
}
process.exit();

/** Ends with the agent; its exit code. */
async function run(): Promise<number> {
  claimData(options.data);
  const real = chooseBucket(process.env);
  const simulator = real ? undefined : await startSimulator(options.data);
  try {
    return askedToStop > 0 ? 0 : await runAgent(real ?? simulator!, real !== undefined);
  } finally {
    await simulator?.close();
  }
}

function runAgent(place: S3Place, isReal: boolean): Promise<number> {
  const settings = { COMFYUI_OUTPUT_DIR: options.output, R2_STATUS_PORT: String(options.statusPort) };
  const { R2_ENDPOINT = '', R2_BUCKET = '' } = bucketSettings(place);
  // Keys of a real bucket are written to no disk.
  noteSettings(options.data, { ...settings, ...(isReal ? { R2_ENDPOINT, R2_BUCKET } : bucketSettings(place)) });
  const agent = spawn(process.execPath, [agentFile, 'run'], {
    env: { ...process.env, ...settings, ...bucketSettings(place), R2_RUN_DIR: runDirectory(options.data) },
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  // The second signal ends the agent at once.
  passOn = () => agent.kill('SIGTERM');
  process.on('exit', passOn);
  void report({ place });
  return new Promise((resolve, reject) => {
    agent.on('error', reject);
    agent.on('exit', (code, signal) => {
      process.off('exit', passOn);
      passOn = () => {};
      // So early that it had done nothing yet, the signal itself ends it.
      const ended = code ?? (signal === 'SIGTERM' ? 0 : 1);
      resolve(ended === 0 && askedToStop === 0 ? 1 : ended);
    });
  });
}

/** Resolves once it is on its way, or when nobody listens any more. */
function report(message: Report): Promise<void> {
  return new Promise((resolve) => {
    if (process.connected) process.send!(message, () => resolve());
    else resolve();
  });
}
