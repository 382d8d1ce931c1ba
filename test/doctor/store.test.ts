// What `r2-sync doctor` finds out about the way to the store and about the bucket, against stores that are wrong or keep
// half of their promises.
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, expect, type TestContext, test } from 'vitest';
import { systemClock } from '../../src/clock.ts';
import { loadConfig } from '../../src/config/parse.ts';
import { bucketChecks } from '../../src/doctor/checks/bucket.ts';
import { endpointChecks } from '../../src/doctor/checks/endpoint.ts';
import { exitCodeOf, type Report } from '../../src/doctor/report.ts';
import { runChecks } from '../../src/doctor/run.ts';
import { Subject } from '../../src/doctor/subject.ts';
import { VolumeGate } from '../../src/volume/gate.ts';
import { freePort } from '../support/agent.ts';
import { type StoreDouble, type StoreDoubleOptions, startStoreDouble } from '../support/store-double.ts';
import { testCertificate } from '../support/test-certificate.ts';

const REFUSED = { status: 403, code: 'AccessDenied' };

async function startDouble(
  { onTestFinished }: Pick<TestContext, 'onTestFinished'>,
  options: StoreDoubleOptions = {},
): Promise<StoreDouble> {
  const double = await startStoreDouble(options);
  onTestFinished(() => double.close());
  return double;
}

async function diagnose(double: StoreDouble, change: Record<string, string> = {}, folder = '') {
  const env = {
    R2_ENDPOINT: double.endpoint,
    R2_ACCESS_KEY: double.settings.accessKeyId,
    R2_SECRET_KEY: double.settings.secretAccessKey,
    ...change,
  };
  const settings = { ...loadConfig(env, { needStore: true }), origins: {} };
  expect(settings.problems).toEqual([]);
  const gate = new VolumeGate(systemClock);
  const subject = new Subject({ settings, places: undefined, folder, clock: systemClock, gate });
  const reports: Report[] = [];
  for await (const report of runChecks([...endpointChecks, ...bucketChecks], subject)) reports.push(report);
  await subject.close();
  for (const { mark, fix, result } of reports)
    if (mark === 'bad' || mark === 'warning') expect(fix, result).toMatch(/^[A-Z`].*[.!?)]$/);
  return {
    code: exitCodeOf(reports),
    marks: Object.fromEntries(reports.map(({ check, mark }) => [check, mark])),
    words: Object.fromEntries(reports.map(({ check, result, fix }) => [check, `${result} ${fix ?? ''}`])),
    left: [...subject.left],
  };
}

describe.concurrent('a store that is not to be used as it is', () => {
  test('4 where keys or bucket are wrong, with what to do; what needs them is not looked at', async (context) => {
    const double = await startDouble(context);
    const keys = await diagnose(double, { R2_ACCESS_KEY: 'x'.repeat(32) });
    expect(keys.code).toBe(4);
    expect(keys.marks).toMatchObject({ store: 'good', put: 'bad', head: 'skipped', winner: 'skipped' });
    expect(keys.words.put).toMatch(/Unauthorized.*Check R2_ACCESS_KEY and R2_SECRET_KEY.*config set/);
    const secret = await diagnose(double, { R2_SECRET_KEY: 'x'.repeat(64) });
    expect([secret.code, secret.words.put]).toEqual([4, expect.stringContaining('SignatureDoesNotMatch')]);
    const bucket = await diagnose(double, { R2_BUCKET: 'not-there' });
    expect([bucket.code, bucket.words.put]).toEqual([4, expect.stringMatching(/Create bucket "not-there"/)]);
    expect(double.objects.size).toBe(0);
  });

  test('4 where something answers that is no store', async (context) => {
    const double = await startDouble(context);
    const web = createServer((_, reply) => void reply.end('<html><body>It works!</body></html>'));
    await new Promise<void>((resolve) => web.listen(0, '127.0.0.1', resolve));
    context.onTestFinished(() => void web.close());
    const seen = await diagnose(double, { R2_ENDPOINT: `http://127.0.0.1:${(web.address() as AddressInfo).port}` });
    expect(seen.code).toBe(4);
    expect(seen.words.store).toMatch(/isn't an S3 store.*R2_ENDPOINT/);
    expect(seen.marks).toMatchObject({ connection: 'good', store: 'bad', clock: 'skipped', put: 'skipped' });
  });

  test('1 where nobody answers: which step of the way fails', async (context) => {
    const double = await startDouble(context);
    const port = await diagnose(double, { R2_ENDPOINT: `http://127.0.0.1:${await freePort()}` });
    expect(port.code).toBe(1);
    expect(port.marks).toMatchObject({ name: 'good', connection: 'bad', encryption: 'skipped', put: 'skipped' });
    expect(port.words.connection).toMatch(/nothing listens there/);
    const name = await diagnose(double, { R2_ENDPOINT: 'https://no-such-host.invalid' });
    expect(name.code).toBe(1);
    expect(name.marks).toMatchObject({ name: 'bad', connection: 'skipped' });
  });

  test('1 where its certificate is not to be trusted', async (context) => {
    const seen = await diagnose(await startDouble(context, { tls: testCertificate }));
    expect(seen.code).toBe(1);
    expect(seen.marks).toMatchObject({ connection: 'good', encryption: 'bad', store: 'skipped' });
    expect(seen.words.encryption).toMatch(/NODE_EXTRA_CA_CERTS/);
  });

  test.for([
    [20 * 60_000, 'bad', /20 min behind the store's.*15 minutes/],
    [-3 * 60_000, 'warning', /3 min ahead of the store's/],
  ] as const)('a store whose clock is %i ms ahead of ours: %s', async ([offset, mark, words], context) => {
    const seen = await diagnose(await startDouble(context, { clockOffsetMs: offset }));
    expect(seen.marks.clock).toBe(mark);
    expect(seen.words.clock).toMatch(words);
    expect(seen.code === 0).toBe(mark === 'warning');
  });
});

describe.concurrent('a store that keeps half of its promises', () => {
  test('a token for one folder is tried there', async (context) => {
    const double = await startDouble(context, { allowedPrefix: 'outputs/alice/' });
    expect((await diagnose(double)).code).toBe(4);
    const inside = await diagnose(double, {}, 'alice');
    expect(inside.code).toBe(0);
    expect(inside.left).toHaveLength(3);
    expect(inside.left.every((key) => key.startsWith('outputs/alice/'))).toBe(true);
  });

  test('a token that may not read or list: uploads work, and what does not is said', async (context) => {
    const double = await startDouble(context);
    double.fault = ({ operation, headers }) =>
      headers.authorization && /GetObject|ListObjects/.test(operation) ? REFUSED : undefined;
    const seen = await diagnose(double);
    expect(seen.code).toBe(0);
    expect(seen.marks).toMatchObject({ put: 'good', head: 'good', get: 'warning', list: 'note', winner: 'good' });
    expect(seen.words.get).toMatch(/`restore`/);
    expect(seen.words.list).toMatch(/`verify`/);
  });

  test('a token that may put and not ask: 4', async (context) => {
    const double = await startDouble(context);
    double.fault = ({ operation }) => (operation === 'HeadObject' ? REFUSED : undefined);
    const seen = await diagnose(double);
    expect(seen.code).toBe(4);
    expect(seen.marks).toMatchObject({ put: 'good', head: 'bad', get: 'skipped', winner: 'skipped' });
  });

  test('something in front of the bucket that gives other bytes, or finds nothing', async (context) => {
    const double = await startDouble(context);
    await diagnose(double);
    for (const object of double.objects.values()) object.body = Buffer.from('cached');
    expect(await diagnose(double)).toMatchObject({ code: 4, marks: { head: 'good', get: 'bad' } });
    double.fault = ({ operation }) => (operation === 'HeadObject' ? { status: 404, code: 'NotFound' } : undefined);
    double.objects.clear();
    expect(await diagnose(double)).toMatchObject({ code: 4, marks: { put: 'good', head: 'bad' } });
  });

  test('invariant 4: a store that ignores If-None-Match is found out: it replaces, and several win', async (context) => {
    const double = await startDouble(context);
    double.fault = ({ operation }) => (operation === 'PutObject' ? 'unconditional' : undefined);
    const seen = await diagnose(double);
    expect(seen.code).toBe(4);
    expect(seen.words.conditional).toMatch(/replaced an object that was there.*If-None-Match/);
    expect(seen.words.winner).toMatch(/of 5 puts to one key at once 5 succeeded/);
    // It isn't tried for ever: each try leaves an object.
    for (let run = 0; run < 6; run += 1) await diagnose(double);
    expect(double.objects.size).toBe(6);
    expect((await diagnose(double)).code).toBe(4);
  });

  test('a store whose conditional puts are only safe one after the other', async (context) => {
    const double = await startDouble(context);
    double.fault = ({ operation, key }) =>
      operation === 'PutObject' && /race-\d/.test(key) ? 'unconditional' : undefined;
    expect(await diagnose(double)).toMatchObject({ code: 4, marks: { conditional: 'good', winner: 'bad' } });
  });

  test('a store that is busy with the key tells nothing, is no failure, and is asked again the next time', async (context) => {
    const double = await startDouble(context);
    double.fault = ({ operation, key }) =>
      operation === 'PutObject' && /race-\d/.test(key) ? { status: 429, code: 'TooManyRequests' } : undefined;
    expect(await diagnose(double)).toMatchObject({ code: 0, marks: { winner: 'note' } });
    double.fault = undefined;
    expect((await diagnose(double)).marks.winner).toBe('good');
  });
});
