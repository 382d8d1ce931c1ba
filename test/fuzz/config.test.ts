// Settings come from templates, people and files: whatever they are, nothing throws, nothing that was accepted is outside of
// its unit, and no secret is in any text that comes of them.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { isAbsolute, join } from 'node:path';
import fc from 'fast-check';
import { afterAll, describe, expect } from 'vitest';
import { formatLines, parseLines } from '../../src/config/lines.ts';
import { findSetting, namesOf, settings } from '../../src/config/names.ts';
import { loadConfig } from '../../src/config/parse.ts';
import { readSettings, saveSetting } from '../../src/config/sources.ts';
import type { Config, Loaded } from '../../src/config/types.ts';
import { explain, UserError } from '../../src/errors.ts';
import { createLog, redactor } from '../../src/log.ts';
import { fuzz } from './fuzz.ts';

const dir = mkdtempSync(join(tmpdir(), 'r2-sync-fuzz-config-'));
afterAll(() => rmSync(dir, { recursive: true }));

const names = settings.flatMap((setting) => namesOf(setting).flatMap((name) => [name, `${name}_FILE`]));
const secretNames = settings.filter(({ secret }) => secret).flatMap(namesOf);

const blank = fc.string({ unit: fc.constantFrom(' ', '\t', '\n', '\r', '"', "'", '\u00a0', '\ufeff'), maxLength: 4 });
const likely = fc.constantFrom(
  ...settings.flatMap((setting) => [setting.example, setting.default ?? '']),
  ...[
    'true',
    'YES',
    'off',
    '0',
    '-1',
    '1e3',
    '007',
    '9'.repeat(400),
    '0x10',
    'Infinity',
    'NaN',
    '１２',
    'png, .JPG;*.webp',
    'UTC',
  ],
  ...[
    'https://a.example/bucket',
    'http://127.0.0.1:9000/x',
    'https://user:pass@a.example',
    'https://[::1',
    'http://a.b',
  ],
  ...[
    '{{ RUNPOD_SECRET_x }}',
    '{{RUNPOD_SECRET_}}',
    '{{ RUNPOD_SECRET_{{ x }} }}',
    '$(id)',
    '["a", "b"]',
    '[',
    '{a,{b,c}',
    '**/((',
  ],
  ...[
    '{hash}',
    '{hash16}/../x',
    'a/{hash}{hash}{hash}/{name}',
    '{path}/{path}/{hash16}',
    '__proto__',
    '/dev/null',
    '/',
  ],
);
const value = fc
  .tuple(
    blank,
    fc.oneof(
      { weight: 3, arbitrary: likely },
      fc.string({ unit: 'binary' }),
      fc.string({ maxLength: 5 }).map((text) => text.repeat(3000)),
    ),
    blank,
  )
  .map((parts) => parts.join(''));
const name = fc.oneof(
  { weight: 5, arbitrary: fc.constantFrom(...names) },
  fc.string({ unit: 'binary', maxLength: 30 }).map((rest) => `R2_${rest}`),
  fc.constantFrom('__proto__', 'r2_bucket', 'R2_BUCKET ', 'R2_BUKCET'),
);
const environment = fc
  .array(fc.tuple(name, value), { maxLength: 12 })
  .map((entries) => Object.fromEntries(entries) as Record<string, string>);
/** What nobody writes by chance. */
const secret = fc
  .oneof(
    fc.stringMatching(/^[\x21-\x7e]{12,60}$/),
    fc.string({ unit: 'binary', minLength: 10, maxLength: 40 }),
    fc.stringMatching(/^[a-z0-9%+/&=#?]{10,30}$/).map((rest) => `https://hook.example/${rest}`),
  )
  .map((text) => `S${text.trim()}#z`);

/** Every text that people may see. */
function textsOf({ problems, asides, warnings }: Loaded): string[] {
  return [...problems, ...asides]
    .flatMap((problem) => [problem.name, problem.message, problem.fix, explain(problem)])
    .concat(warnings);
}

const between = (number: number, least: number, most: number) =>
  expect(number >= least && number <= most, `${number}`).toBe(true);

/** What the rest of the agent takes for granted about a configuration. */
function expectUnits(config: Config): void {
  for (const path of [config.outputDir, config.runDir, config.stateDir ?? '/'])
    expect(isAbsolute(path) && !path.includes('\0')).toBe(true);
  if (config.endpoint !== '') {
    const url = new URL(config.endpoint);
    expect(url.username + url.password + url.search + url.hash).toBe('');
    expect(url.protocol === 'https:' || /^(localhost|127\.|\[::1\])/.test(url.hostname)).toBe(true);
    expect(config.endpoint).not.toMatch(/\/$/);
  }
  expect(config.bucket).toMatch(/^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/);
  for (const key of [config.accessKeyId, config.secretAccessKey, config.sessionToken ?? '', config.statusToken ?? ''])
    expect(key).toMatch(/^[\x21-\x7e]*$/);
  expect(config.keyTemplate).toMatch(/\{hash(16)?\}/);
  expect(config.keyTemplate).not.toMatch(/\.\.|^\/|\/$|\p{Cc}/u);
  expect(() => new Intl.DateTimeFormat('en', { timeZone: config.timezone })).not.toThrow();
  for (const extension of config.extensions) expect(extension).toMatch(/^[^\sA-Z./*?{}]+$/);
  expect(Number.isInteger(config.concurrency) && Number.isInteger(config.statusPort)).toBe(true);
  between(config.concurrency, 1, 1000);
  between(config.statusPort, 0, 65_535);
  between(config.leaseSeconds, 20, 3600);
  const amounts = [
    config.scanSeconds,
    config.quietSeconds,
    config.drainSeconds,
    config.foreignSeconds,
    config.onStoredSeconds,
    config.webhookAfterSeconds,
    config.webhookDigest,
  ];
  for (const amount of [...amounts, config.maxMb ?? 0, config.bandwidthMbps ?? 0, config.lowSpaceMb ?? 0])
    between(amount, 0, 1e9);
  expect(config.onStored?.[0]).not.toBe('');
  if (config.webhookUrl) expect(config.webhookUrl.protocol).toMatch(/^https?:$/);
}

describe('whatever the environment', () => {
  fuzz(
    'nothing throws; what is accepted obeys its unit; what is refused says what to do',
    400,
    fc.property(environment, fc.boolean(), (env, needStore) => {
      const sources = readSettings({ R2_RUN_DIR: dir, ...env });
      const loaded = loadConfig(sources.settings, { needStore, earlier: sources });
      expect(loaded.config === undefined).toBe(loaded.problems.length > 0);
      if (loaded.config) expectUnits(loaded.config);
      for (const { name: setting, message, fix } of [...loaded.problems, ...loaded.asides]) {
        // Which directory can't be used is told, however long its name is.
        if (setting !== 'R2_RUN_DIR') expect(message.length).toBeLessThan(1000);
        expect(fix).not.toBe('');
      }
      for (const text of textsOf(loaded)) expect(text).not.toMatch(/[\0-\x1f\x7f-\x9f\u202e]/);
    }),
  );

  fuzz(
    'what config set takes or refuses: its own error, and a file that can be read again',
    200,
    fc.property(name, value, (setting, text) => {
      try {
        saveSetting(dir, setting, text);
      } catch (error) {
        expect(error).toBeInstanceOf(UserError);
      }
      expect(readSettings({ R2_RUN_DIR: dir }).problems.filter(({ name: one }) => one === 'R2_RUN_DIR')).toEqual([]);
      rmSync(join(dir, 'set'), { force: true });
    }),
  );

  fuzz(
    'settings files of any text are read, and what was written comes back',
    500,
    fc.property(
      fc.string({ unit: 'binary' }),
      fc.dictionary(fc.stringMatching(/^[A-Z_]\w{0,9}$/), value),
      (text, entries) => {
        expect(parseLines(text).bad.every((line) => line >= 1)).toBe(true);
        const written = new Map(Object.entries(entries));
        expect(parseLines(formatLines(written))).toEqual({ entries: written, bad: [] });
      },
    ),
  );
});

describe('invariant 8: a secret is in no text', () => {
  fuzz(
    'wherever it was put: under its name, in a file, in the wrong variable, in a name',
    400,
    fc.property(
      secret,
      fc.constantFrom(...secretNames),
      fc.constantFrom('plain', 'file', 'wrong file'),
      environment,
      fc.array(
        fc.tuple(fc.constantFrom(...names), fc.constantFrom('', 'https://', 'https://a.b/', '/', '{{ RUNPOD_SECRET_')),
        { maxLength: 3 },
      ),
      (hidden, under, how, env, wrong) => {
        const file = join(dir, 'secret');
        writeFileSync(file, hidden);
        const given = how === 'plain' ? { [under]: hidden } : { [`${under}_FILE`]: how === 'file' ? file : hidden };
        const misplaced =
          how === 'wrong file'
            ? []
            : wrong
                .filter(([where]) => findSetting(where) !== findSetting(under))
                .map(([where, before]) => [where, before + hidden]);
        const kept = Object.fromEntries(
          Object.entries(env).filter(([one]) => !secretNames.includes(one.replace(/_FILE$/, ''))),
        );
        const sources = readSettings({
          R2_RUN_DIR: dir,
          ...kept,
          ...Object.fromEntries(misplaced.filter(([one]) => one !== 'R2_RUN_DIR')),
          ...given,
        });
        const loaded = loadConfig(sources.settings, { needStore: true, earlier: sources });
        expect(textsOf(loaded).filter((text) => text.includes(hidden))).toEqual([]);
        if (how === 'wrong file') return;
        // A text from elsewhere, an error's for instance, that repeats it: on a terminal and in a file.
        const lines: string[] = [];
        for (const isTTY of [true, false]) {
          const log = createLog({
            level: 'info',
            secrets: loaded.secrets,
            stream: { isTTY, write: (line) => void lines.push(line) },
          });
          log.warn({ about: hidden }, `request to ${hidden} failed; ${encodeURIComponent(hidden)}`);
        }
        expect(redactor(loaded.secrets)(`a ${hidden} b`)).not.toContain(hidden);
        expect(
          lines.filter((line) => line.includes(hidden) || line.includes(JSON.stringify(hidden).slice(1, -1))),
        ).toEqual([]);
      },
    ),
  );
});
