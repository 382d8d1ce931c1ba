import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Lanes, SMALL_BYTES } from '../../src/upload/lanes.ts';

const small = 1000;
const medium = SMALL_BYTES + 1;
const large = 256 * 2 ** 20 + 1;

/** Jobs that end when they are told to. */
function createJobs() {
  const started: string[] = [];
  const running = new Map<string, () => void>();
  const job = (name: string) => () => {
    started.push(name);
    return new Promise<void>((resolve) => running.set(name, resolve));
  };
  const finish = async (name: string) => {
    running.get(name)!();
    running.delete(name);
    await settle();
  };
  return { started, running, job, finish };
}

async function settle(): Promise<void> {
  for (let turn = 0; turn < 10; turn += 1) await Promise.resolve();
}

async function drain({ running, finish }: ReturnType<typeof createJobs>): Promise<void> {
  for (let name = [...running.keys()][0]; name !== undefined; name = [...running.keys()][0]) await finish(name);
}

describe('the order of uploads', () => {
  test('newest first, and every fourth turn the oldest', async () => {
    const lanes = new Lanes(1);
    const jobs = createJobs();
    lanes.pause();
    for (let age = 1; age <= 9; age += 1) lanes.add(small, BigInt(age) * 1_000_000n, jobs.job(`${age}`));
    lanes.resume();
    await settle();
    await drain(jobs);
    expect(jobs.started).toEqual(['9', '8', '7', '1', '6', '5', '4', '2', '3']);
  });

  test('nothing waits for ever, however many newer ones come', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 12 }),
        fc.integer({ min: 1, max: 4 }),
        async (waiting, concurrency) => {
          const lanes = new Lanes(concurrency);
          const jobs = createJobs();
          lanes.pause();
          for (let at = 0; at < waiting; at += 1) lanes.add(small, BigInt(at) * 1_000_000n, jobs.job(`old ${at}`));
          lanes.resume();
          await settle();
          // For every one that ends, a newer one comes.
          for (let turn = 0; turn < 4 * waiting + 4; turn += 1) {
            lanes.add(small, BigInt(1000 + turn) * 1_000_000n, jobs.job(`new ${turn}`));
            await settle();
            await jobs.finish([...jobs.running.keys()][0]!);
          }
          for (let at = 0; at < waiting; at += 1) expect(jobs.started).toContain(`old ${at}`);
          lanes.clear();
          await drain(jobs);
        },
      ),
      { numRuns: 30 },
    );
  });

  test('each job runs once, and never more at a time than allowed', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.record({ size: fc.constantFrom(small, medium, large), age: fc.nat(50) }), { maxLength: 40 }),
        fc.integer({ min: 1, max: 5 }),
        async (files, concurrency) => {
          const lanes = new Lanes(concurrency);
          const jobs = createJobs();
          for (const [at, { size, age }] of files.entries()) lanes.add(size, BigInt(age), jobs.job(`${size} ${at}`));
          await settle();
          while (jobs.running.size > 0) {
            const of = (size: number) => [...jobs.running.keys()].filter((name) => name.startsWith(`${size} `)).length;
            expect(of(small)).toBeLessThanOrEqual(concurrency);
            expect(of(medium)).toBeLessThanOrEqual(1);
            expect(of(large)).toBeLessThanOrEqual(1);
            await jobs.finish([...jobs.running.keys()].at(-1)!);
          }
          expect([...jobs.started].sort()).toEqual(files.map(({ size }, at) => `${size} ${at}`).sort());
        },
      ),
      { numRuns: 40 },
    );
  });

  test('a video of gigabytes never stands before a picture', async () => {
    const lanes = new Lanes(1);
    const jobs = createJobs();
    lanes.add(large, 1n, jobs.job('film'));
    lanes.add(medium, 2n, jobs.job('clip'));
    lanes.add(SMALL_BYTES, 0n, jobs.job('picture'));
    await settle();
    expect(jobs.started).toEqual(['film', 'clip', 'picture']);
    await drain(jobs);
  });

  test('a closed gate starts nothing; what waited goes when it opens, and clear forgets it', async () => {
    const lanes = new Lanes(2);
    const jobs = createJobs();
    lanes.pause();
    for (const size of [small, medium, large]) lanes.add(size, 1n, jobs.job(`${size}`));
    await settle();
    expect(jobs.started).toEqual([]);
    lanes.resume();
    await settle();
    expect(jobs.started).toHaveLength(3);
    lanes.add(medium, 1n, jobs.job('forgotten'));
    lanes.clear();
    await drain(jobs);
    expect(jobs.started).toHaveLength(3);
  });
});
