// `node scripts/prove-image.ts IMAGE`: does this image do what it is for? It is started as a pod without GPU, on a volume
// and a bucket (Cloudflare's simulator) of its own. A picture made through ComfyUI's API must be in the bucket, and the
// badge in ComfyUI's page must say so; then the container is stopped while a picture is being written. It must end with
// exit code 0, at least one picture more must be in the bucket than right before the stop, and every whole picture on the
// volume must be there.
// Exit code 0: proved. Needs Docker with --network host (Linux). DOCKER names another program than `docker`;
// PROVE_UPLOAD_SECONDS (60) is how long the first upload may take.
import { createHash } from 'node:crypto';
import { mkdtemp, open, readdir, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { execa } from 'execa';
import { type RunningMiniflare, startMiniflare } from '../test/support/miniflare.ts';
import { createS3Client } from '../test/support/s3-client.ts';

/** A real ComfyUI on two cores takes a minute or two to import torch and its nodes. */
const START_MS = 10 * 60_000;
const PICTURE_MS = 5 * 60_000;
const UPLOAD_MS = Number(process.env.PROVE_UPLOAD_SECONDS || 60) * 1000;
const LOOK_MS = 100;
/** Large enough that one is being written at any moment while they are made. */
const LARGE = { width: 4096, height: 4096, batch_size: 2 };
const LARGE_PROMPTS = 12;
const PNG_END = Buffer.from('0000000049454e44ae426082', 'hex');

const docker = process.env.DOCKER || 'docker';

class NotProved extends Error {}

interface Pod {
  id: string;
  url: string;
  output: string;
  store: RunningMiniflare;
}

if (process.argv.length !== 3) {
  console.error('Usage: node scripts/prove-image.ts IMAGE');
  process.exitCode = 2;
} else {
  process.exitCode = await prove(process.argv[2]!);
}

async function prove(image: string): Promise<number> {
  const volume = await mkdtemp(join(tmpdir(), 'prove-image-'));
  const store = await startMiniflare();
  let pod: Pod | undefined;
  try {
    pod = await startPod(image, volume, store);
    await untilComfyAnswers(pod);
    await proveOnePicture(pod);
    await proveStatusPage(pod);
    await proveStopInMidWrite(pod);
    console.log(`proved: ${image}`);
    return 0;
  } catch (error) {
    if (!(error instanceof NotProved)) throw error;
    console.error(`NOT PROVED: ${error.message}`);
    if (pod) console.error(`--- the container's last lines\n${await logsOf(pod, 80)}`);
    return 1;
  } finally {
    if (pod) await execa(docker, ['rm', '--force', pod.id], { reject: false });
    await removeVolume(image, volume);
    await store.close();
  }
}

async function startPod(image: string, volume: string, store: RunningMiniflare): Promise<Pod> {
  const [port, statusPort] = [await freePort(), await freePort()];
  // By name alone: docker takes the values from its own environment, so that they are no arguments.
  const settings = {
    ENABLE_R2_SYNC: 'true',
    R2_ENDPOINT: store.endpoint,
    R2_BUCKET: store.bucket,
    R2_ACCESS_KEY: store.accessKeyId,
    R2_SECRET_KEY: store.secretAccessKey,
    R2_STATUS_PORT: String(statusPort),
    COMFYUI_PORT: String(port),
  };
  const names = Object.keys(settings).flatMap((name) => ['--env', name]);
  const flags = ['--detach', '--network', 'host', '--volume', `${volume}:/workspace`, ...names];
  // A stand-in's wish of tests.
  if (process.env.COMFYUI_STANDIN_WRITE_MS) flags.push('--env', 'COMFYUI_STANDIN_WRITE_MS');
  const { stdout } = await execa(docker, ['run', ...flags, image], { env: settings });
  const id = stdout.trim();
  return { id, url: `http://127.0.0.1:${port}`, output: join(volume, 'ComfyUI/output'), store };
}

async function untilComfyAnswers(pod: Pod): Promise<void> {
  const began = performance.now();
  await until(pod, START_MS, 'ComfyUI to answer', async () => {
    const reply = await fetch(`${pod.url}/system_stats`).catch(() => undefined);
    return reply?.ok;
  });
  console.log(`ComfyUI answers, ${seconds(began)} after the start`);
  // A node that wants a GPU when it is loaded fails here and not on a pod: worth reading, no reason to stop.
  for (const line of (await logsOf(pod)).split('\n'))
    if (line.includes('IMPORT FAILED')) console.log(`warning: ${line.trim()}`);
}

/** One picture through the API: on the volume, and in the bucket with the same bytes. */
async function proveOnePicture(pod: Pod): Promise<void> {
  const id = await queue(pod, { width: 64, height: 64, batch_size: 1 }, 'proof/first', 1);
  const began = performance.now();
  type Outputs = Record<string, { images?: { filename: string; subfolder: string }[] }>;
  const images = await until(pod, PICTURE_MS, 'the first picture', async () => {
    const history = (await (await fetch(`${pod.url}/history/${id}`)).json()) as Record<string, { outputs: Outputs }>;
    const found = Object.values(history[id]?.outputs ?? {}).flatMap((output) => output.images ?? []);
    return found.length > 0 ? found : undefined;
  });
  const { filename, subfolder } = images[0]!;
  const bytes = await readFile(join(pod.output, subfolder, filename));
  console.log(`ComfyUI wrote ${subfolder}/${filename} (${bytes.length} bytes), ${seconds(began)} after it was asked`);
  await until(pod, UPLOAD_MS, `${filename} in the bucket`, async () =>
    (await hashesInBucket(pod.store)).has(hash(bytes)),
  );
  console.log('it is in the bucket, with these bytes');
}

/** The status page on ComfyUI's port, where people have it; and what the badge says now that the picture is in the bucket. */
async function proveStatusPage(pod: Pod): Promise<void> {
  const reply = await fetch(`${pod.url}/r2-sync/`);
  if (!reply.ok || !reply.headers.has('x-r2-sync'))
    throw new NotProved(`the status page isn't at /r2-sync/ on ComfyUI's port: ${reply.status}`);
  const label = await until(pod, UPLOAD_MS, 'the badge to say that all is safe', async () => {
    const badge = (await (await fetch(`${pod.url}/r2-sync/badge.json`)).json()) as { mood: string; label: string };
    return badge.mood === 'fine' && badge.label;
  });
  const scripts = (await (await fetch(`${pod.url}/extensions`)).json()) as string[];
  if (!scripts.some((path) => path.endsWith('/r2-sync/badge.js')))
    throw new NotProved("ComfyUI doesn't give its page the script of the badge");
  console.log(`the status page is at /r2-sync/ on ComfyUI's port; the badge says: ${label}`);
}

/** `docker stop` while a large picture is being written: the stop itself must deliver, and leave nothing whole behind. */
async function proveStopInMidWrite(pod: Pod): Promise<void> {
  for (let number = 0; number < LARGE_PROMPTS; number += 1) await queue(pod, LARGE, 'proof/large', number + 2);
  const { half, before } = await until(pod, PICTURE_MS, 'a picture that is being written', () => midWrite(pod));
  const began = performance.now();
  await execa(docker, ['stop', pod.id]);
  console.log(`docker stop, sent while ${half} was being written, took ${seconds(began)}`);
  const { stdout } = await execa(docker, ['inspect', '--format', '{{.State.ExitCode}}', pod.id]);
  const code = Number(stdout.trim());

  const { whole, halves } = await pictures(pod);
  const made = await Promise.all(whole.map((name) => readFile(join(pod.output, 'proof', name))));
  const stored = await hashesInBucket(pod.store);
  const left = whole.filter((_, index) => !stored.has(hash(made[index]!)));
  const byStop = whole.filter((_, index) => stored.get(hash(made[index]!))?.every((key) => !before.has(key)));
  const counts = `${whole.length} whole pictures on the volume, ${halves.length} left half by ComfyUI`;
  console.log(`exit code ${code}; ${counts}; put into the bucket by the stop: ${byStop.join(', ') || 'none'}`);
  if (left.length > 0)
    throw new NotProved(`${left.length} of ${whole.length} whole pictures aren't in the bucket: ${left.join(', ')}`);
  if (code !== 0) throw new NotProved(`docker stop ended with exit code ${code}${meaning(code)} instead of 0`);
  if (byStop.length === 0)
    throw new NotProved(`the stop put nothing into the bucket, though ${half} was being written`);
  console.log('all whole pictures are in the bucket');
}

/** A picture that exists and isn't whole, and the bucket's keys at a moment when that was so. */
async function midWrite(pod: Pod): Promise<{ half: string; before: Set<string> } | undefined> {
  if ((await pictures(pod)).halves.length === 0) return undefined;
  const before = new Set((await createS3Client(pod.store).list('')).map(({ key }) => key));
  // Looked at again after the bucket: what it has by then can't be this picture.
  const half = (await pictures(pod)).halves[0];
  return half === undefined ? undefined : { half, before };
}

function meaning(code: number): string {
  if (code === 137) return ' (killed: it took longer than the 10 seconds that Docker gives)';
  if (code === 3) return ' (r2-sync says that something is left)';
  return '';
}

/** Resolves with the prompt's id. Each colour is another picture: the same one again would write nothing. */
async function queue(pod: Pod, size: typeof LARGE, prefix: string, color: number): Promise<string> {
  const prompt = {
    1: { class_type: 'EmptyImage', inputs: { ...size, color } },
    2: { class_type: 'SaveImage', inputs: { images: ['1', 0], filename_prefix: prefix } },
  };
  const reply = await fetch(`${pod.url}/prompt`, { method: 'POST', body: JSON.stringify({ prompt }) });
  const text = await reply.text();
  if (!reply.ok) throw new NotProved(`ComfyUI refuses the workflow: ${reply.status} ${text}`);
  return (JSON.parse(text) as { prompt_id: string }).prompt_id;
}

/** The names of the pictures on the volume: whole ones, and others. */
async function pictures(pod: Pod): Promise<{ whole: string[]; halves: string[] }> {
  const found = { whole: [] as string[], halves: [] as string[] };
  for (const name of await readdir(join(pod.output, 'proof')).catch(() => []))
    found[(await isWhole(join(pod.output, 'proof', name))) ? 'whole' : 'halves'].push(name);
  return found;
}

async function isWhole(path: string): Promise<boolean> {
  // Its end alone: these are looked at many times, and are large.
  const file = await open(path);
  try {
    const { size } = await file.stat();
    const end = Buffer.alloc(PNG_END.length);
    await file.read(end, 0, end.length, Math.max(0, size - end.length));
    return end.equals(PNG_END);
  } finally {
    await file.close();
  }
}

/** The keys of each content in the bucket, by its SHA-256. */
async function hashesInBucket(store: RunningMiniflare): Promise<Map<string, string[]>> {
  const client = createS3Client(store);
  const found = new Map<string, string[]>();
  for (const { key } of await client.list('')) {
    const content = hash((await client.get(key)).body);
    found.set(content, [...(found.get(content) ?? []), key]);
  }
  return found;
}

async function until<T>(pod: Pod, patience: number, what: string, look: () => Promise<T | undefined | false>) {
  const deadline = performance.now() + patience;
  while (performance.now() < deadline) {
    const found = await look();
    if (found) return found;
    const { stdout } = await execa(docker, ['inspect', '--format', '{{.State.Running}}', pod.id]);
    if (stdout.trim() !== 'true') throw new NotProved(`the container ended while this was awaited: ${what}`);
    await sleep(LOOK_MS);
  }
  throw new NotProved(`waited ${patience / 1000} s in vain for ${what}`);
}

async function logsOf(pod: Pod, lines?: number): Promise<string> {
  const tail = lines === undefined ? [] : ['--tail', String(lines)];
  return (await execa(docker, ['logs', ...tail, pod.id], { all: true, reject: false })).all;
}

/** What the container wrote belongs to its users. */
async function removeVolume(image: string, volume: string): Promise<void> {
  const empty = ['run', '--rm', '--network', 'none', '--entrypoint', 'find', '--volume', `${volume}:/volume`, image];
  await execa(docker, [...empty, '/volume', '-mindepth', '1', '-delete'], { reject: false });
  await rm(volume, { recursive: true, force: true });
}

function hash(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}

function seconds(since: number): string {
  return `${((performance.now() - since) / 1000).toFixed(1)} s`;
}

function freePort(): Promise<number> {
  const server = createServer();
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });
}
