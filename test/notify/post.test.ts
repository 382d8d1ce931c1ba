// Messages on their way: what a real server may do to them, and what each reader gets to see.
import { describe, expect, onTestFinished, test } from 'vitest';
import { formatMessage, formatOf } from '../../src/notify/formats.ts';
import { alertMessage, digestMessage, type Message, testMessage } from '../../src/notify/message.ts';
import { Outbox } from '../../src/notify/outbox.ts';
import { type Outcome, postMessage } from '../../src/notify/post.ts';
import { listLog } from '../status/sample.ts';
import { freePort } from '../support/agent.ts';
import { createFakeClock } from '../support/fake-clock.ts';
import { startWebhook, webhookSecret } from './webhook.ts';
import { conditionOf, parked, refused } from './world.ts';

const at = '2026-11-20T12:00:00.000Z';
const wall = Date.parse(at);
const sender = {
  pod: 'a1b2c3d4e5f6',
  bucket: 'runpod',
  hide: (text: string) => text.replaceAll('SECRETKEY', '[redacted]'),
};
const condition = conditionOf([refused], {
  state: 'failing',
  reasons: [refused.text],
  counts: { pending: 3, parked: 0 },
});
const message = alertMessage(sender, condition, 'tell', [refused], at);

describe('delivery', () => {
  const post = (url: string, to: Message = message) => postMessage(new URL(url), 'json', to, { wall });

  test('a message arrives as the JSON that is documented', async (context) => {
    const webhook = await startWebhook(context);
    expect(await post(webhook.url)).toEqual({ is: 'delivered' });
    expect(webhook.messages()).toEqual([
      {
        version: 1,
        event: 'failing',
        state: 'failing',
        text: 'Uploads are failing (bucket runpod, pod a1b2c3d4e5f6)\nThe store refuses us.',
        reasons: ['The store refuses us.'],
        pod: 'a1b2c3d4e5f6',
        bucket: 'runpod',
        folders: [],
        counts: { pending: 3, parked: 0 },
        at,
      },
    ]);
    expect(webhook.received[0]!.headers).toMatchObject({ 'content-type': 'application/json', 'user-agent': 'r2-sync' });
  });

  test.each([
    [{ status: 500 }, 'later', 'answers 500', 0],
    [{ status: 429, headers: { 'retry-after': '7' } }, 'later', 'asks for fewer messages (429)', 7000],
    [{ status: 429, headers: { 'retry-after': '0.3' } }, 'later', 'asks for fewer messages (429)', 300],
    [{ status: 503, headers: { 'retry-after': 'Fri, 20 Nov 2026 12:00:30 GMT' } }, 'later', 'answers 503', 30_000],
    [{ status: 429, headers: { 'retry-after': '999999' } }, 'later', 'asks for fewer messages (429)', 900_000],
    ['drop', 'later', "can't be reached (UND_ERR_SOCKET)", 0],
  ] as const)('%j: it is tried again later', async (behaviour, is, problem, afterMs) => {
    const webhook = await startWebhook({ onTestFinished });
    webhook.behaviours.push(behaviour);
    expect(await post(webhook.url)).toEqual({ is, problem, afterMs });
  });

  test('an address that is gone is not tried again, and a redirect is not followed: the message goes nowhere else', async (context) => {
    const webhook = await startWebhook(context);
    const elsewhere = await startWebhook(context);
    webhook.behaviours.push({ status: 404 }, { status: 307, headers: { location: elsewhere.url } });
    expect(await post(webhook.url)).toMatchObject({ is: 'refused', problem: expect.stringContaining('404') });
    expect(await post(webhook.url)).toMatchObject({ is: 'refused', problem: expect.stringContaining('307') });
    expect(elsewhere.received).toEqual([]);
  });

  test('a server that takes the message and never answers is given up when there is no time left', async (context) => {
    const webhook = await startWebhook(context);
    webhook.behaviours.push('hang');
    const stop = new AbortController();
    const outcome = postMessage(new URL(webhook.url), 'json', message, { wall, signal: stop.signal });
    while (webhook.received.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    stop.abort();
    expect(await outcome).toMatchObject({ is: 'later', problem: "can't be reached (AbortError)" });
  });

  test('a password in the address goes into a header', async (context) => {
    const webhook = await startWebhook(context);
    await post(webhook.url.replace('http://', 'http://me:p%40ss@'));
    const { authorization } = webhook.received[0]!.headers;
    expect(Buffer.from(authorization!.slice('Basic '.length), 'base64').toString()).toBe('me:p@ss');
  });

  test('nobody listens: that is said without the secret part of the address', async () => {
    const outcome = await post(`http://127.0.0.1:${await freePort()}/${webhookSecret}`);
    expect(outcome).toEqual({ is: 'later', problem: "can't be reached (ECONNREFUSED)", afterMs: 0 });
  });
});

describe('the outbox', () => {
  function outbox(outcomes: (Outcome | 'never')[]) {
    const clock = createFakeClock();
    const { log, lines } = listLog();
    const posts: { at: number; message: Message }[] = [];
    const counts: Record<string, number> = {};
    const box = new Outbox({
      clock,
      log,
      where: 'hooks.example',
      post: async (sent) => {
        posts.push({ at: clock.monotonic(), message: sent });
        const outcome = outcomes.shift() ?? { is: 'delivered' };
        return outcome === 'never' ? new Promise(() => {}) : outcome;
      },
      summary: (leftOut) => ({
        ...message,
        event: 'left-out',
        text: `${leftOut}`,
        counts: { pending: 0, parked: 0, leftOut },
      }),
      count: (result) => {
        counts[result] = (counts[result] ?? 0) + 1;
      },
    });
    return { clock, box, posts, counts, lines };
  }
  const busy: Outcome = { is: 'later', problem: 'asks for fewer messages (429)', afterMs: 40_000 };
  const down: Outcome = { is: 'later', problem: 'answers 500', afterMs: 0 };

  test('a server that is down is tried again at growing intervals, Retry-After is obeyed, order is kept', async () => {
    const { clock, box, posts, counts, lines } = outbox([down, down, down, busy]);
    void box.send(message);
    void box.send({ ...message, event: 'recovered' });
    await clock.advance(1000);
    expect(box.trouble).toContain("hooks.example (R2_WEBHOOK_URL) don't arrive: it answers 500");
    await clock.advance(120_000);
    const gaps = posts.slice(1).map((post, index) => post.at - posts[index]!.at);
    expect(gaps).toEqual([1000, 2000, 4000, 40_000, 0]);
    expect(posts.map((post) => post.message.event)).toEqual([...Array(5).fill('failing'), 'recovered']);
    expect(box.trouble).toBeUndefined();
    expect(counts).toEqual({ delivered: 2 });
    expect(lines.at(-1)).toBe('messages to hooks.example arrive again');
  });

  test('a flood becomes ten messages and one that says how many were left out; a digest comes all the same', async () => {
    const { clock, box, posts, counts } = outbox([]);
    for (let nth = 0; nth < 300; nth += 1) {
      void box.send(message);
      await clock.advance(100);
    }
    void box.send({ ...message, event: 'digest' });
    await clock.advance(15 * 60_000);
    expect(posts.map((post) => post.message.event)).toEqual([...Array(10).fill('failing'), 'digest', 'left-out']);
    expect(posts.at(-1)!.message.counts.leftOut).toBe(290);
    expect(counts).toEqual({ delivered: 12, left_out: 290 });
  });

  test('what waits is bounded, and sending never takes a moment', async () => {
    const { clock, box, posts, counts } = outbox(['never']);
    for (let nth = 0; nth < 100; nth += 1) void box.send({ ...message, event: 'digest' });
    await clock.advance(0);
    expect(posts).toHaveLength(1);
    expect(counts).toEqual({ failed: 80 });
  });

  test('at the end each message gets one more attempt, and no server keeps the agent from ending', async () => {
    const { clock, box, posts, counts } = outbox([busy, down, down, 'never']);
    for (let nth = 0; nth < 4; nth += 1) void box.send(message);
    await clock.advance(1);
    expect(posts).toHaveLength(1);
    let ended = false;
    void box.finish(2000).then(() => {
      ended = true;
    });
    await clock.advance(100);
    expect(posts).toHaveLength(4);
    expect(counts).toEqual({ failed: 2 });
    await clock.advance(2000);
    expect(ended).toBe(true);
  });
});

describe('what the reader sees', () => {
  const hostile = {
    ...message,
    text: 'a <b> & *c* _d_ @everyone <@123> [x](https://evil.example) `y`\n<!channel> "z"',
  };

  test.each([
    ['https://discord.com/api/webhooks/1/abc', 'discord'],
    ['https://ptb.discord.com/api/webhooks/1/abc', 'discord'],
    ['https://discordapp.com/api/webhooks/1/abc', 'discord'],
    ['https://discord.com/api/webhooks/1/abc/slack', 'slack'],
    ['https://hooks.slack.com/services/T0/B0/x', 'slack'],
    ['https://ntfy.sh/topic', 'ntfy'],
    ['http://ntfy.home.lan/topic', 'ntfy'],
    ['https://example.com/ntfy/discord.com/hook', 'json'],
    ['https://discord.com.evil.example/api/webhooks/1/abc', 'json'],
  ])('%s is written to as %s', (url, format) => expect(formatOf(new URL(url))).toBe(format));

  test('Discord: nobody is pinged, nothing is markup, and 2,000 characters are the most', () => {
    const { body } = formatMessage('discord', { ...hostile, text: `${hostile.text}${'*'.repeat(5000)}` });
    const { content, allowed_mentions } = JSON.parse(body);
    expect(allowed_mentions).toEqual({ parse: [] });
    expect(content.length).toBeLessThanOrEqual(2000);
    expect(content).toContain('a \\<b\\> & \\*c\\* \\_d\\_ @everyone');
    expect(content).toMatch(/[^\\](\\\\)*…$/);
  });

  test('Slack: its control characters are escaped, so nobody is called', () => {
    const { text, mrkdwn } = JSON.parse(formatMessage('slack', hostile).body);
    expect(text).toContain('a &lt;b&gt; &amp; *c*');
    expect(text).toContain('&lt;!channel&gt;');
    expect(mrkdwn).toBe(false);
  });

  test('ntfy: plain text of at most 4,000 bytes to the topic, headers of plain ASCII', () => {
    const { headers, body } = formatMessage('ntfy', { ...message, text: 'é😀'.repeat(2000) });
    expect(Buffer.byteLength(body)).toBeLessThanOrEqual(4000);
    expect(body).toMatch(/^(é😀)+é?…$/u);
    expect(Object.values(headers).join('')).toMatch(/^[\x20-\x7e]+$/);
    expect(headers).toMatchObject({ title: 'r2-sync', priority: 'high' });
  });

  test('invariant 8: no message holds a key, or the id of the account', () => {
    const account = '0123456789abcdef0123456789abcdef';
    const text = `SECRETKEY at https://${account}.eu.r2.cloudflarestorage.com is refused`;
    const told = alertMessage(sender, { ...condition, reasons: [text] }, 'tell', [{ ...refused, text }], at);
    for (const format of ['json', 'discord', 'slack', 'ntfy'] as const) {
      const { body } = formatMessage(format, told);
      expect(body).not.toContain('SECRETKEY');
      expect(body).not.toContain(account);
      expect(body).toContain('r2.cloudflarestorage.com');
    }
  });

  test('a thousand files parked for one reason are one message of a few lines', () => {
    const told = alertMessage(sender, condition, 'tell', [parked(1000)], at);
    expect(told).toMatchObject({
      event: 'parked',
      text: expect.stringMatching(/^1,000 files can't be uploaded \(bucket/),
    });
    expect(told.text.split('\n')).toHaveLength(2);
  });

  test('very many reasons are cut, and said to be', () => {
    const causes = Array.from({ length: 50 }, (_, nth) => ({ ...refused, text: `reason ${nth}` }));
    expect(alertMessage(sender, condition, 'tell', causes, at).text.split('\n').at(-1)).toBe('… and 42 more');
  });

  test('a digest says how many files, how much, whose, and since when', () => {
    const stored = { files: 42, bytes: 1.2e9, folders: ['alice', 'bob', '.'], since: '12:00 UTC' };
    expect(digestMessage(sender, conditionOf([]), stored, at)).toMatchObject({
      event: 'digest',
      text: 'Stored: 42 files, 1.2 GB, of alice and bob since 12:00 UTC (bucket runpod, pod a1b2c3d4e5f6)',
      counts: { storedFiles: 42, storedBytes: 1.2e9 },
    });
  });

  test('a test message says that it is one', () => {
    expect(testMessage({ ...sender, bucket: '' }, at).text).toMatch(
      /^r2-sync can send messages here \(pod a1b2c3d4e5f6\)\nThis is a test/,
    );
  });
});
