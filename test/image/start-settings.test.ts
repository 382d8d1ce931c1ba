// docker/settings.json is what people read; docker/start/settings.sh is what happens.
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { findSetting, secretNames } from '../../src/config/names.ts';

const REPO = new URL('../../', import.meta.url).pathname;

interface ImageSetting {
  name: string;
  default: string;
  group: string;
  secret?: boolean;
  values?: string[];
  doc: string;
}

const settings = JSON.parse(readFileSync(`${REPO}docker/settings.json`, 'utf8')) as ImageSetting[];
const parts = readdirSync(`${REPO}docker/start`).map((name) => readFileSync(`${REPO}docker/start/${name}`, 'utf8'));
const scripts = [...parts, readFileSync(`${REPO}start.sh`, 'utf8')].join('\n');

/** Settings that only download_models.sh reads. */
const OF_DOWNLOADS = ['DRY_RUN', 'DOWNLOAD_TIMEOUT', 'HF_ENDPOINT', 'CIVITAI_ENDPOINT', 'MODELS_MANIFEST'];

/** What a script prints that has read start.sh, with nothing but this in its environment. */
function bash(script: string, env: Record<string, string> = {}): string {
  return execFileSync('bash', ['-c', `source '${REPO}start.sh'\n${script}`], {
    env: { PATH: process.env.PATH, ...env },
    encoding: 'utf8',
    // With a socket there, bash takes itself for a remote shell.
    stdio: ['ignore', 'pipe', 'inherit'],
  });
}

test('every setting has the default that settings.json names', () => {
  // The directories follow from one another, so they are chosen as at a start.
  const chosen = `read_settings; DATA_DIR=$WORKSPACE/ComfyUI; choose_directories
    for name in ${settings.map(({ name }) => name).join(' ')}; do printf '%s=%s\\n' "$name" "\${!name-}"; done`;
  const values = new Map(
    bash(chosen)
      .trim()
      .split('\n')
      .map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]),
  );
  for (const { name, default: text } of settings) {
    if (OF_DOWNLOADS.includes(name)) continue;
    // PGID follows PUID.
    expect([name, values.get(name)]).toEqual([name, name === 'PGID' ? '0' : text]);
  }
});

test('the values that settings.json names are those that are understood, and no others', () => {
  for (const { name, values = [] } of settings) {
    if (values.length < 3) continue;
    for (const value of values)
      expect(bash(`read_settings; echo "$${name}"`, { [name]: value.toUpperCase() })).toBe(`${value}\n`);
    expect(bash('read_settings', { [name]: 'nonsense' })).toContain(`It can be ${values.join(', ')}.`);
  }
});

test('every setting that start.sh reads is in settings.json or is one of r2-sync or RunPod', () => {
  const read = [...scripts.matchAll(/^ +clean_setting ([A-Z][A-Z0-9_]+)/gm)].map(([, name]) => name!);
  expect(read.length).toBeGreaterThan(10);
  const named = new Set(settings.map(({ name }) => name));
  const others = read.filter((name) => !named.has(name) && !findSetting(name) && !name.startsWith('RUNPOD_'));
  expect(others).toEqual([]);
});

test('every setting in settings.json is read by a script', () => {
  for (const { name } of settings)
    if (!OF_DOWNLOADS.includes(name)) expect(scripts, name).toMatch(new RegExp(`clean_setting ${name}\\b`));
});

test('the secrets of the bucket that start.sh takes away are all that r2-sync has', () => {
  const taken = bash(`printf '%s\\n' "\${bucket_secrets[@]}" "\${bucket_secrets[@]/%/_FILE}"`).trim().split('\n');
  expect(taken.toSorted()).toEqual(secretNames().toSorted());
});

test('secrets of the image are taken away from ComfyUI unless they are named', () => {
  const taken = bash(`printf '%s\\n' "\${other_secrets[@]}"`).trim().split('\n');
  for (const { name, secret } of settings) if (secret) expect(taken).toContain(name);
});

test('what a setting does is said in a first sentence that stands alone', () => {
  for (const { name, doc } of settings) {
    expect(doc, name).toMatch(/^[A-Z`].*\.$/);
    expect(doc.split('. ')[0]!.length, name).toBeLessThan(140);
  }
});
