// What we pass on is under licences that let us, and goes with the notices that they ask for.
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';

const script = new URL('../../scripts/licences.ts', import.meta.url).pathname;

/** Runs the check on a lockfile with these packages. */
async function check(packages: Record<string, object>): Promise<{ code: number; said: string }> {
  const dir = await mkdtemp(join(tmpdir(), 'r2-sync-licences-'));
  onTestFinished(() => rm(dir, { recursive: true, force: true }));
  const lockfile = join(dir, 'package-lock.json');
  await writeFile(lockfile, JSON.stringify({ packages: { '': { license: 'none' }, ...packages } }));
  return new Promise((resolve) => {
    execFile(process.execPath, [script, lockfile], (error, stdout, stderr) =>
      resolve({ code: error ? Number(error.code) : 0, said: stdout + stderr }),
    );
  });
}

test.for([
  ['a copyleft licence', { license: 'GPL-3.0-only' }],
  ['one for tools', { license: 'MPL-2.0' }],
  ['no licence', {}],
  ['one that forbids among several that all count', { license: 'MIT AND LGPL-3.0-or-later' }],
  ['an expression that only a person can read', { license: '(MIT OR GPL-2.0-only) AND CC-BY-NC-4.0' }],
  ['a copyleft licence that an optional dependency of a tool shares', { license: 'AGPL-3.0-only', devOptional: true }],
] as const)('%s may not ship: the package is named, and the check fails', async ([, facts]) => {
  const { code, said } = await check({ 'node_modules/fine': { license: 'MIT' }, 'node_modules/@some/bad': facts });
  expect(code).toBe(1);
  expect(said).toContain('@some/bad (shipped)');
  expect(said).not.toContain('fine');
});

test('a choice of licences is ours to make, tools may protect themselves, and nothing more', async () => {
  const fine = {
    'node_modules/a': { license: '(GPL-2.0-only OR MIT)' },
    'node_modules/b': { license: 'BSD-3-Clause AND ISC' },
    'node_modules/b/node_modules/tool': { license: 'LGPL-3.0-or-later', dev: true },
    'node_modules/ours': { link: true },
  };
  expect(await check(fine)).toMatchObject({ code: 0 });
  const { code, said } = await check({ ...fine, 'node_modules/c': { license: 'AGPL-3.0-only', dev: true } });
  expect(code).toBe(1);
  expect(said).toContain('c (tools): AGPL-3.0-only');
});

test('each package of which the bundle holds code is named beside it, with the text of its licence', async () => {
  const notices = await readFile(new URL('../../dist/THIRD-PARTY-LICENSES.txt', import.meta.url), 'utf8');
  const { dependencies } = JSON.parse(await readFile(new URL('../../package.json', import.meta.url), 'utf8'));
  // It has a native part, and is passed on as a package, with its own licence.
  const { '@parcel/watcher': _, ...bundled } = dependencies as Record<string, string>;
  const missing = Object.keys(bundled).filter((name) => !notices.includes(`\n${name} `));
  expect(missing).toEqual([]);
  for (const text of ['Permission is hereby granted, free of charge', 'Apache License', 'Copyright (c)'])
    expect(notices).toContain(text);
});
