// Runs every contender through every row in one go, side by side, and prints what came of it and which goals are met.
// Exit code: 0 when everything ran, 1 when something couldn't be run, 2 for a wrong option. Never for being slow.
import { mkdirSync, writeFileSync } from 'node:fs';
import { cpus, totalmem } from 'node:os';
import { join } from 'node:path';
import { writeBenchmarks } from '../scripts/docs/benchmarks/write.ts';
import { agent, agentWithoutInotifywait } from './contenders/agent.ts';
import { boto3 } from './contenders/boto3.ts';
import { floor } from './contenders/floor.ts';
import { oldLoop } from './contenders/old-loop.ts';
import { rclone } from './contenders/rclone.ts';
import { s5cmd } from './contenders/s5cmd.ts';
import { ROWS } from './rows/all.ts';
import { killAllChildren } from './support/children.ts';
import { now } from './support/clock.ts';
import type { Contender, ContenderId } from './support/contender.ts';
import { readCommit } from './support/git.ts';
import { type Options, parseOptions, partOf, USAGE } from './support/options.ts';
import { judge, type Outcome } from './support/outcome.ts';
import { LATEST_RUN, type PublishedRun, publish, publishedRow } from './support/published.ts';
import type { Figures, Row } from './support/row.ts';
import { removeAllSessions } from './support/session.ts';
import { renderOutcome } from './support/table.ts';

const CONTENDERS: readonly Contender[] = [boto3, agent, agentWithoutInotifywait, rclone, s5cmd, oldLoop, floor];
const NAMES = Object.fromEntries(CONTENDERS.map(({ id, name }) => [id, name])) as Record<ContenderId, string>;

process.on('exit', () => {
  killAllChildren();
  removeAllSessions();
});
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => process.exit(130));

await main();

async function main(): Promise<void> {
  let options: Options;
  try {
    const ids = CONTENDERS.map(({ id }) => id);
    options = parseOptions(
      process.argv.slice(2),
      ROWS.map(({ id }) => id),
      ids,
    );
  } catch (error) {
    console.error(`${error instanceof Error ? error.message : error}\n\n${USAGE}`);
    process.exitCode = 2;
    return;
  }
  const deadline = now() + options.minutes * 60_000;
  const missing = await findMissing(options);
  const outcomes: Outcome[] = [];
  const asked = ({ id, extra }: Row) =>
    options.only.length === 0 ? options.all || extra === undefined : options.only.includes(id);
  for (const row of ROWS.filter(asked)) {
    const outcome = await runRow(row, options, missing, deadline);
    outcomes.push(outcome);
    console.log(renderOutcome(row, outcome, NAMES));
  }
  report(options, missing, outcomes);
  if (options.publish) {
    publish();
    writeBenchmarks();
    console.log('Taken into docs/benchmarks.md.');
  }
}

/** What can't run here, by contender. Installs what it can. */
async function findMissing(options: Options): Promise<Map<ContenderId, string>> {
  const missing = new Map<ContenderId, string>();
  for (const contender of CONTENDERS) {
    if (options.contenders.length > 0 && !options.contenders.includes(contender.id)) continue;
    const reason = await contender.missing();
    if (reason === undefined) continue;
    missing.set(contender.id, reason);
    console.log(`!! MISSING: ${contender.name}: ${reason}`);
  }
  return missing;
}

/** All rounds of a row, the contenders in turn, every second round the other way round. */
async function runRow(
  row: Row,
  options: Options,
  missing: ReadonlyMap<ContenderId, string>,
  deadline: number,
): Promise<Outcome> {
  const rounds: Partial<Record<ContenderId, Figures[]>> = {};
  const failures: Outcome['failures'] = [];
  const wanted = CONTENDERS.filter(({ id }) => row.contenders.includes(id) && isWanted(id, row, options));
  for (const { id } of wanted) {
    const reason = missing.get(id);
    if (reason !== undefined) failures.push({ contender: id, reason: `MISSING: ${reason}` });
  }
  const most = Math.max(0, ...wanted.map(({ id }) => row.rounds(options, id)));
  for (let round = 0; round < most; round += 1) {
    for (const contender of round % 2 === 0 ? wanted : wanted.toReversed()) {
      const { id, name } = contender;
      const failed = failures.some((failure) => failure.contender === id);
      if (failed || round >= row.rounds(options, id)) continue;
      if (now() > deadline) {
        failures.push({ contender: id, reason: `no time left for round ${round + 1} (--minutes ${options.minutes})` });
        continue;
      }
      process.stderr.write(`${row.id}, round ${round + 1} of ${most}: ${name}\n`);
      try {
        const figures = rounds[id] ?? [];
        figures.push(await row.run(contender, options));
        rounds[id] = figures;
      } catch (error) {
        failures.push({ contender: id, reason: error instanceof Error ? error.message : String(error) });
      }
    }
  }
  return judge(row, options, rounds, failures);
}

/** A quick run is about r2-sync, its rival and the floor, unless others are asked for. */
function isWanted(id: ContenderId, row: Row, { quick, contenders }: Options): boolean {
  if (contenders.length > 0) return contenders.includes(id);
  return !quick || id === row.baseline || id === 'agent' || id === 'floor';
}

function report(options: Options, missing: ReadonlyMap<ContenderId, string>, outcomes: readonly Outcome[]): void {
  const verdicts = outcomes.flatMap((outcome) => outcome.verdicts);
  const count = (met: boolean | undefined) => verdicts.filter((verdict) => verdict.met === met).length;
  console.log(`\n${count(true)} goals met, ${count(false)} not met, ${count(undefined)} not run.`);
  for (const [id, reason] of missing) console.log(`!! MISSING: ${NAMES[id]}: ${reason}`);
  const results = join(import.meta.dirname, 'results');
  mkdirSync(results, { recursive: true });
  const part = partOf(options);
  const facts: PublishedRun = {
    at: new Date().toISOString(),
    commit: readCommit(),
    quick: options.quick,
    ...(part === undefined ? {} : { part }),
    names: NAMES,
    machine: { cpus: cpus().length, cpu: cpus()[0]?.model, memoryMiB: Math.round(totalmem() / 2 ** 20) },
    node: process.version,
    missing: Object.fromEntries(missing),
    rows: outcomes.map((outcome) => publishedRow(ROWS.find(({ id }) => id === outcome.row)!, outcome)),
  };
  writeFileSync(LATEST_RUN, `${JSON.stringify(facts, null, 2)}\n`);
  console.log('Every round of every figure: bench/results/latest.json');
  if (outcomes.some(({ failures }) => failures.length > 0)) process.exitCode = 1;
}
