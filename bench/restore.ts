// `r2-sync restore` beside `rclone copy`, from the same store on loopback, in one run. By hand, after `npm run build`:
//
//   npx node bench/restore.ts [--files 2000] [--large 3] [--large-mib 256] [--rounds 3] [--latency 0] [--dir DIRECTORY]
//
// rclone runs twice: with its defaults, and with as many files at a time as restore has. The store answers as R2 does: what
// was one PUT has the MD5 of its bytes for an ETag, which rclone checks; restore checks SHA-256. What each wrote is compared
// with what the store has.
import { execFileSync, fork, spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { parseArgs } from 'node:util';
import { FILES_AT_ONCE } from '../src/bucket/restore.ts';
import { objectKey } from '../src/object/key.ts';
import { objectMetadata } from '../src/object/metadata.ts';
import { startStoreDouble } from '../test/support/store-double.ts';

const agent = new URL('../dist/r2-sync.js', import.meta.url).pathname;
const template = 'outputs/{path}/{date}/{name}-{hash16}{ext}';
const wrote = Date.parse('2026-11-20T12:00:00Z');

if (process.argv[2] === 'serve')
  await serve(...(process.argv.slice(3).map(Number) as [number, number, number, number]));
else await main();

/** A store in a process of its own. All bodies are cut out of one block of random bytes. */
async function serve(files: number, large: number, largeBytes: number, latencyMs: number): Promise<void> {
  const block = randomBytes(Math.max(64 * 2 ** 20, largeBytes + 2 ** 20));
  const double = await startStoreDouble({ buckets: ['bench'], checkSignatures: false, verify: false, latencyMs });
  const sizes = Array.from({ length: files }, (_, n) => 200_000 + ((n * 7919) % 1_800_000));
  for (const [n, size] of [...sizes, ...new Array<number>(large).fill(largeBytes)].entries()) {
    const start = (n * 104_729) % (block.length - size);
    const body = block.subarray(start, start + size);
    const sha256 = createHash('sha256').update(body).digest('hex');
    const mtimeNs = BigInt(wrote + n) * 1_000_000n;
    const path = `user${n % 20}/ComfyUI_${String(n).padStart(5, '0')}_.${size === largeBytes ? 'mp4' : 'png'}`;
    const facts = { pod: '0123456789ab', agent: '0', incomplete: false };
    const md5 = createHash('md5').update(body).digest('hex');
    double.objects.set(objectKey(template, 'UTC', { path, mtimeNs, sha256 }), {
      body,
      size,
      sha256,
      etag: size > 8 * 2 ** 20 ? `"${md5}-2"` : `"${md5}"`,
      metadata: objectMetadata({ path, mtimeNs, sha256, ...facts }),
      contentType: 'image/png',
      storedAt: wrote,
    });
  }
  const bytes = [...double.objects.values()].reduce((sum, { size }) => sum + size, 0);
  process.send!({ endpoint: double.endpoint, bytes, files: double.objects.size });
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      files: { type: 'string', default: '2000' },
      large: { type: 'string', default: '3' },
      'large-mib': { type: 'string', default: '256' },
      rounds: { type: 'string', default: '3' },
      latency: { type: 'string', default: '0' },
      dir: { type: 'string', default: tmpdir() },
    },
  });
  const largeBytes = Number(values['large-mib']) * 2 ** 20;
  const store = fork(process.argv[1]!, ['serve', values.files, values.large, `${largeBytes}`, values.latency]);
  const place = mkdtempSync(join(values.dir, 'bench-restore-'));
  try {
    const [{ endpoint, bytes, files }] = (await once(store, 'message')) as [Record<string, never>];
    await compare(place, endpoint!, { bytes: bytes!, files: files!, rounds: Number(values.rounds) }, values.latency);
  } finally {
    store.kill();
    rmSync(place, { recursive: true, force: true });
  }
}

async function compare(
  place: string,
  endpoint: string,
  { bytes, files, rounds }: { bytes: number; files: number; rounds: number },
  latency: string,
): Promise<void> {
  const home = join(place, 'home');
  mkdirSync(home);
  const rclone = (options: string[]) => (to: string) =>
    time('rclone', ['copy', ':s3:bench/outputs', to, ...options], {
      HOME: home,
      RCLONE_CONFIG: '/dev/null',
      RCLONE_S3_PROVIDER: 'Other',
      RCLONE_S3_REGION: 'auto',
      RCLONE_S3_ENDPOINT: endpoint,
      RCLONE_S3_ACCESS_KEY_ID: 'key-of-the-bench',
      RCLONE_S3_SECRET_ACCESS_KEY: 'secret-of-the-bench',
    });
  const ours = (to: string) =>
    time(agent, ['restore', to], {
      HOME: home,
      R2_ENDPOINT: endpoint,
      R2_BUCKET: 'bench',
      R2_ACCESS_KEY_ID: '0123456789abcdef'.repeat(2),
      R2_SECRET_ACCESS_KEY: '0123456789abcdef'.repeat(4),
    });
  const contenders: [string, (to: string) => Promise<Figures>][] = [
    ['rclone copy, its defaults', rclone([])],
    [`rclone copy --transfers ${FILES_AT_ONCE}`, rclone(['--transfers', `${FILES_AT_ONCE}`, '--checkers', '16'])],
    ['r2-sync restore', ours],
  ];
  const cores = cpus().length;
  console.log(
    `${files} files, ${(bytes / 1e9).toFixed(2)} GB, ${rounds} rounds in turn, ${cores} cores, replies after ${latency} ms, into ${place}`,
  );
  const figures = new Map<string, Figures[]>(contenders.map(([name]) => [name, []]));
  let again = 0;
  for (let round = 0; round < rounds; round += 1) {
    for (const [name, run] of round % 2 === 0 ? contenders : contenders.toReversed()) {
      const to = join(place, 'files');
      execFileSync('sync');
      figures.get(name)!.push(await run(to));
      checkTree(to, files, bytes);
      if (run === ours) again = (await ours(to)).seconds;
      rmSync(to, { recursive: true });
    }
  }
  const median = (of: number[]) => of.toSorted((a, b) => a - b)[Math.floor(of.length / 2)]!;
  const own = median(figures.get('r2-sync restore')!.map(({ seconds }) => seconds));
  for (const [name, runs] of figures) {
    const seconds = runs.map((run) => run.seconds);
    const value = median(seconds);
    const spread = `${Math.min(...seconds).toFixed(2)} to ${Math.max(...seconds).toFixed(2)}`;
    const speed = `${(bytes / 1e6 / value).toFixed(0)} MB/s`.padStart(9);
    const memory = `${Math.max(...runs.map((run) => run.peakMb)).toFixed(0)} MB`.padStart(7);
    const ratio = `restore takes ${(own / value).toFixed(2)} of its time`;
    const cpu = `${median(runs.map((run) => run.cpuSeconds)).toFixed(1)} s of CPU`;
    console.log(`${name.padEnd(30)} ${value.toFixed(2)} s (${spread}) ${speed}, ${cpu}, at most ${memory}  ${ratio}`);
  }
  console.log(`restore again, with everything there: ${again.toFixed(2)} s`);
}

function checkTree(root: string, files: number, bytes: number): void {
  const found = readdirSync(root, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  const total = found.reduce((sum, { parentPath, name }) => sum + statSync(join(parentPath, name)).size, 0);
  if (found.length !== files || total !== bytes) throw new Error(`${found.length} files of ${total} bytes came`);
}

interface Figures {
  seconds: number;
  peakMb: number;
  /** User and system. */
  cpuSeconds: number;
}

/** It must succeed. The peak is the largest resident size of the process itself. */
async function time(command: string, args: string[], env: Record<string, string>): Promise<Figures> {
  const from = performance.now();
  const measured = ['-f', '%M %U %S', command, ...args];
  const child = spawn('/usr/bin/time', measured, {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { PATH: process.env.PATH, ...env },
  });
  let said = '';
  child.stderr!.on('data', (chunk) => (said += chunk));
  const [code] = await once(child, 'close');
  if (code !== 0) throw new Error(`${command} ended with ${code}: ${said}`);
  const seconds = (performance.now() - from) / 1000;
  const [kib = 0, user = 0, system = 0] = said.trim().split('\n').at(-1)!.split(' ').map(Number);
  return { seconds, peakMb: kib / 1024, cpuSeconds: user + system };
}
