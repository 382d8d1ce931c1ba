// A process may only be called dead when it surely is: numbers are used again, and every host has a process 1.
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { identifyProcess, isProvablyDead } from '../src/process-identity.ts';

/** Files that can't be read. */
const hidden = vi.hoisted(() => new Set<unknown>());
vi.mock('node:fs', async (original) => {
  const fs = await original<typeof import('node:fs')>();
  const readFile = (...args: Parameters<typeof fs.readFileSync>) => {
    if (hidden.has(args[0])) throw Object.assign(new Error('hidden'), { code: 'EACCES' });
    return fs.readFileSync(...args);
  };
  return { ...fs, readFileSync: readFile };
});

const ours = identifyProcess('pod');

/** The identity of another process, as that process would give it. */
function identityOf(pid: number) {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  return { ...ours, pid, startTime: stat.slice(stat.lastIndexOf(') ') + 2).split(' ')[19]! };
}

describe('identifyProcess', () => {
  test('tells who we are', () => {
    expect(ours).toMatchObject({ pid: process.pid, pod: 'pod' });
    expect(ours.startTime).toMatch(/^\d+$/);
    expect(ours.pidNamespace).toMatch(/^pid:\[\d+\]$/);
    expect(ours.bootId).toMatch(/^[0-9a-f-]{36}$/);
    expect(ours.startTime).toBe(identityOf(process.pid).startTime);
  });
});

describe('isProvablyDead', () => {
  test('we are alive, and so is a child until it is killed', async () => {
    expect(isProvablyDead(ours)).toBe(false);
    // A name with a parenthesis and spaces in it, as any program may give itself.
    const child = spawn(process.execPath, [
      '-e',
      'process.title = "a) b (c"; console.log("up"); setInterval(() => {}, 1e6)',
    ]);
    onTestFinished(() => void child.kill('SIGKILL'));
    await new Promise((resolve) => child.stdout.once('data', resolve));
    const identity = identityOf(child.pid!);
    expect(isProvablyDead(identity)).toBe(false);
    const ended = new Promise((resolve) => child.once('close', resolve));
    child.kill('SIGKILL');
    await ended;
    expect(isProvablyDead(identity)).toBe(true);
  });

  test('a number that another process has now is dead', () => {
    expect(isProvablyDead({ ...ours, startTime: '1' })).toBe(true);
  });

  test('one whose /proc cannot be read lives for all that we know', () => {
    onTestFinished(() => hidden.clear());
    // As with hidepid, or when no descriptor is left.
    for (const pid of [ours.pid, 2 ** 22 + 1]) hidden.add(`/proc/${pid}/stat`);
    expect(isProvablyDead(ours)).toBe(false);
    expect(isProvablyDead({ ...ours, pid: 2 ** 22 + 1 })).toBe(true);
    expect(isProvablyDead({ ...ours, pid: 2 ** 40 })).toBe(false);
  });

  test('on another machine, in another pid namespace, or where /proc told nothing, nothing is proved', () => {
    const gone = { ...ours, pid: 2 ** 22 + 1 };
    expect(isProvablyDead(gone)).toBe(true);
    expect(isProvablyDead({ ...gone, bootId: 'another' })).toBe(false);
    expect(isProvablyDead({ ...gone, pidNamespace: 'pid:[1]' })).toBe(false);
    expect(isProvablyDead({ ...gone, bootId: '', pidNamespace: '' })).toBe(false);
    expect(isProvablyDead({ ...ours, startTime: '' })).toBe(false);
  });
});
