// The keeper between reducer and files: what it calls when, and what it makes of replies that fail, hang or come late.
// The rules themselves are explored in explorer.test.ts.
import { beforeEach, describe, expect, test } from 'vitest';
import { Keeper, type LeaseChange } from '../../src/lease/keeper.ts';
import type { Sight } from '../../src/lease/reducer.ts';
import { leaseTiming } from '../../src/lease/timing.ts';
import { systemError } from '../ledger/support.ts';
import { createFakeClock, type FakeClock } from '../support/fake-clock.ts';

const timing = leaseTiming(45);
const { beat } = timing;
const free: Sight = { top: 0, claim: undefined };
const claimOf = (epoch: number, change: object = {}): Sight => ({
  top: epoch,
  claim: { epoch, ours: false, holder: undefined, died: false, samePod: false, beat: 'x', released: false, ...change },
});
const hang = () => new Promise<never>(() => {});

let clock: FakeClock;
let files: Script;
let keeper: Keeper;
let changes: string[];
let errors: unknown[];
let waits: number;

/** Files that do as they are told, and remember what was asked of them when. */
class Script {
  calls: string[] = [];
  underWay = 0;
  mostUnderWay = 0;
  answers = {
    look: (_patience?: Promise<unknown>): Promise<Sight> | Sight => free,
    claim: (): Promise<number> | number => 2,
    beat: (epoch: number): Promise<number> | number => epoch,
  };

  look = (patience?: Promise<unknown>) => this.#call('look', () => this.answers.look(patience));
  claim = (epoch: number) => this.#call(`claim ${epoch}`, () => this.answers.claim());
  beat = (epoch: number, counter: number, _wall: number, released = false) =>
    this.#call(`${released ? 'leave' : 'beat'} ${epoch}#${counter}`, () => this.answers.beat(epoch));
  tidy = (below: number) => this.#call(`tidy ${below}`, async () => {});

  /** What was called since this was asked last. */
  take(): string[] {
    return this.calls.splice(0);
  }

  async #call<T>(name: string, work: () => Promise<T> | T): Promise<T> {
    this.calls.push(`${clock.monotonic() / 1000} s: ${name}`);
    // Tidying may go on beside.
    if (name.startsWith('tidy')) return work();
    this.underWay += 1;
    this.mostUnderWay = Math.max(this.mostUnderWay, this.underWay);
    try {
      return await work();
    } finally {
      this.underWay -= 1;
    }
  }
}

beforeEach(() => {
  clock = createFakeClock();
  files = new Script();
  changes = [];
  errors = [];
  waits = 0;
  keeper = new Keeper({
    files,
    timing,
    clock,
    onChange: (change: LeaseChange) => changes.push(change.change),
    onWaiting: () => (waits += 1),
    onError: (error) => errors.push(error),
  });
});

/** Asks for a folder that nobody has, and gets it within `ms`. */
async function gain(ms = 0): Promise<void> {
  let claimed = false;
  files.answers.claim = () => {
    claimed = true;
    return 2;
  };
  files.answers.look = () => (claimed ? claimOf(1, { ours: true }) : free);
  keeper.send({ kind: 'wanted' });
  await clock.advance(ms);
  expect(changes).toEqual(['gained']);
}

describe('the keeper of a folder', () => {
  test('who asks for nothing calls nothing', async () => {
    await clock.advance(3_600_000);
    expect(files.calls).toEqual([]);
    expect(clock.sleeping()).toBe(0);
  });

  test('takes over from a holder whose beat can not be read for as long as from one that is silent', async () => {
    const silent = claimOf(1, { ours: false, beat: undefined });
    // As the files do: what can't be read isn't waited for beyond the patience that they are given.
    files.answers.look = async (patience) => {
      if (files.calls.some((call) => call.includes('claim'))) return claimOf(2, { ours: true });
      await patience;
      return silent;
    };
    keeper.send({ kind: 'wanted' });
    await clock.advance(timing.dead + 2 * beat);
    expect(changes).toEqual(['gained']);
  });

  test('looks, claims, looks again, and then beats every ninth of the lease', async () => {
    await gain();
    await clock.advance(3 * beat);
    expect(files.calls).toEqual([
      '0 s: look',
      '0 s: claim 1',
      '0 s: look',
      '0 s: tidy 0',
      '0 s: beat 1#1',
      '5 s: beat 1#2',
      '10 s: beat 1#3',
      '15 s: beat 1#4',
    ]);
    expect(keeper.mayUpload()).toBe(true);
  });

  test('gives the folder back after 30 s in which nothing was due, and then calls nothing any more', async () => {
    await gain();
    keeper.send({ kind: 'unwanted', brief: false });
    await clock.advance(29_999);
    expect(keeper.mayUpload()).toBe(true);
    files.take();
    await clock.advance(1);
    expect(files.take()).toEqual(['30 s: leave 1#7']);
    expect(changes).toEqual(['gained', 'released']);
    expect(keeper.mayUpload()).toBe(false);
    await clock.advance(3_600_000);
    expect(files.calls).toEqual([]);
  });

  test('what becomes due meanwhile keeps it', async () => {
    await gain();
    keeper.send({ kind: 'unwanted', brief: false });
    await clock.advance(20_000);
    keeper.send({ kind: 'wanted' });
    await clock.advance(20_000);
    keeper.send({ kind: 'unwanted', brief: false });
    await clock.advance(20_000);
    expect(keeper.mayUpload()).toBe(true);
  });

  test('somebody else has it: looks every beat, and says so each time', async () => {
    files.answers.look = () => claimOf(4, { beat: String(clock.monotonic()) });
    keeper.send({ kind: 'wanted' });
    await clock.advance(4 * beat);
    expect(files.take()).toEqual([0, 5, 10, 15, 20].map((second) => `${second} s: look`));
    expect(waits).toBe(5);
    expect(changes).toEqual([]);
  });
});

describe('a volume that fails', () => {
  test('a beat that fails is tried again soon, and one that succeeds makes all well', async () => {
    await gain();
    files.take();
    files.answers.beat = () => Promise.reject(systemError('EIO'));
    await clock.advance(7000);
    expect(files.take()).toEqual(['5 s: beat 1#2', '6 s: beat 1#3', '7 s: beat 1#4']);
    expect(errors).toHaveLength(3);
    files.answers.beat = (epoch) => epoch;
    await clock.advance(23_000);
    expect(changes).toEqual(['gained']);
    expect(keeper.mayUpload()).toBe(true);
  });

  test('beats that fail for 20 s: it may not upload any more, at that moment and before it is told', async () => {
    await gain();
    files.answers.beat = () => Promise.reject(systemError('EDQUOT'));
    // The first beat, at 0 s, was the last that succeeded.
    await clock.advance(timing.stop);
    expect(keeper.mayUpload()).toBe(true);
    await clock.advance(1);
    expect(keeper.mayUpload()).toBe(false);
    await clock.advance(1000);
    expect(changes.slice(0, 2)).toEqual(['gained', 'lost']);
  });

  test('a directory that refuses is soon known to, and files go without a lease until it takes us', async () => {
    files.answers.look = () => Promise.reject(systemError('EACCES'));
    keeper.send({ kind: 'wanted' });
    await clock.advance(timing.beat);
    expect(changes).toEqual(['without']);
    expect(keeper.mayUpload()).toBe(true);
    expect(errors[0]).toMatchObject({ code: 'EACCES' });
    changes = [];
    await gain(beat);
    expect(keeper.mayUpload()).toBe(true);
  });
});

test('a release that fails is tried again, so that nobody has to wait for the whole lease', async () => {
  await gain();
  files.take();
  files.answers.beat = () => Promise.reject(systemError('EIO'));
  keeper.send({ kind: 'yield', after: 0 });
  await clock.advance(2500);
  expect(files.take()).toEqual(['0 s: leave 1#2', '1 s: leave 1#2', '2 s: leave 1#2']);
  files.answers.beat = (epoch) => epoch;
  await clock.advance(1000);
  expect(changes).toEqual(['gained', 'released']);
});

describe('a volume that hangs', () => {
  test('a beat counts as failed after five seconds, and nothing new is begun before it has come back', async () => {
    await gain();
    files.take();
    let comeBack = (_highest: number) => {};
    files.answers.beat = () =>
      new Promise((resolve) => {
        comeBack = resolve;
      });
    await clock.advance(60_000);
    expect(files.take()).toEqual(['5 s: beat 1#2']);
    // It can't know whether anybody saw it alive.
    expect(changes).toEqual(['gained', 'lost']);
    files.answers.beat = (epoch) => epoch;
    comeBack(1);
    await clock.advance(beat);
    expect(files.take()[0]).toMatch(/look$/);
    expect(files.mostUnderWay).toBe(1);
  });

  test('a claim that takes longer than a beat is won all the same; one that comes too late is never held', async () => {
    const claimTakes = (ms: number) => {
      files.answers.claim = () => clock.sleep(ms).then(() => 2);
    };
    let epochs = 0;
    files.answers.look = () => (epochs === 0 ? free : claimOf(epochs, { ours: true }));
    const claim = files.claim;
    files.claim = (epoch) => claim(epoch).finally(() => (epochs = epoch));
    claimTakes(timing.stop + 1000);
    keeper.send({ kind: 'wanted' });
    await clock.advance(timing.stop + 2000);
    expect([epochs, keeper.mayUpload(), changes]).toEqual([1, false, []]);
    // Only what comes after it.
    claimTakes(timing.stop - 1000);
    await clock.advance(timing.stop + beat);
    expect([epochs, keeper.mayUpload(), changes]).toEqual([2, true, ['gained']]);
  });

  test('a sign of life that takes longer than a beat counts from when it began', async () => {
    await gain();
    files.answers.beat = (epoch) => clock.sleep(beat + 1000).then(() => epoch);
    await clock.advance(20 * beat);
    expect(changes).toEqual(['gained']);
    expect(keeper.mayUpload()).toBe(true);
    files.answers.beat = (epoch) => clock.sleep(timing.stop + 1000).then(() => epoch);
    await clock.advance(2 * timing.stop);
    expect(changes[1]).toBe('lost');
  });

  test('a look that hangs says nothing about whether a holder is alive', async () => {
    files.answers.look = () => claimOf(4);
    keeper.send({ kind: 'wanted' });
    await clock.advance(40_000);
    files.answers.look = hang;
    await clock.advance(120_000);
    expect(files.take().filter((call) => call.includes('claim'))).toEqual([]);
    expect(keeper.mayUpload()).toBe(false);
  });

  test('a release that hangs keeps nobody for long: others will find it silent', async () => {
    await gain();
    files.take();
    files.answers.beat = hang;
    keeper.send({ kind: 'yield', after: 0 });
    expect(keeper.mayUpload()).toBe(false);
    await clock.advance(timing.stop + 2 * beat);
    expect(files.take()).toEqual(['0 s: leave 1#2']);
    // Nobody can say that it was given back.
    expect(changes).toEqual(['gained', 'lost']);
    expect(keeper.state.mode.is).toBe('away');
  });
});

describe('who stops', () => {
  test('yields: what is on its way gets its time, nothing new may begin, and then it leaves', async () => {
    await gain();
    files.take();
    keeper.send({ kind: 'yield', after: timing.abort });
    expect(keeper.mayUpload()).toBe(false);
    await clock.advance(timing.abort);
    expect(files.take()).toEqual(['5 s: leave 1#2']);
    expect(changes).toEqual(['gained', 'released']);
  });

  test('gives back at once what is won by a claim that was on its way, and uploads nothing under it', async () => {
    let epochs = 0;
    files.answers.look = () => (epochs === 0 ? free : claimOf(epochs, { ours: true }));
    files.answers.claim = () =>
      clock.sleep(1000).then(() => {
        epochs = 1;
        return 2;
      });
    keeper.send({ kind: 'wanted' });
    await clock.advance(500);
    keeper.send({ kind: 'yield', after: timing.abort });
    for (let step = 0; step < 20; step += 1) {
      await clock.advance(100);
      expect(keeper.mayUpload()).toBe(false);
    }
    expect(changes).toEqual(['gained', 'released']);
  });

  test('stops without a word: no call more', async () => {
    await gain();
    files.take();
    keeper.stop();
    expect(keeper.mayUpload()).toBe(false);
    await clock.advance(600_000);
    expect(files.take()).toEqual([]);
    expect(changes).toEqual(['gained']);
  });

  test('a process that was stopped and goes on may not upload, and finds out who has the folder', async () => {
    await gain();
    files.take();
    let seconds = 0;
    // Time goes on, and none of its timers ends.
    const frozen = clock.monotonic;
    clock.monotonic = () => frozen() + seconds * 1000;
    seconds = 30;
    expect(keeper.mayUpload()).toBe(false);
    files.answers.look = () => claimOf(2);
    files.answers.beat = () => 2;
    await clock.advance(beat);
    expect(changes).toEqual(['gained', 'lost']);
    expect(files.take().some((call) => call.includes('claim'))).toBe(false);
  });

  test('a machine that was suspended may not upload either: its monotonic clock stood still, its wall clock did not', async () => {
    await gain();
    clock.stepWall(21_000);
    expect(keeper.mayUpload()).toBe(false);
    await clock.advance(beat);
    expect(changes).toContain('lost');
  });
});
