// Runs the demo as a person or a machine does. It builds dist where that is stale.
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { cleanEnvironment } from '../../demo/settings.ts';
import { eventually } from '../support/eventually.ts';
import { startMiniflare } from '../support/miniflare.ts';
import { createS3Client } from '../support/s3-client.ts';

const demo = join(import.meta.dirname, '../../demo/start.mjs');

interface Run {
  /** What it has printed so far. */
  text(): string;
  exit: Promise<number | null>;
  signal(name: NodeJS.Signals): void;
}

function startDemo(directory: string, flags: string[], settings: Record<string, string> = {}): Run {
  const directories = ['--output', join(directory, 'output'), '--data', join(directory, '.r2')];
  const child = spawn(process.execPath, [demo, ...flags, ...directories], {
    env: { ...cleanEnvironment(process.env), ...settings },
  });
  let text = '';
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (piece) => {
      text += piece;
    });
  onTestFinished(() => void child.kill('SIGTERM'));
  return {
    text: () => text,
    exit: new Promise((resolve) => child.on('close', resolve)),
    signal: (name) => child.kill(name),
  };
}

function makeDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), 'r2-demo-'));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true, maxRetries: 5 }));
  return directory;
}

/** The agent's status page and the simulator, as long as they run. */
async function findServers(run: Run, directory: string): Promise<string[]> {
  const [page = ''] = /http:\S+/.exec(run.text()) ?? [];
  const simulator = JSON.parse(readFileSync(join(directory, '.r2/simulator.json'), 'utf8')).endpoint as string;
  const isThere = (url: string) =>
    fetch(url).then(
      () => true,
      () => false,
    );
  return (await Promise.all([page, simulator].map(async (url) => ((await isThere(url)) ? [url] : [])))).flat();
}

const waitFor = (run: Run, text: string) => eventually(() => expect(run.text()).toContain(text), { interval: 10 });

it('--once: every sample is in the simulated bucket, whatever settings the user has', async () => {
  const directory = makeDirectory();
  const run = startDemo(directory, ['--once'], { R2_EXTENSIONS: 'gif', R2_KEY_TEMPLATE: '{hash}', R2_BUCKET: 'other' });
  expect(await run.exit, run.text()).toBe(0);
  expect(run.text().match(/^ {2}same bytes .*\.(png|mp4)$/gm)).toHaveLength(4);
  expect(run.text()).toContain('All 4 samples are in the bucket, byte for byte');
  expect(run.text()).not.toMatch(/[Ee]rror|warn/);
  expect(existsSync(join(directory, '.r2/demo.pid'))).toBe(false);
});

it('--once with R2_ENDPOINT set: every sample is in that bucket, and its keys are on no disk', async () => {
  const directory = makeDirectory();
  const place = await startMiniflare({ bucket: 'not-the-usual-one' });
  onTestFinished(() => place.close());
  const run = startDemo(directory, ['--once'], {
    R2_ENDPOINT: place.endpoint,
    R2_BUCKET: place.bucket,
    R2_ACCESS_KEY: place.accessKeyId,
    R2_SECRET_KEY: place.secretAccessKey,
  });
  expect(await run.exit, run.text()).toBe(0);
  expect(await createS3Client(place).list('outputs/demo-')).toHaveLength(4);
  const data = join(directory, '.r2');
  const kept = readdirSync(data, { recursive: true, encoding: 'utf8' }).map((name) => join(data, name));
  const texts = kept.filter((file) => statSync(file).isFile()).map((file) => readFileSync(file, 'latin1'));
  expect(texts.length).toBeGreaterThan(0);
  expect(texts.filter((text) => text.includes(place.secretAccessKey))).toEqual([]);
});

it('Ctrl-C drains once and leaves nothing running, and the bucket outlives it', async () => {
  const directory = makeDirectory();
  const run = startDemo(directory, []);
  await waitFor(run, 'writing');
  expect(await findServers(run, directory)).toHaveLength(2);
  const second = startDemo(directory, []);
  expect(await second.exit).toBe(2);
  expect(second.text()).toContain('already');

  // npm passes on what the terminal has sent to every process already.
  run.signal('SIGINT');
  await waitFor(run, 'stopping');
  run.signal('SIGINT');
  expect(await run.exit, run.text()).toBe(0);
  // The video is finished and uploaded before the end.
  expect(run.text()).toContain('stopped: all 4 files are in the bucket');
  expect(await findServers(run, directory)).toEqual([]);
  expect(existsSync(join(directory, '.r2/demo.pid'))).toBe(false);

  const list = startDemo(directory, ['--list']);
  expect(await list.exit, list.text()).toBe(0);
  expect(list.text()).toMatch(/^ +9\.0 MB {2}outputs\/demo-.*\/video\/.*\.mp4$/m);
  expect(list.text()).toContain('4 objects');
});

it('a demo that is killed leaves nothing running', async () => {
  const directory = makeDirectory();
  const run = startDemo(directory, []);
  await waitFor(run, '→ outputs/');
  expect(await findServers(run, directory)).toHaveLength(2);
  run.signal('SIGKILL');
  // Removed by the last process, when the others have ended.
  const left = join(directory, '.r2/demo.pid');
  await eventually(() => expect(existsSync(left)).toBe(false), { interval: 50 });
  expect(await findServers(run, directory)).toEqual([]);
});

it('a mistake ends it with exit code 2 and what to do', async () => {
  const directory = makeDirectory();
  const noKeys = startDemo(directory, ['--once'], { R2_ENDPOINT: 'https://abc.r2.cloudflarestorage.com' });
  expect(await noKeys.exit).toBe(2);
  expect(noKeys.text()).toContain('unset R2_ENDPOINT to use the simulator');
  const typo = startDemo(directory, ['--onec']);
  expect(await typo.exit).toBe(2);
  expect(typo.text()).toContain('npm run demo -- --once');
  expect(readdirSync(directory)).toEqual([]);
});
