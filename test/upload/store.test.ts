import { describe, test } from 'vitest';
import { startMiniflare } from '../support/miniflare.ts';
import { startStoreDouble } from '../support/store-double.ts';
import { storeContract } from './store.contract.ts';

storeContract('the double', async () => {
  const double = await startStoreDouble();
  const { accessKeyId, secretAccessKey } = double.settings;
  return {
    endpoint: double.endpoint,
    bucket: 'runpod',
    accessKeyId,
    secretAccessKey,
    differences: {},
    close: () => double.close(),
  };
});

storeContract("Cloudflare's simulator", async () => {
  const miniflare = await startMiniflare();
  return { ...miniflare, differences: { completionReplaces: true, unequalParts: 'NoSuchUpload' } };
});

const names = ['R2_TEST_ENDPOINT', 'R2_TEST_BUCKET', 'R2_TEST_ACCESS_KEY_ID', 'R2_TEST_SECRET_ACCESS_KEY'] as const;
const [endpoint, bucket, accessKeyId, secretAccessKey] = names.map((name) => process.env[name]);
if (endpoint && bucket && accessKeyId && secretAccessKey)
  storeContract('a real bucket', async () => ({
    endpoint,
    bucket,
    accessKeyId,
    secretAccessKey,
    differences: {},
    close: async () => {},
  }));
else {
  const missing = names.filter((name) => !process.env[name]).join(', ');
  console.warn(`NOT RUN: the store's contract on a real bucket, for want of ${missing}`);
  describe.skip("the store's contract: a real bucket", () => {
    test(`set ${missing}`, () => {});
  });
}
