// What nothing in Node can undercut: for every line that inotifywait writes, read the file, hash it, and PUT it with one
// signed request on a connection that stays open. No look whether the file is finished, no memory, no second try, no
// safety at all. Settings as boto3_watch.py has them. Prints "ready" once inotifywait has set up its watches.
import { spawn } from 'node:child_process';
import { createHash, createHmac } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { Agent, request } from 'node:http';
import { relative } from 'node:path';
import { createInterface } from 'node:readline';

const { BENCH_DIR: dir = '', BENCH_BUCKET: bucket, BENCH_ENDPOINT: endpoint } = process.env;
const { AWS_ACCESS_KEY_ID: accessKey, AWS_SECRET_ACCESS_KEY: secretKey } = process.env;
const AT_ONCE = 4;
const agent = new Agent({ keepAlive: true, maxSockets: AT_ONCE });
const { hostname, port, host } = new URL(endpoint ?? '');
const waiting: string[] = [];
let working = 0;

const watcher = spawn('inotifywait', ['-m', '-r', '-e', 'close_write', '-e', 'moved_to', '--format', '%w%f', dir], {
  stdio: ['ignore', 'pipe', 'pipe'],
});
createInterface(watcher.stderr).on('line', (line) => line.includes('Watches established') && console.log('ready'));
createInterface(watcher.stdout).on('line', (path) => {
  waiting.push(path);
  void work();
});

async function work(): Promise<void> {
  if (working >= AT_ONCE) return;
  working += 1;
  for (let path = waiting.shift(); path !== undefined; path = waiting.shift())
    await store(path).catch((error: unknown) => console.error(path, error));
  working -= 1;
}

async function store(path: string): Promise<void> {
  const body = await readFile(path);
  const hash = createHash('sha256').update(body).digest('hex');
  const target = `/${bucket}/outputs/${relative(dir, path)}`;
  const time = new Date().toISOString().replace(/[-:]|\.\d+/g, '');
  const scope = `${time.slice(0, 8)}/auto/s3/aws4_request`;
  const signed = { host, 'x-amz-content-sha256': hash, 'x-amz-date': time };
  const names = Object.keys(signed).join(';');
  const lines = Object.entries(signed).map(([name, value]) => `${name}:${value}\n`);
  const canonical = ['PUT', target, '', lines.join(''), names, hash].join('\n');
  const text = ['AWS4-HMAC-SHA256', time, scope, createHash('sha256').update(canonical).digest('hex')].join('\n');
  const key = scope.split('/').reduce<string | Buffer>((secret, part) => hmac(secret, part), `AWS4${secretKey}`);
  const signature = hmac(key, text).toString('hex');
  const authorization = `AWS4-HMAC-SHA256 Credential=${accessKey}/${scope},SignedHeaders=${names},Signature=${signature}`;
  const headers = { ...signed, 'content-length': body.length, authorization };
  await new Promise<void>((resolve, reject) => {
    const put = request({ agent, hostname, port, method: 'PUT', path: target, headers }, (reply) => {
      reply
        .resume()
        .once('end', () => (reply.statusCode === 200 ? resolve() : reject(new Error(`${reply.statusCode}`))));
    });
    put.once('error', reject).end(body);
  });
}

function hmac(key: string | Buffer, text: string): Buffer {
  return createHmac('sha256', key).update(text).digest();
}
