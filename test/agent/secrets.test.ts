// Invariant 8: secrets stay secret. Everything that the agent writes, shows, stores or hands to another program is looked
// through for them.
import { readdir, readFile, readlink } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { freePort, until } from '../support/agent.ts';
import { bigPicture, makeScene, type Scene, uniqueText } from './scene.ts';

function makeSecrets() {
  return {
    accessKeyId: uniqueText('AK').slice(0, 32).padEnd(32, '0'),
    secretAccessKey: `${uniqueText('SK')}/+=%22`.padEnd(64, '0'),
    sessionToken: `${uniqueText('ST')}+/==`,
    statusToken: uniqueText('TOK'),
    runpodApiKey: uniqueText('rpa_'),
  };
}

type Secrets = ReturnType<typeof makeSecrets>;

function settingsOf(secrets: Secrets): Record<string, string> {
  return {
    R2_ACCESS_KEY: secrets.accessKeyId,
    R2_SECRET_KEY: secrets.secretAccessKey,
    R2_SESSION_TOKEN: secrets.sessionToken,
    R2_STATUS_TOKEN: secrets.statusToken,
    RUNPOD_API_KEY: secrets.runpodApiKey,
    R2_LOG_LEVEL: 'trace',
  };
}

/** Fails if any of the secrets, plain or percent-encoded, is in the text. */
function expectNone(secrets: Secrets, where: string, text: string): void {
  for (const [name, secret] of Object.entries(secrets)) {
    for (const form of [secret, encodeURIComponent(secret), JSON.stringify(secret).slice(1, -1)])
      if (text.includes(form)) expect.unreachable(`the ${name} is in ${where}`);
  }
}

async function readTree(dir: string): Promise<string> {
  const files = await readdir(dir, { recursive: true, withFileTypes: true });
  const texts = files
    .filter((file) => file.isFile())
    .map(async (file) => `${file.name}\n${await readFile(join(file.parentPath, file.name), 'latin1')}`);
  return (await Promise.all(texts)).join('\n');
}

/** Processes below this one: command line and environment. */
async function descendants(pid: number): Promise<{ pid: number; cmdline: string; environ: string; exe: string }[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number);
  const parents = new Map<number, number>();
  for (const other of pids) {
    const stat = await readFile(`/proc/${other}/stat`, 'utf8').catch(() => '');
    parents.set(other, Number(stat.split(') ').at(-1)?.split(' ')[1]));
  }
  const below = (other: number): boolean => other === pid || (parents.has(other) && below(parents.get(other)!));
  return Promise.all(
    pids
      .filter((other) => other !== pid && below(other))
      .map(async (other) => ({
        pid: other,
        cmdline: await readFile(`/proc/${other}/cmdline`, 'utf8').catch(() => ''),
        environ: await readFile(`/proc/${other}/environ`, 'utf8').catch(() => ''),
        exe: await readlink(`/proc/${other}/exe`).catch(() => ''),
      })),
  );
}

function objectsAsText({ double }: Scene): string {
  return JSON.stringify([...double.objects].map(([key, { metadata, contentType }]) => [key, metadata, contentType]));
}

describe.concurrent('invariant 8', () => {
  test('a life with successes, failures, refusals and parts leaks nothing anywhere', async (context) => {
    const secrets = makeSecrets();
    const scene = await makeScene(context, secrets);
    await scene.draw('a.png', 'sub/b.png');
    await scene.write('video.png', bigPicture(9));
    let phase: 'signed' | 'echoed' | 'refused' | 'well' = 'signed';
    scene.double.fault = ({ headers }) => {
      // Something on the way that repeats what it was sent, and what it may have guessed.
      const echo = `no ${headers['x-amz-security-token']} for ${secrets.accessKeyId}, ${secrets.secretAccessKey}`;
      if (phase === 'signed') return { status: 500, code: 'InternalError', message: `${headers.authorization}` };
      if (phase === 'echoed') return { status: 500, code: `Strange${secrets.accessKeyId}`, message: echo };
      return phase === 'refused' ? { status: 403, code: 'AccessDenied', message: echo } : undefined;
    };
    const agent = await scene.start(settingsOf(secrets));
    const pages: string[] = [];
    const look = async () => {
      for (const path of ['/api/status', '/', '/metrics', '/healthz', '/page.json', '/badge.json', '/page.js'])
        pages.push(await (await fetch(agent.url + path)).text());
    };
    await agent.until(({ store }) => store.lastError !== null, 'a failure');
    await look();
    phase = 'echoed';
    await agent.until(({ store }) => /Strange/.test(store.lastError ?? ''), 'one of another kind');
    await look();
    phase = 'refused';
    await agent.until(({ state }) => state === 'failing', 'a refusal');
    await look();
    phase = 'well';
    const children = await descendants(agent.process.pid!);
    for (const { environ, cmdline } of children) expectNone(secrets, `the process ${cmdline}`, environ + cmdline);
    expectNone(secrets, 'the command line', await readFile(`/proc/${agent.process.pid}/cmdline`, 'utf8'));
    await agent.until(({ safeToStop, totals }) => safeToStop && totals.storedFiles === 3, 'stored');
    await look();
    const status = await scene.command(['status', '--json'], {
      ...settingsOf(secrets),
      R2_STATUS_PORT: new URL(agent.url).port,
    });
    expect(status.code).toBe(0);
    await agent.stop();
    expectNone(secrets, 'page, API or metrics', pages.join('\n'));
    expectNone(secrets, 'status', status.stdout + status.stderr);
    expectNone(secrets, 'the log', agent.log());
    expectNone(secrets, 'ledger and state', await readTree(scene.place.output));
    expectNone(secrets, 'the run directory', await readTree(scene.place.runDir));
    expectNone(secrets, "the objects' keys and metadata", objectsAsText(scene));
    expect(agent.log().length).toBeGreaterThan(500);
    await scene.expectStored(['a.png', 'sub/b.png', 'video.png']);
  });

  test('exec hands none of them to the command, and the settings files are for us alone', async (context) => {
    const secrets = makeSecrets();
    const { runpodApiKey, ...ours } = secrets;
    const scene = await makeScene(context, secrets);
    const { code, stdout, stderr } = await scene.command(['exec', '--', 'env'], {
      ...settingsOf(secrets),
      R2_ACCESS_KEY_ID: secrets.accessKeyId,
      R2_SECRET_ACCESS_KEY: secrets.secretAccessKey,
    });
    expect(code).toBe(0);
    expect(stdout).toContain('PATH=');
    const environment = stdout.split('\n').filter((line) => !line.startsWith('RUNPOD_API_KEY='));
    expectNone(secrets, "the command's environment", environment.join('\n') + stderr);
    expect(ours.accessKeyId).toHaveLength(32);
    expect(runpodApiKey).toContain('rpa_');
  });

  test('wrong settings and wrong commands repeat none of them', async (context) => {
    const secrets = makeSecrets();
    const scene = await makeScene(context, secrets);
    const { secretAccessKey: secret, accessKeyId: id } = secrets;
    const attempts: [string[], Record<string, string>][] = [
      [['sync'], { R2_ENDPOINT: `https://${id}:${secret}@host.example` }],
      [['sync'], { R2_ENDPOINT: secret }],
      [['sync'], { R2_BUCKET: `${secret} x` }],
      [['plan'], { R2_SCAN_SECONDS: secret }],
      [['plan'], { R2_SECRET_KEY_FILE: secret, R2_SECRET_KEY: '' }],
      [['config', 'set', `R2_SECRET=${secret}`], {}],
      [['config', 'set', `R2_SCAN_SECONDS=${secret}`], {}],
      [['config', 'set', `R2_SECRET_KEY=${secret}`, `R2_BUCKET=${secret}`], {}],
      [['status', '--json'], { R2_SECRET_KEY: '' }],
    ];
    for (const [args, settings] of attempts) {
      const { stdout, stderr } = await scene.command(args, { ...settingsOf(secrets), ...settings });
      expectNone(secrets, `what ${args[0]} prints with ${Object.keys(settings)}`, stdout + stderr);
    }
  });

  test('beyond loopback nothing is shown without the token, and a token that was made up is logged once', async (context) => {
    const secrets = makeSecrets();
    const scene = await makeScene(context, secrets);
    await scene.draw('a.png');
    const port = await freePort();
    const settings = { ...settingsOf(secrets), R2_STATUS_HOST: '0.0.0.0', R2_STATUS_PORT: String(port) };
    const starting = scene.start(settings);
    starting.catch(() => {});
    const url = `http://127.0.0.1:${port}`;
    const ask = (token?: string) =>
      fetch(`${url}/api/status`, token ? { headers: { authorization: `Bearer ${token}` } } : {}).catch(() => undefined);
    await until(async () => (await ask(secrets.statusToken))?.status === 200, 'the page with its token');
    expect((await ask())?.status).toBe(401);
    expect((await ask('wrong'))?.status).toBe(401);
    for (const path of ['/', '/metrics']) expect((await fetch(url + path)).status).not.toBe(200);
    expectNone(secrets, 'the page for strangers', await (await fetch(url)).text());
    const status = await scene.command(['wait', '--timeout', '20'], settings);
    expect(status.code).toBe(0);
    expectNone(secrets, 'wait', status.stdout + status.stderr);
  });
});
