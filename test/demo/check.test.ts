import { expect, it } from 'vitest';
import { checkBucket } from '../../demo/check.ts';
import { type Sample, sha256Of } from '../../demo/writer.ts';
import type { FetchedObject } from '../support/s3-client.ts';

const picture = Buffer.from('the picture');
const video = Buffer.from('the video');
const writtenAt = new Date('2026-11-20T23:30:00Z');
const samples: Sample[] = [
  { path: 'run/ComfyUI_00001_.png', bytes: picture.length, sha256: sha256Of(picture), writtenAt },
  { path: 'run/night sky/ComfyUI_00001_.mp4', bytes: video.length, sha256: sha256Of(video), writtenAt },
];
const pictureKey = `outputs/run/2026-11-20/ComfyUI_00001_-${sha256Of(picture).slice(0, 16)}.png`;
const videoKey = `outputs/run/night sky/2026-11-20/ComfyUI_00001_-${sha256Of(video).slice(0, 16)}.mp4`;

const check = (objects: Record<string, Buffer>, status = 200) =>
  checkBucket(
    {
      list: async (prefix) =>
        Object.entries(objects)
          .filter(([key]) => key.startsWith(prefix))
          .map(([key, body]) => ({ key, size: body.length })),
      get: async (key) => ({ status, body: objects[key] }) as FetchedObject,
    },
    'run',
    samples,
  );

it('is content with exactly the samples, whatever other runs have left', async () => {
  const result = await check({ [pictureKey]: picture, [videoKey]: video, 'outputs/other/a.png': Buffer.of(1) });
  expect(result).toMatchObject({ ok: true, strangers: [] });
  expect(result.findings.map(({ problem }) => problem)).toEqual([undefined, undefined]);
});

it('sees one wrong byte', async () => {
  const tampered = Buffer.from(video);
  tampered[4]! ^= 1;
  const result = await check({ [pictureKey]: picture, [videoKey]: tampered });
  expect(result.ok).toBe(false);
  expect(result.findings.map(({ problem }) => problem)).toEqual([undefined, `${videoKey} holds other bytes`]);
});

it('sees an object that is cut short, one that is missing, and one that is not a sample', async () => {
  const stranger = 'outputs/run/2026-11-20/half.png';
  const result = await check({ [pictureKey]: picture.subarray(1), [stranger]: picture });
  expect(result).toMatchObject({ ok: false, strangers: [stranger] });
  expect(result.findings.map(({ problem }) => problem)).toEqual([
    `${pictureKey} has ${picture.length - 1} bytes and not ${picture.length}`,
    `there is no ${videoKey}`,
  ]);
});

it('sees a stranger beside samples that are all right', async () => {
  const result = await check({ [pictureKey]: picture, [videoKey]: video, 'outputs/run/x.png': picture });
  expect(result).toMatchObject({ ok: false, strangers: ['outputs/run/x.png'] });
});

it('takes no answer but the object itself for the object', async () => {
  const result = await check({ [pictureKey]: picture, [videoKey]: video }, 403);
  expect(result.ok).toBe(false);
  expect(result.findings[0]!.problem).toBe(`${pictureKey} can't be read: the store answers 403`);
});
