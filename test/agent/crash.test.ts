// Invariant 7: a crash at any instant loses nothing that is on the volume, and repeats at most what was in flight.
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { until } from '../support/agent.ts';
import { makePngOfSize, noise } from '../support/media.ts';
import { childrenOf } from '../support/processes.ts';
import { type Bench, expectTrueObjects, inotifywaitIsInstalled, makeBench, storedVersions } from './bucket.ts';

let bench: Bench;
beforeEach(async () => {
  bench = await makeBench();
});
afterEach(() => bench.close());

const CONCURRENCY = 4;

describe('invariant 7: kill -9', () => {
  it('of the agent, again and again in the middle of a burst: every file is there, once', async () => {
    const { store } = bench;
    store.settings.latencyMs = 20;
    const expected = new Map<string, Buffer>();
    const burst = (round: number) => {
      for (let nth = 0; nth < 60; nth += 1) {
        const path = `round${round}/${nth}.png`;
        const bytes = makePngOfSize(20_000, round * 1000 + nth);
        expected.set(path, bytes);
        mkdirSync(dirname(bench.at(path)), { recursive: true });
        writeFileSync(bench.at(path), bytes);
      }
    };
    for (const round of [1, 2, 3, 4]) {
      const agent = await bench.start({ R2_CONCURRENCY: `${CONCURRENCY}` });
      const before = store.objects.size;
      burst(round);
      await until(() => store.objects.size >= before + 20, 'the burst to be under way');
      expect(await agent.stop('SIGKILL')).toBe('SIGKILL');
    }
    const agent = await bench.start({ R2_CONCURRENCY: `${CONCURRENCY}` });
    await agent.until(({ totals }) => totals.storedFiles === expected.size && totals.pendingFiles === 0, 'everything');
    expectTrueObjects(store);
    const versions = storedVersions(store);
    expect(versions.size).toBe(expected.size);
    for (const [path, bytes] of expected) expect(versions.get(path)).toEqual([bytes]);
    const puts = new Map<string, number>();
    for (const { operation, key } of store.requests) {
      if (operation === 'PutObject') puts.set(key, (puts.get(key) ?? 0) + 1);
    }
    const repeated = [...puts.values()].filter((count) => count > 1).length;
    // In flight are those being sent, and those sent whose line is on its way to the ledger.
    expect(repeated).toBeLessThanOrEqual(4 * 4 * CONCURRENCY);
    store.requests.length = 0;
    expect(await agent.stop()).toBe(0);
    // What the ledger holds costs no request at all.
    expect((await bench.command(['sync'])).code).toBe(0);
    expect(store.requests).toEqual([]);
  });

  it('of the agent in the middle of a large upload: it is sent again whole, and what was begun is cleaned up', async () => {
    const { store } = bench;
    store.fault = ({ operation }) => (operation === 'UploadPart' ? { bytesPerSecond: 10_000_000 } : undefined);
    const film = noise(14_000_000, 1);
    writeFileSync(bench.at('film.txt'), film);
    const agent = await bench.start();
    await until(() => [...store.uploads.values()].some(({ parts }) => parts.size > 0), 'a part to be there');
    await agent.stop('SIGKILL');
    store.fault = undefined;
    const next = await bench.start();
    await next.until(({ totals }) => totals.storedFiles === 1, 'the film');
    expect(storedVersions(store).get('film.txt')).toEqual([film]);
    expectTrueObjects(store);
    await until(() => store.uploads.size === 0, 'the upload of the dead process to be aborted');
  });

  it.runIf(inotifywaitIsInstalled)('of inotifywait while files arrive: nothing is missed', async () => {
    const { store } = bench;
    const agent = await bench.start();
    await until(() => agent.log().includes('with inotifywait'), 'inotifywait');
    const expected: string[] = [];
    let killed = 0;
    for (let nth = 0; nth < 100; nth += 1) {
      const path = `${nth % 7}/${nth % 3}/${nth}.txt`;
      expected.push(path);
      mkdirSync(dirname(bench.at(path)), { recursive: true });
      writeFileSync(bench.at(path), path);
      if (nth % 40 === 20) {
        for (const pid of childrenOf(agent.process.pid!, 'inotifywait')) {
          process.kill(pid, 'SIGKILL');
          killed += 1;
        }
      }
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    expect(killed).toBeGreaterThan(0);
    await agent.until(({ totals }) => totals.storedFiles === 100, 'all of them');
    expect([...storedVersions(store).keys()].sort()).toEqual(expected.sort());
    // It is started again, and what it hears from then on counts.
    await until(() => childrenOf(agent.process.pid!, 'inotifywait').length > 0, 'inotifywait to be started again');
    await agent.until(({ state }) => state === 'ok', 'all to be well');
    expectTrueObjects(store);
  });
});

const canDieWithUs =
  inotifywaitIsInstalled && (process.env.PATH ?? '').split(':').some((dir) => existsSync(`${dir}/setpriv`));
if (!canDieWithUs) console.warn('NOT RUN: nothing is left behind (needs inotifywait and setpriv)');

describe.skipIf(!canDieWithUs)('invariant 9: kill -9 of the agent', () => {
  it('leaves no inotifywait behind: orphans would use up the watchers of the machine', async () => {
    const agent = await bench.start({});
    const started = () => childrenOf(agent.process.pid!, 'inotifywait');
    await until(() => started().length > 0, 'inotifywait to run');
    const [pid] = started();
    await agent.stop('SIGKILL');
    await until(() => !existsSync(`/proc/${pid}`), 'inotifywait to end');
  });
});
