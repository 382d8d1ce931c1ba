// How a message looks to whoever reads it: one table. What others' services do with markup, links and mentions is
// switched off or escaped, since file names and reasons may hold anything.
import type { WebhookFormat } from '../config/types.ts';
import type { Message } from './message.ts';

export interface Post {
  headers: Record<string, string>;
  body: string;
}

const JSON_TYPE = { 'content-type': 'application/json' };
/** Discord refuses more. */
const DISCORD_LENGTH = 2000;
const DISCORD_NO_PREVIEWS = 4;
/** Slack asks for no more in one message. */
const SLACK_LENGTH = 4000;
/** ntfy makes a file of what is longer: bytes. */
const NTFY_BYTES = 4000;

const hosts: readonly [host: RegExp, format: WebhookFormat][] = [
  [/^(?:[a-z-]+\.)?discord(?:app)?\.com$/, 'discord'],
  [/^hooks\.slack(?:-gov)?\.com$/, 'slack'],
  [/^ntfy\.[a-z\d.-]+$/, 'ntfy'],
];

const formats: Record<WebhookFormat, (message: Message) => Post> = {
  json: (message) => ({ headers: JSON_TYPE, body: JSON.stringify(message) }),
  discord: ({ text }) => ({
    headers: JSON_TYPE,
    body: JSON.stringify({
      content: cut(text.replace(/[\\*_~`|<>[\]]/g, '\\$&'), DISCORD_LENGTH),
      allowed_mentions: { parse: [] },
      flags: DISCORD_NO_PREVIEWS,
    }),
  }),
  slack: ({ text }) => ({
    headers: JSON_TYPE,
    body: JSON.stringify({
      text: cut(text, SLACK_LENGTH).replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;'),
      mrkdwn: false,
      unfurl_links: false,
    }),
  }),
  ntfy: ({ text, event }) => ({
    headers: { 'content-type': 'text/plain; charset=utf-8', title: 'r2-sync', ...ntfyHeaders[event] },
    body: cutBytes(text, NTFY_BYTES),
  }),
};

const warning = { priority: 'default', tags: 'warning' };
const ntfyHeaders: Record<Message['event'], Record<string, string>> = {
  failing: { priority: 'high', tags: 'rotating_light' },
  degraded: warning,
  parked: warning,
  'left-out': warning,
  recovered: { priority: 'default', tags: 'white_check_mark' },
  digest: { priority: 'low', tags: 'package' },
  test: { priority: 'default', tags: 'wave' },
};

/** The format that an address asks for. Discord takes Slack's at an address that ends so. */
export function formatOf(url: URL): WebhookFormat {
  const format = hosts.find(([host]) => host.test(url.hostname))?.[1] ?? 'json';
  return format === 'discord' && /\/slack\/?$/.test(url.pathname) ? 'slack' : format;
}

export function formatMessage(format: WebhookFormat, message: Message): Post {
  return formats[format](message);
}

/** At most so many UTF-16 units, and no half of a character or of an escape. */
function cut(text: string, length: number): string {
  if (text.length <= length) return text;
  return `${text.slice(0, length - 1).replace(/[\ud800-\udbff\\]+$/, '')}…`;
}

function cutBytes(text: string, bytes: number): string {
  const whole = Buffer.from(text);
  if (whole.length <= bytes) return text;
  return `${whole
    .subarray(0, bytes - 3)
    .toString()
    .replace(/\ufffd+$/, '')}…`;
}
