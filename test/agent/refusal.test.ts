// A store that refuses, or settings that are wrong: the agent stays up, says why and what to do, loses nothing, and goes
// on when it is put right.
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { freePort, until } from '../support/agent.ts';
import { makeScene, messages, names } from './scene.ts';

const DOUBLE_KEYS = {
  accessKeyId: 'double-access-key-id-00000000000',
  secretAccessKey: 'double-secret-access-key-0000000000000000000000000000000000000000',
};

interface Wrong {
  name: string;
  settings: Record<string, string>;
  /** What the reason must say. */
  says: RegExp;
  /** What puts it right. */
  fix: (target: { endpoint: string; bucket: string }) => string;
}

const WRONG_SETTINGS: Wrong[] = [
  {
    name: 'no access key',
    settings: { R2_ACCESS_KEY: '' },
    says: /R2_ACCESS_KEY.*isn't set/,
    fix: () => `R2_ACCESS_KEY=${DOUBLE_KEYS.accessKeyId}`,
  },
  {
    name: 'a placeholder that RunPod never replaced',
    settings: { R2_SECRET_KEY: '{{ RUNPOD_SECRET_r2_secret }}' },
    says: /R2_SECRET_KEY.*RUNPOD_SECRET_r2_secret.*no secret in its place/,
    fix: () => `R2_SECRET_KEY=${DOUBLE_KEYS.secretAccessKey}`,
  },
  {
    name: 'an endpoint with a path',
    settings: { R2_ENDPOINT: 'https://account.r2.cloudflarestorage.com/some/path' },
    says: /R2_ENDPOINT.*path/,
    fix: ({ endpoint }) => `R2_ENDPOINT=${endpoint}`,
  },
  {
    name: 'an endpoint with a wrong scheme',
    settings: { R2_ENDPOINT: 's3://account.r2.cloudflarestorage.com' },
    says: /R2_ENDPOINT.*https:\/\//,
    fix: ({ endpoint }) => `R2_ENDPOINT=${endpoint}`,
  },
  {
    name: 'http beyond this machine',
    settings: { R2_ENDPOINT: 'http://account.r2.cloudflarestorage.com' },
    says: /R2_ENDPOINT.*http/,
    fix: ({ endpoint }) => `R2_ENDPOINT=${endpoint}`,
  },
];

const REFUSALS: Wrong[] = [
  {
    name: 'an access key that the store does not know',
    settings: { R2_ACCESS_KEY: 'x'.repeat(32) },
    says: /R2_ACCESS_KEY and R2_SECRET_KEY.*"runpod".*R2_ENDPOINT.*\.eu\./,
    fix: () => `R2_ACCESS_KEY=${DOUBLE_KEYS.accessKeyId}`,
  },
  {
    name: 'a wrong secret (SignatureDoesNotMatch)',
    settings: { R2_SECRET_KEY: 'x'.repeat(64) },
    says: /R2_ACCESS_KEY and R2_SECRET_KEY.*"runpod".*R2_ENDPOINT.*\.eu\./,
    fix: () => `R2_SECRET_KEY=${DOUBLE_KEYS.secretAccessKey}`,
  },
  {
    name: "a bucket that isn't there",
    settings: { R2_BUCKET: 'not-there' },
    says: /create bucket "not-there".*R2_ENDPOINT.*\.eu\./i,
    fix: ({ bucket }) => `R2_BUCKET=${bucket}`,
  },
];

describe.concurrent('invariants 2 and 10: wrong settings stop nothing for ever', () => {
  test.for([...WRONG_SETTINGS, ...REFUSALS])('$name: said, and put right by config set', async (wrong, context) => {
    const scene = await makeScene(context);
    await scene.draw('before.png', 'sub/before.png');
    const agent = await scene.start(wrong.settings);
    const { pid } = agent.process;
    const failing = await agent.until(({ state }) => state === 'failing', 'failing');
    expect(failing.reasons.join('\n')).toMatch(wrong.says);
    expect(failing.reasons.join('\n')).toMatch(/config set/);
    expect(failing.safeToStop).toBe(false);
    expect((await fetch(`${agent.url}/healthz`)).status).toBe(503);
    await until(() => wrong.says.test(messages(agent)), 'the reason in the log');
    expect(messages(agent)).toMatch(/resets its disk|erases its container disk/);
    expect(scene.double.objects.size).toBe(0);
    await scene.draw('after.png');

    const set = await scene.command(['config', 'set', wrong.fix(scene.target)]);
    expect(set).toMatchObject({ code: 0, stderr: '' });
    await agent.until(({ safeToStop, totals }) => safeToStop && totals.storedFiles === 3, 'all stored');
    expect((await fetch(`${agent.url}/healthz`)).status).toBe(200);
    expect((await agent.snapshot()).state).not.toBe('failing');
    expect(agent.process.pid).toBe(pid);
    await scene.expectStored(['before.png', 'sub/before.png', 'after.png']);
  });

  test('a secret that comes through a pipe is kept, and never shown', async (context) => {
    const scene = await makeScene(context);
    await scene.draw('a.png');
    const agent = await scene.start({ R2_SECRET_KEY: '' });
    await agent.until(({ state }) => state === 'failing', 'failing');
    const secret = scene.target.secretAccessKey;
    const set = await scene.command(['config', 'set', 'R2_SECRET_KEY'], {}, `${secret}\n`);
    expect(set.code).toBe(0);
    expect(set.stdout + set.stderr).not.toContain(secret);
    await agent.until(({ safeToStop }) => safeToStop, 'stored');
    await scene.expectStored(['a.png']);
  });

  test('a secret in a _FILE that changes is taken up', async (context) => {
    const scene = await makeScene(context);
    const file = join(scene.place.base, 'secret');
    await writeFile(file, 'y'.repeat(64));
    await scene.draw('a.png');
    const agent = await scene.start({ R2_SECRET_KEY: '', R2_SECRET_KEY_FILE: file });
    await agent.until(({ state }) => state === 'failing', 'failing');
    await writeFile(file, `${scene.target.secretAccessKey}\n`);
    await agent.until(({ safeToStop }) => safeToStop, 'stored');
    await scene.expectStored(['a.png']);
  });

  test("a host that isn't there is degraded within seconds, for a single file too, and says where", async (context) => {
    const scene = await makeScene(context);
    await scene.draw('a.png');
    const endpoint = `http://127.0.0.1:${await freePort()}`;
    const agent = await scene.start({}, { ...scene.target, endpoint });
    const seen = await agent.until(({ state }) => state === 'degraded', 'degraded');
    expect(seen.reasons.join('\n')).toContain(`can't reach ${endpoint.slice(7)}: nothing listens there`);
    expect(seen.reasons.join('\n')).toContain(`check R2_ENDPOINT (${endpoint})`);
    expect(seen.store.reachable).toBe(false);
    await until(() => messages(agent).includes('the store does not answer'), 'the log says so');
    await scene.command(['config', 'set', `R2_ENDPOINT=${scene.target.endpoint}`]);
    await agent.until(({ safeToStop }) => safeToStop, 'stored');
    await scene.expectStored(['a.png']);
  });

  test('a bucket that is made later is found without anybody telling the agent', async (context) => {
    const scene = await makeScene(context);
    await scene.draw('a.png');
    const agent = await scene.start({ R2_BUCKET: 'later' });
    await agent.until(({ state }) => state === 'failing', 'failing');
    scene.double.buckets.set('later', new Map());
    await agent.until(({ safeToStop }) => safeToStop, 'stored');
    await scene.expectStored(['a.png'], 'later');
  });
});

describe.concurrent('a store that refuses everybody gets one probe with back-off, not a storm', () => {
  test('100 due files, AccessDenied for all: a handful of requests, and all are stored once it relents', async (context) => {
    const scene = await makeScene(context);
    const { double } = scene;
    const all = [...names(50, 'a', 'alice/'), ...names(50, 'b', 'bob/')];
    await scene.draw(...all);
    double.fault = () => ({ status: 403, code: 'AccessDenied' });
    const agent = await scene.start();
    await agent.until(({ state, totals }) => state === 'failing' && totals.pendingFiles === 100, 'failing');
    const [first] = double.requests;
    // Probes are spread: until the fifth one at least 0.5 + 1 + 2 seconds pass.
    await until(() => double.requests.length >= 8 || Date.now() - first!.startedAt > 5000, 'five seconds of probes');
    expect(double.requests.length).toBeLessThan(16);
    const early = double.requests.filter(({ startedAt }) => startedAt - first!.startedAt < 3000);
    expect(early.length).toBeLessThan(14);
    expect(messages(agent).match(/the store refuses us/g)).toHaveLength(1);
    double.fault = undefined;
    await agent.until(({ safeToStop }) => safeToStop, 'all stored');
    await scene.expectStored(all);
  });

  test('100 due files, nobody answers: no storm either', async (context) => {
    const scene = await makeScene(context);
    const { double } = scene;
    const all = names(100);
    await scene.draw(...all);
    double.fault = () => 'reset';
    const agent = await scene.start();
    const seen = await agent.until(
      ({ state, totals }) => state === 'degraded' && totals.pendingFiles === 100,
      'degraded',
    );
    expect(seen.store.reachable).toBe(false);
    const before = double.requests.length;
    const [first] = double.requests;
    await until(() => Date.now() - first!.startedAt > 4000, 'four seconds of it');
    // Three attempts a probe; files that failed before the gate closed had three each.
    expect(before).toBeLessThan(40);
    expect(double.requests.length - before).toBeLessThan(13);
    double.fault = undefined;
    await agent.until(({ safeToStop }) => safeToStop, 'all stored');
    await scene.expectStored(all);
  });
});

describe.concurrent('a token that may write one prefix only', () => {
  test('the refused folders are parked with their reason; the others go on, new files too', async (context) => {
    const scene = await makeScene(context, { allowedPrefix: 'outputs/alice/' });
    await scene.draw('alice/1.png', 'bob/1.png', 'carol/1.png', 'alice/2.png', 'bob/2.png');
    const agent = await scene.start();
    // Whatever the store thinks of the others: what may go, goes.
    await agent.until(({ totals }) => totals.storedFiles === 2, 'alice is served');
    // Only a file that goes tells that a refusal concerns one folder alone: there is a new one until all have been judged.
    let last = 2;
    for (let parked = 0; parked < 3 && last < 12; ) {
      last += 1;
      await scene.draw(`alice/${last}.png`);
      const { totals } = await agent.until((snapshot) => snapshot.totals.storedFiles === last, `alice/${last}.png`);
      parked = totals.parkedFiles;
    }
    await agent.until(({ totals }) => totals.storedFiles === last && totals.parkedFiles === 3, 'the rest');
    const seen = await agent.until(({ state }) => state === 'degraded', 'degraded');
    expect(seen.parked.map(({ path }) => path).sort()).toEqual(['bob/1.png', 'bob/2.png', 'carol/1.png']);
    expect(seen.parked[0]!.fix).toMatch(/token may read and write/);
    expect(seen.reasons.join('\n')).toMatch(/refuses the folder "bob"/);
    expect(seen.reasons.join('\n')).toMatch(/refuses the folder "carol"/);
    expect((await fetch(`${agent.url}/healthz`)).status).toBe(200);
    await scene.expectStored(Array.from({ length: last }, (_, nth) => `alice/${nth + 1}.png`));
  });

  test('a folder that was refused for a moment only is in the bucket seconds later, not minutes', async (context) => {
    const scene = await makeScene(context);
    const refusal = { status: 403, code: 'AccessDenied', message: 'Access Denied' };
    scene.double.fault = ({ key }) => (key.startsWith('outputs/bob/') ? refusal : undefined);
    await scene.draw('alice/1.png', 'bob/1.png');
    const agent = await scene.start();
    for (let nth = 2; (await agent.snapshot()).totals.parkedFiles === 0; nth += 1) {
      await scene.draw(`alice/${nth}.png`);
      await agent.until(({ totals }) => totals.storedFiles >= nth, `alice/${nth}.png`);
    }
    scene.double.fault = undefined;
    await agent.until(({ safeToStop, state }) => safeToStop && state === 'ok', 'bob to be served');
  });
});
