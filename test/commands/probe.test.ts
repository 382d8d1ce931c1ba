// `r2-sync probe`: the one line that tells somebody who has just started a pod whether uploads will work.
import { describe, expect, test } from 'vitest';
import { makeScene, uniqueText } from '../agent/scene.ts';
import { freePort } from '../support/agent.ts';

describe.concurrent('probe', () => {
  test('a bucket that takes uploads is told by one line and one request; asking again leaves no second object', async (context) => {
    const scene = await makeScene(context);
    const first = await scene.command(['probe']);
    expect(first.code).toBe(0);
    expect(first.stdout).toMatch(
      /^ok: the bucket "runpod" takes uploads \(outputs\/.*r2-sync-probe-[0-9a-f]{16}\.txt, .* s\)\n$/,
    );
    expect(scene.double.requests.map(({ operation }) => operation)).toEqual(['PutObject']);
    const again = await scene.command(['probe', '--json']);
    expect(again.code).toBe(0);
    expect(JSON.parse(again.stdout)).toMatchObject({ ok: true, bucket: 'runpod', already: true });
    expect(scene.double.objects.size).toBe(1);
  });

  test('a token for one folder is probed there', async (context) => {
    const scene = await makeScene(context, { allowedPrefix: 'outputs/alice/' });
    expect((await scene.command(['probe'])).code).toBe(4);
    const { code, stdout } = await scene.command(['probe', '--folder', 'alice']);
    expect([code, stdout]).toEqual([0, expect.stringContaining('(outputs/alice/')]);
    const outside = await scene.command(['probe', '--folder', '../../bob']);
    expect(outside.code).toBe(4);
    expect([...scene.double.objects.keys()].every((key) => key.startsWith('outputs/alice/'))).toBe(true);
  });

  test('4 and what to do where the bucket refuses us, 2 where the settings are wrong, 1 where nobody answers', async (context) => {
    const scene = await makeScene(context);
    const refused = await scene.command(['probe'], { R2_ACCESS_KEY: 'x'.repeat(32) });
    expect(refused.code).toBe(4);
    expect(refused.stdout).toMatch(/^the store answered Unauthorized.*check R2_ACCESS_KEY and R2_SECRET_KEY.*\n$/);
    const wrongSecret = await scene.command(['probe'], { R2_SECRET_KEY: 'x'.repeat(64) });
    expect([wrongSecret.code, wrongSecret.stdout]).toEqual([4, expect.stringContaining('SignatureDoesNotMatch')]);
    const noBucket = await scene.command(['probe'], { R2_BUCKET: 'not-there' });
    expect([noBucket.code, noBucket.stdout]).toEqual([4, expect.stringContaining('create bucket "not-there"')]);
    const silent = await scene.command(['probe', '--json'], { R2_ENDPOINT: `http://127.0.0.1:${await freePort()}` });
    expect([silent.code, JSON.parse(silent.stdout)]).toEqual([
      1,
      expect.objectContaining({ ok: false, code: 'ECONNREFUSED' }),
    ]);
    expect((await scene.command(['probe'], { R2_BUCKET: '-' })).code).toBe(2);
    expect(scene.double.objects.size).toBe(0);
  });

  test('a store that takes the connection and says nothing is given up, and called that', async (context) => {
    const scene = await makeScene(context);
    scene.double.fault = () => 'hang';
    const { code, stdout } = await scene.command(['probe']);
    expect(code).toBe(1);
    expect(stdout).toMatch(/^no answer from 127\.0\.0\.1:\d+ within 15 s: .*R2_ENDPOINT/);
  });

  test('invariant 8: no secret in what it prints, whatever the store repeats', async (context) => {
    const secret = uniqueText('secret-');
    const scene = await makeScene(context);
    scene.double.fault = () => ({ status: 403, code: 'AccessDenied', message: `you sent ${secret}` });
    const { code, stdout, stderr } = await scene.command(['probe'], { R2_SECRET_KEY: secret });
    expect(code).toBe(4);
    expect(stdout + stderr).not.toContain(secret);
  });
});
