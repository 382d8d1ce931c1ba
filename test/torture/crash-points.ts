// Stops an agent dead after every single effect on disk or store, once each, starts another one, and checks that nothing
// was lost, torn or done more often than need be.
// node test/torture/crash-points.ts [--every 5 [--offset 2]] [--only TEXT] [--lanes 2] [--bug NAME]
// A bug that is planted on purpose (planted/) has to make it fail.
import { rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { parseArgs } from 'node:util';
import { checkLife } from './crash-points/check.ts';
import { Life } from './crash-points/life.ts';
import { describePoint, findPoints, type Point } from './crash-points/points.ts';
import { SCENARIOS, type Scenario } from './crash-points/scenarios.ts';
import { buildPlanted } from './planted/index.ts';

const DAY_MS = 24 * 3600_000;

const { values } = parseArgs({
  options: {
    every: { type: 'string', default: '1' },
    offset: { type: 'string' },
    only: { type: 'string', default: '' },
    lanes: { type: 'string', default: '2' },
    bug: { type: 'string' },
  },
});
const every = Number(values.every);
// Day by day another part, so that all had their turn after `every` days.
const offset = Number(values.offset ?? Math.floor(Date.now() / DAY_MS) % every);
const bundle = values.bug === undefined ? undefined : await buildPlanted(values.bug);

interface Run {
  scenario: Scenario;
  point: Point;
  usualRequests: number;
}

async function live(scenario: Scenario, point: Point | undefined, usualRequests: number) {
  const life = await Life.begin(point, scenario.prepare, bundle);
  try {
    const exitCode = await scenario.play(life);
    const requests = life.requests.length;
    const wrong = await checkLife(life, exitCode, point ? usualRequests : requests);
    return { life, wrong, requests };
  } catch (error) {
    return { life, wrong: [error instanceof Error ? error.message : String(error)], requests: 0 };
  } finally {
    await life.end();
  }
}

const begun = performance.now();
let failed = 0;
const runs: Run[] = [];
for (const scenario of SCENARIOS) {
  const { life, wrong, requests } = await live(scenario, undefined, 0);
  if (wrong.length > 0) throw new Error(`${scenario.name} goes wrong without a crash:\n${wrong.join('\n')}`);
  const points = findPoints(life.place.output, life.reports, life.requests);
  console.log(`${scenario.name}: ${points.length} points (${requests} requests)`);
  runs.push(...points.map((point) => ({ scenario, point, usualRequests: requests })));
}

const chosen = runs.filter(({ point }, at) => at % every === offset && describePoint(point).includes(values.only));
console.log(
  every === 1
    ? `all ${chosen.length} of them`
    : `${chosen.length} of ${runs.length} today (every ${every}th from ${offset})`,
);
const missed: string[] = [];
const queue = chosen.values();
await Promise.all(
  Array.from({ length: Number(values.lanes) }, async () => {
    for (const { scenario, point, usualRequests } of queue) {
      const { life, wrong } = await live(scenario, point, usualRequests);
      const title = `${scenario.name}: ${describePoint(point)}`;
      if (!life.died) missed.push(title);
      if (wrong.length === 0) continue;
      failed += 1;
      console.log(`\nFAILED ${title}\n  ${wrong.join('\n  ')}\n${life.log}`);
    }
  }),
);
if (bundle !== undefined) await rm(dirname(bundle), { recursive: true });
const seconds = Math.round((performance.now() - begun) / 1000);
console.log(`${chosen.length - missed.length} of ${chosen.length} points struck, ${failed} failed, ${seconds} s`);
for (const title of missed) console.log(`  never came: ${title}`);
// Which effects there are depends a little on what happens to go together; a plan that strikes little tests little.
if (failed > 0 || missed.length > chosen.length / 10) process.exitCode = 1;
