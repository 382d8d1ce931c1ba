// The leases of an agent as its users see them: several pods on one volume, with clocks of their own.
import { execFileSync } from 'node:child_process';
import { beforeEach, describe, expect, test } from 'vitest';
import { encodeBeat, encodeClaim } from '../../src/lease/format.ts';
import { type Demand, FolderLeases, type Leases, uncontested } from '../../src/lease/leases.ts';
import { leaseTiming } from '../../src/lease/timing.ts';
import { identifyProcess } from '../../src/process-identity.ts';
import { collectLog } from '../ledger/support.ts';
import { type Faults, MemoryVolume, Mount } from './support/memory-volume.ts';
import { Process, World } from './support/world.ts';

const timing = leaseTiming(45);
const SECOND = 1000;
const HOUR = 3600 * SECOND;
const DIR = '/.r2-sync/target/alice';
const nobody = { pid: 1, startTime: '', pidNamespace: '', bootId: '' };

let world: World;
let volume: MemoryVolume;

beforeEach(() => {
  world = new World();
  volume = new MemoryVolume(world);
});

interface PodOptions {
  id?: string;
  wall?: number;
  process?: typeof nobody;
  faults?: Partial<Faults>;
}

/** A pod's leases, and what the rest of its agent would tell them and be told. */
class Pod {
  readonly process: Process;
  readonly mount: Mount;
  readonly leases: FolderLeases;
  readonly demands = new Map<string, Demand>();
  readonly machine: { rate: number; monotonic: number; wall: number };
  fitness: 'fit' | 'unsure' | 'unfit' = 'fit';
  follow: () => Promise<boolean> = async () => false;
  followed = 0;
  adopted: number[] = [];
  changes = 0;
  readonly log = collectLog();

  constructor(
    name: string,
    { id = name, wall = Date.UTC(2026, 10, 20), process = nobody, faults = {} }: PodOptions = {},
  ) {
    this.machine = { rate: 1, monotonic: 0, wall };
    this.process = new Process(world, this.machine);
    this.mount = new Mount(volume, this.process);
    this.mount.set(faults);
    this.leases = new FolderLeases({
      io: this.mount.io,
      targetDir: '/.r2-sync/target',
      self: { host: `host-${name}`, agent: '1.0.0', nonce: `nonce-${name}`, process: { ...process, pod: id } },
      timing,
      clock: this.process.clock,
      log: this.log.log,
      demands: () => this.demands,
      fitness: () => this.fitness,
      follow: () => {
        this.followed += 1;
        return this.follow();
      },
      adopt: (_, epoch) => this.adopted.push(epoch),
      onChange: () => (this.changes += 1),
    });
    void this.leases.run();
  }

  /** A file of the folder becomes due; one that was made here unless told otherwise. */
  wants(folder = 'alice', demand: Partial<Demand> = {}): this {
    const usual = { from: Number.NEGATIVE_INFINITY, local: true, fresh: false, failingSince: undefined };
    this.demands.set(folder, { ...usual, ...demand });
    if (this.demands.get(folder)!.local) this.leases.ask(folder);
    return this;
  }

  /** Everything of the folder is stored. */
  isDone(folder = 'alice'): void {
    this.demands.delete(folder);
  }

  holds(folder = 'alice'): boolean {
    return this.leases.holds(folder) && this.leases.protects(folder, Number.POSITIVE_INFINITY);
  }

  said(word: string): string[] {
    return this.log.lines.filter((line) => line.includes(word));
  }
}

const settle = () => world.advance(SECOND);
const holders = (pods: Pod[]) => pods.filter((pod) => pod.holds());

/** Fails as soon as two hold the folder. */
function watchOver(...pods: Pod[]): void {
  world.check = () => {
    if (holders(pods).length > 1) throw new Error(`two hold the folder at ${world.now}`);
  };
}

/** Puts a file there, as others left it. */
async function put(name: string, text: string): Promise<void> {
  const { io } = new Mount(volume, new Process(world, { rate: 1, monotonic: 0, wall: 0 }));
  const made = (async () => {
    for (const dir of ['/.r2-sync', '/.r2-sync/target', DIR]) await io.mkdir(dir).catch(() => {});
    const handle = await io.open(`${DIR}/${name}`, 0o101);
    await handle.writeFile(text);
  })();
  await settle();
  await made;
}

describe('a folder', () => {
  test('in which nothing is due costs no file operation: before anything is, and after it was given back', async () => {
    const pod = new Pod('a');
    await world.advance(HOUR);
    expect(pod.mount.calls).toBe(0);
    pod.wants();
    await settle();
    pod.isDone();
    await world.advance(timing.idle + 2 * timing.beat);
    const { calls } = pod.mount;
    await world.advance(HOUR);
    expect(pod.mount.calls).toBe(calls);
    expect(pod.leases.view('alice').state).toBe('free');
  });

  test('that is held costs less than two operations a second', async () => {
    const pod = new Pod('a').wants();
    await settle();
    const { calls } = pod.mount;
    await world.advance(600 * SECOND);
    expect(pod.holds()).toBe(true);
    expect((pod.mount.calls - calls) / 600).toBeLessThan(2);
  });

  test('is asked for at once where something was made here', async () => {
    const pod = new Pod('a').wants();
    await world.advance(200);
    expect(pod.holds()).toBe(true);
    expect(pod.adopted).toEqual([1]);
  });

  test('of which others made something is asked for when its time has come, after the ledger was read', async () => {
    const pod = new Pod('a').wants('alice', { local: false, from: 10 * SECOND });
    await world.advance(9 * SECOND);
    expect([pod.mount.calls, pod.followed]).toEqual([0, 0]);
    let caughtUp = (_news: boolean) => {};
    pod.follow = () =>
      new Promise((resolve) => {
        caughtUp = resolve;
      });
    await world.advance(3 * SECOND);
    // The other one has probably uploaded it: no claim is made as long as that isn't known.
    expect([pod.mount.calls, pod.followed]).toEqual([0, 1]);
    pod.follow = async () => false;
    caughtUp(false);
    await world.advance(2 * SECOND);
    expect(pod.holds()).toBe(true);
  });

  test('of which others made something, and which the ledger covers, is never claimed', async () => {
    const pod = new Pod('a').wants('alice', { local: false, from: 0 });
    pod.follow = async () => {
      pod.isDone();
      return true;
    };
    await world.advance(60 * SECOND);
    expect([pod.mount.calls, pod.followed]).toEqual([0, 1]);
  });

  test('is given back at once when nothing is due, by one who made nothing of it, and after 30 s by one who did', async () => {
    const [guest, owner] = [new Pod('a').wants('alice', { local: false }), new Pod('b').wants('bob')];
    await world.advance(3 * SECOND);
    expect([guest.holds('alice'), owner.holds('bob')]).toEqual([true, true]);
    guest.isDone('alice');
    owner.isDone('bob');
    await world.advance(2 * SECOND);
    expect([guest.holds('alice'), owner.holds('bob')]).toEqual([false, true]);
    expect(guest.said('released')).toHaveLength(1);
    await world.advance(timing.idle);
    expect(owner.holds('bob')).toBe(false);
  });

  test('is not given back under an upload that begins at the last moment', async () => {
    const pod = new Pod('a').wants();
    await settle();
    pod.isDone();
    // Demand is looked at every second; the folder would be given back half a second before the next look.
    await world.advance(timing.idle + 400);
    expect(pod.holds()).toBe(true);
    pod.demands.set('alice', { from: 0, local: false, fresh: false, failingSince: undefined });
    pod.leases.ending('alice');
    await world.advance(5 * SECOND);
    expect(pod.holds()).toBe(true);
    expect(pod.adopted).toEqual([1]);
  });

  test('may be uploaded only when what was stored before is known', async () => {
    const pod = new Pod('a');
    let read = (_news: boolean) => {};
    pod.follow = () =>
      new Promise((resolve) => {
        read = resolve;
      });
    pod.wants();
    await settle();
    expect(pod.adopted).toEqual([1]);
    expect(pod.leases.holds('alice')).toBe(false);
    const before = pod.changes;
    read(false);
    await settle();
    expect(pod.leases.holds('alice')).toBe(true);
    expect(pod.changes).toBeGreaterThan(before);
  });

  test.each([
    ['can not be read', () => Promise.reject(new Error('EIO'))],
    ['takes for ever to read', () => new Promise<boolean>(() => {})],
  ])('may be uploaded though its ledger %s: the bucket is asked first', async (_, follow) => {
    const [owner, guest] = [new Pod('a'), new Pod('b')];
    for (const pod of [owner, guest]) pod.follow = follow;
    owner.wants('alice');
    guest.wants('bob', { local: false });
    const before = owner.process.clock.monotonic();
    await world.advance(timing.stop + SECOND);
    expect(owner.holds('alice')).toBe(true);
    expect(owner.leases.protects('alice', before)).toBe(false);
    // What others have made is claimed when enough time was given to the question whether they have uploaded it.
    await world.advance(timing.stop + 2 * SECOND);
    expect(guest.holds('bob')).toBe(true);
    expect(guest.leases.protects('bob', before)).toBe(false);
  });
});

describe('two pods', () => {
  test('one has the folder; the other one watches, follows its ledger, and knows who it is', async () => {
    const [a, b] = [new Pod('a').wants(), new Pod('b')];
    watchOver(a, b);
    await settle();
    b.wants();
    await world.advance(60 * SECOND);
    expect([a.holds(), b.holds()]).toEqual([true, false]);
    expect(b.followed).toBeGreaterThan(10);
    expect(b.leases.view('alice')).toMatchObject({ state: 'theirs', holder: 'a', host: 'host-a', epoch: 1 });
    expect(b.leases.view('alice').silentSeconds).toBeLessThanOrEqual(5);
    expect(a.leases.view('alice')).toMatchObject({ state: 'mine', holder: 'a', epoch: 1 });
  });

  test('when the one gives it back, the other one has it within two looks', async () => {
    const [a, b] = [new Pod('a').wants(), new Pod('b')];
    watchOver(a, b);
    await settle();
    b.wants();
    await settle();
    void a.leases.close();
    await world.advance(2 * timing.beat);
    expect(b.holds()).toBe(true);
    expect(b.leases.counts.released).toBe(1);
    expect(b.said('gave it back')[0]).toContain('pod a on host-a');
  });

  test('when the one dies, the other one has it within the lease time and a look', async () => {
    const [a, b] = [new Pod('a').wants(), new Pod('b')];
    watchOver(a, b);
    await settle();
    b.wants();
    await world.advance(60 * SECOND);
    a.process.kill();
    await world.advance(timing.dead - timing.beat);
    expect(b.holds()).toBe(false);
    await world.advance(2 * timing.beat + SECOND);
    expect(b.holds()).toBe(true);
    expect(b.leases.counts.silent).toBe(1);
    expect(b.said('no sign of life')[0]).toContain('pod a on host-a');
  });

  test('a process of this pod that is provably gone is replaced at once', async () => {
    const here = identifyProcess('a');
    const pid = Number(execFileSync(process.execPath, ['-p', 'process.pid']));
    const before = new Pod('before', { id: 'a', process: { ...here, pid, startTime: '1' } }).wants();
    await settle();
    before.process.kill();
    const after = new Pod('after', { id: 'a', process: here }).wants();
    await settle();
    expect(after.holds()).toBe(true);
    expect(after.leases.counts.dead).toBe(1);
  });

  test('one that was paused beyond the lease finds that it has lost, uploads nothing more, and says to whom', async () => {
    const [a, b] = [new Pod('a').wants(), new Pod('b')];
    watchOver(a, b);
    await settle();
    b.wants();
    const ending = a.leases.ending('alice');
    a.process.pause();
    await world.advance(60 * SECOND);
    expect(b.holds()).toBe(true);
    expect(a.leases.holds('alice')).toBe(false);
    a.process.resume();
    await world.advance(timing.abort + SECOND);
    expect(ending.aborted).toBe(true);
    expect([a.holds(), b.holds()]).toEqual([false, true]);
    expect(a.leases.counts.lost).toBe(1);
    expect(a.said("doesn't upload the folder")).toHaveLength(1);
    await world.advance(HOUR);
    expect(b.adopted).toEqual([2]);
  });

  test.each([
    ['an hour ahead', HOUR],
    ['an hour behind', -HOUR],
    ['in 1970', -Date.UTC(2026, 10, 20)],
  ])('whose clocks differ (one is %s) keep what they have and hand over as ever', async (_, ms) => {
    const [a, b] = [new Pod('a').wants(), new Pod('b', { wall: Date.UTC(2026, 10, 20) + ms })];
    watchOver(a, b);
    await settle();
    b.wants();
    await world.advance(HOUR);
    expect(a.holds()).toBe(true);
    a.process.kill();
    await world.advance(timing.dead + timing.beat + SECOND);
    expect(b.holds()).toBe(true);
    expect(b.adopted).toEqual([2]);
  });

  test('clocks that are set back while they run, again and again, cost nobody the folder', async () => {
    const [a, b] = [new Pod('a').wants(), new Pod('b')];
    watchOver(a, b);
    await settle();
    b.wants();
    for (let times = 0; times < 20; times++) {
      a.machine.wall -= 600 * SECOND;
      b.machine.wall -= HOUR;
      await world.advance(7 * SECOND);
      expect([a.holds(), b.holds()]).toEqual([true, false]);
    }
    expect(a.leases.counts.lost).toBe(0);
  });

  test('a clock that is set forward costs one new claim at most, and no fight', async () => {
    const [a, b] = [new Pod('a').wants(), new Pod('b')];
    watchOver(a, b);
    await settle();
    b.wants();
    a.machine.wall += HOUR;
    expect(a.holds()).toBe(false);
    await world.advance(HOUR);
    expect(holders([a, b])).toHaveLength(1);
    expect(Math.max(...a.adopted, ...b.adopted)).toBeLessThanOrEqual(2);
  });

  test('who sees that another one has a higher claim stops at once, and does not take it back', async () => {
    const pod = new Pod('a').wants();
    await settle();
    await put('lease.9.json', 'of somebody who must have seen us silent');
    await world.advance(timing.beat);
    expect(pod.leases.holds('alice')).toBe(false);
    expect(pod.leases.counts.lost).toBe(1);
    await world.advance(timing.dead - 2 * timing.beat);
    expect(pod.adopted).toEqual([1]);
  });

  test('with the same pod id both live: neither takes from the other, for an hour', async () => {
    const [a, b] = [new Pod('a', { id: 'same' }).wants(), new Pod('b', { id: 'same' })];
    watchOver(a, b);
    await settle();
    b.wants();
    await world.advance(HOUR);
    expect([a.adopted, b.adopted]).toEqual([[1], []]);
  });

  test('with the same pod id, when one dies: the other one waits for two beats only', async () => {
    const [a, b] = [new Pod('a', { id: 'same' }).wants(), new Pod('b', { id: 'same' })];
    await settle();
    b.wants();
    await settle();
    a.process.kill();
    await world.advance(4 * timing.beat);
    expect(b.holds()).toBe(true);
  });

  test('that are started at the same moment do not both win, nor go on trying', async () => {
    const pods = ['a', 'b', 'c', 'd'].map((name) => new Pod(name, { faults: { slow: 300 } }));
    watchOver(...pods);
    for (const pod of pods) pod.wants();
    await world.advance(HOUR);
    expect(holders(pods)).toHaveLength(1);
    expect(pods.flatMap(({ adopted }) => adopted)).toHaveLength(1);
  });
});

describe('a store', () => {
  test('that refuses us: everything is given back within a beat or so, and asked for again only when it takes us', async () => {
    const [a, b] = [new Pod('a').wants('alice').wants('bob'), new Pod('b')];
    await settle();
    const ending = a.leases.ending('alice');
    a.fitness = 'unfit';
    await world.advance(SECOND);
    expect([a.leases.holds('alice'), a.leases.holds('bob')]).toEqual([false, false]);
    expect(ending.aborted).toBe(false);
    await world.advance(timing.beat);
    expect(ending.aborted).toBe(true);
    b.wants('alice');
    await world.advance(2 * timing.beat);
    expect(b.holds()).toBe(true);
    const { calls } = a.mount;
    a.leases.ask('bob');
    await world.advance(HOUR);
    expect(a.mount.calls).toBe(calls);
    a.fitness = 'fit';
    await world.advance(2 * timing.beat);
    expect([a.holds('bob'), a.holds('alice'), b.holds('alice')]).toEqual([true, false, true]);
  });

  test('that may be away: what we have is kept, and no more is asked for', async () => {
    const pod = new Pod('a').wants('alice');
    await settle();
    pod.fitness = 'unsure';
    pod.wants('bob');
    await world.advance(600 * SECOND);
    expect([pod.holds('alice'), pod.leases.view('bob').state]).toEqual([true, 'free']);
  });

  test('that takes nothing of a folder: it is given back after a minute, and left to others for one lease time', async () => {
    const pod = new Pod('a').wants();
    await settle();
    const since = pod.process.clock.monotonic();
    pod.wants('alice', { failingSince: since });
    await world.advance(timing.stall - 2 * SECOND);
    expect(pod.holds()).toBe(true);
    await world.advance(4 * SECOND);
    expect(pod.leases.holds('alice')).toBe(false);
    expect(pod.said('its uploads fail')).toHaveLength(1);
    pod.wants();
    await world.advance(timing.dead - 5 * SECOND);
    expect(pod.adopted).toEqual([1]);
    await world.advance(10 * SECOND);
    expect(pod.holds()).toBe(true);
  });
});

describe('a folder whose uploads fail', () => {
  test('is not given back for what failed before it was ours, however long its ledger takes', async () => {
    const pod = new Pod('a');
    const since = pod.process.clock.monotonic();
    await world.advance(HOUR);
    pod.follow = () => pod.process.clock.sleep(10 * SECOND).then(() => false);
    pod.wants('alice', { failingSince: since });
    await world.advance(10 * SECOND + timing.stall - 5 * SECOND);
    expect([pod.holds(), pod.adopted]).toEqual([true, [1]]);
    await world.advance(10 * SECOND);
    expect(pod.holds()).toBe(false);
  });

  test('one file that always fails does not make its folder change hands every minute', async () => {
    const pod = new Pod('a');
    pod.wants();
    let held = false;
    for (let step = 0; step < 6 * 720; step += 1) {
      await world.advance(5 * SECOND);
      const holds = pod.holds();
      // It is tried as soon as the folder is ours, and fails soon.
      if (held !== holds) pod.wants('alice', { failingSince: undefined });
      else if (pod.demands.get('alice')!.failingSince === undefined)
        pod.wants('alice', { failingSince: pod.process.clock.monotonic() });
      held = holds;
    }
    expect(pod.adopted.length).toBeGreaterThan(3);
    expect(pod.adopted.length).toBeLessThan(15);
    const claims = pod.adopted.length;
    // A new picture doesn't wait for that.
    pod.wants('alice', { failingSince: 0, fresh: true });
    await world.advance(timing.beat);
    expect([pod.holds(), pod.adopted.length - claims <= 1]).toEqual([true, true]);
    // Something got through: from now on it is left to others for one lease time only.
    pod.isDone();
    await world.advance(timing.beat);
    pod.wants('alice', { failingSince: pod.process.clock.monotonic() });
    await world.advance(timing.stall + 10 * SECOND);
    expect(pod.holds()).toBe(false);
    await world.advance(timing.dead + 5 * SECOND);
    expect(pod.holds()).toBe(true);
  });
});

test('a folder whose uploads fail is left to others for a lease time, however much of it was never tried', async () => {
  const pod = new Pod('a').wants();
  await settle();
  pod.wants('alice', { failingSince: pod.process.clock.monotonic(), fresh: true });
  await world.advance(timing.stall + 5 * SECOND);
  expect(pod.holds()).toBe(false);
  await world.advance(timing.dead - 10 * SECOND);
  expect(pod.adopted).toEqual([1]);
  await world.advance(10 * SECOND);
  expect(pod.adopted).toEqual([1, 2]);
});

test('a ledger that takes long to read is read by who waits one time after the other, never in a queue', async () => {
  const [a, b] = [new Pod('a').wants(), new Pod('b')];
  await settle();
  let reading = 0;
  let most = 0;
  b.follow = async () => {
    most = Math.max(most, ++reading);
    await b.process.clock.sleep(63 * SECOND);
    reading -= 1;
    throw new Error('ENXIO');
  };
  b.wants();
  await world.advance(HOUR);
  expect(most).toBe(1);
  a.isDone();
  await world.advance(timing.idle + 3 * timing.beat + timing.stop);
  expect(b.holds()).toBe(true);
});

describe('the end', () => {
  test('who drains gives each folder back when it is done with it, and closing gives back the rest', async () => {
    const pod = new Pod('a').wants('alice').wants('bob');
    await settle();
    pod.isDone('alice');
    pod.leases.leave();
    await settle();
    expect([pod.holds('alice'), pod.holds('bob')]).toEqual([false, true]);
    let closed = false;
    void pod.leases.close().then(() => {
      closed = true;
    });
    await settle();
    expect(closed).toBe(true);
    expect(pod.said('gave the folder')).toHaveLength(2);
    const { calls } = pod.mount;
    await world.advance(HOUR);
    expect(pod.mount.calls).toBe(calls);
  });

  test('closing on a volume that hangs takes no longer than a beat', async () => {
    const pod = new Pod('a').wants();
    await settle();
    pod.mount.set({ hangs: true });
    let closed = false;
    void pod.leases.close().then(() => {
      closed = true;
    });
    await world.advance(timing.beat + SECOND);
    expect(closed).toBe(true);
  });
});

describe('a state directory', () => {
  test.each(['EACCES', 'EROFS', 'EDQUOT', 'EIO'])(
    'that refuses (%s): uploads go on without a lease, it is said why and what to do, and it ends when it takes us',
    async (error) => {
      const pod = new Pod('a', { faults: { error } }).wants();
      await world.advance(2 * timing.beat);
      expect(pod.leases.holds('alice')).toBe(true);
      expect(pod.leases.protects('alice', Number.POSITIVE_INFINITY)).toBe(false);
      expect(pod.leases.troubles).toHaveLength(1);
      expect(pod.leases.troubles[0]).toContain('"alice" is uploaded without a lease');
      expect(pod.leases.troubles[0]).toContain(error);
      expect(pod.leases.troubles[0]).toContain('R2_LEASE=off');
      expect(pod.said('without a lease')).toHaveLength(1);
      pod.mount.set({});
      await world.advance(2 * timing.beat);
      expect([pod.leases.protects('alice', Number.POSITIVE_INFINITY), pod.leases.troubles.length]).toEqual([true, 0]);
    },
  );

  test('that refuses for many folders is one trouble', async () => {
    const pod = new Pod('a', { faults: { error: 'EACCES' } }).wants('alice').wants('bob');
    await world.advance(2 * timing.beat);
    expect(pod.leases.troubles).toEqual([expect.stringContaining('2 folders are uploaded without a lease')]);
  });

  test.each([
    ['an empty claim', { 'lease.3.json': '' }],
    ['a torn one', { 'lease.3.json': '{"v":1,"epo' }],
    ['one that is not JSON', { 'lease.3.json': 'alice has it' }],
    ['one of a newer version', { 'lease.3.json': '{"v":7,"epoch":3,"owner":"x"}' }],
    ['numbers that are too high', { 'lease.1099511627776.json': '', 'lease.9999999999999.json': '' }],
    ['a ledger of the highest number', { 'ledger.1099511627775.jsonl': '' }],
    ['numbers with gaps', { 'lease.3.json': '', 'lease.700.json': '', 'beat.9000.json': '' }],
    ['a beat without a claim', { 'beat.5.json': 'x' }],
    ['a torn beat', { 'lease.3.json': '', 'beat.3.json': '{"v":1,"ep' }],
    [
      'a claim and a beat from the future',
      {
        'lease.3.json': encodeClaim({
          epoch: 3,
          folder: 'alice',
          host: 'h',
          agent: '9.0.0',
          nonce: 'n',
          process: { ...nobody, pod: 'future' },
          since: '2199-01-01T00:00:00.000Z',
        }),
        'beat.3.json': encodeBeat({ epoch: 3, counter: 9, released: false, at: '2199-01-01T00:00:00.000Z' }),
      },
    ],
  ])('that holds %s stops uploads for no longer than the lease, and starts no fight', async (_, files) => {
    for (const [name, text] of Object.entries(files)) await put(name, text as string);
    const [a, b] = [new Pod('a').wants(), new Pod('b').wants()];
    watchOver(a, b);
    await world.advance(timing.dead + 4 * timing.beat);
    expect([a, b].some(({ leases }) => leases.holds('alice'))).toBe(true);
    await world.advance(HOUR);
    expect([a, b].some(({ leases }) => leases.holds('alice'))).toBe(true);
    expect(a.adopted.length + b.adopted.length).toBeLessThanOrEqual(1);
  });

  test('that holds the highest number there may be stops uploads for no longer than the lease', async () => {
    await put('lease.1099511627775.json', '');
    const pod = new Pod('a').wants();
    await world.advance(timing.dead + 4 * timing.beat);
    expect(pod.leases.holds('alice')).toBe(true);
    await world.advance(HOUR);
    expect(pod.leases.holds('alice')).toBe(true);
  });

  test('a folder name that needs encoding is a folder like any other', async () => {
    const odd = ['Bob & Ünï/../x'.replaceAll('/', '_'), '.', '%2E', 'x'.repeat(255), 'line\nbreak'];
    const pod = new Pod('a');
    for (const folder of odd) pod.wants(folder);
    await settle();
    expect(odd.filter((folder) => pod.holds(folder))).toEqual(odd);
    expect(pod.adopted).toEqual(odd.map(() => 1));
  });
});

test('R2_LEASE=off: everything may be uploaded, by anybody', () => {
  const leases: Leases = uncontested;
  leases.ask('alice');
  expect([
    leases.holds('alice'),
    leases.protects('alice', Number.POSITIVE_INFINITY),
    leases.ending('alice').aborted,
  ]).toEqual([true, true, false]);
  expect(leases.view('alice').state).toBe('off');
});
