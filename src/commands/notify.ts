// `r2-sync notify`: one test message to R2_WEBHOOK_URL. Whether messages arrive is better known before they are needed.
import { hostname } from 'node:os';
import { systemClock } from '../clock.ts';
import { ExitCode, UserError } from '../errors.ts';
import { redactor } from '../log.ts';
import { formatOf } from '../notify/formats.ts';
import { testMessage } from '../notify/message.ts';
import { postMessage } from '../notify/post.ts';
import { podHash } from '../object/metadata.ts';
import { printJson } from './output.ts';
import { describeProblem, loadSettings } from './settings.ts';

/** Prints one line: that it arrived, or why not. Exit codes: done, usage (settings), unexpected where it doesn't arrive. */
export async function notify({ json }: { json: boolean }): Promise<ExitCode> {
  const { config, partial, asides, secrets } = loadSettings(false);
  const { webhookUrl, webhookFormat } = partial;
  const wrong = asides.find(({ name }) => name === 'R2_WEBHOOK_URL' || name === 'R2_WEBHOOK_FORMAT');
  if (wrong) throw new UserError(describeProblem(wrong), '', ExitCode.usage);
  if (!webhookUrl)
    throw new UserError(
      "R2_WEBHOOK_URL isn't set: no messages are sent.",
      'On a running pod: r2-sync config set R2_WEBHOOK_URL (it asks for the address).',
      ExitCode.usage,
    );
  const format = webhookFormat === 'auto' ? formatOf(webhookUrl) : webhookFormat;
  const host = webhookUrl.hostname;
  const wall = systemClock.wall();
  const sender = { pod: podHash(process.env, hostname()), bucket: config?.bucket ?? '', hide: redactor(secrets) };
  const outcome = await postMessage(webhookUrl, format, testMessage(sender, new Date(wall).toISOString()), { wall });
  const ok = outcome.is === 'delivered';
  const problem = outcome.is === 'delivered' ? null : outcome.problem;
  if (json) printJson({ ok, host, format, problem });
  else if (ok) console.log(`ok: ${host} took a test message (format: ${format})`);
  else console.log(`${host} ${problem} (format: ${format}). Check R2_WEBHOOK_URL and R2_WEBHOOK_FORMAT.`);
  return ok ? ExitCode.done : ExitCode.unexpected;
}
