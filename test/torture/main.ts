// Tries to make the agent lose a file: see options.ts for what can be asked. Exit code 0 when nothing went wrong (or every
// planted bug was found), 1 when something did, 2 for a wrong option.
import { appendFileSync, rmSync } from 'node:fs';
import { dirname } from 'node:path';
import PQueue from 'p-queue';
import { asksForHelp, type Options, parseOptions, USAGE } from './options.ts';
import { buildPlanted, PLANTED } from './planted/index.ts';
import { killAllPods } from './pod.ts';
import { type Result, runTorture } from './run.ts';

const BUNDLE = new URL('../../dist/r2-sync.js', import.meta.url).pathname;

// No agent outlives the torture.
process.on('exit', killAllPods);
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => process.exit(130));
await main();

async function main(): Promise<void> {
  if (asksForHelp(process.argv.slice(2))) return console.log(USAGE);
  let options: Options;
  try {
    options = parseOptions(
      process.argv.slice(2),
      PLANTED.map(({ name }) => name),
    );
  } catch (error) {
    console.error(`${error instanceof Error ? error.message : error}\n\n${USAGE}`);
    process.exitCode = 2;
    return;
  }
  const well = options.bugs.length === 0 ? await tortureAll(options) : await findAll(options);
  process.exitCode = well ? 0 : 1;
}

/** The agent as it is, with each seed. */
async function tortureAll(options: Options): Promise<boolean> {
  const queue = new PQueue({ concurrency: options.jobs });
  const results = await Promise.all(
    options.seeds.map((seed) =>
      queue.add(async () => {
        const result = await runTorture({ ...options, seed, bundle: BUNDLE });
        if (options.report !== undefined) appendFileSync(options.report, `${JSON.stringify(result)}\n`);
        console.log(tell(result));
        if (result.wrongs.length > 0) console.log(replay(options, result));
        return result;
      }),
    ),
  );
  const wrong = results.filter(({ wrongs }) => wrongs.length > 0);
  const sum = (of: (result: Result) => number) => results.reduce((total, result) => total + of(result), 0);
  console.log(
    `${results.length} runs, ${sum(({ counted }) => counted)} faults that interrupted something, ` +
      `${sum(({ due }) => due)} files that had to be stored: ${wrong.length === 0 ? 'nothing went wrong' : `${wrong.length} runs FAILED`}`,
  );
  return wrong.length === 0;
}

/** Each planted bug, with one seed after another until one finds it. */
async function findAll(options: Options): Promise<boolean> {
  const queue = new PQueue({ concurrency: options.jobs });
  const found = await Promise.all(
    options.bugs.map((name) =>
      queue.add(async () => {
        const bundle = await buildPlanted(name);
        try {
          return await find(name, bundle, options);
        } finally {
          rmSync(dirname(bundle), { recursive: true, force: true });
        }
      }),
    ),
  );
  return found.every(Boolean);
}

async function find(name: string, bundle: string, options: Options): Promise<boolean> {
  for (const [index, seed] of options.seeds.entries()) {
    const { wrongs } = await runTorture({ ...options, seed, bundle });
    if (wrongs.length === 0) continue;
    console.log(`${name}: found by seed ${seed}, the ${index + 1}. of ${options.seeds.length}: ${wrongs[0]}`);
    return true;
  }
  console.log(`${name}: NOT FOUND by ${options.seeds.length} seeds`);
  return false;
}

function tell(result: Result): string {
  const { seed, volume, pods, seconds, storms, counted, due, objects, requests, repeats, lives, wrongs } = result;
  return [
    `seed ${seed}: ${pods} pods on ${volume}, ${seconds} s, ${storms} storms: ${counted} faults that counted, ${lives} starts, ` +
      `${due} files due, ${objects} objects, ${requests} requests, ${repeats} sent again: ${wrongs.length === 0 ? 'ok' : 'FAILED'}`,
    ...wrongs.slice(0, 10).map((text) => `  ${text}`),
    ...(wrongs.length > 10 ? [`  and ${wrongs.length - 10} more`] : []),
  ].join('\n');
}

function replay({ minutes, volume, pods }: Options, { seed, story }: Result): string {
  const given = pods === undefined ? '' : ` --pods ${pods}`;
  return `${story}\nAgain: npm run torture -- --seed ${seed} --minutes ${minutes} --volume ${volume}${given}`;
}
