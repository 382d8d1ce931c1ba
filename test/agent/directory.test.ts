// Invariants 2 and 10 where the output directory itself isn't as it should be: it is said, waited for, and nothing is lost.
import { mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Snapshot } from '../../src/status/snapshot.ts';
import type { RunningAgent } from '../support/agent.ts';
import { until } from '../support/agent.ts';
import { type Bench, expectTrueObjects, makeBench, NO_PROGRAMS, storedVersions } from './bucket.ts';

let bench: Bench;
beforeEach(async () => {
  bench = await makeBench();
});
afterEach(() => bench.close());

const arrives = (path: string) => until(() => storedVersions(bench.store).has(path), `${path} in the bucket`);
const says = (agent: RunningAgent, reason: RegExp) =>
  agent.until(({ state, reasons }) => state === 'degraded' && reason.test(reasons.join()), `${reason}`);
/** As `rm -r` does it, again where the agent has just written into it. */
const remove = () => rmSync(bench.place.output, { recursive: true, maxRetries: 20 });
const isWell = (agent: RunningAgent) => agent.until(({ state }) => state === 'ok', 'all to be well');

describe('invariant 10: an output directory that is not there', () => {
  it('is said and waited for; once it is there, what is in it arrives', async () => {
    rmSync(bench.place.output, { recursive: true });
    const agent = await bench.start();
    const waiting = await says(agent, /doesn't exist yet; it is waited for/);
    expect(waiting.safeToStop).toBe(false);
    expect(agent.log()).toMatch(/doesn't exist yet/);
    mkdirSync(bench.at('a'), { recursive: true });
    writeFileSync(bench.at('a/a.txt'), 'a');
    await arrives('a/a.txt');
    await isWell(agent);
    // Nothing was made in its place meanwhile.
    expect(await agent.stop()).toBe(0);
  });

  it('but a file: is said; a directory in its place is used', async () => {
    rmSync(bench.place.output, { recursive: true });
    writeFileSync(bench.place.output, 'a file');
    const agent = await bench.start();
    await says(agent, /is not a directory. Set COMFYUI_OUTPUT_DIR/);
    rmSync(bench.place.output);
    mkdirSync(bench.place.output);
    writeFileSync(bench.at('a.txt'), 'a');
    await arrives('a.txt');
    await isWell(agent);
  });

  it.each(['sync', 'plan'])('`r2-sync %s` says so and ends', async (command) => {
    rmSync(bench.place.output, { recursive: true });
    const run = await bench.command([command]);
    expect(run.code).not.toBe(0);
    expect(run.stdout + run.stderr).toContain(bench.place.output);
    expect(run.stdout + run.stderr).toContain('COMFYUI_OUTPUT_DIR');
    expect(bench.store.requests).toEqual([]);
  });
});

describe.each([
  ['with inotifywait, where it is installed', {}],
  ['with @parcel/watcher', NO_PROGRAMS],
] as const)('invariant 2: an output directory that changes under a running agent, %s', (_, source) => {
  it('removed and made again, several times: what is written into it arrives', async () => {
    const agent = await bench.start(source);
    writeFileSync(bench.at('0.txt'), '0');
    await arrives('0.txt');
    for (const round of ['1', '2', '3']) {
      remove();
      // Sometimes too quick to be noticed, sometimes not.
      if (round === '2') await agent.until(({ reasons }) => /doesn't exist/.test(reasons.join()), 'it to be missed');
      mkdirSync(bench.at('sub'), { recursive: true });
      writeFileSync(bench.at(`${round}.txt`), round);
      writeFileSync(bench.at(`sub/${round}.txt`), round);
      await arrives(`${round}.txt`);
      await arrives(`sub/${round}.txt`);
      // And later ones, too.
      writeFileSync(bench.at(`sub/${round}-later.txt`), `${round}-later`);
      await arrives(`sub/${round}-later.txt`);
    }
    await isWell(agent);
    expectTrueObjects(bench.store);
    expect(await agent.stop()).toBe(0);
  });

  it('replaced by another directory, and by a symlink to one: what is in them arrives, with their own ledgers', async () => {
    const agent = await bench.start(source);
    writeFileSync(bench.at('a.txt'), 'first');
    // Recorded, too: a line that is still to be written would land in the ledger of the other directory.
    const recorded = ({ totals }: Snapshot) => totals.storedFiles === 1 && totals.pendingFiles === 0;
    await agent.until(recorded, 'the first file in the ledger');
    const [first, second] = [join(bench.place.base, 'first'), join(bench.place.base, 'second')];
    mkdirSync(second);
    writeFileSync(join(second, 'a.txt'), 'second');
    renameSync(bench.place.output, first);
    renameSync(second, bench.place.output);
    await until(() => storedVersions(bench.store).get('a.txt')?.length === 2, 'what is in the second directory');
    writeFileSync(bench.at('b.txt'), 'b');
    await arrives('b.txt');
    renameSync(bench.place.output, second);
    symlinkSync(first, bench.place.output);
    writeFileSync(bench.at('c.txt'), 'c');
    await arrives('c.txt');
    await agent.until(
      ({ totals, state }) => totals.storedFiles === 2 && state === 'ok',
      'the first directory as it was',
    );
    expect(storedVersions(bench.store).get('a.txt')?.map(String)).toEqual(['first', 'second']);
    expectTrueObjects(bench.store);
  });
});
