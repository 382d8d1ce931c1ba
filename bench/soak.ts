// Hours of steady work: does the agent stay as quick, as small and as cheap as it was at first? One agent, one store, and
// a writer with ComfyUI's habits; each minute a line of figures, at the end a verdict.
// Exit code: 0 flat and nothing lost, 1 not, 2 for a wrong option.
import { appendFileSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { cpus, totalmem } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { agent } from './contenders/agent.ts';
import { type Child, killAllChildren } from './support/children.ts';
import { now, pause, poll } from './support/clock.ts';
import type { Running } from './support/contender.ts';
import { readCommit } from './support/git.ts';
import { readCpuMs, readHoldings } from './support/process-tree.ts';
import { type SoakMinute, summarise } from './support/soak-summary.ts';
import { StoreWatch } from './support/soak-watch.ts';
import { SoakWriter } from './support/soak-writer.ts';
import { percentile } from './support/statistics.ts';
import { type DoubleStore, startStore } from './support/store.ts';

const USAGE = `npx node bench/soak.ts [OPTIONS]
  --minutes N      how long (default 110)
  --rate N         files a second (default 2)
  --keep N         how many files stay, the newest (default 2000)
  --dir DIRECTORY  where to work (default: the system's temporary directory)`;
const MINUTE_MS = 60_000;
/** Files that are on their way when the writer stops must arrive within this. */
const LAST_LIMIT_MS = 120_000;

interface Options {
  minutes: number;
  rate: number;
  keep: number;
  dir: string;
}

const results = join(import.meta.dirname, 'results');
const stop = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => stop.abort());
process.on('exit', killAllChildren);
await main();

async function main(): Promise<void> {
  let options: Options;
  try {
    options = readOptions(process.argv.slice(2));
  } catch (error) {
    console.error(`${error instanceof Error ? error.message : error}\n\n${USAGE}`);
    process.exitCode = 2;
    return;
  }
  const missing = await agent.missing();
  if (missing !== undefined) throw new Error(missing);
  const root = mkdtempSync(join(options.dir, 'r2-sync-soak-'));
  const children: Child[] = [];
  try {
    const [dir, scratch] = [join(root, 'output'), join(root, 'scratch')];
    for (const path of [dir, scratch]) mkdirSync(path);
    const store = await startStore();
    children.push(store.child);
    const { endpoint, bucket, accessKey, secretKey } = store;
    const running = await agent.start({ dir, scratch, endpoint, bucket, accessKey, secretKey }, 0);
    children.unshift(running.child);
    await running.ready();
    await soak(options, { dir, store, running });
  } finally {
    for (const child of children) await child.stop();
    rmSync(root, { recursive: true, force: true });
  }
}

interface Scene {
  dir: string;
  store: DoubleStore;
  running: Running;
}

async function soak(options: Options, scene: Scene): Promise<void> {
  mkdirSync(results, { recursive: true });
  const lines = join(results, 'soak.jsonl');
  const head = {
    at: new Date().toISOString(),
    commit: readCommit(),
    minutes: options.minutes,
    rate: options.rate,
    keep: options.keep,
    machine: { cpus: cpus().length, cpu: cpus()[0]?.model, memoryMiB: Math.round(totalmem() / 2 ** 20) },
    node: process.version,
  };
  writeFileSync(lines, `${JSON.stringify(head)}\n`);
  const writer = new SoakWriter(scene.dir, options.rate, options.keep);
  const watch = new StoreWatch(scene.store, writer);
  const minutes: SoakMinute[] = [];
  const begin = now();
  const writing = writer.run(stop.signal);
  for (let minute = 1; minute <= options.minutes && !stop.signal.aborted; minute += 1) {
    const before = { cpuMs: readCpuMs(scene.running.child.pid), files: writer.files };
    await pauseUntil(begin + minute * MINUTE_MS, stop.signal);
    const line = await readMinute(minute, scene, writer, watch, before);
    minutes.push(line);
    appendFileSync(lines, `${JSON.stringify(line)}\n`);
    console.log(renderMinute(line));
    const ended = scene.running.child.ended() ?? scene.store.child.ended();
    if (ended !== undefined) {
      console.error(`!! a process ${ended}: ${scene.running.child.complaints()}`);
      break;
    }
  }
  stop.abort();
  await writing;
  const isDone = async () =>
    (await watch.read()).waiting === 0 && (await scene.running.status?.())?.safeToStop === true;
  await poll(async () => ((await isDone()) ? true : undefined), 500, LAST_LIMIT_MS);
  const { lost, twice, torn } = watch.verdict();
  const status = await scene.running.status?.();
  const summary = summarise(minutes, {
    written: writer.files,
    lost,
    twice,
    torn,
    state: status?.state ?? 'silent',
    pendingAtEnd: (status?.totals.pendingFiles ?? Number.NaN) + (status?.totals.parkedFiles ?? Number.NaN),
  });
  writeFileSync(join(results, 'soak-summary.json'), `${JSON.stringify({ ...head, ...summary }, null, 2)}\n`);
  console.log(`\n${summary.text}\n\nEvery minute: bench/results/soak.jsonl`);
  process.exitCode = summary.flat ? 0 : 1;
}

async function readMinute(
  minute: number,
  { dir, running }: Scene,
  writer: SoakWriter,
  watch: StoreWatch,
  before: { cpuMs: number; files: number },
): Promise<SoakMinute> {
  const files = writer.files - before.files;
  const cpuMs = readCpuMs(running.child.pid) - before.cpuMs;
  const holdings = readHoldings(running.child.pid);
  const { requests, delays, waiting } = await watch.read();
  const status = await running.status?.();
  return {
    minute,
    files,
    ...holdings,
    cpuPerFile: cpuMs / files,
    p50: percentile(delays, 0.5),
    p99: percentile(delays, 0.99),
    max: Math.max(...delays),
    // Of the same stretch of the store's log: while this minute is read, the writer goes on.
    requestsPerFile: requests / delays.length,
    waiting,
    pending: status?.totals.pendingFiles ?? Number.NaN,
    pendingBy: status?.totals.pendingBy ?? {},
    stored: status?.totals.storedFiles ?? Number.NaN,
    onDisk: writer.onDisk,
    stateBytes: readStateBytes(dir),
    state: status?.state ?? 'silent',
  };
}

function renderMinute(line: SoakMinute): string {
  const show = (value: number, digits = 0) => (Number.isFinite(value) ? value.toFixed(digits) : '–');
  return [
    `min ${line.minute}`,
    `${line.files} files`,
    `rss ${show(line.rss, 1)} pss ${show(line.pss, 1)} MiB`,
    `fds ${line.descriptors} watches ${line.watches}`,
    `cpu ${show(line.cpuPerFile, 2)} ms/file`,
    `p50 ${show(line.p50, 1)} p99 ${show(line.p99, 1)} max ${show(line.max)} ms`,
    `${show(line.requestsPerFile, 2)} req/file`,
    `on the way ${line.waiting}`,
    `pending ${line.pending}`,
    `stored ${line.stored}`,
    `state ${show(line.stateBytes / 1024)} KiB`,
    line.state,
  ].join(' · ');
}

function readOptions(args: string[]): Options {
  const { values } = parseArgs({
    args,
    options: {
      minutes: { type: 'string', default: '110' },
      rate: { type: 'string', default: '2' },
      keep: { type: 'string', default: '2000' },
      dir: { type: 'string', default: process.env.TMPDIR ?? '/tmp' },
    },
  });
  const [minutes, rate, keep] = [values.minutes, values.rate, values.keep].map(Number) as [number, number, number];
  if (!(minutes >= 1 && rate > 0 && keep >= 1)) throw new Error('--minutes, --rate and --keep take numbers above 0');
  return { minutes, rate, keep, dir: values.dir };
}

/** All of the state directory but for what may vanish meanwhile. */
function readStateBytes(dir: string): number {
  const state = join(dir, '.r2-sync');
  const names = readdirSync(state, { recursive: true, encoding: 'utf8' });
  return names.reduce((sum, name) => sum + (statSync(join(state, name), { throwIfNoEntry: false })?.size ?? 0), 0);
}

function pauseUntil(at: number, signal: AbortSignal): Promise<void> {
  return Promise.race([
    pause(at - now()),
    new Promise<void>((resolve) => {
      if (signal.aborted) resolve();
      signal.addEventListener('abort', () => resolve(), { once: true });
    }),
  ]);
}
