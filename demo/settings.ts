// Which bucket the demo uses, and what of the user's environment reaches the agent: nothing but that bucket's settings.
import { readFileSync } from 'node:fs';
import type { S3Place } from '../test/support/s3-client.ts';
import { DemoError } from './errors.ts';

/** The bucket that the environment names; undefined: the simulator's. Throws DemoError. */
export function chooseBucket(env: NodeJS.ProcessEnv): S3Place | undefined {
  const endpoint = readSetting(env, 'R2_ENDPOINT');
  if (endpoint === undefined) return undefined;
  if (!URL.canParse(endpoint)) throw new DemoError(`R2_ENDPOINT isn't an address.\n${orSimulator}`);
  const { origin, pathname, hostname } = new URL(endpoint);
  const path = pathname.replace(/\/+$/, '');
  // Cloudflare's dashboard shows the address with the bucket at its end.
  const inDashboard = hostname.endsWith('.r2.cloudflarestorage.com') && path !== '';
  return {
    endpoint: inDashboard ? origin : origin + path,
    bucket: readSetting(env, 'R2_BUCKET') ?? (inDashboard ? path.slice(1) : 'runpod'),
    accessKeyId: requireSetting(env, 'R2_ACCESS_KEY', 'R2_ACCESS_KEY_ID'),
    secretAccessKey: requireSetting(env, 'R2_SECRET_KEY', 'R2_SECRET_ACCESS_KEY'),
    sessionToken: readSetting(env, 'R2_SESSION_TOKEN'),
  };
}

const orSimulator = 'Correct it, or unset R2_ENDPOINT to use the simulator.';

/** The environment without any settings of r2-sync or of S3 tools. */
export function cleanEnvironment(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const theirs = /^(R2_|AWS_|COMFYUI_|ENABLE_R2_SYNC$)/i;
  return Object.fromEntries(Object.entries(env).filter(([name]) => !theirs.test(name)));
}

/** A bucket as settings of the agent. */
export function bucketSettings(place: S3Place): Record<string, string> {
  return {
    R2_ENDPOINT: place.endpoint,
    R2_BUCKET: place.bucket,
    R2_ACCESS_KEY: place.accessKeyId,
    R2_SECRET_KEY: place.secretAccessKey,
    ...(place.sessionToken === undefined ? {} : { R2_SESSION_TOKEN: place.sessionToken }),
  };
}

function requireSetting(env: NodeJS.ProcessEnv, ...names: string[]): string {
  const value = readSetting(env, ...names);
  if (value !== undefined) return value;
  throw new DemoError(`R2_ENDPOINT is set, so the demo would use that bucket, but ${names[0]} isn't.
Set it too, or unset R2_ENDPOINT to use the simulator.`);
}

/** The first of the names that is set, or what the file holds that its `_FILE` form names. */
function readSetting(env: NodeJS.ProcessEnv, ...names: string[]): string | undefined {
  for (const name of names) {
    const file = clean(env[`${name}_FILE`]);
    const value = file === undefined ? clean(env[name]) : clean(readSecretFile(`${name}_FILE`, file));
    if (value !== undefined) return value;
  }
  return undefined;
}

function readSecretFile(name: string, file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (cause) {
    throw new DemoError(`The file that ${name} names can't be read.\n${orSimulator}`, { cause });
  }
}

function clean(text: string | undefined): string | undefined {
  return text?.trim().replace(/^(["'])(.*)\1$/s, '$2') || undefined;
}
