import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { makePlace, removePlace, startAgent, until } from '../../support/agent.ts';
import { startStoreDouble } from '../../support/store-double.ts';
import type { Answer, Command } from './child.ts';
import { HookControl, type HookReport } from './control.ts';

const CHILD = fileURLToPath(new URL('./child.ts', import.meta.url));

let base: string;
let root: string;
let state: string;
let control: HookControl;
let child: ChildProcess;
const waiting = new Map<number, (answer: Answer) => void>();
const reports: HookReport[] = [];

beforeEach(() => {
  base = mkdtempSync(join(tmpdir(), 'r2-sync-hook-'));
  root = join(base, 'output');
  state = join(root, '.r2-sync/target/alice');
  mkdirSync(state, { recursive: true });
  writeFileSync(join(root, 'picture.png'), 'picture');
  control = new HookControl(join(base, 'control'), root);
  reports.length = 0;
  child = spawn(process.execPath, [...control.nodeArgs, CHILD], {
    env: control.env,
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  child.on('message', (answer: Answer) => waiting.get(answer.id)?.(answer));
});

afterEach(() => {
  child.kill('SIGKILL');
  rmSync(base, { recursive: true });
});

let lastId = 0;

/** What the call gave, or the code of its error. */
async function call(thread: Command['thread'], name: string, ...args: string[]): Promise<unknown> {
  const id = ++lastId;
  const { value, error } = await new Promise<Answer>((resolve) => {
    waiting.set(id, resolve);
    child.send({ id, thread, call: name, args } satisfies Command);
  });
  return error ?? (value === undefined ? undefined : JSON.parse(String(value)));
}

const main = (name: string, ...args: string[]) => call('main', name, ...args);
const worker = (name: string, ...args: string[]) => call('worker', name, ...args);

let step = 0;

/** Resolves when both threads go by it: each order comes with a step of the clock that no other has. Gives that: ms. */
async function order(change: Parameters<HookControl['set']>[0]): Promise<number> {
  const clockOffsetMs = ++step * 1e9;
  control.set({ ...change, clockOffsetMs });
  for (const ask of [main, worker])
    await until(async () => Number(await ask('dateNow')) > Date.now() + clockOffsetMs - 1e8, 'the order to be seen');
  return clockOffsetMs;
}

function found(is: HookReport['is']): HookReport[] {
  reports.push(...control.read());
  return reports.filter((report) => report.is === is);
}

const ALL = { where: 'all', calls: 'all', share: 1 } as const;
const picture = () => join(root, 'picture.png');
const ledger = () => join(state, 'ledger.1.jsonl');

test('a disk error strikes both threads, is reported, and goes away', async () => {
  await order({ disk: [{ ...ALL, what: { error: 'EIO' } }] });
  expect(await main('readFile', picture(), 'utf8')).toBe('EIO');
  expect(await main('writeFile', ledger(), 'x')).toBe('EIO');
  expect(await main('rename', picture(), join(root, 'other.png'))).toBe('EIO');
  expect(await worker('readFileSync', picture(), 'utf8')).toBe('EIO');
  expect(await worker('readdirSync', root)).toBe('EIO');
  expect(await worker('openSync', picture())).toBe('EIO');
  expect(await worker('existsSync', picture())).toBe(false);
  // What isn't on the volume is none of its business.
  expect(await main('readFile', join(base, 'control'), 'utf8')).toMatch('EIO');
  expect(await worker('readdirSync', base)).toContain('output');
  await order({ disk: [] });
  expect(await main('readFile', picture(), 'utf8')).toBe('picture');
  expect(await worker('readFileSync', picture(), 'utf8')).toBe('picture');
  expect(found('struck').map(({ effect, call }) => `${call} of ${effect}`)).toEqual(
    expect.arrayContaining(['readFile of output', 'create of ledger', 'rename of output', 'readdir of output']),
  );
});

test('a fault strikes where and what it is meant for, and as often as its share says', async () => {
  await order({ disk: [{ where: 'state', calls: 'changes', share: 1, what: { error: 'ENOSPC' } }] });
  expect(await main('writeFile', ledger(), 'x')).toBe('ENOSPC');
  expect(await main('readdir', state)).toEqual([]);
  expect(await main('writeFile', join(root, 'new.png'), 'x')).toBeUndefined();
  await order({ disk: [{ where: 'output', calls: 'reads', share: 1, what: { error: 'ESTALE' } }] });
  expect(await main('writeFile', join(root, 'new.png'), 'y')).toBeUndefined();
  expect(await main('readdir', state)).toEqual([]);
  expect(await worker('readFileSync', join(root, 'new.png'))).toBe('ESTALE');
  await order({ disk: [{ ...ALL, share: 0.5, what: { error: 'EIO' } }] });
  const answers = new Set<unknown>();
  await until(async () => answers.add(await worker('readFileSync', picture(), 'utf8')).size === 2, 'both');
  expect(answers).toEqual(new Set(['EIO', 'picture']));
});

test('a file that was opened before the fault began is struck too', async () => {
  await main('hold', ledger());
  const descriptor = await worker('openSync', picture());
  await main('appendHeld', 'first');
  await order({ disk: [{ ...ALL, what: { gone: true } }] });
  expect(await main('appendHeld', 'second')).toBe('ESTALE');
  expect(await worker('fstatSync', descriptor as never)).toBe('ESTALE');
  expect(await main('stat', root)).toBe('ENOENT');
  expect(await worker('lstatSync', root)).toBe('ENOENT');
  await order({ disk: [] });
  await main('appendHeld', 'third');
  expect(readFileSync(ledger(), 'utf8')).toBe('firstthird');
});

test('a write can fail when half of it is on disk', async () => {
  await main('hold', ledger());
  await order({ disk: [{ ...ALL, calls: 'changes', what: { half: 'ENOSPC' } }] });
  expect(await main('appendHeld', '0123456789')).toBe('ENOSPC');
  expect(readFileSync(ledger(), 'utf8')).toBe('01234');
});

test('calls hang until the fault is taken away; the loop goes on meanwhile', async () => {
  await order({ disk: [{ ...ALL, what: { hang: true } }] });
  const answers: unknown[] = [];
  const hanging = [main('readFile', picture(), 'utf8'), worker('readFileSync', picture(), 'utf8')];
  for (const answer of hanging) void answer.then((text) => answers.push(text));
  await until(() => found('struck').length === 2, 'both to hang');
  expect(await main('epoch')).toBe(0);
  expect(answers).toEqual([]);
  await order({ disk: [] });
  expect(await Promise.all(hanging)).toEqual(['picture', 'picture']);
});

test('a slow disk holds up its calls only', async () => {
  await order({ disk: [{ where: 'state', calls: 'all', share: 1, what: { delayMs: 300 } }] });
  const ended: string[] = [];
  const slow = main('readdir', state).then(() => ended.push('slow'));
  const quick = main('readdir', root).then(() => ended.push('quick'));
  await Promise.all([slow, quick]);
  expect(ended).toEqual(['quick', 'slow']);
  await worker('readdirSync', state);
  expect(found('struck').map(({ detail }) => detail)).toContain('{"delayMs":300}');
});

test("the clock is shifted in both threads, and only the wall's", async () => {
  const offset = await order({});
  for (const [ask, name] of [
    [main, 'dateNow'],
    [main, 'newDate'],
    [main, 'calledDate'],
    [worker, 'dateNow'],
    [worker, 'newDate'],
  ] as const)
    expect(Math.abs(Number(await ask(name)) - Date.now() - offset)).toBeLessThan(1e6);
  expect(Math.abs(Number(await main('monotonic')) - Date.now())).toBeLessThan(1e6);
  expect(await main('epoch')).toBe(0);
});

test('the main thread stands still when it is told to, once for each order', async () => {
  await order({ block: { id: 1, ms: 400 } });
  await until(() => found('blocked').length > 0, 'the block');
  expect(Number(await main('longestGap'))).toBeGreaterThanOrEqual(400);
  await order({ block: { id: 1, ms: 400 } });
  await order({ block: { id: 2, ms: 1 } });
  await until(() => found('blocked').length > 1, 'the second');
  expect(found('blocked').map(({ detail }) => detail)).toEqual(['400 ms', '1 ms']);
});

test.each([
  { when: 'before' as const, left: '' },
  { when: 'half' as const, left: 'sec' },
  { when: 'after' as const, left: 'second' },
])('it dies $when the nth effect of a kind', async ({ when, left }) => {
  await main('hold', ledger());
  await order({ dieAt: { id: 1, effect: 'ledger', nth: 2, when } });
  const ended = new Promise((resolve) => child.on('exit', (_, signal) => resolve(signal)));
  await main('writeFile', picture(), 'of another kind');
  expect(await main('appendHeld', 'first')).toBeUndefined();
  void main('appendHeld', 'second');
  expect(await ended).toBe('SIGKILL');
  expect(readFileSync(ledger(), 'utf8')).toBe(`first${left}`);
  expect(found('died')).toMatchObject([{ effect: 'ledger', call: 'write', path: ledger(), detail: when }]);
});

test('every effect is reported with its kind, and nothing else', async () => {
  await order({ logEffects: true });
  await main('mkdir', join(state, '..', '~uploads'));
  await main('writeFile', join(state, '../~uploads/1.json'), 'note');
  await main('writeFile', join(state, 'claim.1.tmp'), 'claim');
  await main('link', join(state, 'claim.1.tmp'), join(state, 'lease.1.json'));
  await main('readdir', state);
  await main('hold', ledger());
  await main('appendHeld', '12345');
  await main('unlink', picture());
  const effects = found('effect').map(({ call, effect, path, detail }) =>
    [call, effect, path.slice(path.lastIndexOf('/') + 1), detail].join(' ').trim(),
  );
  expect(effects).toEqual([
    'mkdir journal ~uploads',
    'create journal 1.json',
    'write journal 1.json 4 bytes',
    'create lease claim.1.tmp',
    'write lease claim.1.tmp 5 bytes',
    'link lease lease.1.json',
    'create ledger ledger.1.jsonl',
    'write ledger ledger.1.jsonl 5 bytes',
    'unlink output picture.png',
  ]);
});

test('an agent, its volume worker included, is struck as it ships', async () => {
  const place = await makePlace();
  const store = await startStoreDouble();
  const agentControl = new HookControl(join(place.base, 'control'), place.output);
  const { accessKeyId, secretAccessKey } = store.settings;
  const target = { endpoint: store.endpoint, bucket: 'runpod', accessKeyId, secretAccessKey };
  const settings = { ...agentControl.env, R2_SCAN_SECONDS: '1', R2_QUIET_SECONDS: '1' };
  const agent = await startAgent(place, target, settings, { nodeArgs: agentControl.nodeArgs });
  try {
    agentControl.set({ disk: [{ where: 'output', calls: 'reads', share: 1, what: { delayMs: 1 } }] });
    mkdirSync(join(place.output, 'alice'));
    writeFileSync(join(place.output, 'alice/note.mp3'), 'sound');
    const seen = new Set<string>();
    await until(() => {
      for (const { is, call } of agentControl.read()) if (is === 'struck') seen.add(call);
      // Only the worker asks what a descriptor stands for.
      return seen.has('fstat');
    }, 'the worker to be struck');
    await agent.until(({ totals }) => totals.storedFiles === 1 && totals.pendingFiles === 0, 'the file to be stored');
  } finally {
    await agent.stop('SIGKILL');
    await store.close();
    await removePlace(place);
  }
});
