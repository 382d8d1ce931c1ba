// What is in the pictures: a bucket, an agent, and a team's folders with what they made. All of it is real but for the
// store, which is the tests' double: it can hold an upload where it is while its picture is taken.
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { agentEnv, freePort, type Place, type RunningAgent, startAgent } from '../../test/support/agent.ts';
import { makeMp4 } from '../../test/support/media.ts';
import { type StoreDouble, startStoreDouble } from '../../test/support/store-double.ts';
import { drawLandscape, encodePng, retitlePng } from './artwork.ts';

export interface Stage {
  place: Place;
  store: StoreDouble;
  agent: RunningAgent;
  /** What a command needs to be about this agent. */
  env: NodeJS.ProcessEnv;
  write(path: string, bytes: Buffer): Promise<void>;
  close(): Promise<void>;
}

const BUCKET = 'my-pictures';
/** Where ComfyUI's image has its volume: nobody's own directory is in the pictures. */
const VOLUME = '/workspace';
/** Where nothing else is, the ports are those that people know. */
const usual = { store: 9000, page: 8190 };

const team = ['alice', 'bob', 'chris', 'dana'];
const OLDER_FILES = 199;
const sizes = [
  [832, 544],
  [576, 832],
  [704, 704],
] as const;

export async function openStage(): Promise<Stage> {
  const place = await findPlace();
  const store = await startStoreDouble({ buckets: [BUCKET], port: await portOr(usual.store) });
  const { accessKeyId, secretAccessKey } = store.settings;
  const target = { endpoint: store.endpoint, bucket: BUCKET, accessKeyId, secretAccessKey };
  const settings = { RUNPOD_POD_ID: 'example-pod', R2_STATUS_PORT: String(await portOr(usual.page)) };
  const agent = await startAgent(place, target, settings);
  return {
    place,
    store,
    agent,
    env: agentEnv(place, target, settings),
    write: async (path, bytes) => {
      const file = join(place.output, path);
      await mkdir(dirname(file), { recursive: true });
      await writeFile(file, bytes);
    },
    close: async () => {
      await agent.stop('SIGKILL');
      await store.close();
      await rm(place.base, { recursive: true, force: true });
    },
  };
}

/** What the team made so far, the last of it one by one. */
export async function fillStage(stage: Stage): Promise<void> {
  const { agent, write, store } = stage;
  const drawn = Array.from({ length: 12 }, (_, seed) => {
    const [width, height] = sizes[seed % sizes.length]!;
    return encodePng(drawLandscape(seed + 2, width, height), `landscape ${seed}`);
  });
  for (let nth = 0; nth < OLDER_FILES; nth++) {
    const count = String(Math.floor(nth / team.length) + 1).padStart(5, '0');
    await write(`${team[nth % team.length]}/ComfyUI_${count}_.png`, retitlePng(drawn[nth % drawn.length]!, `${nth}`));
  }
  await agent.until(({ totals }) => totals.storedFiles === OLDER_FILES, 'the older files to be stored');
  store.settings.latencyMs = 60;
  const pictures = drawn.slice(0, 10).map((png, nth): [string, Buffer] => {
    const folder = team[(nth * 3) % team.length]!;
    return [`${folder}/ComfyUI_000${51 + Math.floor(nth / 4)}_.png`, retitlePng(png, `last ${nth}`)];
  });
  const last: [path: string, bytes: Buffer][] = [
    ...pictures.slice(0, 6),
    ['dana/song_00003_.wav', await makeSound(stage.place.base)],
    pictures[6]!,
    ['chris/wan22_00002_.mp4', await makeFilm(stage.place.base)],
    ...pictures.slice(7),
  ];
  for (const [nth, [path, bytes]] of last.entries()) {
    await write(path, bytes);
    await agent.until(({ totals }) => totals.storedFiles === OLDER_FILES + nth + 1, `${path} to be stored`);
  }
}

/** A film of which some parts are there already; the next ones take a minute, even if it is let go meanwhile. */
export async function holdUpload(stage: Stage): Promise<() => void> {
  let held = true;
  const parts = new Set<string>();
  stage.store.fault = ({ operation, query }) => {
    if (operation !== 'UploadPart' || !held) return undefined;
    parts.add(query.get('partNumber')!);
    return parts.size > 3 ? { bytesPerSecond: 150_000 } : undefined;
  };
  await stage.write('bob/wan22_00007_.mp4', makeMp4({ bytes: 64_000_000, seed: 7 }));
  await stage.agent.until(({ pending }) => pending.some(({ sent }) => sent > 0), 'a film to be on its way');
  return () => {
    held = false;
  };
}

async function findPlace(): Promise<Place> {
  const own = process.getuid?.() === 0 && !existsSync(VOLUME);
  const base = own ? VOLUME : await mkdtemp(join(tmpdir(), 'pictures-'));
  const place = { base, output: join(base, 'ComfyUI', 'output'), runDir: join(base, 'run') };
  await mkdir(place.output, { recursive: true });
  return place;
}

async function portOr(wished: number): Promise<number> {
  const taken = await fetch(`http://127.0.0.1:${wished}/`).then(
    () => true,
    () => false,
  );
  return taken ? freePort() : wished;
}

/** The sun goes down: three seconds of it. */
async function makeFilm(directory: string): Promise<Buffer> {
  const frames = Array.from({ length: 36 }, (_, nth) => drawLandscape(5, 480, 320, nth / 36));
  const file = join(directory, 'film.mp4');
  const raw = '-f rawvideo -pix_fmt rgb24 -s 480x320 -r 12 -i -'.split(' ');
  const coded = '-c:v libx264 -preset veryfast -pix_fmt yuv420p -threads 1 -movflags +faststart'.split(' ');
  return encode([...raw, ...coded], file, Buffer.concat(frames.map(({ pixels }) => pixels)));
}

/** Four seconds of a chord. */
async function makeSound(directory: string): Promise<Buffer> {
  const chord = 'sine=f=220:d=4[a];sine=f=277:d=4[b];sine=f=330:d=4[c];[a][b][c]amix=3';
  return encode(['-filter_complex', chord, '-bitexact'], join(directory, 'sound.wav'));
}

/** By way of a file: what goes through a pipe has no size in its header, and looks unfinished. */
async function encode(options: readonly string[], file: string, input = Buffer.alloc(0)): Promise<Buffer> {
  execFileSync('ffmpeg', ['-y', '-v', 'error', ...options, file], { input });
  const bytes = await readFile(file);
  await rm(file);
  return bytes;
}
