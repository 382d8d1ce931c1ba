// start.sh for real: the stand-in ComfyUI, the built agent, a store that checks every byte.
import { createHash } from 'node:crypto';
import { readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { freePort, type Target, until } from '../support/agent.ts';
import { type StoreDouble, startStoreDouble } from '../support/store-double.ts';
import {
  commandLines,
  makePodPlace,
  type Pod,
  type PodPlace,
  program,
  removePodPlace,
  startPod,
  storeSettings,
} from './pod.ts';

let place: PodPlace;
let store: StoreDouble;
let target: Target;
let pods: Pod[] = [];

beforeEach(async () => {
  place = await makePodPlace();
  store = await startStoreDouble();
  const { accessKeyId, secretAccessKey } = store.settings;
  target = { endpoint: store.endpoint, bucket: 'runpod', accessKeyId, secretAccessKey };
});
afterEach(async () => {
  await Promise.all(pods.map((pod) => pod.end()));
  pods = [];
  await store.close();
  await removePodPlace(place);
});

async function start(settings: Record<string, string> = {}): Promise<Pod> {
  const pod = await startPod(place, settings);
  pods.push(pod);
  return pod;
}

/** Waits until the bucket has exactly the bytes of this file. */
async function arrives(path: string): Promise<string> {
  const hash = createHash('sha256')
    .update(await readFile(path))
    .digest('hex');
  let key = '';
  await until(() => {
    for (const [name, object] of store.objects) if (object.sha256 === hash) key = name;
    return key !== '';
  }, `${path} in the bucket`);
  return key;
}

const isRunning = (pid: number) => stat(`/proc/${pid}`).then(Boolean, () => false);

test('outputs are in the bucket with the right bytes, and the agent was there before ComfyUI', async () => {
  const pod = await start(storeSettings(target));
  await pod.ready();
  const log = pod.log();
  const order = ['r2-sync    on, ready after', 'starting ComfyUI', 'ComfyUI version'].map((text) => log.indexOf(text));
  expect(order).not.toContain(-1);
  expect(order).toEqual(order.toSorted((a, b) => a - b));
  for (const path of await pod.make('one/two', { count: 3, width: 300 })) await arrives(join(place.output, path));
  await pod.says(/bucket +ok: /);
});

test('the boot report says in about ten lines what was decided and why, and ends with what the bucket said', async () => {
  const pod = await start(storeSettings(target));
  await pod.ready();
  await pod.says(/bucket +ok: /);
  const lines = pod
    .log()
    .split('\n')
    .filter((line) => line.startsWith('[start] '));
  const words = lines.map((line) => line.slice('[start] '.length).split(' ')[0]);
  expect(words.at(-1)).toBe('bucket');
  for (const word of ['storage', 'disk', 'gpu', 'comfyui', 'files', 'ssh', 'jupyter', 'r2-sync'])
    expect(words).toContain(word);
  expect(lines.length).toBeLessThanOrEqual(14);
  expect(lines.filter((line) => line.includes('!!!'))).toEqual([]);
});

test('stopped in the middle of a picture, the pod finishes it and brings it to the bucket', async () => {
  const pod = await start({ ...storeSettings(target), COMFYUI_STANDIN_WRITE_MS: '600' });
  await pod.ready();
  await pod.ask('last', { width: 400, height: 400 });
  const path = join(place.output, 'last_00001_.png');
  await until(
    () =>
      stat(path).then(
        ({ size }) => size > 0,
        () => false,
      ),
    'the picture begins',
  );
  const begun = (await stat(path)).size;
  pod.signal();
  expect(await pod.ended, pod.log()).toBe(0);
  expect((await stat(path)).size).toBeGreaterThan(begun);
  expect((await readFile(path)).subarray(-8, -4).toString()).toBe('IEND');
  await arrives(path);
  expect(pod.log()).toContain('nothing is left');
});

test('a picture that takes longer than the end may is left on the disk, and the pod ends all the same', async () => {
  const pod = await start({ ...storeSettings(target), COMFYUI_STANDIN_WRITE_MS: '600000', R2_DRAIN_SECONDS: '3' });
  await pod.ready();
  await pod.ask('slow');
  await until(() => stat(join(place.output, 'slow_00001_.png')).then(Boolean, () => false), 'the picture begins');
  const comfyui = await pod.pidOf('ComfyUI');
  pod.signal();
  expect([0, 3]).toContain(await pod.ended);
  expect(pod.log()).toContain('ComfyUI is still writing an output; it is stopped all the same');
  expect(await isRunning(comfyui)).toBe(false);
});

test('ComfyUI killed inside comes back, the container lives, and outputs go on arriving', async () => {
  const pod = await start(storeSettings(target));
  await pod.ready();
  const first = await pod.pidOf('ComfyUI');
  process.kill(first, 'SIGKILL');
  await until(async () => (await pod.pidOf('ComfyUI')) !== first, 'another ComfyUI');
  await pod.ready();
  expect(pod.log()).toContain('ComfyUI was killed, most likely because memory ran out');
  for (const path of await pod.make('again')) await arrives(join(place.output, path));
});

test('the agent killed inside comes back, and what was made meanwhile arrives', async () => {
  const pod = await start(storeSettings(target));
  await pod.ready();
  const first = await pod.pidOf('r2-sync');
  process.kill(first, 'SIGKILL');
  const paths = await pod.make('meanwhile');
  await until(async () => (await pod.pidOf('r2-sync')) !== first, 'another agent');
  for (const path of paths) await arrives(join(place.output, path));
  pod.signal();
  expect(await pod.ended, pod.log()).toBe(0);
});

test('stopped while the agent is dead, the pod starts it once more, and what was made meanwhile arrives', async () => {
  const pod = await start(storeSettings(target));
  await pod.ready();
  // Twice, so that the pause before the next start is long enough to be met.
  for (const pause of [1, 2]) {
    const agent = await pod.pidOf('r2-sync');
    process.kill(agent, 'SIGKILL');
    await until(() => pod.log().includes(`it is started again in ${pause} s`), 'the pause');
    if (pause === 1) await until(async () => ![agent, 0].includes(await pod.pidOf('r2-sync')), 'another agent');
  }
  const paths = await pod.make('meanwhile');
  pod.signal();
  expect(await pod.ended, pod.log()).toBe(0);
  for (const path of paths) await arrives(join(place.output, path));
});

test('with nothing set, without GPU, volume and keys, ComfyUI starts, and the end is clean', async () => {
  const pod = await start();
  await pod.ready();
  for (const word of [
    "r2-sync    off: ENABLE_R2_SYNC isn't set",
    "ssh        off: PUBLIC_KEY isn't set",
    'flags: --cpu',
  ])
    expect(pod.log()).toContain(word);
  await pod.make('here');
  pod.signal();
  expect(await pod.ended, pod.log()).toBe(0);
});

test('keys and tokens are not in the environment of ComfyUI, and no command line ever holds one', async () => {
  const secrets = {
    R2_SECRET_KEY: target.secretAccessKey,
    R2_STATUS_TOKEN: 'status-token-4711',
    HF_TOKEN: 'hf_secret4711',
    CIVITAI_API_KEY: 'civitai4711',
    JUPYTER_PASSWORD: 'jupyter4711',
    RUNPOD_API_KEY: 'rpa_4711',
  };
  await program(place.base, 'jupyter', 'env >"$HEARMEMAN_RUN_DIR/jupyter.env"; exec sleep 600');
  const pod = await start({ ...storeSettings(target), ...secrets, PASS_TO_COMFYUI: 'R2_SECRET_KEY' });
  const seen: string[] = [];
  // From the first moment on: each look may miss a program, all together miss few.
  let over = false;
  const watching = (async () => {
    while (!over) seen.push(...(await commandLines(pod.pid)).values());
  })();
  await pod.ready();
  await pod.says(/bucket +ok: /);
  over = true;
  await watching;
  const hidden = [target.accessKeyId, ...Object.values(secrets)];
  expect(seen.some((line) => line.includes('main.py'))).toBe(true);
  for (const secret of hidden) expect(seen.filter((line) => line.includes(secret))).toEqual([]);
  const environments = [
    await readFile(`/proc/${await pod.pidOf('ComfyUI')}/environ`, 'utf8'),
    await readFile(join(pod.runDir, 'jupyter.env'), 'utf8'),
  ];
  for (const environment of environments) {
    expect(environment).toContain('R2_ENDPOINT=');
    for (const secret of hidden) expect(environment).not.toContain(secret);
  }
  for (const secret of hidden) expect(pod.log()).not.toContain(secret);
  const kept = join(pod.runDir, '../r2-run/env');
  expect((await stat(kept)).mode & 0o777).toBe(0o600);
  expect(await readFile(kept, 'utf8')).toContain(`R2_SECRET_KEY="${target.secretAccessKey}"`);
});

test('what a node does with pip goes to the volume and cannot replace what the image was built with', async () => {
  await writeFile(join(place.base, 'constraints.txt'), 'torch==0\n');
  const pod = await start({ HEARMEMAN_CONSTRAINTS: join(place.base, 'constraints.txt') });
  await pod.ready();
  const environment = (await readFile(`/proc/${await pod.pidOf('ComfyUI')}/environ`, 'utf8')).split('\0');
  expect(environment).toContain(`PYTHONUSERBASE=${place.workspace}/ComfyUI/python`);
  expect(environment).toContain(`PIP_CONSTRAINT=${place.base}/constraints.txt`);
  // What a node fetches when it is first used belongs on the volume as well, where download_models.sh puts such files.
  expect(environment).toContain(`AUX_ANNOTATOR_CKPTS_PATH=${place.workspace}/ComfyUI/models/controlnet_aux`);
});

test('two pods on one volume: both ComfyUIs run, and what each makes arrives once', async () => {
  const [one, two] = await Promise.all([start(storeSettings(target)), start(storeSettings(target))]);
  await Promise.all([one.ready(), two.ready()]);
  const paths = [...(await one.make('one')), ...(await two.make('two', { color: 255 }))];
  for (const path of paths) await arrives(join(place.output, path));
  const stored = [...store.objects.keys()].filter((key) => key.endsWith('.png'));
  expect(stored.length).toBe(2);
  for (const pod of [one, two]) pod.signal();
  expect([await one.ended, await two.ended], one.log() + two.log()).toEqual([0, 0]);
});

test('COMFYUI_USER: two users of one volume have folders of their own in the bucket', async () => {
  const [alice, bob] = await Promise.all(
    ['alice', 'bob'].map((COMFYUI_USER) => start({ ...storeSettings(target), COMFYUI_USER })),
  );
  await Promise.all([alice!.ready(), bob!.ready()]);
  await Promise.all([alice!.make('ComfyUI'), bob!.make('ComfyUI', { color: 9 })]);
  expect(await arrives(join(place.output, 'alice/ComfyUI_00001_.png'))).toMatch(/^outputs\/alice\//);
  expect(await arrives(join(place.output, 'bob/ComfyUI_00001_.png'))).toMatch(/^outputs\/bob\//);
});

test('a volume that cannot be written: everything goes to the disk of the container, and is uploaded from there', async () => {
  const pod = await start({ ...storeSettings(target), WORKSPACE: '/proc/sys' });
  await pod.ready();
  expect(pod.log()).toContain('!!! Nothing can be written to /proc/sys');
  const [path = ''] = await pod.make('local');
  await arrives(join(pod.runDir, '../local/ComfyUI/output', path));
});

test('with wrong settings of the bucket ComfyUI starts, and the report says what is wrong and what to do', async () => {
  const { R2_ENDPOINT: _, ...incomplete } = storeSettings(target);
  const pod = await start(incomplete);
  await pod.ready();
  await pod.says(/bucket .*R2_ENDPOINT/);
  await pod.says('r2-sync config set NAME=VALUE');
});

test('a store that does not answer: the end comes after the drain, with exit code 3 and a word', async () => {
  const pod = await start({ ...storeSettings(target), R2_DRAIN_SECONDS: '1' });
  await pod.ready();
  await pod.says(/bucket +ok: /);
  store.fault = () => 'stall';
  await pod.make('left');
  await until(async () => (await pod.snapshot()).totals.pendingFiles > 0, 'a file is pending');
  pod.signal();
  expect(await pod.ended, pod.log()).toBe(3);
  expect(pod.log()).toContain('something is left on the disk');
});

test('a second signal ends the pod at once, and nothing of it goes on running', async () => {
  const pod = await start({ ...storeSettings(target), R2_DRAIN_SECONDS: '600' });
  await pod.ready();
  store.fault = () => 'stall';
  await pod.make('left');
  await until(async () => (await pod.snapshot()).totals.pendingFiles > 0, 'a file is pending');
  const pids = await Promise.all(['r2-sync', 'ComfyUI'].map((name) => pod.pidOf(name)));
  pod.signal();
  await pod.says('asked to stop');
  pod.signal();
  expect(await pod.ended, pod.log()).toBe(3);
  for (const pid of pids) await until(async () => !(await isRunning(pid)), `${pid} is gone`);
});

test('a pod that is stopped while it starts ends', async () => {
  const pod = await start(storeSettings(target));
  await pod.says('storage');
  pod.signal();
  expect([0, 3]).toContain(await pod.ended);
});

test('a port that is taken or a ComfyUI that is missing does not end the container', async () => {
  const pod = await start({ COMFYUI_DIR: join(place.base, 'nothing') });
  await pod.says('There is no ComfyUI in');
  await pod.says("ComfyUI couldn't be started");
  pod.signal();
  expect(await pod.ended).toBe(0);
});

test.skipIf(process.getuid?.() !== 0)(
  'PUID and PGID: ComfyUI runs and writes as that user, the agent as root, and all is uploaded',
  async () => {
    const pod = await start({ ...storeSettings(target), PUID: '12345', PGID: '12346' });
    await pod.ready();
    const [path = ''] = await pod.make('mine');
    const { uid, gid } = await stat(join(place.output, path));
    expect([uid, gid]).toEqual([12345, 12346]);
    await arrives(join(place.output, path));
    expect(await readFile(`/proc/${await pod.pidOf('ComfyUI')}/status`, 'utf8')).toMatch(/^Uid:\t12345\t12345/m);
    expect(await readFile(`/proc/${await pod.pidOf('r2-sync')}/status`, 'utf8')).toMatch(/^Uid:\t0\t0/m);
    const environment = (await readFile(`/proc/${await pod.pidOf('ComfyUI')}/environ`, 'utf8')).split('\0');
    expect((await stat(join(place.workspace, 'ComfyUI'))).uid).toBe(12345);
    expect(environment).toContain(`HOME=${join(pod.runDir, '../local/home')}`);
  },
);

test('the health check follows ComfyUI', async () => {
  const { execa } = await import('execa');
  const check = (env: Record<string, string>) =>
    execa(new URL('../../docker/healthcheck.sh', import.meta.url).pathname, { env, reject: false });
  expect((await check({ COMFYUI_PORT: String(await freePort()) })).exitCode).not.toBe(0);
  const pod = await start();
  await pod.ready();
  expect((await check({ HEARMEMAN_RUN_DIR: pod.runDir })).exitCode).toBe(0);
});
