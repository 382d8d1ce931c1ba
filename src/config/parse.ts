// Decides what the settings say: all of them, or every mistake in them at once. Nothing here may let a secret into a
// message (invariant 8): values pass `quoteValue`, and every text passes the redactor on its way out.

import { redactor } from '../log.ts';
import { printable } from '../paths.ts';
import { parseEndpoint } from './endpoint.ts';
import { findSetting, namesOf, nearestName, settings } from './names.ts';
import type { Setting } from './setting.ts';
import { table } from './table.ts';
import { cleanValue, isPlaceholder, quoteValue, unexpandedSecret } from './text.ts';
import type { Config, Loaded, Problem, Settings, StatusSettings } from './types.ts';

export interface LoadOptions {
  /** Whether a store will be used: without one, a missing endpoint and missing keys are fine. */
  needStore: boolean;
  /** What `readSettings` found. Its problems are passed on, and their settings not complained about twice. */
  earlier?: { readonly problems: readonly Problem[]; readonly warnings: readonly string[] };
}

/** Other people's secrets that may be in our environment, and so in somebody's error text. */
const foreignSecrets = ['RUNPOD_API_KEY'];

/** Reads and checks all settings. Never throws. */
export function loadConfig(env: Settings, options: LoadOptions): Loaded {
  const problems = [...(options.earlier?.problems ?? [])];
  const warnings = [...(options.earlier?.warnings ?? []), ...unknownNames(env)];
  const secrets = secretValues(env);
  const hide = redactor(secrets);
  const values: Record<string, unknown> = {};
  const known = new Set(problems.map((problem) => problem.name));

  for (const [key, setting] of Object.entries(table)) {
    if (setting === table.enabled) continue;
    const given = pick(env, setting, warnings);
    if (given === undefined && setting.required && options.needStore) {
      if (!known.has(setting.name)) problems.push(missing(setting));
      continue;
    }
    const text = given?.text ?? setting.fallback?.(env) ?? setting.default;
    const checked = text === undefined ? {} : checkValue(setting, given?.name ?? setting.name, text, hide);
    if (checked.problem && !known.has(setting.name)) problems.push(checked.problem);
    if (checked.value !== undefined) values[key] = checked.value;
    else if (setting.aside && setting.default !== undefined) values[key] = setting.schema.parse(setting.default);
  }

  const inEndpoint = bucketInEndpoint(env);
  if (inEndpoint !== undefined && values.endpoint !== undefined) {
    if (pick(env, table.bucket, []) === undefined) values.bucket = inEndpoint;
    else if (values.bucket !== undefined && values.bucket !== inEndpoint) problems.push(twoBuckets());
  }

  const told = problems.map(({ name, message, fix }) => ({ name, message: hide(message), fix: hide(fix) }));
  const isAside = ({ name }: Problem) => findSetting(name)?.aside === true;
  const fatal = told.filter((problem) => !isAside(problem));
  return {
    config: fatal.length === 0 ? ({ ...unset, ...values } as Partial<Config> as Config) : undefined,
    partial: statusSettings(values, env),
    problems: fatal,
    asides: told.filter(isAside),
    warnings: [...new Set(warnings.map(hide))],
    secrets,
  };
}

/** What a configuration holds where nothing is said. */
const unset = { endpoint: '', accessKeyId: '', secretAccessKey: '', exclude: [] } satisfies Partial<Config>;

/**
 * Checks one cleaned text for one setting. `name` is the name the user gave it; `hide` cuts out secrets of other
 * settings before the value is quoted.
 */
export function checkValue(
  setting: Setting,
  name: string,
  text: string,
  hide: (text: string) => string = (same) => same,
): { value?: unknown; problem?: Problem } {
  const lost = unexpandedSecret(text);
  if (lost !== undefined) return { problem: unexpanded(setting, name, lost) };
  const result = setting.schema.safeParse(text);
  if (result.success) return { value: result.data };
  const issue = result.error.issues[0]!;
  const better = issue.code === 'custom' ? (issue.params?.fix as string | undefined) : undefined;
  const shown = setting.secret || setting === table.endpoint ? '' : quoteValue(hide(text));
  const fix = better ?? `Set ${name} to ${setting.expects}, for example ${setting.example}`;
  return {
    problem: { name: setting.name, message: `${name}${shown} ${issue.message}.`, fix: `${fix}. ${howTo(setting)}` },
  };
}

/** How a setting is changed where the agent runs, without losing what waits there. */
export function howTo(setting: Setting): string {
  if (setting.boot) return 'It is read when the container or the command starts.';
  const command = setting.secret ? `r2-sync config set ${setting.name}` : `r2-sync config set ${setting.name}=VALUE`;
  return `On a running pod: ${command}. Don't edit a RunPod pod's variables while files wait on it: that erases its container disk.`;
}

function missing(setting: Setting): Problem {
  const names = namesOf(setting).join(' (or ');
  return {
    name: setting.name,
    message: `${names}${setting.aliases ? ')' : ''} isn't set.`,
    fix: `Set it to ${setting.expects}: ${setting.required}. ${howTo(setting)}`,
  };
}

function unexpanded(setting: Setting, name: string, secret: string): Problem {
  // Somebody may have pasted the key itself there; keys have 32 letters or more.
  const shown = secret.length < 32 ? `{{ RUNPOD_SECRET_${printable(secret)} }}` : '{{ RUNPOD_SECRET_… }}';
  return {
    name: setting.name,
    message: `${name} still holds the placeholder ${shown}: RunPod put no secret in its place.`,
    fix: `Make that secret in RunPod's console (Secrets), spelled just so, for the next pod. ${howTo(setting)}`,
  };
}

function twoBuckets(): Problem {
  return {
    name: table.bucket.name,
    message: `${table.endpoint.name} ends with one bucket and ${table.bucket.name} names another.`,
    fix: `Take the bucket off ${table.endpoint.name}, or set ${table.bucket.name} to the same one. ${howTo(table.bucket)}`,
  };
}

function bucketInEndpoint(env: Settings): string | undefined {
  const text = pick(env, table.endpoint, [])?.text;
  const result = text === undefined ? undefined : parseEndpoint(text);
  return result?.ok ? result.bucket : undefined;
}

/** The text given for a setting and the name it was given under. Two names with two values earn a warning. */
function pick(env: Settings, setting: Setting, warnings: string[]): { name: string; text: string } | undefined {
  const given = namesOf(setting).flatMap((name) => {
    const text = cleanValue(env[name]);
    return text === undefined ? [] : [{ name, text }];
  });
  const [first, ...rest] = given;
  const other = rest.find(({ text }) => text !== first?.text);
  if (first && other) warnings.push(`${first.name} and ${other.name} mean the same and differ: ${first.name} is used.`);
  return first;
}

function unknownNames(env: Settings): string[] {
  return Object.keys(env).flatMap((name) => {
    const ours = /^r2_/i.test(name) && !/^R2_(TEST|FILE)_/.test(name) && findSetting(name) === undefined;
    if (!ours || cleanValue(env[name]) === undefined) return [];
    const nearest = nearestName(name);
    const hint = nearest === undefined ? 'r2-sync --help lists those there are' : `did you mean ${nearest}?`;
    return [`${printable(name.slice(0, 80))} is no setting and does nothing: ${hint}`];
  });
}

function secretValues(env: Settings): string[] {
  const names = [...settings.filter((setting) => setting.secret).flatMap(namesOf), ...foreignSecrets];
  const values = names.flatMap((name) => cleanValue(env[name]) ?? []);
  return [...new Set(values)].filter((value) => !isPlaceholder(value));
}

type StatusKey = Exclude<keyof StatusSettings, 'statusToken' | 'webhookUrl'>;

/** The status settings that are right, and the defaults of those that aren't. */
function statusSettings(values: Record<string, unknown>, env: Settings): StatusSettings {
  const token = values.statusToken as string | undefined;
  const webhookUrl = values.webhookUrl as URL | undefined;
  const read = <K extends StatusKey>(key: K): Config[K] => {
    const setting: Setting = table[key];
    return (values[key] ?? setting.schema.parse(setting.fallback?.(env) ?? setting.default ?? '')) as Config[K];
  };
  return {
    statusHost: read('statusHost'),
    statusPort: read('statusPort'),
    logLevel: read('logLevel'),
    runDir: read('runDir'),
    webhookFormat: read('webhookFormat'),
    webhookAfterSeconds: read('webhookAfterSeconds'),
    ...(webhookUrl !== undefined && { webhookUrl }),
    ...(token !== undefined && { statusToken: token }),
  };
}
