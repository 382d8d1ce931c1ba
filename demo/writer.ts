// Writes samples as ComfyUI does: the subfolder is made right before its first file, every file goes straight to its
// final name, and a video grows for seconds, with its size and its index written last.
import { createHash, randomInt } from 'node:crypto';
import { mkdir, open, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { makeMp4, makePngOfSize } from '../test/support/media.ts';

export interface Sample {
  /** Below the output directory. */
  path: string;
  bytes: number;
  /** Of what was written, hex. */
  sha256: string;
  /** When it was finished. */
  writtenAt: Date;
}

export interface WriterOptions {
  output: string;
  /** A folder of this run, in the output directory. */
  folder: string;
  onBegin: (path: string, seconds: number) => void;
  onWritten: (sample: Sample) => void;
  /** Once aborted, the file that is being written is finished without pauses and no other is begun. */
  signal: AbortSignal;
}

interface Plan {
  name: string;
  bytes: number;
  /** How long its writer takes. */
  seconds: number;
}

const plans: readonly Plan[] = [
  { name: 'ComfyUI_00001_.png', bytes: 1_200_000, seconds: 0 },
  { name: 'portraits/ComfyUI_00001_.png', bytes: 1_800_000, seconds: 0 },
  { name: 'night sky/ComfyUI_00001_.png', bytes: 2_400_000, seconds: 0 },
  { name: 'video/ComfyUI_00001_.mp4', bytes: 9_000_000, seconds: 4 },
];
const PAUSE_MS = 700;
const VIDEO_STEPS = 20;
const PIECE = 64 * 1024;

/** Those that were written; all of them unless `signal` was aborted. */
export async function writeSamples(options: WriterOptions): Promise<Sample[]> {
  const { output, folder, onBegin, onWritten, signal } = options;
  const samples: Sample[] = [];
  for (const { name, bytes, seconds } of plans) {
    if (signal.aborted) break;
    const path = `${folder}/${name}`;
    const file = join(output, path);
    const seed = randomInt(2 ** 31);
    const content = seconds > 0 ? makeMp4({ bytes, seed }) : makePngOfSize(bytes, seed);
    onBegin(path, seconds);
    await mkdir(dirname(file), { recursive: true });
    if (seconds > 0) await writeVideo(file, content, (seconds * 1000) / VIDEO_STEPS, signal);
    else await writePicture(file, content);
    const sample = { path, bytes, sha256: sha256Of(content), writtenAt: (await stat(file)).mtime };
    samples.push(sample);
    onWritten(sample);
    await pause(PAUSE_MS, signal);
  }
  return samples;
}

export function sha256Of(content: Buffer): string {
  return createHash('sha256').update(content).digest('hex');
}

async function writePicture(file: string, content: Buffer): Promise<void> {
  const handle = await open(file, 'w');
  try {
    for (let at = 0; at < content.length; at += PIECE) await handle.write(content.subarray(at, at + PIECE));
  } finally {
    await handle.close();
  }
}

async function writeVideo(file: string, content: Buffer, stepMs: number, signal: AbortSignal): Promise<void> {
  const media = content.indexOf('mdat') - 4;
  const index = media + content.readUInt32BE(media);
  const growing = Buffer.from(content.subarray(0, index));
  // Its size isn't known yet.
  growing.writeUInt32BE(0, media);
  const handle = await open(file, 'w');
  try {
    const step = Math.ceil(growing.length / VIDEO_STEPS);
    for (let at = 0; at < growing.length; at += step) {
      await handle.write(growing.subarray(at, at + step), 0, undefined, at);
      await pause(stepMs, signal);
    }
    await handle.write(content, index, content.length - index, index);
    await handle.write(content, media, 4, media);
  } finally {
    await handle.close();
  }
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await sleep(ms, undefined, { signal }).catch(() => {});
}
