// Where the time of one 2 MB picture goes, stage by stage, with the agent's own code: wall and CPU per file, over http and
// over TLS, beside the floor (read it, hash it, send it with Node's http alone). See profile.md.
// In a process namespace of its own it looks through as many processes as in a pod, and not through the machine's:
//   unshare --pid --fork --mount-proc node --max-semi-space-size=1 --no-warnings bench/profile.ts [--files 100]
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { closeSync, mkdtempSync, openSync, readdirSync, readSync, rmSync, statSync } from 'node:fs';
import * as http from 'node:http';
import * as https from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { systemClock } from '../src/clock.ts';
import { Ledger } from '../src/ledger/ledger.ts';
import { createLog } from '../src/log.ts';
import { forgoOptimisation } from '../src/memory.ts';
import { createS3Store } from '../src/upload/s3.ts';
import { startVolume } from '../src/volume/volume.ts';
import { startInotifywait } from '../src/watch/inotifywait.ts';
import { testCertificate } from '../test/support/test-certificate.ts';
import { makeSample, type Sample, writeSample } from './support/samples.ts';
import { percentile } from './support/statistics.ts';

// As in the agent, before anything runs often.
forgoOptimisation();
process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0';
process.removeAllListeners('warning');

const { values } = parseArgs({ options: { files: { type: 'string', default: '100' } } });
const count = Number(values.files);
const PAUSE_MS = 20;
const WARM_UP = 10;
const BUCKET = 'bench';

interface Figures {
  stage: string;
  p50: number;
  p99: number;
  cpu: number;
}

const rows: Figures[] = [];
let processes = 0;
const root = mkdtempSync(join(tmpdir(), 'r2-sync-profile-'));
try {
  await profile();
} finally {
  rmSync(root, { recursive: true, force: true });
}
console.log('| stage | p50 ms | p99 ms | CPU ms a file |\n| --- | --- | --- | --- |');
for (const { stage, p50, p99, cpu } of rows)
  console.log(`| ${stage} | ${p50.toFixed(2)} | ${p99.toFixed(2)} | ${cpu.toFixed(2)} |`);
console.log(`\n${processes} processes were there to be looked through.`);

async function profile(): Promise<void> {
  const samples: Sample[] = Array.from({ length: count + WARM_UP }, (_, index) => makeSample(index));
  const size = samples[0]!.size;
  const paths = samples.map((_, index) => `picture-${index}.png`);

  let heard: (at: number) => void = () => {};
  const hints = await startInotifywait(root, {
    hint: ({ kind }) => {
      if (kind === 'closed') heard(performance.now());
    },
    lost: (_, reason) => console.error(reason),
  });
  await measure('hint: close → inotifywait → agent', async (nth) => {
    const said = new Promise<number>((resolve) => {
      heard = resolve;
    });
    writeSample(join(root, paths[nth]!), samples[nth]!);
    const begun = performance.now();
    return (await said) - begun;
  });
  await hints.close();

  processes = readdirSync('/proc').filter((name) => /^\d/.test(name)).length;
  const volume = startVolume();
  await measure('look: identity, and who has it open', async (nth) => {
    await volume.ask('examine', { root, paths: [paths[nth]!], writers: true });
  });
  const looks = (await volume.ask('examine', { root, paths, writers: false })).looks;
  let buffer = new ArrayBuffer(4 * 2 ** 20);
  await measure('read, judge and hash in the worker', async (nth) => {
    const look = looks[nth]!;
    if (look.is !== 'file') throw new Error(`${paths[nth]} is ${look.is}`);
    const read = await volume.ask('read', { root, path: paths[nth]!, identity: look.identity, buffer }, [buffer]);
    if (read.is !== 'read') throw new Error(`${paths[nth]} is ${read.is}`);
    buffer = read.buffer;
  });
  await volume.close();

  const memory = Buffer.allocUnsafeSlow(size);
  const readInto = (nth: number) => {
    const fd = openSync(join(root, paths[nth]!), 'r');
    readSync(fd, memory, 0, size, 0);
    closeSync(fd);
  };
  await measure('floor: read', async (nth) => readInto(nth));
  await measure('floor: hash', async () => void createHash('sha256').update(memory).digest('hex'));
  for (const tls of [false, true]) await measureStore(tls, memory, samples, readInto);

  const ledger = await Ledger.open({
    targetDir: join(root, 'ledger'),
    clock: systemClock,
    log: createLog({ level: 'warn', secrets: [] }),
  });
  await measure('ledger line, synced (after the file is stored)', async (nth) => {
    const { sha256 } = samples[nth]!;
    const { mtimeNs } = statSync(join(root, paths[nth]!), { bigint: true });
    await ledger.record({ path: paths[nth]!, size, mtimeNs, sha256, key: paths[nth]!, storedAt: 0, incomplete: false });
  });
  await ledger.close();
}

async function measureStore(
  tls: boolean,
  body: Buffer,
  samples: readonly Sample[],
  readInto: (nth: number) => void,
): Promise<void> {
  const name = tls ? 'TLS' : 'http';
  const double = await startDouble(tls);
  const { endpoint, accessKeyId, secretAccessKey } = double;
  const store = createS3Store({ endpoint, bucket: BUCKET, accessKeyId, secretAccessKey, concurrency: 4 });
  const metadata = { mtime: '1.0', pod: 'abcdef123456', agent: '1' };
  await measure(`send over ${name}: sign, 2 MB, reply`, async (nth) => {
    readInto(nth);
    const { sha256 } = samples[nth]!;
    const begun = performance.now();
    await store.put({ key: `a/${nth}`, body, sha256, contentType: 'image/png', metadata });
    return performance.now() - begun;
  });
  await measure(`send over ${name}: sign, 1 byte, reply`, async (nth) => {
    const one = body.subarray(0, 1);
    const sha256 = createHash('sha256').update(one).digest('hex');
    await store.put({ key: `b/${nth}`, body: one, sha256, contentType: 'image/png', metadata });
  });
  store.close();
  const agent = tls ? new https.Agent({ keepAlive: true }) : new http.Agent({ keepAlive: true });
  await measure(`floor: 2 MB over ${name}, Node's http alone`, (nth) => sendPlain(endpoint, `c/${nth}`, body, agent));
  const one = body.subarray(0, 1);
  await measure(`floor: 1 byte over ${name}, Node's http alone`, (nth) => sendPlain(endpoint, `d/${nth}`, one, agent));
  agent.destroy();
  double.stop();
}

function sendPlain(endpoint: string, key: string, body: Buffer, agent: http.Agent): Promise<void> {
  return new Promise((resolve, reject) => {
    const { request } = endpoint.startsWith('https') ? https : http;
    const headers = { 'content-length': body.length };
    const sent = request(`${endpoint}/${BUCKET}/${key}`, { method: 'PUT', agent, headers }, (reply) => {
      reply.resume().on('end', resolve);
    });
    sent.on('error', reject).end(body);
  });
}

/** Runs a stage for every file; it may tell its own time. A pause between two, as between two pictures. */
async function measure(stage: string, run: (nth: number) => Promise<unknown>): Promise<void> {
  const times: number[] = [];
  let cpu = 0;
  for (let nth = 0; nth < count + WARM_UP; nth += 1) {
    const before = process.cpuUsage();
    const begun = performance.now();
    const told = await run(nth);
    const took = typeof told === 'number' ? told : performance.now() - begun;
    const { user, system } = process.cpuUsage(before);
    if (nth >= WARM_UP) {
      times.push(took);
      cpu += (user + system) / 1000;
    }
    await systemClock.sleep(PAUSE_MS);
  }
  rows.push({ stage, p50: percentile(times, 0.5), p99: percentile(times, 0.99), cpu: cpu / count });
}

/** The store double in a process of its own, with nothing checked and nothing kept. */
async function startDouble(tls: boolean) {
  const script = `
    const { startStoreDouble } = await import(${JSON.stringify(join(import.meta.dirname, '../test/support/store-double.ts'))});
    const double = await startStoreDouble(JSON.parse(process.argv[1]));
    console.log(JSON.stringify({ endpoint: double.endpoint, ...double.settings }));`;
  const options = {
    buckets: [BUCKET],
    verify: false,
    checkSignatures: false,
    discardBodies: true,
    ...(tls ? { tls: testCertificate } : {}),
  };
  const args = ['--no-warnings', '--input-type=module', '-e', script, '--', JSON.stringify(options)];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const line = await new Promise<string>((resolve) => child.stdout.once('data', (data) => resolve(String(data))));
  const { endpoint, accessKeyId, secretAccessKey } = JSON.parse(line) as Record<string, string>;
  return {
    endpoint: endpoint!,
    accessKeyId: accessKeyId!,
    secretAccessKey: secretAccessKey!,
    stop: () => void child.kill(),
  };
}
