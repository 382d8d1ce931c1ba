// The demo: Cloudflare's R2 simulator (or a real bucket), the agent as it ships, and a writer that saves files as
// ComfyUI does. Decides what happens in which order, and the exit code.
import { randomBytes } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { createS3Client, type S3Place } from '../test/support/s3-client.ts';
import { untilAnswers, waitUntilStored } from './agent.ts';
import { buildIfStale } from './build.ts';
import { checkBucket } from './check.ts';
import { freePort } from './data.ts';
import { DemoError, describeStoreTrouble } from './errors.ts';
import { listBucket } from './list.ts';
import { help, type Options, parseOptions } from './options.ts';
import { createScreen, megabytes, type Screen } from './screen.ts';
import { chooseBucket } from './settings.ts';
import { openStage, type Stage } from './stage.ts';
import { describeCheck, introduce, suggest } from './words.ts';
import { type Sample, writeSamples } from './writer.ts';

const USUAL_PORT = 8190;
const WAIT_SECONDS = { simulator: 60, real: 300 };
/** npm passes Ctrl-C on to a program that got it from the terminal already: within this time it is the same one. */
const SAME_SIGNAL_MS = 1000;

process.exitCode = await main();

async function main(): Promise<number> {
  try {
    const options = parseOptions(process.argv.slice(2));
    if (options.mode === 'help') {
      console.log(help);
      return 0;
    }
    const place = chooseBucket(process.env);
    return options.mode === 'list' ? await listBucket(options.data, place) : await play(options, place);
  } catch (error) {
    if (error instanceof DemoError) console.error(error.message);
    else if (error instanceof TypeError) console.error(`${error.message}\n\n${help}`);
    else throw error;
    return 2;
  }
}

/** The whole performance: to its end, or until somebody ends it. */
async function play(options: Options, real: S3Place | undefined): Promise<number> {
  const screen = createScreen();
  buildIfStale();
  mkdirSync(options.output, { recursive: true });
  const once = options.mode === 'once';
  const statusPort = await freePort(once ? 0 : USUAL_PORT);
  const stage = openStage({ output: options.output, data: options.data, statusPort }, real, screen.agentLine);
  const stopped = stopOnSignals(stage, screen);
  const place = await stage.place;
  if (!place) return stage.ended;

  const statusUrl = `http://127.0.0.1:${statusPort}/`;
  screen.text(introduce(options, place, real !== undefined, statusUrl));
  await untilAnswers(statusUrl, screen, stopped);
  const folder = nameRun();
  const samples = await showWriter(options.output, folder, screen, stopped);
  await waitUntilStored(options.data, WAIT_SECONDS[real ? 'real' : 'simulator'], screen, stopped);

  let ok = !once;
  if (once && !stopped.aborted) {
    ok = await check(place, folder, samples, screen);
    stage.stop();
  } else if (!stopped.aborted) screen.text(suggest(options, real !== undefined));
  const code = await stage.ended;
  return ok ? code : 1;
}

function showWriter(output: string, folder: string, screen: Screen, signal: AbortSignal): Promise<Sample[]> {
  return writeSamples({
    output,
    folder,
    onBegin: (path, seconds) => {
      if (seconds > 0) screen.line('writing', `${path}, which takes ${seconds} s`, 'blue');
    },
    onWritten: ({ path, bytes }) => screen.line('wrote', `${path} (${megabytes(bytes)})`, 'blue'),
    signal,
  });
}

async function check(place: S3Place, folder: string, samples: Sample[], screen: Screen): Promise<boolean> {
  try {
    const result = await checkBucket(createS3Client(place), folder, samples);
    screen.text(describeCheck(result, folder));
    return result.ok;
  } catch (error) {
    screen.text(`\nThe bucket can't be checked: ${describeStoreTrouble(error)}`);
    return false;
  }
}

/** A folder that no other run has, in this checkout or in another that uses the same bucket. */
function nameRun(): string {
  const time = new Date().toTimeString().slice(0, 8).replaceAll(':', '');
  return `demo-${time}-${randomBytes(2).toString('hex')}`;
}

/** The first signal drains, another ends at once. Aborted by the first. */
function stopOnSignals(stage: Stage, screen: Screen): AbortSignal {
  const stopping = new AbortController();
  let first = 0;
  const onSignal = () => {
    if (stopping.signal.aborted && performance.now() - first < SAME_SIGNAL_MS) return;
    if (!stopping.signal.aborted) {
      first = performance.now();
      console.log();
      screen.line('demo', 'stopping; Ctrl-C again ends it at once');
    }
    stopping.abort();
    stage.stop();
  };
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(name, onSignal);
  return stopping.signal;
}
