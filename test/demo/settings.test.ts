import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { chooseBucket, cleanEnvironment } from '../../demo/settings.ts';

const keys = { R2_ACCESS_KEY: 'id', R2_SECRET_KEY: 'secret' };
const account = 'https://abc.r2.cloudflarestorage.com';

it('uses the simulator unless R2_ENDPOINT is set, whatever else is', () => {
  expect(chooseBucket({ R2_BUCKET: 'mine', ...keys })).toBeUndefined();
  expect(chooseBucket({ R2_ENDPOINT: ' ', ...keys })).toBeUndefined();
});

it('understands the settings that the agent understands', () => {
  const file = join(mkdtempSync(join(tmpdir(), 'r2-demo-')), 'secret');
  onTestFinished(() => rmSync(join(file, '..'), { recursive: true }));
  writeFileSync(file, 'secret\n');
  expect(chooseBucket({ R2_ENDPOINT: `"${account}/pictures/"`, ...keys })).toMatchObject({
    endpoint: account,
    bucket: 'pictures',
  });
  expect(
    chooseBucket({ R2_ENDPOINT: account, R2_ACCESS_KEY_ID: 'id', R2_SECRET_ACCESS_KEY_FILE: file, R2_BUCKET: 'b' }),
  ).toEqual({ endpoint: account, bucket: 'b', accessKeyId: 'id', secretAccessKey: 'secret', sessionToken: undefined });
});

it('says what is missing, and shows no value', () => {
  const { R2_ACCESS_KEY } = keys;
  expect(() => chooseBucket({ R2_ENDPOINT: account, R2_ACCESS_KEY })).toThrow(/R2_SECRET_KEY isn't/);
  expect(() => chooseBucket({ R2_ENDPOINT: 'my-secret' })).toThrow(/^R2_ENDPOINT isn't an address.\n(?!.*my-secret)/);
});

it('lets no setting of the user through to the agent', () => {
  const env = { PATH: '/bin', R2_EXTENSIONS: 'gif', r2_x: '1', AWS_PROFILE: 'p', COMFYUI_OUTPUT_DIR: '/o' };
  expect(cleanEnvironment({ ...env, ENABLE_R2_SYNC: 'true' })).toEqual({ PATH: '/bin' });
});
