// A bucket of 100,000 objects: what comparing them costs.
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { delimiter, dirname, join } from 'node:path';
import { expect, test } from 'vitest';
import { encodeLine } from '../../src/ledger/line.ts';
import { objectKey } from '../../src/object/key.ts';
import { bundleFile, makeScene, type Scene } from '../agent/scene.ts';

const FILES = 100_000;
const FOLDERS = 20;
const MOST_MEGABYTES = 150;

/** A ledger that says that all of it is stored, and a bucket that has it. */
async function pretendStored({ double, place }: Scene): Promise<void> {
  const target = createHash('sha256')
    .update(`${new URL(double.endpoint).host}/runpod`)
    .digest('hex')
    .slice(0, 16);
  for (let folder = 0; folder < FOLDERS; folder += 1) {
    const lines: string[] = [];
    for (let nth = 0; nth < FILES / FOLDERS; nth += 1) {
      const path = `user-${folder}/ComfyUI_${String(nth).padStart(5, '0')}_.png`;
      const sha256 = createHash('sha256').update(path).digest('hex');
      const storedAt = 1_760_000_000_000 + nth * 1000;
      const mtimeNs = BigInt(storedAt) * 1_000_000n;
      const key = objectKey('outputs/{path}/{date}/{name}-{hash16}{ext}', 'UTC', { path, mtimeNs, sha256 });
      lines.push(encodeLine({ path, size: 5, mtimeNs, sha256, key, storedAt, incomplete: false }));
      const about = { etag: '"x"', metadata: { sha256 }, contentType: 'image/png' };
      double.objects.set(key, { ...about, body: undefined, size: 5, sha256, storedAt });
    }
    const dir = join(place.output, '.r2-sync', target, `user-${folder}`);
    await mkdir(dir, { recursive: true });
    await writeFile(join(dir, 'ledger.1.jsonl'), lines.join(''));
  }
}

test(`verify of ${FILES} objects: only LIST requests, and less than ${MOST_MEGABYTES} MB of memory`, async (context) => {
  const scene = await makeScene(context);
  await pretendStored(scene);
  const probe = join(scene.place.base, 'memory.mjs');
  await writeFile(probe, "process.on('exit', () => console.error(process.resourceUsage().maxRSS));\n");
  // As people start it: its first line has settings for malloc and for the heap.
  const path = [dirname(process.execPath), process.env.PATH].join(delimiter);
  const child = spawn(bundleFile, ['verify', '--json'], {
    env: { ...scene.env(), PATH: path, NODE_OPTIONS: `--import=${probe}` },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (chunk: Buffer) => (stdout += chunk));
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk));
  const code = await new Promise((resolve) => child.on('close', resolve));
  // In KiB: of the process that does the work, and of the one that waits for it. Other lines are about progress.
  const memory = stderr.split('\n').filter((line) => /^\d+$/.test(line));
  expect({ code, stderr, processes: memory.length }).toEqual({ code: 0, stderr, processes: 2 });
  expect(JSON.parse(stdout)).toMatchObject({ ok: true, stored: FILES, listed: { objects: FILES } });
  expect(scene.double.requests.filter(({ operation }) => operation !== 'ListObjectsV2')).toEqual([]);
  expect(scene.double.requests.length).toBe(FILES / 1000);
  expect((Number(memory[0]) * 1024) / 1e6).toBeLessThan(MOST_MEGABYTES);
}, 240_000);
