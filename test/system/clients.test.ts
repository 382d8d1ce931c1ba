// What the agent stored, read by the programs that people read buckets with: rclone, and boto3 for Python.
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { provideProgram, providePythonWithBoto3, type Tool } from '../../bench/support/tools.ts';
import { makePlace, removePlace, startAgent, type Target } from '../support/agent.ts';
import { makeFlac, makePng, makePngOfSize } from '../support/media.ts';
import { startMiniflare } from '../support/miniflare.ts';
import { startStoreDouble } from '../support/store-double.ts';

const run = promisify(execFile);

/** By path: what is in the file, and its Content-Type in the bucket. */
const FILES: Record<string, { bytes: Buffer; type: string }> = {
  'alice/ComfyUI_00001_.png': { bytes: makePng({ seed: 1 }), type: 'image/png' },
  'alice/with space & 100%.png': { bytes: makePng({ seed: 2 }), type: 'image/png' },
  'bob/é 🦊.png': { bytes: makePng({ seed: 3 }), type: 'image/png' },
  'bob/song.flac': { bytes: makeFlac({ bytes: 50_000, seed: 4 }), type: 'audio/flac' },
  'bob/notes.txt': { bytes: Buffer.from('a prompt\n'), type: 'text/plain; charset=utf-8' },
  // In parts.
  'large.png': { bytes: makePngOfSize(11 * 2 ** 20, 5), type: 'image/png' },
};
/** A fraction that a float holds exactly. */
const MTIME = 1_760_000_000.25;
const MTIME_NS = 1_760_000_000_250_000_000n;

let rclone: Tool;
let python: Tool;
beforeAll(async () => {
  rclone = await provideProgram('rclone', 'rclone');
  python = await providePythonWithBoto3();
  for (const tool of [rclone, python]) {
    if (!('missing' in tool)) continue;
    if (process.env.R2_REQUIRE_SYSTEM === '1') throw new Error(`NOT RUN: ${tool.missing}`);
    console.warn(`NOT RUN: what the agent stored, read by others: ${tool.missing}`);
  }
}, 300_000);

/** A real agent stores the files, and ends. */
async function storeFiles(target: Target): Promise<void> {
  const place = await makePlace();
  onTestFinished(() => removePlace(place));
  for (const [path, { bytes }] of Object.entries(FILES)) {
    const file = join(place.output, path);
    await mkdir(dirname(file), { recursive: true });
    await writeFile(file, bytes);
    await utimes(file, MTIME, MTIME);
  }
  const agent = await startAgent(place, target, { R2_SCAN_SECONDS: '1', R2_QUIET_SECONDS: '0.2' });
  const all = Object.keys(FILES).length;
  await agent.until(({ totals }) => totals.storedFiles === all, 'all to be stored');
  await agent.stop();
}

/** `path` → the path of its file, as the key tells it. */
function pathOf(key: string): string {
  return key
    .replace(/^outputs\//, '')
    .replace(/2025-10-09\//, '')
    .replace(/-[0-9a-f]{16}(\.\w+)$/, '$1');
}

function sha256Of(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}

async function startDouble(): Promise<Target> {
  const double = await startStoreDouble();
  onTestFinished(() => double.close());
  const { accessKeyId, secretAccessKey } = double.settings;
  return { endpoint: double.endpoint, bucket: 'runpod', accessKeyId, secretAccessKey };
}

describe('rclone', () => {
  test('lists what the agent stored with its types, and copies it back with bytes and times', async (context) => {
    if ('missing' in rclone) return context.skip();
    const target = await startDouble();
    await storeFiles(target);
    const copy = await mkdtemp(join(tmpdir(), 'r2-sync-rclone-'));
    onTestFinished(() => rm(copy, { recursive: true, force: true }));
    const env = {
      PATH: process.env.PATH,
      HOME: copy,
      RCLONE_CONFIG: join(copy, 'none.conf'),
      RCLONE_CONFIG_R2_TYPE: 's3',
      RCLONE_CONFIG_R2_PROVIDER: 'Cloudflare',
      RCLONE_CONFIG_R2_REGION: 'auto',
      RCLONE_CONFIG_R2_ENDPOINT: target.endpoint,
      RCLONE_CONFIG_R2_ACCESS_KEY_ID: target.accessKeyId,
      RCLONE_CONFIG_R2_SECRET_ACCESS_KEY: target.secretAccessKey,
    };
    const path = rclone.path;
    const { stdout } = await run(path, ['lsjson', '--recursive', '--files-only', 'r2:runpod'], { env });
    const listed = JSON.parse(stdout) as { Path: string; Size: number; MimeType: string; ModTime: string }[];
    const byPath = Object.fromEntries(
      listed.map(({ Path, Size, MimeType, ModTime }) => [pathOf(Path), { Size, MimeType, at: Date.parse(ModTime) }]),
    );
    expect(byPath).toEqual(
      Object.fromEntries(
        Object.entries(FILES).map(([name, { bytes, type }]) => [
          name,
          { Size: bytes.length, MimeType: type, at: MTIME * 1000 },
        ]),
      ),
    );
    await run(path, ['copy', 'r2:runpod/outputs', join(copy, 'outputs')], { env });
    for (const { Path } of listed) {
      const file = join(copy, Path);
      const { bytes } = FILES[pathOf(Path)]!;
      expect({ Path, sha256: sha256Of(await readFile(file)) }).toEqual({ Path, sha256: sha256Of(bytes) });
      expect((await stat(file, { bigint: true })).mtimeNs).toBe(MTIME_NS);
    }
  });
});

const READ_ALL = `
import boto3, hashlib, json, os
from botocore.config import Config
client = boto3.client('s3', endpoint_url=os.environ['ENDPOINT'], region_name='auto', config=Config(s3={'addressing_style': 'path'}))
found = []
for page in client.get_paginator('list_objects_v2').paginate(Bucket=os.environ['BUCKET'], Prefix='outputs/', PaginationConfig={'PageSize': 2}):
    for item in page.get('Contents', []):
        reply = client.get_object(Bucket=os.environ['BUCKET'], Key=item['Key'])
        body = reply['Body'].read()
        found.append({'key': item['Key'], 'size': item['Size'], 'sha256': hashlib.sha256(body).hexdigest(), 'metadata': reply['Metadata'], 'type': reply['ContentType']})
print(json.dumps(found))
`;

describe.each([
  ['the double', startDouble],
  [
    "Cloudflare's simulator",
    async (): Promise<Target> => {
      const miniflare = await startMiniflare();
      onTestFinished(() => miniflare.close());
      return miniflare;
    },
  ],
])('boto3 on %s', (_, start) => {
  test('lists and reads what the agent stored: bytes, type and metadata', async (context) => {
    if ('missing' in python) return context.skip();
    const target = await start();
    await storeFiles(target);
    const { stdout } = await run(python.path, ['-c', READ_ALL], {
      maxBuffer: 2 ** 24,
      env: {
        PATH: process.env.PATH,
        ENDPOINT: target.endpoint,
        BUCKET: target.bucket,
        AWS_ACCESS_KEY_ID: target.accessKeyId,
        AWS_SECRET_ACCESS_KEY: target.secretAccessKey,
        AWS_EC2_METADATA_DISABLED: 'true',
      },
    });
    const found = JSON.parse(stdout) as {
      key: string;
      size: number;
      sha256: string;
      type: string;
      metadata: Record<string, string>;
    }[];
    expect(found.map(({ key }) => pathOf(key)).sort()).toEqual(Object.keys(FILES).sort());
    for (const { key, size, sha256, type, metadata } of found) {
      const file = FILES[pathOf(key)]!;
      expect({ key, size, sha256, type }).toEqual({
        key,
        size: file.bytes.length,
        sha256: sha256Of(file.bytes),
        type: file.type,
      });
      expect(metadata).toMatchObject({ sha256, mtime: '1760000000.250000000' });
      expect(decodeURIComponent(metadata.path!)).toBe(pathOf(key));
    }
  });
});
