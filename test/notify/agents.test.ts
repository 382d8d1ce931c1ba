// Real agents, a real webhook, a store that refuses: who is told what, and that nothing of it touches an upload.
import { readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { messages as logOf, makeScene, names } from '../agent/scene.ts';
import { runCommand, until } from '../support/agent.ts';
import { startWebhook, type Webhook, webhookSecret } from './webhook.ts';

/** Short enough to be waited for. */
const AFTER = '0.4';

const settingsFor = (webhook: Webhook, settings: Record<string, string> = {}) => ({
  R2_WEBHOOK_URL: webhook.url,
  R2_WEBHOOK_AFTER_SECONDS: AFTER,
  ...settings,
});

const eventsOf = (webhook: Webhook) => webhook.messages().map(({ event }) => event);

test('a store that refuses is told once by one of three pods, and its end once, though the teller was killed', async (context) => {
  const scene = await makeScene(context);
  const webhook = await startWebhook(context);
  const pods = await Promise.all(
    ['a', 'b', 'c'].map(async (pod) => {
      const runDir = join(scene.place.base, `run-${pod}`);
      // On a busy machine a pod may stand still for a second, and isn't to be taken for dead.
      const own = { RUNPOD_POD_ID: pod, R2_RUN_DIR: runDir, R2_WEBHOOK_AFTER_SECONDS: '1.5' };
      return scene.start(settingsFor(webhook, { ...own, R2_LEASE: 'off' }));
    }),
  );
  scene.double.settings.accessKeyId = 'another key';
  await scene.draw('alice/1.png');
  await Promise.all(pods.map((pod) => pod.until(({ state }) => state === 'failing', 'the refusal')));
  await until(() => webhook.received.length > 0, 'the alert');
  const [alert] = webhook.messages();
  expect(alert).toMatchObject({ version: 1, event: 'failing', state: 'failing', bucket: scene.target.bucket });
  expect(alert!.text).toContain('Uploads are failing');
  const hashes = await Promise.all(pods.map(async (pod) => (await pod.snapshot()).pod));
  const teller = pods[hashes.indexOf(alert!.pod as string)]!;
  // Killed before it has noted that it told it, nobody would know: then the trouble is told again, if it lasts.
  const state = join(scene.place.output, '.r2-sync');
  const isNoted = async () => (await readdir(state, { recursive: true })).some((name) => name.endsWith('.told'));
  await until(isNoted, 'the note that it was told');
  await teller.stop('SIGKILL');
  // Each of the others has looked often enough to have told it, too, by the time that it is over.
  scene.double.settings.accessKeyId = scene.target.accessKeyId;
  await until(() => eventsOf(webhook).includes('recovered'), 'the end to be told');
  const rest = pods.filter((pod) => pod !== teller);
  await Promise.all(rest.map((pod) => pod.until(({ state }) => state === 'ok', 'all to be well')));
  expect(eventsOf(webhook)).toEqual(['failing', 'recovered']);
  await scene.expectStored(['alice/1.png']);
  await Promise.all(rest.map((pod) => pod.stop()));
  expect(eventsOf(webhook)).toEqual(['failing', 'recovered']);
});

test('a crash loop tells an outage once; wrong settings are told without a volume, and told to be over', async (context) => {
  const scene = await makeScene(context);
  const webhook = await startWebhook(context);
  const settings = settingsFor(webhook, { R2_BUCKET: 'NOT A BUCKET' });
  const notes = join(scene.place.runDir, 'alerts');
  const note = async (kind: string) => {
    const names = await readdir(notes).catch(() => []);
    const name = names.find((each) => each.includes(kind));
    return name === undefined ? undefined : (await stat(join(notes, name))).mtimeMs;
  };
  for (let crash = 0; crash < 2; crash += 1) {
    const before = await note('.seen.');
    const agent = await scene.start(settings);
    await until(async () => (await note('.told')) !== undefined, 'the note that it was told');
    await until(async () => (await note('.seen.')) !== before, 'a sign of life of this one');
    await agent.stop('SIGKILL');
  }
  const agent = await scene.start(settings);
  await scene.draw('1.png');
  const { code } = await runCommand(['config', 'set', `R2_BUCKET=${scene.target.bucket}`], scene.env(settings));
  expect(code).toBe(0);
  await until(() => eventsOf(webhook).includes('recovered'), 'the end to be told');
  expect(eventsOf(webhook)).toEqual(['failing', 'recovered']);
  await agent.until(({ totals }) => totals.storedFiles === 1, 'the upload');
  await agent.stop();
});

test('files parked for one cause are one message, and it names no more of them than one can read', async (context) => {
  const scene = await makeScene(context);
  const webhook = await startWebhook(context);
  scene.double.fault = ({ operation }) =>
    operation === 'PutObject' ? { status: 400, code: 'EntityTooLarge' } : undefined;
  await scene.draw(...names(40, 'picture', 'alice/'));
  const agent = await scene.start(settingsFor(webhook, { R2_WEBHOOK_AFTER_SECONDS: '2' }));
  await until(() => webhook.received.length > 0, 'the message');
  await agent.stop();
  expect(webhook.messages()).toMatchObject([
    {
      event: 'parked',
      folders: ['alice'],
      counts: { parked: 40 },
      text: expect.stringMatching(/^40 files can't be uploaded/),
    },
  ]);
  expect(String(webhook.messages()[0]!.text)).toMatch(/picture-\d+\.png and 37 more: /);
});

test('a digest says what was stored, the last one at the end; a webhook that hangs holds up neither uploads nor the end', async (context) => {
  const scene = await makeScene(context);
  const webhook = await startWebhook(context);
  webhook.behaviours.push('hang');
  const agent = await scene.start(settingsFor(webhook, { R2_WEBHOOK_DIGEST: '0.001' }));
  await scene.draw('alice/1.png');
  await until(() => webhook.received.length === 1, 'the digest that hangs');
  await scene.draw('bob/2.png', 'bob/3.png');
  await agent.until(({ totals }) => totals.storedFiles === 3, 'the uploads');
  expect(await agent.stop()).toBe(0);
  expect(webhook.messages()[0]).toMatchObject({
    event: 'digest',
    text: expect.stringMatching(/^Stored: 1 file, .*, of alice since \d\d:\d\d UTC/),
    counts: { storedFiles: 1 },
  });
});

test('what was stored since the last digest is told when the pod stops', async (context) => {
  const scene = await makeScene(context);
  const webhook = await startWebhook(context);
  const agent = await scene.start(settingsFor(webhook, { R2_WEBHOOK_DIGEST: '60' }));
  await scene.draw('alice/1.png', 'bob/2.png');
  await agent.until(({ totals }) => totals.storedFiles === 2, 'the uploads');
  await agent.stop();
  expect(webhook.messages()).toMatchObject([
    { event: 'digest', folders: ['alice', 'bob'], counts: { storedFiles: 2 } },
  ]);
});

test('invariants 8, 10: messages that do not arrive are shown without the secret, counted, and never failing', async (context) => {
  const scene = await makeScene(context);
  const webhook = await startWebhook(context);
  webhook.behaviours.push(...Array.from({ length: 50 }, () => ({ status: 404 })));
  const settings = settingsFor(webhook, { R2_WEBHOOK_DIGEST: '0.001', R2_LOG_LEVEL: 'trace' });
  const agent = await scene.start(settings);
  await scene.draw('1.png');
  const seen = await agent.until(({ reasons }) => reasons.length > 0, 'the reason');
  expect(seen.state).toBe('degraded');
  expect(seen.reasons[0]).toMatch(/^Messages to 127\.0\.0\.1 \(R2_WEBHOOK_URL\) don't arrive: it answers 404/);
  const metrics = await (await fetch(`${agent.url}/metrics`)).text();
  expect(metrics).toMatch(/r2_sync_notifications_total\{result="failed"\} [1-9]/);
  const shown = [await (await fetch(agent.url)).text(), metrics, JSON.stringify(seen)].join();
  await agent.until(({ totals }) => totals.storedFiles === 1, 'the upload');
  await agent.stop();
  expect(shown + agent.log()).not.toContain(webhookSecret);
  // That messages don't arrive isn't told by a message.
  expect(new Set(eventsOf(webhook))).toEqual(new Set(['digest']));
});

test('an address that is wrong keeps nothing from being uploaded, and is shown', async (context) => {
  const scene = await makeScene(context);
  const agent = await scene.start({ R2_WEBHOOK_URL: 'http://example.com/S3CRET', R2_ON_STORED: 'echo "$x"' });
  await scene.draw('1.png');
  const { state, reasons } = await agent.until(({ totals }) => totals.storedFiles === 1, 'the upload');
  expect(state).toBe('degraded');
  expect(reasons.join('\n')).toMatch(/R2_WEBHOOK_URL is http, so.*R2_ON_STORED.* holds characters/s);
  await agent.stop();
  expect(agent.log()).not.toContain('S3CRET');
});

test('r2-sync notify says whether a message arrives', async (context) => {
  const scene = await makeScene(context);
  const webhook = await startWebhook(context);
  const settings = { R2_WEBHOOK_URL: webhook.url, R2_WEBHOOK_FORMAT: 'ntfy' };
  expect(await scene.command(['notify'], settings)).toMatchObject({
    code: 0,
    stdout: 'ok: 127.0.0.1 took a test message (format: ntfy)\n',
  });
  expect(webhook.received[0]!.body).toMatch(/^r2-sync can send messages here/);
  webhook.behaviours.push({ status: 403 });
  const refused = await scene.command(['notify', '--json'], settings);
  expect(refused.code).toBe(1);
  expect(JSON.parse(refused.stdout)).toMatchObject({ ok: false, host: '127.0.0.1', format: 'ntfy' });
  expect(refused.stdout).not.toContain(webhookSecret);
  expect(await scene.command(['notify'])).toMatchObject({ code: 2, stderr: expect.stringContaining("isn't set") });
});

test('R2_ON_STORED is run once for each file that this pod uploaded, and a failing one changes nothing', async (context) => {
  const scene = await makeScene(context);
  const out = join(scene.place.base, 'stored');
  const hook = join(scene.place.base, 'hook.sh');
  await writeFile(
    hook,
    `#!/bin/sh\necho "$R2_FILE_KEY $(sha256sum <"$R2_FILE_ABSOLUTE_PATH" | cut -c 1-64) $R2_FILE_SHA256 \${R2_SECRET_KEY-none}" >>${out}\necho "$R2_FILE_NAME is bad" >&2\nexit 7\n`,
    { mode: 0o755 },
  );
  await scene.draw('alice/1.png', 'bob/2.png');
  const agent = await scene.start({ R2_ON_STORED: hook });
  await agent.until(({ totals }) => totals.storedFiles === 2, 'the uploads');
  await until(() => logOf(agent).match(/ended with exit code 7/g)?.length === 2, 'both runs');
  const metrics = await (await fetch(`${agent.url}/metrics`)).text();
  expect(metrics).toContain('r2_sync_hooks_total{result="failed"} 2');
  expect((await agent.snapshot()).state).toBe('ok');
  expect(await agent.stop()).toBe(0);
  const runs = (await readFile(out, 'utf8'))
    .trim()
    .split('\n')
    .map((line) => line.split(' '));
  expect(runs.map(([key]) => key).sort()).toEqual([...scene.double.objects.keys()].sort());
  for (const [, is, told, secret] of runs) expect([is, secret]).toEqual([told, 'none']);
  expect(logOf(agent)).toContain('R2_ON_STORED ended with exit code 7: 1.png is bad');
  // A ledger that is lost: what the bucket has already isn't told again.
  await rm(join(scene.place.output, '.r2-sync'), { recursive: true });
  const next = await scene.start({ R2_ON_STORED: hook });
  await next.until(({ totals }) => totals.alreadyStored === 2, 'both to be found in the bucket');
  await next.stop();
  expect((await readFile(out, 'utf8')).trim().split('\n')).toHaveLength(2);
});

test('hooks run on while the pod stops, and are ended with it', async (context) => {
  const scene = await makeScene(context);
  const out = join(scene.place.base, 'pids');
  const command = JSON.stringify(['/bin/sh', '-c', `echo $$ >>${out}; exec sleep 1000`]);
  const agent = await scene.start({ R2_ON_STORED: command, R2_DRAIN_SECONDS: '0.5' });
  await scene.draw('1.png');
  await until(async () => (await readFile(out, 'utf8').catch(() => '')) !== '', 'the run');
  expect(await agent.stop()).toBe(0);
  expect(logOf(agent)).toContain('R2_ON_STORED was ended, as the agent stops');
  const pid = Number(await readFile(out, 'utf8'));
  await until(async () => / Z |^$/.test(await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '')), 'it to be gone');
});

test('a volume that is nearly full is told, and uploads go on', async (context) => {
  const scene = await makeScene(context);
  const webhook = await startWebhook(context);
  // No disk has so much left.
  const agent = await scene.start(settingsFor(webhook, { R2_LOW_SPACE_MB: '1000000000' }));
  await scene.draw('1.png');
  const { state, reasons } = await agent.until(({ totals }) => totals.storedFiles === 1, 'the upload');
  expect(state).toBe('degraded');
  expect(reasons[0]).toMatch(/^The volume of the output directory is nearly full: .* of .* are left\./);
  await until(() => webhook.received.length > 0, 'the message');
  expect(webhook.messages()[0]).toMatchObject({ event: 'degraded', text: expect.stringContaining('nearly full') });
  await agent.stop();
});
