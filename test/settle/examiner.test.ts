import { closeSync, existsSync, openSync, renameSync, writeFileSync } from 'node:fs';
import { mkdtemp, realpath, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/clock.ts';
import { Examiner } from '../../src/settle/examiner.ts';
import type { Examination } from '../../src/volume/protocol.ts';
import { startVolume, type Volume } from '../../src/volume/volume.ts';
import { createFakeClock } from '../support/fake-clock.ts';
import { openElsewhere } from '../support/writer.ts';

const identity = { dev: 1n, ino: 2n, size: 3, mtimeNs: 4n, ctimeNs: 5n };

/** A volume whose passes end when the test says so. */
function makeVolume() {
  const asked: {
    paths: readonly string[];
    writers: boolean;
    answer: (facts?: { open?: string[]; complete?: boolean; passMs?: number }) => void;
    fail: (error: Error) => void;
  }[] = [];
  const ask = (_kind: string, { paths, writers }: { paths: readonly string[]; writers: boolean }) =>
    new Promise<Examination>((resolve, reject) => {
      asked.push({
        paths,
        writers,
        answer: ({ open = [], complete = true, passMs = 0 } = {}) =>
          resolve({
            looks: paths.map(() => ({ is: 'file', identity })),
            open: paths.map((path) => open.includes(path)),
            complete,
            passMs,
          }),
        fail: reject,
      });
    });
  return { asked, volume: { ask, overdueMs: () => 0, close: async () => {} } as Volume };
}

describe('one pass over all descriptors answers for every file that asks', () => {
  it('who asks in the same turn is answered by one pass, who asks during it by the next', async () => {
    const { asked, volume } = makeVolume();
    const clock = createFakeClock();
    const examiner = new Examiner(volume, clock, '/root');
    const first = [examiner.examine('a', true), examiner.examine('b', true)];
    await clock.advance(0);
    expect(asked.map(({ paths }) => paths)).toEqual([['a', 'b']]);
    const late = examiner.examine('c', true);
    asked[0]!.answer({ open: ['b'] });
    expect((await Promise.all(first)).map(({ writers }) => writers)).toEqual(['none', 'open']);
    await clock.advance(0);
    // What was seen before it asked proves nothing for it.
    expect(asked.map(({ paths }) => paths)).toEqual([['a', 'b'], ['c']]);
    asked[1]!.answer();
    expect(await late).toEqual({ look: { is: 'file', identity }, writers: 'none' });
  });

  it('passes are rationed to a fifth of the time', async () => {
    const { asked, volume } = makeVolume();
    const clock = createFakeClock();
    const examiner = new Examiner(volume, clock, '/root');
    void examiner.examine('a', true);
    await clock.advance(100);
    asked[0]!.answer({ passMs: 100 });
    void examiner.examine('b', true);
    await clock.advance(399);
    expect(asked).toHaveLength(1);
    await clock.advance(1);
    expect(asked).toHaveLength(2);
  });

  it('invariant 3: an empty answer proves nothing where a process could not be looked at', async () => {
    const { asked, volume } = makeVolume();
    const clock = createFakeClock();
    const examiner = new Examiner(volume, clock, '/root');
    const answers = [examiner.examine('a', true), examiner.examine('b', true), examiner.examine('c', false)];
    await clock.advance(0);
    asked[0]!.answer({ open: ['a', 'c'], complete: false });
    // A writer that was seen counts all the same; one that can't be in sight doesn't.
    expect((await Promise.all(answers)).map(({ writers }) => writers)).toEqual(['open', 'unseen', 'unseen']);
  });

  it('where no writer can be in sight, descriptors are not gone through', async () => {
    const { asked, volume } = makeVolume();
    const clock = createFakeClock();
    const answer = new Examiner(volume, clock, '/root').examine('a', false);
    await clock.advance(0);
    expect(asked[0]).toMatchObject({ writers: false });
    asked[0]!.answer({ complete: false });
    expect((await answer).writers).toBe('unseen');
  });

  it('an end of the worker is told to everybody, and the next question is asked again', async () => {
    const { asked, volume } = makeVolume();
    const clock = createFakeClock();
    const examiner = new Examiner(volume, clock, '/root');
    const answers = [examiner.examine('a', true), examiner.examine('b', true)];
    const outcomes = Promise.allSettled(answers);
    await clock.advance(0);
    asked[0]!.fail(new Error('ended'));
    expect((await outcomes).map(({ status }) => status)).toEqual(['rejected', 'rejected']);
    void examiner.examine('c', true);
    await clock.advance(0);
    expect(asked).toHaveLength(2);
  });
});

describe('invariant 3: writers are seen in the real /proc', () => {
  let root: string;
  let volume: Volume;
  beforeEach(async () => {
    root = await realpath(await mkdtemp(join(tmpdir(), 'r2-sync-writers-')));
    volume = startVolume();
    writeFileSync(join(root, 'a.mp4'), 'content');
    writeFileSync(join(root, 'b.mp4'), 'content');
  });
  afterEach(async () => {
    await volume.close();
    await rm(root, { recursive: true });
  });

  it.each([
    ['for writing', 'a', true],
    ['for reading and writing', 'r+', true],
    ['for reading', 'r', false],
  ])('a process that has the file open %s', async (_, flags, isWriter) => {
    const examiner = new Examiner(volume, systemClock, root);
    const end = await openElsewhere(join(root, 'a.mp4'), flags);
    const [a, b] = await Promise.all([examiner.examine('a.mp4', true), examiner.examine('b.mp4', true)]);
    // Where other users' processes hide, nobody is ever known to have no writer.
    expect(a.writers === 'open').toBe(isWriter);
    expect(b.writers).not.toBe('open');
    await end();
    expect((await examiner.examine('a.mp4', true)).writers).not.toBe('open');
  });

  it.skipIf(!existsSync('/dev/shm'))('on a volume below /dev, where most descriptors are no files', async () => {
    const memory = await mkdtemp('/dev/shm/r2-sync-writers-');
    try {
      writeFileSync(join(memory, 'a.mp4'), 'content');
      const end = await openElsewhere(join(memory, 'a.mp4'), 'a');
      expect((await new Examiner(volume, systemClock, memory).examine('a.mp4', true)).writers).toBe('open');
      await end();
    } finally {
      await rm(memory, { recursive: true });
    }
  });

  it('the agent itself is none: its own descriptors are not gone through', async () => {
    const descriptor = openSync(join(root, 'a.mp4'), 'a');
    try {
      const { writers } = await new Examiner(volume, systemClock, root).examine('a.mp4', true);
      expect(writers).not.toBe('open');
    } finally {
      closeSync(descriptor);
    }
  });

  it('by the file, not by its name: a renamed file keeps its writer', async () => {
    const examiner = new Examiner(volume, systemClock, root);
    const end = await openElsewhere(join(root, 'a.mp4'), 'a');
    renameSync(join(root, 'a.mp4'), join(root, 'c.mp4'));
    writeFileSync(join(root, 'a.mp4'), 'another');
    const [a, c] = await Promise.all([examiner.examine('a.mp4', true), examiner.examine('c.mp4', true)]);
    expect(c.writers).toBe('open');
    expect(a.writers).not.toBe('open');
    await end();
  });
});
