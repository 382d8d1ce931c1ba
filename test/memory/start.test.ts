// What a start may take is given back: afterwards the agent is as small as one that had nothing to read.
import { execFileSync } from 'node:child_process';
import { expect, test } from 'vitest';

test('optimising compilers help a start that takes long, and no other; when it is over they are off', () => {
  const child = new URL('start-child.ts', import.meta.url).pathname;
  const flags = ['--allow-natives-syntax', '--no-concurrent-recompilation', '--no-warnings'];
  const found = JSON.parse(execFileSync(process.execPath, [...flags, child], { encoding: 'utf8' }));
  expect(found).toEqual([false, true, false, false]);
});
