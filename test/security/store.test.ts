// What the keys of the bucket are used for: as little as can be, so that a token that may do no more is enough, and one
// that somebody stole can't be told by what it does from ours.
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { bigPicture, makeScene, uniqueText } from '../agent/scene.ts';
import { until } from '../support/agent.ts';

/** All that uploading takes. */
const UPLOADING = [
  'AbortMultipartUpload',
  'CompleteMultipartUpload',
  'CreateMultipartUpload',
  'HeadObject',
  'PutObject',
  'UploadPart',
];

test('invariant 4: nothing is ever deleted, and uploading takes PUT, HEAD and the calls for parts alone', async (context) => {
  const scene = await makeScene(context);
  const { double } = scene;
  const used = () => [...new Set(double.requests.map(({ operation }) => operation))].sort();
  await scene.draw('alice/a.png', 'b.png');
  await scene.write('video.png', bigPicture(9));
  let failures = 0;
  // A part that can't be sent ends in an abort.
  double.fault = ({ operation }) =>
    operation === 'UploadPart' && failures++ < 1 ? { status: 400, code: 'NoSuchUpload' } : undefined;
  const agent = await scene.start();
  await agent.until(({ totals, safeToStop }) => safeToStop && totals.storedFiles === 3, 'stored');
  await agent.stop();
  expect(used()).toEqual(UPLOADING);
  for (const args of [
    ['verify'],
    ['ls'],
    ['manifest'],
    ['doctor'],
    ['probe'],
    ['restore', join(scene.place.base, 'back')],
  ])
    await scene.command(args);
  const deletes = double.requests.filter(
    ({ method, operation }) => method === 'DELETE' && operation !== 'AbortMultipartUpload',
  );
  expect(deletes).toEqual([]);
  expect(used()).toContain('GetObject');
  expect(used()).not.toContain('Unknown');
});

test('temporary credentials for one prefix are enough, and when a job puts new ones into their files they are taken up', async (context) => {
  const first = { accessKeyId: uniqueText('a').slice(0, 32), secretAccessKey: uniqueText('s').padEnd(64, '0') };
  const scene = await makeScene(context, { ...first, sessionToken: uniqueText('t'), allowedPrefix: 'outputs/alice/' });
  const { settings } = scene.double;
  const file = (name: string) => join(scene.place.base, name);
  const renew = async () => {
    await writeFile(file('token'), `${settings.sessionToken}\n`);
    await writeFile(file('secret'), `${settings.secretAccessKey}\n`);
    await writeFile(file('id'), `${settings.accessKeyId}\n`);
  };
  await scene.draw('alice/1.png');
  const agent = await scene.start({
    R2_ACCESS_KEY: '',
    R2_SECRET_KEY: '',
    R2_ACCESS_KEY_FILE: file('id'),
    R2_SECRET_KEY_FILE: file('secret'),
    R2_SESSION_TOKEN_FILE: file('token'),
  });
  // A pod that is new has none yet.
  await agent.until(({ state }) => state === 'failing', 'that there are no keys');
  await renew();
  await agent.until(({ totals }) => totals.storedFiles === 1, 'stored with the first credentials');
  Object.assign(settings, {
    accessKeyId: uniqueText('b').slice(0, 32),
    secretAccessKey: uniqueText('u').padEnd(64, '1'),
    sessionToken: uniqueText('v'),
  });
  await scene.draw('alice/2.png');
  await until(
    () => scene.double.requests.some(({ status }) => status === 403 || status === 401),
    'the old ones to be refused',
  );
  await renew();
  await agent.until(({ totals, safeToStop }) => safeToStop && totals.storedFiles === 2, 'stored with the new ones');
  await scene.expectStored(['alice/1.png', 'alice/2.png']);
});
