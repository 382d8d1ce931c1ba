// download_models.sh beside aria2 alone, on the same files from the same local host, in one run. By hand:
//
//   npx node bench/downloads.ts [--files 6] [--mib 512] [--rounds 3] [--dir DIRECTORY] [--mbps PER-CONNECTION]
//
// aria2 runs three times: with its defaults, with this script's connections, and so with --checksum as well, which is the
// same work. Also measured: how long a start takes that finds everything in place.
import { execFileSync, fork, spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { parseArgs } from 'node:util';

const script = new URL('../download_models.sh', import.meta.url).pathname;
const commit = '0123456789abcdef0123456789abcdef01234567';

/** A host in a process of its own, so that it doesn't wait for us: redirects as Hugging Face does, then sends ranges. */
function serve(size: number, hashes: string[], seeds: string[], mbps: number): void {
  const bodies = seeds.map((seed) => contentOf(Number(seed), size));
  const storage = createServer(async (request, response) => {
    const body = bodies[Number(/(\d+)\.bin/.exec(request.url!)![1])]!;
    const range = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '');
    const from = Number(range?.[1] ?? 0);
    const to = range?.[2] ? Number(range[2]) : size - 1;
    response.writeHead(range ? 206 : 200, {
      'content-length': to - from + 1,
      'accept-ranges': 'bytes',
      ...(range ? { 'content-range': `bytes ${from}-${to}/${size}` } : {}),
    });
    const step = mbps > 0 ? Math.floor((mbps * 125_000) / 20) : 1 << 20;
    for (let at = from; at <= to && !response.destroyed; at += step) {
      const flows = response.write(body.subarray(at, Math.min(at + step, to + 1)));
      if (mbps > 0) await new Promise((resolve) => setTimeout(resolve, 50));
      else if (!flows && !response.destroyed) await drained(response);
    }
    response.end();
  }).listen(0, '127.0.0.1');
  const hub = createServer((request, response) => {
    const index = Number(/(\d+)\.bin/.exec(request.url!)![1]);
    const location = `http://127.0.0.1:${(storage.address() as AddressInfo).port}/${index}.bin?X-Amz-Signature=x`;
    response.writeHead(302, { location, 'x-linked-size': size, 'x-linked-etag': `"${hashes[index]}"` }).end();
  }).listen(0, '127.0.0.1', () => process.send!({ port: (hub.address() as AddressInfo).port }));
}

const drained = (response: ServerResponse) =>
  new Promise<void>((resolve) => {
    const done = () => {
      response.off('drain', done).off('close', done);
      resolve();
    };
    response.on('drain', done).on('close', done);
  });

/** The same bytes for the same seed, without keeping them on a disk: a block that is repeated, numbered. */
function contentOf(seed: number, size: number): Buffer {
  const body = Buffer.alloc(size);
  const block = createHash('sha512').update(`${seed}`).digest();
  for (let at = 0; at < size; at += 4096) {
    block.copy(body, at);
    body.writeUInt32LE(at / 4096, at + 64);
  }
  return body;
}

if (process.argv[2] === 'serve') {
  const [size, mbps, ...rest] = process.argv.slice(3);
  const half = rest.length / 2;
  serve(Number(size), rest.slice(0, half), rest.slice(half), Number(mbps));
} else {
  await main();
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      files: { type: 'string', default: '6' },
      mib: { type: 'string', default: '512' },
      rounds: { type: 'string', default: '3' },
      mbps: { type: 'string', default: '0' },
      dir: { type: 'string', default: tmpdir() },
    },
  });
  const [files, size, rounds] = [Number(values.files), Number(values.mib) * 2 ** 20, Number(values.rounds)];
  const seeds = Array.from({ length: files }, () => `${randomBytes(4).readUInt32LE()}`);
  const hashes = seeds.map((seed) =>
    createHash('sha256')
      .update(contentOf(Number(seed), size))
      .digest('hex'),
  );
  const place = mkdtempSync(join(values.dir, 'bench-downloads-'));
  const host = fork(process.argv[1]!, ['serve', `${size}`, values.mbps, ...hashes, ...seeds]);
  try {
    const [{ port }] = (await once(host, 'message')) as [{ port: number }];
    await compare(place, `http://127.0.0.1:${port}`, { files, size, rounds, hashes });
  } finally {
    host.kill();
    rmSync(place, { recursive: true, force: true });
  }
}

interface Plan {
  files: number;
  size: number;
  rounds: number;
  hashes: string[];
}

async function compare(place: string, host: string, { files, size, rounds, hashes }: Plan): Promise<void> {
  const list = join(place, 'models.json');
  const names = hashes.map((_, index) => `${index}`);
  const entry = (name: string) => ({
    repo: 'r',
    file: `${name}.bin`,
    to: `checkpoints/${name}.bin`,
    size,
    sha256: hashes[Number(name)],
  });
  writeFileSync(
    list,
    JSON.stringify({
      format: 1,
      repos: { r: { repo: 'o/r', revision: commit } },
      files: Object.fromEntries(names.map((name) => [name, entry(name)])),
      toggles: [{ name: 'ENABLE_ALL', title: 'all', group: 'image', nodes: [], fetches: names }],
    }),
  );
  const ours = (models: string) =>
    time('bash', [script], { ENABLE_ALL: 'true', MODELS_DIR: models, MODELS_MANIFEST: list, HF_ENDPOINT: host });
  const aria2 = (options: string[], checksum: boolean) => (models: string) => {
    const lines = names.map((name) => {
      const check = checksum ? `\n checksum=sha-256=${hashes[Number(name)]}` : '';
      return `${host}/o/r/resolve/${commit}/${name}.bin\n dir=${models}\n out=${name}.bin${check}`;
    });
    const common = ['--no-conf=true', '--file-allocation=none', '--input-file=-', '--quiet=true', '--max-tries=3'];
    return time('aria2c', [...common, ...options], {}, lines.join('\n'));
  };
  const tuned = ['-j4', '-x8', '-s8', '-k8M'];
  const contenders: [string, (models: string) => Promise<number>][] = [
    ['aria2, its defaults, nothing checked', aria2([], false)],
    ['aria2 -j4 -x8 -s8, nothing checked', aria2(tuned, false)],
    ['aria2 -j4 -x8 -s8 --checksum', aria2(tuned, true)],
    ['download_models.sh', ours],
  ];
  console.log(
    `${files} files of ${size / 2 ** 20} MiB, ${rounds} rounds in turn, ${cpus().length} cores, into ${place}`,
  );
  const seconds = new Map<string, number[]>(contenders.map(([name]) => [name, []]));
  let again = 0;
  for (let round = 0; round < rounds; round += 1) {
    for (const [name, run] of round % 2 === 0 ? contenders : contenders.toReversed()) {
      const models = join(place, 'models');
      mkdirSync(models);
      execFileSync('sync');
      seconds.get(name)!.push(await run(models));
      if (run === ours) again = await ours(models);
      rmSync(models, { recursive: true });
    }
  }
  const median = (of: number[]) => of.toSorted((a, b) => a - b)[Math.floor(of.length / 2)]!;
  const own = median(seconds.get('download_models.sh')!);
  for (const [name, figures] of seconds) {
    const value = median(figures);
    const spread = `${Math.min(...figures).toFixed(2)} to ${Math.max(...figures).toFixed(2)}`;
    const speed = `${((files * size) / 1e6 / value).toFixed(0)} MB/s`;
    console.log(
      `${name.padEnd(38)} ${value.toFixed(2)} s (${spread})  ${speed.padStart(9)}  ours is ${(value / own).toFixed(2)}x as fast`,
    );
  }
  console.log(`a start with everything in place: ${again.toFixed(2)} s`);
}

/** Seconds that a command takes. It must succeed. */
async function time(command: string, args: string[], env: Record<string, string>, input = ''): Promise<number> {
  const from = performance.now();
  const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'inherit'], env: { PATH: process.env.PATH, ...env } });
  let printed = '';
  child.stdout!.on('data', (chunk) => (printed += chunk));
  child.stdin!.end(`${input}\n`);
  const [code] = await once(child, 'close');
  if (code !== 0) throw new Error(`${command} ended with ${code}: ${printed}`);
  return (performance.now() - from) / 1000;
}
