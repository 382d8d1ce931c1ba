// Invariant 3 where several file systems are mounted: a writer is seen however its file and ours are reached, while file
// systems that aren't ours are never asked (moosefs.test.ts has one that hangs).
import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { mkdtemp, realpath, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { systemClock } from '../../src/clock.ts';
import { Examiner } from '../../src/settle/examiner.ts';
import { startVolume } from '../../src/volume/volume.ts';
import { openElsewhere } from '../support/writer.ts';

const root = process.getuid?.() === 0;
if (!root) {
  const why = 'NOT RUN: writers on several file systems (needs root, to mount)';
  if (process.env.R2_REQUIRE_SYSTEM === '1') throw new Error(why);
  console.warn(why);
}

interface Place {
  output: string;
  /** Where the writer opens it. */
  file: string;
  /** The same as the agent sees it, below the output directory. */
  path: string;
  /** To be done when the writer has it open. */
  then?: () => void;
}

/** `mount` with these arguments; taken away after the test. */
function mount(...args: [...string[], string]): void {
  execFileSync('mount', args);
  onTestFinished(() => void execFileSync('umount', ['--lazy', args.at(-1)!]));
}

function directory(path: string): string {
  mkdirSync(path, { recursive: true });
  return path;
}

const places: Record<string, (base: string) => Place> = {
  'another volume, mounted below the output directory': (base) => {
    const alice = directory(join(base, 'output/alice and bob'));
    mount('-t', 'tmpfs', 'tmpfs', alice);
    return { output: join(base, 'output'), file: join(alice, 'a.mp4'), path: 'alice and bob/a.mp4' };
  },
  'the same volume, mounted a second time elsewhere': (base) => {
    const output = directory(join(base, 'output'));
    const second = directory(join(base, 'second'));
    mount('--bind', output, second);
    return { output, file: join(second, 'a.mp4'), path: 'a.mp4' };
  },
  'the same volume through a mount that nobody finds any more': (base) => {
    const output = directory(join(base, 'output'));
    const second = directory(join(base, 'second'));
    execFileSync('mount', ['--bind', output, second]);
    const then = () => void execFileSync('umount', ['--lazy', second]);
    return { output, file: join(second, 'a.mp4'), path: 'a.mp4', then };
  },
  "a container's own disk, of layers on several file systems": (base) => {
    const upper = directory(join(base, 'upper'));
    mount('-t', 'tmpfs', 'tmpfs', upper);
    const [lower, work, top, output] = ['lower', 'upper/work', 'upper/top', 'output'].map((name) =>
      directory(join(base, name)),
    );
    mount('-t', 'overlay', 'overlay', '-o', `lowerdir=${lower},upperdir=${top},workdir=${work},xino=off`, output!);
    return { output: output!, file: join(output!, 'a.mp4'), path: 'a.mp4' };
  },
  'a volume that was mounted on top of another one': (base) => {
    const volume = directory(join(base, 'volume'));
    mount('-t', 'tmpfs', 'tmpfs', volume);
    mount('-t', 'tmpfs', 'tmpfs', volume);
    const output = directory(join(volume, 'output'));
    return { output, file: join(output, 'a.mp4'), path: 'a.mp4' };
  },
};

describe.skipIf(!root)('invariant 3: who has a file open is seen', () => {
  test.each(Object.keys(places))('%s', async (name) => {
    const base = await realpath(await mkdtemp(join(tmpdir(), 'r2-sync-mounts-')));
    const volume = startVolume();
    onTestFinished(async () => {
      await volume.close();
      await rm(base, { recursive: true });
    });
    const { output, file, path, then } = places[name]!(base);
    writeFileSync(file, 'content');
    const end = await openElsewhere(file, 'a');
    then?.();
    const examiner = new Examiner(volume, systemClock, output);
    expect((await examiner.examine(path, true)).writers).toBe('open');
    await end();
    expect((await examiner.examine(path, true)).writers).toBe('none');
  });
});
