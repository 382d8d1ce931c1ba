// R2_ON_STORED with real programs: what they get to know, what they never do, and that nothing of them stays behind.
import { readFileSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { getPriority, tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { systemClock } from '../../src/clock.ts';
import type { StoredFact } from '../../src/notify/fact.ts';
import { Hooks } from '../../src/notify/hooks.ts';
import { decodeName } from '../../src/paths.ts';
import { listLog } from '../status/sample.ts';
import { until } from '../support/agent.ts';

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'r2-sync-hooks-'));
  onTestFinished(() => rm(dir, { recursive: true, force: true }));
});

const fact: StoredFact = {
  root: '/workspace/output',
  path: 'alice/a picture.png',
  folder: 'alice',
  key: 'outputs/alice/2026-11-20/a picture-0123456789abcdef.png',
  sha256: '0'.repeat(64),
  size: 1234,
  mtimeNs: 1_795_000_000_123_456_789n,
  seconds: 0.1,
  storedAt: Date.parse('2026-11-20T12:00:00.000Z'),
};

/** Runs a shell script as the hook. `$OUT` is a file of the test's own. */
function hooksOf(script: string, seconds = 20) {
  const { log, lines } = listLog();
  const counts: Record<string, number> = {};
  const out = join(dir, 'out');
  const hooks = new Hooks({
    command: ['/bin/sh', '-c', `OUT=${out}; ${script}`, 'hook'],
    seconds,
    bucket: 'runpod',
    clock: systemClock,
    log,
    count: (result) => {
      counts[result] = (counts[result] ?? 0) + 1;
    },
  });
  onTestFinished(() => hooks.finish(0));
  const finish = () => hooks.finish(systemClock.monotonic() + 20_000);
  return { hooks, lines, counts, finish, read: () => readFile(out, 'utf8').catch(() => '') };
}

/** A zombie waits for somebody to take note, which isn't our business. */
const isAlive = (pid: number) => {
  try {
    return !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return false;
  }
};

describe('what it gets to know', () => {
  test('the facts of the file, as variables and as JSON on standard input', async () => {
    const { hooks, counts, finish, read } = hooksOf('env | grep ^R2_FILE_ | sort >$OUT; cat >>$OUT');
    hooks.run(fact);
    await finish();
    expect(counts).toEqual({ done: 1 });
    const lines = (await read()).trim().split('\n');
    expect(lines.slice(0, -1)).toEqual([
      'R2_FILE_ABSOLUTE_PATH=/workspace/output/alice/a picture.png',
      'R2_FILE_BUCKET=runpod',
      'R2_FILE_FOLDER=alice',
      'R2_FILE_KEY=outputs/alice/2026-11-20/a picture-0123456789abcdef.png',
      `R2_FILE_MTIME=${new Date(1_795_000_000_123).toISOString()}`,
      'R2_FILE_NAME=a picture.png',
      'R2_FILE_PATH=alice/a picture.png',
      `R2_FILE_SHA256=${'0'.repeat(64)}`,
      'R2_FILE_SIZE=1234',
      'R2_FILE_STORED_AT=2026-11-20T12:00:00.000Z',
    ]);
    expect(JSON.parse(lines.at(-1)!)).toEqual({
      path: 'alice/a picture.png',
      pathBytes: 'alice/a%20picture.png',
      name: 'a picture.png',
      folder: 'alice',
      absolutePath: '/workspace/output/alice/a picture.png',
      key: fact.key,
      bucket: 'runpod',
      sha256: fact.sha256,
      size: 1234,
      mtime: new Date(1_795_000_000_123).toISOString(),
      storedAt: '2026-11-20T12:00:00.000Z',
    });
  });

  test.each([
    ['not UTF-8', Buffer.from('alice/\xff\xfe caf\xe9.png', 'latin1')],
    ['a shell would run it', Buffer.from('alice/$(touch x); `id` "\' %s \\0101\n.png')],
    ['ends with a line end and a byte that is no UTF-8', Buffer.from('alice/\xff\n\n', 'latin1')],
  ])('a name arrives byte for byte: %s', async (_, bytes) => {
    const { hooks, counts, finish } = hooksOf(
      `printf %s. "$R2_FILE_PATH" >$OUT; printf %s. "$R2_FILE_ABSOLUTE_PATH" >>$OUT; tr "\\0" "\\n" </proc/$$/cmdline >$OUT.cmdline`,
    );
    hooks.run({ ...fact, path: decodeName(bytes) });
    await finish();
    expect(counts).toEqual({ done: 1 });
    const expected = Buffer.concat([bytes, Buffer.from('./workspace/output/'), bytes, Buffer.from('.')]);
    expect(await readFile(join(dir, 'out'))).toEqual(expected);
    // Names are never on a command line.
    expect(await readFile(join(dir, 'out.cmdline'), 'latin1')).not.toContain('alice');
  });

  test('invariant 8: it sees none of the keys, and none of our own settings of malloc', async () => {
    const secrets = [
      'R2_ACCESS_KEY',
      'R2_SECRET_KEY',
      'R2_SECRET_ACCESS_KEY_FILE',
      'R2_SESSION_TOKEN',
      'R2_STATUS_TOKEN',
      'R2_WEBHOOK_URL',
    ];
    const before = { ...process.env };
    for (const name of secrets) process.env[name] = 'S3CRET';
    Object.assign(process.env, { MALLOC_ARENA_MAX: '2', SOMETHING_ELSE: 'stays' });
    onTestFinished(() => {
      process.env = before;
    });
    const { hooks, finish, read } = hooksOf('env >$OUT');
    hooks.run(fact);
    await finish();
    const environment = await read();
    expect(environment).toContain('SOMETHING_ELSE=stays');
    expect(environment).not.toContain('S3CRET');
    expect(environment).not.toContain('MALLOC_ARENA_MAX');
  });

  test('invariant 9: ComfyUI comes first', async () => {
    const { hooks, finish, read } = hooksOf('sleep 0.05; nice >$OUT');
    hooks.run(fact);
    await finish();
    expect(Number(await read())).toBe(Math.min(19, Math.max(getPriority(), 10)));
  });

  test('it need not read its standard input', async () => {
    const { hooks, counts, finish } = hooksOf('exec <&-; sleep 0.05');
    hooks.run(fact);
    await finish();
    expect(counts).toEqual({ done: 1 });
  });
});

describe('how it ends', () => {
  test('one that fails is logged with its exit code and the last line that it said', async () => {
    const { hooks, lines, counts, finish } = hooksOf('echo first >&2; printf "no \\033[31mroom\\n\\n" >&2; exit 3');
    hooks.run(fact);
    await finish();
    expect(counts).toEqual({ failed: 1 });
    expect(lines).toEqual([
      'R2_ON_STORED ended with exit code 3: no \\u001b[31mroom (for alice/a picture.png, which is in the bucket)',
    ]);
  });

  test('one that floods its output does no harm', async () => {
    const { hooks, lines, counts, finish } = hooksOf(
      'yes line | head -c 3000000 >&2; yes | head -c 3000000; echo end >&2; exit 1',
    );
    hooks.run(fact);
    await finish();
    expect(counts).toEqual({ failed: 1 });
    expect(lines[0]).toContain('exit code 1: end (for');
  });

  test('a program that is not there is said to be', async () => {
    const { log, lines } = listLog();
    const hooks = new Hooks({
      command: ['/nowhere/hook'],
      seconds: 5,
      bucket: 'b',
      clock: systemClock,
      log,
      count: () => {},
    });
    hooks.run(fact);
    await hooks.finish(systemClock.monotonic() + 10_000);
    expect(lines[0]).toMatch(/^R2_ON_STORED can't be started: .*ENOENT/);
  });

  test('one that takes too long is ended with all that it started, also what ignores SIGTERM', async () => {
    const { hooks, lines, counts, finish, read } = hooksOf(
      `export OUT; for nth in 1 2; do sh -c 'trap "" TERM; echo $$ >>$OUT; while :; do sleep 0.1; done' & done; trap "" TERM; while :; do sleep 0.1; done`,
      0.5,
    );
    hooks.run(fact);
    await until(async () => (await read()).trim().split('\n').length === 2, 'both to run');
    const pids = (await read()).trim().split('\n').map(Number);
    await finish();
    expect(counts).toEqual({ timeout: 1 });
    expect(lines[0]).toContain('took longer than 0.5 s and was ended');
    await until(() => pids.every((pid) => !isAlive(pid)), 'all of them to be gone');
  });

  test('what it leaves running in the background ends with it, and it counts as done', async () => {
    const { hooks, counts, finish, read } = hooksOf('sleep 1000 & echo $! >$OUT');
    hooks.run(fact);
    await finish();
    expect(counts).toEqual({ done: 1 });
    const pid = Number(await read());
    await until(() => !isAlive(pid), 'the background process to be gone');
  });

  test('at the end of the agent what runs is ended and what waits is left out', async () => {
    const { hooks, counts, lines, read } = hooksOf('echo $$ >>$OUT; exec sleep 1000');
    for (let nth = 0; nth < 5; nth += 1) hooks.run(fact);
    await until(async () => (await read()).trim().split('\n').length === 2, 'two of them to run');
    await hooks.finish(systemClock.monotonic());
    expect(counts).toEqual({ stopped: 2, dropped: 3 });
    expect(lines.join('\n')).toContain("R2_ON_STORED isn't run for 3 more, as the agent stops");
    hooks.run(fact);
    expect(counts).toMatchObject({ dropped: 4 });
  });
});

describe('how many', () => {
  test('two at a time, in order, and each file once', async () => {
    const { hooks, counts, finish, read } = hooksOf(
      'echo "+ $R2_FILE_PATH" >>$OUT; sleep 0.05; echo "- $R2_FILE_PATH" >>$OUT',
    );
    const paths = Array.from({ length: 12 }, (_, nth) => `${nth}.png`);
    for (const path of paths) hooks.run({ ...fact, path });
    await finish();
    expect(counts).toEqual({ done: 12 });
    const events = (await read()).trim().split('\n');
    let running = 0;
    for (const event of events) {
      running += event.startsWith('+') ? 1 : -1;
      expect(running).toBeLessThanOrEqual(2);
    }
    const begun = events.filter((event) => event.startsWith('+')).map((event) => event.slice(2));
    expect(begun.toSorted()).toEqual(paths.toSorted());
  });

  test('invariant 10: what waits is bounded; what is left out is counted, logged and shown', async () => {
    const { hooks, counts, lines } = hooksOf('exec sleep 1000');
    for (let nth = 0; nth < 1010; nth += 1) hooks.run(fact);
    expect(counts).toEqual({ dropped: 8 });
    expect(lines).toEqual(["R2_ON_STORED can't keep up: runs are left out"]);
    expect(hooks.trouble).toContain('8 runs were left out');
  });
});
